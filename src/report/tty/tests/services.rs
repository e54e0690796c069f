//! Services: how the block shows them and who waits for them, and runs that are nothing else.

use super::*;
use crate::event::{Awaited, ServicePhase};
use crate::plan::{Condition, HealthPlan, ServicePlan};

/// A plan in which these machines have a service, with a health check where that is said.
fn with_services(plan: &Plan, services: &[(&str, bool)]) -> Arc<Plan> {
    let mut plan = plan.clone();
    for (name, is_checked) in services {
        let health = HealthPlan {
            test: Some(Command::List(vec!["pg_isready".to_owned()])),
            log_line: None,
            interval: Duration::from_secs(1),
            timeout: Duration::from_secs(2),
            retries: 30,
            start_period: Duration::ZERO,
            start_interval: Duration::from_secs(1),
        };
        let service = ServicePlan {
            command: Command::List(vec!["serve".to_owned()]),
            uses_entrypoint: true,
            restart: crate::plan::Restart::No,
            stop_signal: None,
            health: is_checked.then_some(health),
        };
        plan.machines
            .iter_mut()
            .filter(|machine| machine.name == *name)
            .for_each(|machine| machine.service = Some(service.clone()));
    }
    Arc::new(plan)
}

struct Said<'a> {
    attempt: Option<u32>,
    exit_code: Option<i32>,
    cause: Option<&'a str>,
}

const NOTHING: Said<'_> = Said { attempt: None, exit_code: None, cause: None };

fn service(millis: u64, machine: &str, phase: ServicePhase, said: &Said<'_>) -> Timed {
    let event = Event::Service {
        machine: machine.to_owned(),
        phase,
        seconds: 1.0,
        attempt: said.attempt,
        of: said.attempt.map(|_| 30),
        exit_code: said.exit_code,
        delay: (phase == ServicePhase::Restarting).then_some(0.4),
        cause: said.cause.map(str::to_owned),
    };
    at(millis, event)
}

fn waiting(millis: u64, machine: &str, on: &[(&str, Condition)]) -> Timed {
    let on = on.iter().map(|(machine, condition)| Awaited { machine: (*machine).to_owned(), condition: *condition });
    at(millis, Event::Waiting { machine: machine.to_owned(), on: on.collect() })
}

fn wrote(millis: u64, machine: &str, text: &str) -> Timed {
    let bytes = text.as_bytes().to_vec();
    at(millis, Event::Output { of: OutputOf::Machine(machine.to_owned()), stream: Stream::Stdout, bytes })
}

#[test]
fn a_machine_says_for_whom_it_waits_and_how_that_one_stands() {
    let plan = plan(&["db", "seed", "test"], &[("fill", "seed", &[]), ("unit", "test", &[])]);
    let plan = with_services(&plan, &[("db", true)]);
    let on: &[(&str, Condition)] = &[("db", Condition::Healthy), ("seed", Condition::Completed)];
    let mut events = vec![
        waiting(0, "test", on),
        waiting(0, "seed", &[("db", Condition::Started)]),
        phase(100, "db", MachinePhase::Booting, 0.1),
    ];
    assert_eq!(
        shown(&view_of(&plan, &events), 80, 24, 1100),
        "\
acme  ───────────────  0/2                                                 1.1s
⠙ machine db    booting, qemu (tcg): waits for its agent  ━━━━───────────  1.0s
· machine seed  waits for db started: booting
· machine test  waits for db healthy: booting; seed completed: 0/1 steps
· fill          waits for machine seed
· unit          waits for machine test
"
    );
    events.extend([
        phase(2000, "db", MachinePhase::Ready, 1.0),
        service(2000, "db", ServicePhase::Started, &NOTHING),
        waiting(2000, "seed", &[]),
        phase(2000, "seed", MachinePhase::Ready, 1.0),
        started(2000, "fill", "seed"),
        service(
            6000,
            "db",
            ServicePhase::Testing,
            &Said { attempt: Some(4), exit_code: Some(2), cause: Some("no \x1b[2Jresponse") },
        ),
    ]);
    assert_eq!(
        shown(&view_of(&plan, &events), 100, 24, 6100),
        "\
acme  ───────────────────  0/2                                                                 6.1s
⠙ fill          on seed                                                                        4.1s
⠙ service db    not healthy yet: 4/30, exit code 2: no response                                4.1s
· machine test  waits for db healthy: 4/30, exit code 2: no response; seed completed: 0/1 steps
· unit          waits for machine test
"
    );
    events.extend([
        finished(6500, "fill", StepStatus::Passed, Some(0)),
        service(7000, "db", ServicePhase::Healthy, &NOTHING),
        waiting(7000, "test", &[]),
        phase(7000, "test", MachinePhase::Ready, 1.0),
        started(7000, "unit", "test"),
        service(7500, "db", ServicePhase::Testing, &Said { attempt: Some(1), exit_code: Some(2), cause: None }),
    ]);
    assert_eq!(
        shown(&view_of(&plan, &events), 80, 24, 8000),
        "\
acme  ━━━━━━━╸───────  1/2                                                 8.0s
⠋ unit          on test                                                    1.0s
● service db    healthy, but: 1/30, exit code 2                            6.0s
· machine seed  ready
"
    );
    events.push(service(8000, "db", ServicePhase::Exited, &Said { exit_code: Some(1), ..NOTHING }));
    assert!(shown(&view_of(&plan, &events), 80, 24, 8000).contains("\n✗ service db    exited with exit code 1 "));
}

#[test]
fn services_alone_show_what_they_print_and_a_line_that_stands_still() {
    let plan = with_services(&plan(&["db", "front"], &[]), &[("db", true), ("front", false)]);
    let mut watched = Watched::new(&plan, 60, 12, Verbosity::Normal);
    let events = [
        phase(1000, "db", MachinePhase::Ready, 1.0),
        service(1000, "db", ServicePhase::Started, &NOTHING),
        phase(1000, "front", MachinePhase::Ready, 1.0),
        service(1000, "front", ServicePhase::Started, &NOTHING),
        wrote(1100, "front", "listening\x1b[31m on 80\nGET"),
        wrote(1200, "db", "ready to accept connections\n"),
    ];
    events.iter().for_each(|event| watched.take(event));
    assert_eq!(
        watched.text(),
        "\
✓ service front: started
front │ listening on 80
db    │ ready to accept connections
acme  1/2 services up  Ctrl-C ends                     1.2s
⠹ service db  not healthy yet                          0.2s"
    );
    watched.take(&service(1500, "db", ServicePhase::Healthy, &NOTHING));
    let block = "\nacme  2/2 services up  Ctrl-C ends";
    assert!(watched.text().ends_with(block), "{}", watched.text());
    let painted = watched.bytes.text().len();
    watched.draw(Duration::from_secs(60), true);
    assert_eq!(watched.bytes.text().len(), painted, "a screen on which nothing changes is left alone");
    watched.take(&wrote(61_000, "front", " /\n"));
    watched.take(&phase(62_000, "front", MachinePhase::Stopping, 1.0));
    assert!(watched.text().contains("front │ GET /\nacme  1/2"), "{}", watched.text());
    watched.take(&ended(63_000, RunStatus::Interrupted, Some("SIGINT")));
    assert_eq!(watched.text().lines().last(), Some("interrupted: 1 passed, 2 services in 9.0s: SIGINT"));
}

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
        test: said.attempt.filter(|_| phase == ServicePhase::Testing).map(|_| "pg_isready".to_owned()),
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
· machine seed  waiting for db started: booting
· machine test  waiting for db healthy: booting; seed completed: 0/1 steps
· fill          waiting for machine seed
· unit          waiting for machine test
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
        shown(&view_of(&plan, &events), 106, 24, 6100),
        "\
acme  ─────────────────────  0/2                                                                     6.1s
⠙ fill          on seed                                                                              4.1s
⠙ service db    not healthy yet: 4/30, pg_isready exit 2: no response                                4.1s
· machine test  waiting for db healthy: 4/30, pg_isready exit 2: no response; seed completed: 0/1 steps
· unit          waiting for machine test
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
● service db    healthy, but: 1/30, pg_isready exit 2                      6.0s
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
    assert!(watched.text().ends_with("front │ GET /\nacme  2/2 services up  Ctrl-C ends"), "{}", watched.text());
    watched.take(&at(
        61_500,
        Event::Warning { text: "SIGINT: ending in order; a second signal ends all at once".to_owned() },
    ));
    watched.take(&service(61_500, "front", ServicePhase::Stopping, &NOTHING));
    watched.draw(Duration::from_millis(73_000), true);
    let ending = "\nacme  1/2 services up  ending, Ctrl-C again kills    1m 13s\n⠋ service front  stopping                             11.5s";
    assert!(watched.text().ends_with(ending), "{}", watched.text());
    watched.take(&at(73_000, Event::Warning { text: "SIGINT again: all ends at once".to_owned() }));
    assert!(watched.text().contains("\nacme  1/2 services up  ending at once "), "{}", watched.text());
    watched.take(&ended(63_000, RunStatus::Interrupted, Some("SIGINT")));
    assert_eq!(watched.text().lines().last(), Some("interrupted: 1 passed, 2 services in 9.0s: SIGINT"));
}

#[test]
fn a_run_that_ends_says_what_another_ctrl_c_does() {
    let plan = with_services(&plan(&["db", "m"], &[("unit", "m", &[])]), &[("db", false)]);
    let mut events = vec![
        phase(1000, "db", MachinePhase::Ready, 1.0),
        service(1000, "db", ServicePhase::Started, &NOTHING),
        phase(1000, "m", MachinePhase::Ready, 1.0),
        started(1000, "unit", "m"),
    ];
    assert!(!shown(&view_of(&plan, &events), 80, 24, 2000).contains("Ctrl-C"));
    let mut told = events.clone();
    told.push(at(2000, Event::Warning { text: "told to go down: ending in order".to_owned() }));
    assert!(shown(&view_of(&plan, &told), 80, 24, 2000).contains("0/1  ending  "));
    events.push(at(2000, Event::Warning { text: "SIGTERM: ending in order".to_owned() }));
    events.push(finished(2000, "unit", StepStatus::Canceled, None));
    events.push(service(9000, "db", ServicePhase::Stopping, &NOTHING));
    assert_eq!(
        shown(&view_of(&plan, &events), 80, 24, 9500),
        "\
acme  ━━━━━━━━━━━━━━━  1/1  ending, Ctrl-C again kills                     9.5s
⠴ service db  stopping                                                     0.5s
· machine m   ready
"
    );
}

#[test]
fn a_machine_that_does_not_come_stays_in_the_block_with_the_reason() {
    let plan = with_services(&plan(&["db", "web"], &[]), &[("db", true), ("web", false)]);
    let cause = "service `db` is unhealthy".to_owned();
    let mut events = vec![
        phase(1000, "db", MachinePhase::Ready, 1.0),
        service(1000, "db", ServicePhase::Started, &NOTHING),
        waiting(1000, "web", &[("db", Condition::Healthy)]),
        service(9000, "db", ServicePhase::Unhealthy, &Said { attempt: Some(30), exit_code: Some(2), cause: None }),
        at(9000, Event::NotStarted { machine: "web".to_owned(), cause, by: Some("db".to_owned()) }),
    ];
    let text = shown(&view_of(&plan, &events), 80, 24, 9500);
    assert!(text.ends_with("\n✗ machine web  not started: service `db` is unhealthy\n"), "{text}");
    events.push(service(10_000, "db", ServicePhase::Healthy, &NOTHING));
    events.push(phase(10_000, "web", MachinePhase::Prepared, 0.1));
    let text = shown(&view_of(&plan, &events), 80, 24, 10_500);
    assert!(!text.contains("not started"), "what it waited for has come: {text}");
}

#[test]
fn a_service_that_ends_again_and_again_does_not_fill_the_screen() {
    let plan = with_services(&plan(&["db"], &[]), &[("db", false)]);
    let mut watched = Watched::new(&plan, 80, 40, Verbosity::Normal);
    watched.take(&phase(0, "db", MachinePhase::Ready, 1.0));
    for number in 1..=20 {
        let at = u64::from(number) * 1000;
        watched.take(&service(at, "db", ServicePhase::Started, &NOTHING));
        let said = Said { attempt: Some(number), exit_code: Some(1), cause: None };
        watched.take(&service(at, "db", ServicePhase::Exited, &said));
        watched.take(&service(at, "db", ServicePhase::Restarting, &Said { attempt: Some(number), ..NOTHING }));
    }
    let text = watched.text();
    let ends = text.lines().filter(|line| line.contains("exited with exit code 1")).count();
    assert_eq!(ends, 6, "1, 2, 3, 4, 8 and 16: {text}");
    assert!(text.contains("(restart 20)"), "the block says how it stands: {text}");
    assert!(text.lines().count() < 20, "{text}");
    watched.take(&ended(30_000, RunStatus::Interrupted, Some("SIGINT")));
    assert!(
        watched.text().ends_with("interrupted: 1 passed, 1 service, 20 restarts in 9.0s: SIGINT"),
        "{}",
        watched.text()
    );
}

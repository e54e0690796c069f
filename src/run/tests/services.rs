//! Runs with services: what is up when, what waits for what, and what the end of a service means.

use std::time::Duration;

use super::lines::render;
use super::plans::{finally, machine, plan, step};
use super::service_world::Life;
use super::sim::{Boot, Does, Script, simulate};
use crate::plan::{
    Command, Condition, DependencyPlan, HealthPlan, LinkPlan, MachinePlan, Plan, Restart, ServicePlan, StepPlan,
};
use crate::run::Signal;

pub(super) fn service(name: &str) -> MachinePlan {
    let plan = ServicePlan {
        command: Command::List(vec!["serve".to_owned()]),
        uses_entrypoint: true,
        restart: Restart::No,
        stop_signal: None,
        health: None,
    };
    MachinePlan { service: Some(plan), ..machine(name) }
}

pub(super) fn tested(name: &str, retries: u32) -> MachinePlan {
    let mut machine = service(name);
    machine.service.as_mut().unwrap().health = Some(HealthPlan {
        test: Some(Command::List(vec!["test".to_owned()])),
        log_line: None,
        interval: Duration::from_secs(1),
        timeout: Duration::from_secs(1),
        retries,
        start_period: Duration::ZERO,
        start_interval: Duration::from_secs(1),
    });
    machine
}

fn restarted(name: &str, restart: Restart) -> MachinePlan {
    let mut machine = service(name);
    machine.service.as_mut().unwrap().restart = restart;
    machine
}

pub(super) fn after(machine: MachinePlan, on: &str, condition: Condition) -> MachinePlan {
    MachinePlan { depends_on: vec![DependencyPlan { machine: on.to_owned(), condition }], ..machine }
}

/// A plan of these machines, and of the steps on them.
pub(super) fn with(machines: Vec<MachinePlan>, steps: Vec<StepPlan>) -> Plan {
    Plan { machines, ..plan(steps) }
}

fn played(plan: &Plan, script: &Script) -> String {
    let played = simulate(plan, script);
    assert_eq!(played.left, Vec::<String>::new(), "nothing outlives the run");
    render(&played)
}

#[test]
fn a_machine_boots_when_its_service_is_healthy_and_goes_down_before_it() {
    let machines = vec![tested("db", 30), after(machine("test"), "db", Condition::Healthy)];
    let script = Script::default().tests("db", &[Some(2), Some(2), Some(0)]);
    assert_eq!(
        played(&with(machines, vec![step("unit@test", &[])]), &script),
        "machine test waits for db healthy\nmachine db booting\nmachine db ready\nservice db started\n\
         service db testing 0/30 (2): test says Some(2)\nservice db testing 1/30 (2): test says Some(2)\n\
         service db healthy\nmachine test booting\nmachine test ready\nunit started\nunit passed\n\
         machine test stopping\nmachine test stopped\nservice db stopping\nservice db stopped (0)\n\
         machine db stopping\nmachine db stopped\nrun passed 0 [1 0 0]\n"
    );
}

#[test]
fn an_unhealthy_service_fails_what_waits_for_it_and_names_it() {
    let machines = vec![tested("db", 2), after(machine("test"), "db", Condition::Healthy), machine("other")];
    let script = Script::default().tests("db", &[Some(3)]).step("build", 1500, Does::Exit(0));
    let steps = vec![step("build@other", &[]), step("unit@test", &[])];
    let text = played(&with(machines, steps), &script);
    let end = "service db unhealthy 2/2 (3): test says Some(3)\n\
               unit skipped: service `db` is unhealthy: its test ended with exit code 3: test says Some(3)\n";
    assert!(text.contains(end), "{text}");
    let summary = "run failed 125: step `unit` could not run: service `db` is unhealthy: its test ended with exit \
                   code 3: test says Some(3) [1 0 1]\n";
    assert!(text.ends_with(summary), "{text}");
}

#[test]
fn a_service_that_ends_fails_the_step_that_needs_it_and_names_it() {
    let machines = vec![service("db"), after(machine("test"), "db", Condition::Started)];
    let script = Script::default().lives("db", &[Life::Exits(100, 3)]).step("unit", 60_000, Does::Sleeps);
    let text = played(&with(machines, vec![step("unit@test", &[]), step("more@test", &["unit"])]), &script);
    let middle = "service db exited (3)\nmore skipped: service `db` ended with exit code 3\n\
                  machine db stopping\nunit failed (125): service `db` ended with exit code 3\n";
    assert!(text.contains(middle), "{text}");
    let end = "run failed 125: step `unit` failed: service `db` ended with exit code 3 [0 1 1]\n";
    assert!(text.ends_with(end), "{text}");
}

#[test]
fn what_a_service_needs_its_users_need_too_and_a_link_is_a_need() {
    let linked = MachinePlan {
        links: vec![LinkPlan { machine: "api".to_owned(), port: 80 }],
        ..after(machine("test"), "api", Condition::Started)
    };
    let machines = vec![service("db"), after(service("api"), "db", Condition::Started), linked];
    let script = Script::default().lives("db", &[Life::Exits(200, 0)]).step("unit", 0, Does::Sleeps);
    let text = played(&with(machines, vec![step("unit@test", &[])]), &script);
    assert!(text.contains("unit failed (125): service `db` ended with exit code 0\n"), "{text}");
}

#[test]
fn a_service_that_nothing_needs_may_end() {
    let machines = vec![service("extra"), machine("m")];
    let script = Script::default().lives("extra", &[Life::Exits(20, 3)]).step("a", 500, Does::Exit(0));
    let text = played(&with(machines, vec![step("a@m", &[])]), &script);
    assert!(text.contains("service extra exited (3)\nmachine extra stopping\n"), "{text}");
    assert!(text.ends_with("run passed 0 [1 0 0]\n"), "{text}");
}

#[test]
fn a_service_is_started_again_while_its_steps_go_on() {
    let machines = vec![restarted("db", Restart::OnFailure), after(machine("test"), "db", Condition::Started)];
    let lives = [Life::Exits(50, 1), Life::Exits(50, 1), Life::Runs];
    let script = Script::default().lives("db", &lives).step("unit", 2000, Does::Exit(0));
    let text = played(&with(machines, vec![step("unit@test", &[])]), &script);
    let again = "service db exited 1 (1)\nservice db restarting 1\n";
    assert!(text.contains(again), "{text}");
    assert!(text.contains("service db exited 2 (1)\nservice db restarting 2\nservice db started\n"), "{text}");
    assert!(text.ends_with("run passed 0 [1 0 0]\n"), "{text}");
}

#[test]
fn the_machine_of_a_dead_service_fails_the_steps_that_need_it() {
    let machines = vec![service("db"), after(machine("test"), "db", Condition::Started)];
    let script = Script::default().boot("db", Boot::KernelPanics);
    let text = played(&with(machines, vec![step("unit@test", &[])]), &script);
    assert!(text.contains("unit skipped: machine `db` failed\n"), "{text}");
    assert!(text.ends_with("run failed 125: step `unit` could not run: machine `db` failed [0 0 1]\n"), "{text}");
}

#[test]
fn completed_means_all_steps_or_the_end_of_a_command_with_zero() {
    let machines = vec![
        machine("build"),
        service("seed"),
        MachinePlan {
            depends_on: ["build", "seed"]
                .map(|on| DependencyPlan { machine: on.to_owned(), condition: Condition::Completed })
                .to_vec(),
            ..machine("test")
        },
    ];
    let script = Script::default().lives("seed", &[Life::Exits(300, 0)]);
    let steps = vec![step("one@build", &[]), step("two@build", &["one"]), step("unit@test", &[])];
    let text = played(&with(machines.clone(), steps.clone()), &script);
    assert!(text.contains("machine test waits for build completed, seed completed\n"), "{text}");
    assert!(text.contains("machine test waits for seed completed\n"), "{text}");
    assert!(text.contains("service seed exited (0)\nmachine seed stopping\nmachine test booting\n"), "{text}");
    assert!(text.ends_with("run passed 0 [3 0 0]\n"), "{text}");

    let script = Script::default().lives("seed", &[Life::Exits(300, 4)]);
    let text = played(&with(machines, steps), &script);
    assert!(text.contains("unit skipped: service `seed` ended with exit code 4\n"), "{text}");
}

#[test]
fn steps_run_beside_the_service_of_their_machine_once_it_is_started() {
    let script = Script::default();
    assert_eq!(
        played(&with(vec![service("db")], vec![step("seed@db", &[])]), &script),
        "machine db booting\nmachine db ready\nservice db started\nseed started\nseed passed\nservice db stopping\n\
         service db stopped (0)\nmachine db stopping\nmachine db stopped\nrun passed 0 [1 0 0]\n"
    );
    let script = Script::default().lives("db", &[Life::NotFound]);
    let text = played(&with(vec![service("db")], vec![step("seed@db", &[])]), &script);
    assert!(text.contains("service db exited (127): there is no program `serve`\n"), "{text}");
    assert!(text.contains("seed skipped: service `db` ended: there is no program `serve`\n"), "{text}");
}

#[test]
fn services_alone_stay_up_until_the_interrupt_and_go_down_in_order() {
    let machines = vec![service("db"), after(service("api"), "db", Condition::Started)];
    let text = played(&with(machines, vec![]), &Script::default().signal(5000, Signal::Interrupt));
    let end = "service api stopping\nservice api stopped (0)\nmachine api stopping\nmachine api stopped\n\
               service db stopping\nservice db stopped (0)\nmachine db stopping\nmachine db stopped\n\
               run interrupted 130: interrupted by SIGINT [0 0 0]\n";
    assert!(text.ends_with(end), "{text}");
}

#[test]
fn services_alone_that_have_all_ended_end_the_run_with_the_first_code() {
    let machines = vec![service("good"), service("bad")];
    let script = Script::default().lives("good", &[Life::Exits(100, 0)]).lives("bad", &[Life::Exits(50, 7)]);
    let text = played(&with(machines, vec![]), &script);
    assert!(text.ends_with("run failed 7: service `bad` ended with exit code 7 [0 0 0]\n"), "{text}");
    let text = played(&with(vec![service("good")], vec![]), &script);
    assert!(text.ends_with("run passed 0 [0 0 0]\n"), "{text}");
}

#[test]
fn a_stubborn_service_is_killed_when_its_time_is_up_and_a_second_signal_waits_for_nothing() {
    let script = Script::default().lives("db", &[Life::Stubborn]);
    let machines = vec![MachinePlan { stop_grace: Some(Duration::from_secs(3)), ..service("db") }];
    let run = simulate(&with(machines, vec![step("a@db", &[])]), &script);
    let text = render(&run);
    assert!(text.contains("service db stopping\nservice db stopped (137)\nmachine db stopping\n"), "{text}");
    let took = run.events.last().unwrap().0;
    assert!((Duration::from_secs(3)..Duration::from_secs(4)).contains(&took), "{took:?}");

    let script = script.signal(1000, Signal::Interrupt).signal(1500, Signal::Interrupt);
    let text = played(&with(vec![service("db")], vec![]), &script);
    assert!(text.ends_with("machine db stopped\nrun interrupted 130: interrupted by SIGINT, and again, so nothing was waited for [0 0 0]\n"), "{text}");
}

#[test]
fn finally_of_a_file_of_services_runs_when_the_run_is_told_to_end() {
    let script = Script::default().signal(3000, Signal::Interrupt);
    let text = played(&with(vec![service("db")], vec![finally("dump@db")]), &script);
    let end =
        "SIGINT: ending in order; a second signal ends all at once\ndump started\ndump passed\nservice db stopping\n";
    assert!(text.contains(end), "{text}");
    let script = Script::default().lives("db", &[Life::Exits(100, 0)]);
    let text = played(&with(vec![service("db")], vec![finally("dump@db")]), &script);
    assert!(text.contains("service db exited (0)\ndump started\ndump passed\nmachine db stopping\n"), "{text}");
}

#[test]
fn a_line_of_a_service_lets_what_waits_for_it_boot() {
    let mut db = tested("db", 30);
    let health = db.service.as_mut().unwrap().health.as_mut().unwrap();
    (health.test, health.log_line) = (None, Some("ready".to_owned()));
    let machines = vec![db, after(machine("test"), "db", Condition::Healthy)];
    let script = Script::default().lives("db", &[Life::Says(1500, "I am ready\n")]);
    let text = played(&with(machines, vec![step("unit@test", &[])]), &script);
    let middle = "service db testing 1/30: no line with `ready` has come\nservice db healthy\nmachine test booting\n";
    assert!(text.contains(middle), "{text}");
}

#[test]
fn finally_finds_the_services_up_after_an_interrupt() {
    let machines = vec![service("db"), after(machine("test"), "db", Condition::Started)];
    let script = Script::default().step("unit", 60_000, Does::Sleeps).signal(1000, Signal::Interrupt);
    let text = played(&with(machines, vec![step("unit@test", &[]), finally("end@test")]), &script);
    let end = "end passed\nmachine test stopping\nmachine test stopped\nservice db stopping\n";
    assert!(text.contains(end), "{text}");
    assert!(text.contains("run interrupted 130"), "{text}");
}

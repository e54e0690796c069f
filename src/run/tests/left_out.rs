//! Machines that were to come and do not: which are named, with what kept them, and what becomes of the run.

use std::time::Duration;

use super::lines::render;
use super::plans::{machine, plan, step};
use super::service_world::Life;
use super::services::{after, service, tested, with};
use super::sim::{Boot, Script, simulate};
use crate::event::{Event, MachinePhase, RunStatus, ServicePhase};
use crate::plan::{Condition, Plan};
use crate::run::{Hold, RunCommand, Signal};

/// A chain of three services, the first of which is tested.
fn chain() -> Plan {
    let web = after(service("web"), "db", Condition::Healthy);
    with(vec![tested("db", 2), web, after(service("worker"), "web", Condition::Started)], vec![])
}

/// What was told of machines that do not come: when, which, by whom.
fn left_out(played: &super::sim::Played) -> Vec<(u64, String, Option<String>)> {
    let told = played.events.iter().filter_map(|(at, event)| match event {
        Event::NotStarted { machine, by, .. } => Some((at.as_secs(), machine.clone(), by.clone())),
        _ => None,
    });
    told.collect()
}

fn named(machine: &str, by: Option<&str>) -> (String, Option<String>) {
    (machine.to_owned(), by.map(str::to_owned))
}

#[test]
fn what_waits_for_an_unhealthy_service_is_told_at_once_with_whom_it_lies() {
    let script = Script::default().tests("db", &[Some(2)]).signal(60_000, Signal::Interrupt);
    let played = simulate(&chain(), &script);
    let told = left_out(&played);
    let names: Vec<_> = told.iter().map(|(_, machine, by)| (machine.clone(), by.clone())).collect();
    assert_eq!(names, [named("web", Some("db")), named("worker", Some("db"))], "each once");
    assert!(told.iter().all(|(at, ..)| *at < 10), "{told:?}");
    let text = render(&played);
    let line = "machine web not started by db: service `db` is unhealthy: its test ended with exit code 2: test says \
                Some(2)\n";
    assert!(text.contains(line), "{text}");
    assert_eq!((played.summary.status, played.summary.exit_code), (RunStatus::Failed, 125));
    assert!(played.events.last().unwrap().0 < Duration::from_secs(60), "what is not whole is not waited with: {text}");
}

#[test]
fn what_it_waits_for_may_come_after_all() {
    let tests = [Some(2), Some(2), Some(2), Some(2), Some(0)];
    let script = Script::default().keep_going().tests("db", &tests).signal(60_000, Signal::Interrupt);
    let played = simulate(&chain(), &script);
    assert_eq!(played.summary.status, RunStatus::Interrupted, "the others go on until they are told to end");
    assert_eq!(left_out(&played).len(), 2);
    let is_up = |event: &Event| matches!(event, Event::Machine { machine, phase: MachinePhase::Ready, .. } if machine == "worker");
    assert!(played.events.iter().any(|(_, event)| is_up(event)));
    // Up once, it is no more among those that do not come when the run ends.
    assert!(left_out(&played).iter().all(|(at, ..)| *at < 60));
}

#[test]
fn machines_that_are_to_stay_do_not_wait_for_what_never_comes() {
    for script in [
        Script::default().tests("db", &[Some(2)]),
        Script::default().boot("db", Boot::KernelPanics),
        Script::default().lives("db", &[Life::Exits(1, 3)]),
        // While `web` boots already.
        Script::default().lives("db", &[Life::Exits(5, 3)]),
    ] {
        let played = simulate(&chain(), &script.hold(Hold::AfterSuccess).signal(600_000, Signal::Terminate));
        let text = render(&played);
        assert_eq!((played.summary.status, played.settled()), (RunStatus::Failed, None), "{text}");
        assert!(played.events.last().unwrap().0 < Duration::from_secs(60), "{text}");
        let mut names: Vec<_> = left_out(&played).into_iter().map(|(_, machine, _)| machine).collect();
        names.sort();
        assert_eq!(names, ["web", "worker"], "{text}");
        assert!(played.left.is_empty(), "{:?}", played.left);
    }
}

#[test]
fn an_interrupt_while_machines_boot_names_those_that_were_to_come() {
    for at in [0, 1, 3, 8] {
        let machines = vec![service("db"), after(service("web"), "db", Condition::Started), machine("m")];
        let script = Script::default().signal(at, Signal::Interrupt);
        let played = simulate(&with(machines, vec![step("unit@m", &[])]), &script);
        let names: Vec<_> = left_out(&played).into_iter().map(|(_, machine, by)| (machine, by)).collect();
        // The machine of a step is told of by its step.
        assert_eq!(names, [named("db", None), named("web", None)], "at {at}: {}", render(&played));
    }
}

#[test]
fn who_has_come_or_was_stopped_by_somebody_is_not_among_them() {
    let stop = RunCommand::Stop { machines: vec!["web".to_owned()], grace: None };
    let machines = vec![service("db"), after(service("web"), "db", Condition::Started)];
    let script = Script::default().hold(Hold::AfterSuccess).command(60_000, stop).command(90_000, RunCommand::Down);
    let played = simulate(&with(machines, vec![]), &script);
    assert_eq!(left_out(&played), []);
    let plan = Plan { machines: vec![machine("idle")], ..plan(vec![]) };
    let played = simulate(&plan, &Script::default().hold(Hold::AfterSuccess).signal(0, Signal::Interrupt));
    assert_eq!(left_out(&played), [(0, "idle".to_owned(), None)], "it was to stay for its own sake");
}

#[test]
fn a_service_that_recovers_is_told_healthy_again() {
    let script = Script::default().tests("db", &[Some(0), Some(2), Some(0)]).signal(60_000, Signal::Interrupt);
    let played = simulate(&with(vec![tested("db", 2)], vec![]), &script);
    let healthy = |event: &Event| matches!(event, Event::Service { phase: ServicePhase::Healthy, .. });
    assert_eq!(played.events.iter().filter(|(_, event)| healthy(event)).count(), 2, "{}", render(&played));
}

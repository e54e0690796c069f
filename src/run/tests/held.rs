//! Machines that stay up when steps are over, and commands from outside.

use super::plans::{machine, plan, step};
use super::service_world::Life;
use super::services::service;
use super::sim::{Boot, Does, Played, Script, simulate};
use crate::event::{Event, MachinePhase, RunStatus};
use crate::plan::Plan;
use crate::run::{CommandError, Hold, RunCommand, Signal};

fn one() -> Vec<String> {
    vec!["one".to_owned()]
}

fn start() -> RunCommand {
    RunCommand::Start { machines: one(), is_healthy: false }
}

fn stop() -> RunCommand {
    RunCommand::Stop { machines: one(), grace: None }
}

fn restart() -> RunCommand {
    RunCommand::Restart { machines: one(), grace: None }
}

/// The ups and downs of a machine, in order.
fn phases(played: &Played, name: &str) -> Vec<&'static str> {
    let word = |event: &Event| match event {
        Event::Machine { machine, phase: MachinePhase::Ready, .. } if machine == name => Some("ready"),
        Event::Machine { machine, phase: MachinePhase::Stopped, .. } if machine == name => Some("stopped"),
        _ => None,
    };
    played.events.iter().filter_map(|(_, event)| word(event)).collect()
}

#[test]
fn a_machine_that_is_held_stays_until_the_run_is_told_to_go_down() {
    let plan = plan(vec![step("a@one", &[])]);
    let script = Script::default().hold(Hold::AfterSuccess).command(60_000, RunCommand::Down);
    let played = simulate(&plan, &script);
    assert_eq!(phases(&played, "one"), ["ready", "stopped"]);
    assert_eq!(played.settled(), Some((0, 1)));
    assert_eq!((played.summary.status, played.answers), (RunStatus::Passed, vec![(1, Ok(()))]));
    assert!(played.events.last().unwrap().0.as_secs() >= 60);
}

#[test]
fn a_machine_without_steps_is_held_too() {
    let mut plan = plan(vec![step("a@one", &[])]);
    plan.machines.push(machine("two"));
    let script = Script::default().hold(Hold::AfterSuccess).command(60_000, RunCommand::Down);
    let played = simulate(&plan, &script);
    assert_eq!(phases(&played, "two"), ["ready", "stopped"]);
}

#[test]
fn a_machine_that_was_stopped_stays_down_and_can_be_started_again_and_again() {
    let plan = plan(vec![step("a@one", &[])]);
    let script = Script::default()
        .hold(Hold::AfterSuccess)
        .command(1000, stop())
        .command(2000, start())
        // Before the deadline of the first stop, which says nothing about the second.
        .command(3000, stop())
        .command(4000, start())
        .command(5000, restart())
        .command(90_000, RunCommand::Down);
    let played = simulate(&plan, &script);
    let turn = ["ready", "stopped"];
    assert_eq!(phases(&played, "one"), [turn, turn, turn, turn].concat());
    assert_eq!(played.answers, (1..=6).map(|id| (id, Ok(()))).collect::<Vec<_>>());
    assert!(played.left.is_empty());
    // Nothing but the machine itself is waited for.
    let ready = |event: &Event| matches!(event, Event::Machine { phase: MachinePhase::Ready, .. });
    let last = played.events.iter().rfind(|(_, event)| ready(event)).unwrap();
    assert!(last.0.as_secs() < 6, "{:?}", last.0);
}

#[test]
fn what_fails_before_all_is_up_ends_the_run_and_what_fails_after_does_not() {
    let failing = Script::default().hold(Hold::AfterSuccess).step("a", 10, Does::Exit(3));
    let played = simulate(&plan(vec![step("a@one", &[])]), &failing);
    assert_eq!((played.summary.exit_code, played.settled()), (3, None));
    let broken = Script::default().hold(Hold::AfterSuccess).boot("two", Boot::KernelPanics);
    let mut with_two = plan(vec![step("a@one", &[])]);
    with_two.machines.push(machine("two"));
    let played = simulate(&with_two, &broken);
    assert_eq!(played.summary.exit_code, 125);
    assert!(played.summary.cause.unwrap().starts_with("machine `two` failed: kernel"));
}

#[test]
fn machines_stay_for_a_look_where_a_step_failed_and_not_where_all_passed() {
    let passing = Script::default().hold(Hold::AfterFailure);
    let played = simulate(&plan(vec![step("a@one", &[])]), &passing);
    assert_eq!((played.summary.exit_code, played.settled()), (0, None));
    let failing =
        Script::default().hold(Hold::AfterFailure).step("a", 10, Does::Exit(3)).command(60_000, RunCommand::Down);
    let played = simulate(&plan(vec![step("a@one", &[]), step("b@two", &["a"])]), &failing);
    assert_eq!(phases(&played, "one"), ["ready", "stopped"]);
    assert_eq!(played.settled(), Some((3, 0)));
    assert_eq!(played.summary.exit_code, 3);
    assert!(played.events.last().unwrap().0.as_secs() >= 60);
}

#[test]
fn a_machine_that_is_not_up_when_a_step_fails_is_not_waited_for() {
    let plan = plan(vec![step("a@one", &[]), step("b@two", &[])]);
    let script = Script::default().hold(Hold::AfterFailure).boot("two", Boot::AgentSilent);
    let script = script.step("a", 10, Does::Exit(3)).command(60_000, RunCommand::Down);
    let played = simulate(&plan, &script);
    assert_eq!(played.settled(), Some((3, 0)));
    let held = played.events.iter().find(|(_, event)| matches!(event, Event::RunHeld { .. })).unwrap();
    assert!(held.0.as_secs() < 5, "{:?}", held.0);
    assert_eq!((phases(&played, "one"), played.left.len()), (vec!["ready", "stopped"], 0));
}

#[test]
fn a_signal_ends_a_run_that_holds_its_machines() {
    let script = Script::default().hold(Hold::AfterAll).signal(60_000, Signal::Terminate);
    let played = simulate(&plan(vec![step("a@one", &[])]), &script);
    assert_eq!((played.summary.exit_code, played.left.len()), (143, 0));
}

#[test]
fn going_down_while_it_boots_gives_up_what_comes_up() {
    let script = Script::default().hold(Hold::AfterSuccess).command(3, RunCommand::Down);
    let played = simulate(&plan(vec![step("a@one", &[])]), &script);
    assert_eq!((played.summary.exit_code, &played.answers[..]), (143, &[(1, Ok(()))][..]));
    assert!(played.left.is_empty() && played.settled().is_none());
}

#[test]
fn going_down_before_services_are_up_is_no_success() {
    let script = Script::default().hold(Hold::AfterSuccess).command(3, RunCommand::Down);
    let played = simulate(&Plan { machines: vec![service("db")], ..plan(Vec::new()) }, &script);
    assert_eq!((played.summary.exit_code, &played.answers[..]), (143, &[(1, Ok(()))][..]));
}

#[test]
fn machines_that_come_up_and_end_at_once_have_come_up() {
    let machines = vec![service("job"), service("other"), machine("slow")];
    let script = Script::default()
        .hold(Hold::AfterAll)
        .lives("job", &[Life::Exits(1, 0)])
        .lives("other", &[Life::Exits(40, 4)])
        .command(3000, RunCommand::Start { machines: Vec::new(), is_healthy: false })
        .command(3001, RunCommand::Start { machines: vec!["job".to_owned(), "other".to_owned()], is_healthy: false })
        .command(9000, RunCommand::Down);
    let played = simulate(&Plan { machines, ..plan(Vec::new()) }, &script);
    assert_eq!(played.answers, [(1, Ok(())), (2, Ok(())), (3, Ok(()))]);
}

#[test]
fn the_steps_of_a_machine_that_is_stopped_do_not_run() {
    let script = Script::default().step("a", 10, Does::Sleeps).command(1000, stop()).command(1001, start());
    let played = simulate(&plan(vec![step("a@one", &[]), step("b@one", &["a"]), step("c@two", &[])]), &script);
    assert_eq!(phases(&played, "one"), ["ready", "stopped"]);
    assert_eq!(played.summary.steps.iter().filter(|step| step.exit_code == Some(0)).count(), 1);
    assert!(played.answers.contains(&(1, Ok(()))), "{:?}", played.answers);
    assert_eq!((played.summary.status, played.summary.exit_code), (RunStatus::Failed, 125));
}

#[test]
fn a_machine_that_is_killed_under_its_step_fails_the_step_and_ends_the_run() {
    let kill = RunCommand::Kill { machines: one(), signal: 9 };
    for hold in [Hold::No, Hold::AfterSuccess] {
        let script = Script::default().hold(hold).step("a", 100_000, Does::Sleeps).command(1000, kill.clone());
        let script = script.command(60_000, RunCommand::Down);
        let played = simulate(&plan(vec![step("a@one", &[]), step("b@one", &["a"])]), &script);
        assert_eq!(phases(&played, "one"), ["ready", "stopped"]);
        assert_eq!(played.answers[0], (1, Ok(())));
        let summary = &played.summary;
        assert_eq!((summary.status, summary.exit_code), (RunStatus::Failed, 125), "{summary:?}");
        assert!(summary.cause.as_ref().is_some_and(|cause| cause.contains("machine `one` was stopped")), "{summary:?}");
        assert_eq!((summary.failed, summary.skipped), (1, 1), "{summary:?}");
    }
}

#[test]
fn names_and_states_that_cannot_be_are_told() {
    let names = |name: &str| RunCommand::Start { machines: vec![name.to_owned()], is_healthy: false };
    let script = Script::default()
        .hold(Hold::AfterSuccess)
        .command(1000, names("ome"))
        .command(2000, RunCommand::Kill { machines: one(), signal: 10 })
        .command(3000, RunCommand::Kill { machines: one(), signal: 9 })
        .command(4000, RunCommand::Down)
        .command(4000, start());
    let played = simulate(&plan(vec![step("a@one", &[])]), &script);
    let answer = |id: u64| played.answers.iter().find(|(known, _)| *known == id).map(|(_, answer)| answer.clone());
    let unknown = CommandError::Unknown { name: "ome".to_owned(), near: Some("one".to_owned()) };
    assert_eq!(answer(1), Some(Err(unknown)));
    assert!(matches!(answer(2), Some(Err(CommandError::Refused(_)))));
    assert_eq!((answer(3), answer(4), answer(5)), (Some(Ok(())), Some(Ok(())), None));
    assert_eq!(phases(&played, "one"), ["ready", "stopped"]);
}

#[test]
fn a_signal_for_all_goes_to_the_commands_that_run_and_one_by_name_is_refused_where_none_does() {
    let kill = |names: &[&str]| RunCommand::Kill {
        machines: names.iter().map(|name| (*name).to_owned()).collect(),
        signal: 10,
    };
    let mut with_service = plan(vec![step("a@one", &[])]);
    with_service.machines.push(service("two"));
    let script = Script::default()
        .hold(Hold::AfterSuccess)
        .command(1000, kill(&["two", "one"]))
        .command(2000, kill(&[]))
        // Here a command ends by any signal, and its machine with it.
        .command(3000, kill(&["two"]))
        .command(60_000, RunCommand::Down);
    let played = simulate(&with_service, &script);
    let refused = |words: &str| Err(CommandError::Refused(words.to_owned()));
    let deaf = refused("machine `one` has no command to send the signal to");
    let expected = [(1, deaf), (2, Ok(())), (3, refused("machine `two` is not up")), (4, Ok(()))];
    assert_eq!(played.answers, expected);
    let none = Script::default().hold(Hold::AfterSuccess).command(1000, kill(&[])).command(2000, RunCommand::Down);
    let played = simulate(&plan(vec![step("a@one", &[])]), &none);
    let refused = "no machine has a command that runs".to_owned();
    assert_eq!(played.answers[0], (1, Err(CommandError::Refused(refused))));
}

#[test]
fn a_machine_that_fails_on_its_way_up_again_is_told() {
    let script = Script::default()
        .hold(Hold::AfterSuccess)
        .command(1000, RunCommand::Start { machines: vec!["two".to_owned()], is_healthy: false })
        .boot("two", Boot::MountFails)
        .command(9000, RunCommand::Down);
    let mut with_two = plan(vec![step("a@one", &[])]);
    with_two.machines.push(machine("two"));
    let played = simulate(&with_two, &script.hold(Hold::AfterAll));
    assert!(
        matches!(&played.answers[0].1, Err(CommandError::Failed { machine, .. }) if machine == "two"),
        "{played:?}"
    );
}

//! Other steps in machines that a run holds, and machines that are another by then.

use super::plans::{finally, machine, plan, step};
use super::service_world::Life;
use super::sim::{Does, Played, ROUND, Script, simulate};
use crate::event::{Event, MachinePhase, RunStatus, StepStatus};
use crate::plan::{Command, MachinePlan, Plan, Restart, ServicePlan};
use crate::run::{CommandError, Hold, RunCommand, Signal};

const DOWN: u64 = 200_000;

/// Ups and downs of a machine, and ends of rounds and steps, in order.
fn story(played: &Played) -> Vec<String> {
    let word = |event: &Event| match event {
        Event::Machine { machine, phase: MachinePhase::Ready, .. } => Some(format!("{machine} ready")),
        Event::Machine { machine, phase: MachinePhase::Stopped, .. } => Some(format!("{machine} stopped")),
        Event::StepFinished { step, status, .. } => Some(format!("{step} {status:?}").to_lowercase()),
        Event::RunHeld { exit_code, .. } => Some(format!("held {exit_code}")),
        _ => None,
    };
    played.events.iter().filter_map(|(_, event)| word(event)).collect()
}

fn held() -> Script {
    Script::default().hold(Hold::AfterSuccess).command(DOWN, RunCommand::Down)
}

fn answer(played: &Played, id: u64) -> Option<Result<(), CommandError>> {
    played.answers.iter().find(|(known, _)| *known == id).map(|(_, answer)| answer.clone())
}

fn serving(name: &str) -> MachinePlan {
    let service = ServicePlan {
        command: Command::List(vec!["serve".to_owned()]),
        uses_entrypoint: false,
        restart: Restart::No,
        stop_signal: None,
        health: None,
    };
    MachinePlan { service: Some(service), ..machine(name) }
}

#[test]
fn other_steps_run_in_the_machines_that_are_held() {
    let first = plan(vec![step("a@one", &[]), step("b@two", &["a"])]);
    let again = plan(vec![step("b@two", &[])]);
    let played =
        simulate(&first, &held().round(60_000, &again, &["one", "two"]).round(120_000, &first, &["one", "two"]));
    let story = story(&played);
    let rounds = ["b passed", "held 0", "a passed", "b passed", "held 0"];
    assert_eq!(story[4..9], ["held 0", rounds[0], rounds[1], rounds[2], rounds[3]], "{story:?}");
    assert_eq!(story[9], rounds[4]);
    assert_eq!(story.iter().filter(|word| word.ends_with("ready")).count(), 2, "{story:?}");
    assert_eq!((answer(&played, ROUND), answer(&played, ROUND + 1)), (Some(Ok(())), Some(Ok(()))));
    assert!(played.left.is_empty());
}

#[test]
fn a_step_that_fails_in_a_round_takes_no_machine_along_and_the_next_round_is_a_fresh_one() {
    let one = plan(vec![step("a@one", &[])]);
    let script = held().attempts("a", &[]).step("bad", 10, Does::Exit(7));
    let bad = plan(vec![step("bad@one", &[]), step("after@one", &["bad"])]);
    let script = script.round(60_000, &bad, &["one"]).round(90_000, &one, &["one"]);
    let story = story(&simulate(&one, &script));
    let expected = ["one ready", "a passed", "held 0", "bad failed", "after skipped", "held 7", "a passed", "held 0"];
    assert_eq!(story[..8], expected, "{story:?}");
}

#[test]
fn only_what_changed_starts_anew_and_what_the_file_no_longer_has_ends() {
    let mut first = plan(vec![step("a@one", &[]), step("b@two", &[])]);
    first.machines.push(machine("old"));
    let mut next = plan(vec![step("a@one", &[]), step("b@two", &["a"]), step("c@three", &["b"])]);
    next.machines[1] = MachinePlan { memory_mib: 2048, ..machine("two") };
    let known = ["one", "two", "three"];
    let played = simulate(&first, &held().round(60_000, &next, &known).round(120_000, &next, &known));
    let story = story(&played);
    let count = |word: &str| story.iter().filter(|known| *known == word).count();
    assert_eq!((count("one ready"), count("two ready"), count("three ready"), count("old ready")), (1, 2, 1, 1));
    let end = story.iter().position(|word| word == "old stopped").unwrap();
    assert!(end < story.iter().position(|word| word == "c passed").unwrap(), "{story:?}");
    assert_eq!(count("held 0"), 3, "{story:?}");
    assert!(played.left.is_empty(), "{:?}", played.left);
}

#[test]
fn a_machine_that_comes_back_into_the_file_boots_again() {
    let both = plan(vec![step("a@one", &[]), step("b@two", &[])]);
    let one = plan(vec![step("a@one", &[])]);
    let script = held().round(60_000, &one, &["one"]).round(120_000, &both, &["one", "two"]);
    let story = story(&simulate(&both, &script));
    assert_eq!(story.iter().filter(|word| *word == "two ready").count(), 2, "{story:?}");
}

#[test]
fn a_machine_that_was_stopped_comes_up_for_its_steps_and_stays_down_for_those_of_others() {
    let both = plan(vec![step("a@one", &[]), step("b@two", &[])]);
    let (one, two) = (plan(vec![step("a@one", &[])]), plan(vec![step("b@two", &[])]));
    let known = ["one", "two"];
    let stop = RunCommand::Stop { machines: vec!["two".to_owned()], grace: None };
    let script = held().command(30_000, stop).round(60_000, &one, &known).round(90_000, &two, &known);
    let story = story(&simulate(&both, &script));
    let expected = ["two stopped", "a passed", "held 0", "two ready", "b passed", "held 0"];
    assert_eq!(story[5..11], expected, "{story:?}");
}

#[test]
fn a_canceled_round_ends_its_steps_and_no_machine() {
    let one = plan(vec![step("a@one", &[])]);
    let mut sleeping = plan(vec![step("long@one", &[]), step("after@one", &["long"])]);
    sleeping.steps.push(finally("last@one"));
    let script = held().step("long", 0, Does::Sleeps).step("hard", 0, Does::IgnoresTerm);
    let hard = plan(vec![step("hard@one", &[])]);
    let cancel = |round| RunCommand::Cancel { round, signal: Signal::Interrupt.number() };
    let script = script
        .round(60_000, &sleeping, &["one"])
        .command(61_000, cancel(ROUND + 7))
        .command(62_000, cancel(ROUND))
        .round(90_000, &hard, &["one"])
        .command(91_000, cancel(ROUND + 1))
        .command(92_000, cancel(ROUND + 1))
        .round(95_000, &one, &["one"]);
    let played = simulate(&one, &script);
    let told = story(&played);
    let expected =
        ["after skipped", "long canceled", "last passed", "held 130", "hard canceled", "held 130", "a passed"];
    assert_eq!(told[3..10], expected, "{told:?}");
    let of_hard = |event: &Event| matches!(event, Event::StepFinished { step, .. } if step == "hard");
    let end = played.events.iter().find(|(_, event)| of_hard(event)).unwrap().0;
    assert!(end.as_secs() == 92, "the second one kills it: {end:?}");
    assert_eq!(told.iter().filter(|word| *word == "one ready").count(), 1);
    assert!(matches!(played.summary.status, RunStatus::Passed));
}

#[test]
fn there_is_one_round_at_a_time_and_none_where_nothing_is_held() {
    let one = plan(vec![step("a@one", &[])]);
    let sleeping = plan(vec![step("long@one", &[])]);
    let script = held().step("long", 5000, Does::Exit(0)).round(60_000, &sleeping, &["one"]);
    let script = script.round(60_000, &one, &["one"]).round(62_000, &one, &["one"]);
    let played = simulate(&one, &script);
    for id in [ROUND + 1, ROUND + 2] {
        assert!(matches!(answer(&played, id), Some(Err(CommandError::Busy(_)))), "{:?}", played.answers);
    }
    let early = Script::default().step("a", 5000, Does::Exit(0)).round(1000, &one, &["one"]);
    assert!(matches!(answer(&simulate(&one, &early), ROUND), Some(Err(CommandError::Busy(_)))));
}

#[test]
fn going_down_ends_a_round_wherever_it_is() {
    let one = plan(vec![step("a@one", &[])]);
    let mut other: Plan = plan(vec![step("long@one", &[])]);
    other.machines[0] = MachinePlan { memory_mib: 512, ..machine("one") };
    for after in [60_000, 60_001, 60_002, 60_004, 60_006, 60_010, 60_020, 61_000] {
        let script = Script::default().hold(Hold::AfterSuccess).step("long", 0, Does::Sleeps);
        let script = script.round(60_000, &other, &["one"]).command(after, RunCommand::Down);
        let played = simulate(&one, &script);
        assert!(played.left.is_empty(), "{after}: {:?}", played.left);
        assert_eq!(answer(&played, 1), Some(Ok(())), "{after}");
        let passed = played.events.iter().filter(
            |(_, event)| matches!(event, Event::StepFinished { step, status: StepStatus::Passed, .. } if step == "long"),
        );
        assert_eq!(passed.count(), 0);
    }
}

#[test]
fn a_service_that_is_no_part_of_a_round_goes_on_and_its_failure_is_none_of_it() {
    let mut first = plan(vec![step("a@one", &[])]);
    first.machines.push(serving("db"));
    let long = plan(vec![step("long@one", &[])]);
    let script = held().step("long", 10_000, Does::Exit(0)).lives("db", &[Life::Exits(65_000, 1)]);
    let played = simulate(&first, &script.round(60_000, &long, &["one", "db"]));
    let story = story(&played);
    assert!(story.contains(&"long passed".to_owned()), "{story:?}");
    assert_eq!(story.iter().filter(|word| *word == "held 0").count(), 2, "{story:?}");
    assert_eq!(story.iter().filter(|word| *word == "db ready").count(), 1, "{story:?}");
}

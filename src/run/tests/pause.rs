//! A run that waits where a step failed, so that somebody can look before `finally` takes away what is there.

use super::lines::render_steps;
use super::plans::{finally, plan, step};
use super::services::{service, with};
use super::sim::{Does, Played, ROUND, Script, simulate};
use crate::event::{Event, MachinePhase, StepStatus};
use crate::plan::Plan;
use crate::run::{CommandError, Hold, RunCommand, Signal};

/// A step that fails, one behind it, and `finally`.
fn failing() -> (Plan, Script) {
    let steps = vec![step("fine@other", &[]), step("bad@m", &["fine"]), step("never@m", &["bad"]), finally("clean@m")];
    (plan(steps), Script::default().step("bad", 10, Does::Exit(7)))
}

/// When this came first, in seconds.
fn at(played: &Played, is_it: impl Fn(&Event) -> bool) -> Option<u64> {
    played.events.iter().find(|(_, event)| is_it(event)).map(|(at, _)| at.as_secs())
}

fn is_end_of(id: &str) -> impl Fn(&Event) -> bool {
    move |event| matches!(event, Event::StepFinished { step, .. } if step == id)
}

fn stops(played: &Played, name: &str) -> Option<u64> {
    at(played, |event| matches!(event, Event::Machine { machine, phase: MachinePhase::Stopped, .. } if machine == name))
}

#[test]
fn finally_waits_until_somebody_has_looked() {
    let (plan, script) = failing();
    let played = simulate(&plan, &script.looks().command(60_000, RunCommand::Resume));
    let text = render_steps(&played);
    let end = "never skipped: it needs `bad`, which did not pass\npaused at bad in m, 7 [1 1 1]\nclean started\nclean passed\n\
               run failed 7: step `bad` failed with exit code 7 [2 1 1]\n";
    assert!(text.ends_with(end), "{text}");
    assert!(at(&played, |event| matches!(event, Event::Paused { .. })).is_some_and(|at| at < 5));
    assert_eq!(at(&played, is_end_of("clean")), Some(60));
    // What else is up stays too: the cause may lie there.
    assert_eq!((stops(&played, "other"), stops(&played, "m")), (Some(60), Some(60)));
    assert_eq!(played.answers, [(1, Ok(()))]);
    assert!(played.left.is_empty(), "{:?}", played.left);
}

#[test]
fn nothing_is_waited_for_where_no_step_failed_by_itself_or_nobody_looks() {
    let (plan, script) = failing();
    let pauses = |script: &Script| at(&simulate(&plan, script), |event| matches!(event, Event::Paused { .. }));
    assert_eq!(pauses(&script), None);
    assert_eq!(pauses(&Script::default().looks()), None);
    let canceled = Script::default().step("bad", 0, Does::Sleeps).looks().signal(100, Signal::Interrupt);
    assert_eq!(pauses(&canceled), None);
    let mut allowed = plan.clone();
    allowed.steps[1].continue_on_error = true;
    assert_eq!(at(&simulate(&allowed, &script.looks()), |event| matches!(event, Event::Paused { .. })), None);
}

#[test]
fn a_signal_while_somebody_looks_runs_finally_and_ends_the_run() {
    for (told, code) in [(None, 130), (Some(RunCommand::Down), 143)] {
        let (plan, script) = failing();
        let script = script.looks();
        let script = match told {
            Some(command) => script.command(60_000, command),
            None => script.signal(60_000, Signal::Interrupt),
        };
        let played = simulate(&plan, &script);
        assert_eq!((at(&played, is_end_of("clean")), played.summary.exit_code), (Some(60), code));
        assert!(played.left.is_empty(), "{:?}", played.left);
    }
}

#[test]
fn a_service_stays_up_while_somebody_looks_also_without_finally() {
    let plan = with(vec![service("db"), super::plans::machine("m")], vec![step("bad@m", &[])]);
    let script = Script::default().step("bad", 10, Does::Exit(1)).looks().command(60_000, RunCommand::Resume);
    let played = simulate(&plan, &script);
    assert_eq!((stops(&played, "db"), stops(&played, "m")), (Some(60), Some(60)));
    assert_eq!(played.summary.exit_code, 1);
}

#[test]
fn a_round_waits_too_and_leaves_the_machines_up() {
    let first = plan(vec![step("a@m", &[])]);
    let (bad, script) = failing();
    let bad = Plan { steps: bad.steps.into_iter().filter(|step| step.machine == "m").collect(), ..first.clone() };
    let script = script
        .hold(Hold::AfterSuccess)
        .round(30_000, &bad, &["m"])
        .round(40_000, &first, &["m"])
        .round(90_000, &first, &["m"])
        .looks()
        .command(60_000, RunCommand::Resume)
        .command(120_000, RunCommand::Down);
    let played = simulate(&first, &script);
    assert_eq!(at(&played, |event| matches!(event, Event::Paused { exit_code: 7, .. })), Some(30));
    assert_eq!((at(&played, is_end_of("clean")), stops(&played, "m")), (Some(60), Some(120)));
    let held = |event: &Event| matches!(event, Event::RunHeld { exit_code: 7, .. });
    assert_eq!(at(&played, held), Some(60));
    let busy = played.answers.iter().find(|(id, _)| *id == ROUND + 1).unwrap();
    assert!(matches!(&busy.1, Err(CommandError::Busy(what)) if what.contains("looks at step `bad`")), "{busy:?}");
    let passed = |event: &Event| matches!(event, Event::StepFinished { status: StepStatus::Passed, .. });
    assert_eq!(played.events.iter().filter(|(_, event)| passed(event)).count(), 3, "a, clean, and a again");
}

#[test]
fn who_goes_away_from_a_round_while_looking_lets_it_go_on() {
    let first = plan(vec![step("a@m", &[])]);
    let (bad, script) = failing();
    let bad = Plan { steps: bad.steps.into_iter().filter(|step| step.machine == "m").collect(), ..first.clone() };
    let cancel = RunCommand::Cancel { round: ROUND, signal: Signal::Hangup.number() };
    let script = script.hold(Hold::AfterSuccess).round(30_000, &bad, &["m"]).looks();
    let played = simulate(&first, &script.command(60_000, cancel).command(120_000, RunCommand::Down));
    assert_eq!((at(&played, is_end_of("clean")), stops(&played, "m")), (Some(60), Some(120)));
}

//! Steps that are tried again: what is an attempt, what ends the trying, and what is told of it.

use std::time::Duration;

use super::lines::{render, render_steps};
use super::plans::{finally, plan, step, with_output};
use super::sim::{Does, Played, Script, simulate};
use crate::engine::VmExit;
use crate::event::Event;
use crate::plan::{Plan, Retry, StepPlan};
use crate::run::Signal;

/// Tried so often, with so many milliseconds between.
fn tried(step: StepPlan, attempts: u32, delay_ms: u64) -> StepPlan {
    StepPlan { retry: Some(Retry { attempts, delay: Duration::from_millis(delay_ms) }), ..step }
}

fn limited(step: StepPlan) -> StepPlan {
    StepPlan { timeout: Some(Duration::from_secs(5)), ..step }
}

/// A step `a` with three attempts a minute apart, what needs it, and an end.
fn patient() -> Plan {
    plan(vec![tried(step("a@m", &[]), 3, 60_000), step("b@m", &["a"]), finally("end@m")])
}

fn play(step: StepPlan, first: &[(u64, Does)], then: Does) -> Played {
    simulate(&plan(vec![step]), &Script::default().attempts("a", first).step("a", 5, then))
}

#[test]
fn a_step_that_passes_at_the_second_attempt_passes() {
    let script = Script::default().attempts("a", &[(5, Does::Exit(3))]);
    let played = simulate(&patient(), &script);
    assert_eq!(
        render_steps(&played),
        "a started\nwarning: step `a`: attempt 1 of 3 failed: exit code 3; again in 1m\na started, attempt 2\n\
         a passed\nb started\nb passed\nend started\nend passed\nrun passed 0 [3 0 0]\n"
    );
    let again = played.events.iter().find(|(_, event)| matches!(event, Event::StepStarted { attempt: 2, .. })).unwrap();
    assert_eq!(again.0.as_secs(), 60);
}

#[test]
fn only_the_last_attempt_gives_code_and_cause() {
    let first = [(5, Does::Exit(3)), (5, Does::NotFound)];
    assert_eq!(
        render_steps(&play(tried(step("a@m", &[]), 3, 0), &first, Does::Signal(11))),
        "a started\nwarning: step `a`: attempt 1 of 3 failed: exit code 3; again\na started, attempt 2\n\
         warning: step `a`: attempt 2 of 3 failed: there is no program `cargo`; again\na started, attempt 3\n\
         a failed (139): killed by SIGSEGV\nrun failed 139: step `a` failed: killed by SIGSEGV [0 1 0]\n"
    );
}

#[test]
fn a_missing_output_fails_the_attempt() {
    let text =
        render_steps(&play(tried(with_output(step("a@m", &[])), 2, 0), &[(5, Does::LacksOutput)], Does::Exit(0)));
    assert!(text.contains("attempt 1 of 2 failed: output is missing: `/output/app`; again\n"), "{text}");
    assert!(text.ends_with("a passed\nrun passed 0 [1 0 0]\n"), "{text}");
}

#[test]
fn each_attempt_has_the_whole_timeout() {
    let played = play(tried(limited(step("a@m", &[])), 2, 0), &[(0, Does::Sleeps)], Does::Sleeps);
    assert_eq!(
        render_steps(&played),
        "a started\nwarning: step `a`: attempt 1 of 2 failed: its time is up (timeout: 5s); again\n\
         a started, attempt 2\na timedout (124): its time is up (timeout: 5s)\n\
         run timedout 124: step `a` ran out of time after 5s [0 1 0]\n"
    );
    assert_eq!(played.events.last().unwrap().0.as_secs(), 10);
}

#[test]
fn a_deadline_of_an_earlier_attempt_does_not_end_a_later_one() {
    // The first attempt's five seconds are up, and so is the time for its start, while the second one runs.
    let mut plan = plan(vec![tried(limited(step("a@m", &[])), 2, 0)]);
    let script = |after| Script::default().attempts("a", &[(3000, Does::Exit(1))]).step("a", after, Does::Exit(0));
    assert!(render(&simulate(&plan, &script(4000))).ends_with("run passed 0 [1 0 0]\n"));
    plan.steps[0].timeout = None;
    assert!(render(&simulate(&plan, &script(60_000))).ends_with("run passed 0 [1 0 0]\n"));
}

#[test]
fn an_interrupt_between_two_attempts_ends_at_once_and_finally_runs() {
    let script = Script::default().attempts("a", &[(5, Does::Exit(3))]).signal(1000, Signal::Interrupt);
    let played = simulate(&patient(), &script);
    let text = render_steps(&played);
    assert!(text.contains("b skipped: interrupted by SIGINT\n") && text.contains("a canceled\n"), "{text}");
    assert!(text.contains("end started\nend passed\n") && !text.contains("attempt 2\n"), "{text}");
    assert!(text.ends_with("run interrupted 130: interrupted by SIGINT [1 0 2]\n"), "{text}");
    assert!(played.events.last().unwrap().0.as_secs() < 2);
}

#[test]
fn nothing_is_tried_after_an_interrupt() {
    let cases = [
        (tried(step("a@m", &[]), 3, 0), Does::Sleeps),
        // Its time is up already, and it does not end.
        (tried(limited(step("a@m", &[])), 3, 0), Does::IgnoresTerm),
        // Its outputs are looked for.
        (tried(with_output(step("a@m", &[])), 3, 0), Does::LacksOutput),
    ];
    for (step, does) in cases {
        let at = if does == Does::LacksOutput { 24 } else { 6000 };
        let script = Script::default().step("a", 10, does.clone()).signal(at, Signal::Interrupt);
        let text = render_steps(&simulate(&plan(vec![step]), &script));
        assert!(text.contains("SIGINT: ending") && !text.contains("attempt 2"), "{does:?}: {text}");
    }
}

#[test]
fn nothing_is_tried_after_another_step_failed() {
    let steps = vec![tried(step("a@m", &[]), 3, 60_000), step("b@other", &[])];
    let script = Script::default().attempts("a", &[(5, Does::Exit(3))]).step("b", 500, Does::Exit(7));
    let text = render_steps(&simulate(&plan(steps), &script));
    assert!(text.contains("b failed (7)\na canceled: step `b` failed\n"), "{text}");
}

#[test]
fn a_machine_that_is_lost_is_not_tried_again() {
    for does in [Does::Vm(VmExit::PoweredOff), Does::AgentGone, Does::Silent, Does::ShareDies, Does::AgentDeaf] {
        let text = render_steps(&play(tried(limited(step("a@m", &[])), 3, 0), &[], does.clone()));
        assert!(!text.contains("attempt 2"), "{does:?}: {text}");
    }
}

#[test]
fn what_it_made_is_given_once_after_the_last_attempt() {
    let giving = StepPlan { chown: Some((1, 1)), ..tried(step("a@m", &[]), 3, 10) };
    let text = render_steps(&play(giving, &[(5, Does::Exit(3))], Does::Exit(0)));
    assert!(text.ends_with("a started, attempt 2\na given\na passed\nrun passed 0 [1 0 0]\n"), "{text}");
}

#[test]
fn a_failure_that_is_allowed_is_tried_again_first() {
    let allowed = StepPlan { continue_on_error: true, ..tried(step("a@m", &[]), 2, 0) };
    let text = render_steps(&play(allowed, &[], Does::Exit(3)));
    assert!(text.ends_with("a started, attempt 2\na failed (3) (allowed)\nrun passed 0 [0 1 0]\n"), "{text}");
}

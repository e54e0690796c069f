//! The life of one step, input by input.

use super::*;
use crate::run::Signal;
use crate::run::input::StartFailure;

const FIRST: Attempt = Attempt { step: 0, number: 1 };

fn step(timeout: Option<Duration>, has_outputs: bool) -> Step {
    let facts = StepFacts {
        index: 0,
        id: "compile".to_owned(),
        timeout,
        retry: None,
        grace: GRACE,
        has_outputs,
        gives_files: false,
        memory: "1GiB".to_owned(),
    };
    Step::new(facts, TimeLimits::new(1))
}

fn running() -> Step {
    let mut step = step(Some(Duration::from_secs(90)), false);
    step.on(In::Begin);
    step.on(In::Started(Ok(())));
    step
}

fn outcome(step: &Step) -> (StepStatus, Option<i32>, &str) {
    let outcome = step.outcome().expect("it is done");
    (outcome.status, outcome.exit_code, outcome.cause.as_deref().unwrap_or(""))
}

#[test]
fn the_end_of_the_process_decides() {
    let cases = [
        (ExitStatus::Code(0), false, (StepStatus::Passed, Some(0), "")),
        (ExitStatus::Code(3), false, (StepStatus::Failed, Some(3), "")),
        (ExitStatus::Signal(11), false, (StepStatus::Failed, Some(139), "killed by SIGSEGV")),
        (ExitStatus::Signal(9), true, (StepStatus::Failed, Some(137), "out of memory (memory: 1GiB)")),
    ];
    for (status, is_out_of_memory, expected) in cases {
        let mut step = running();
        assert_eq!(step.on(In::Exited(status, is_out_of_memory)), [Do::Done]);
        assert_eq!(outcome(&step), expected);
    }
}

#[test]
fn an_end_that_comes_before_the_news_of_the_start_counts() {
    let mut step = step(None, false);
    step.on(In::Begin);
    step.on(In::Exited(ExitStatus::Code(0), false));
    assert_eq!(step.on(In::Started(Ok(()))), []);
    assert_eq!(outcome(&step), (StepStatus::Passed, Some(0), ""));
}

#[test]
fn a_missing_output_fails_a_step_that_ended_with_0() {
    let mut step = step(None, true);
    step.on(In::Begin);
    step.on(In::Started(Ok(())));
    assert!(step.on(In::Exited(ExitStatus::Code(0), false)).contains(&Do::CheckOutputs));
    step.on(In::Outputs(Ok(vec!["/output/app".to_owned()])));
    assert_eq!(outcome(&step), (StepStatus::Failed, Some(1), "output is missing: `/output/app`"));
}

fn giving_step(timeout: Option<Duration>) -> Step {
    let mut step = step(timeout, false);
    step.facts.gives_files = true;
    step.on(In::Begin);
    step.on(In::Started(Ok(())));
    step
}

fn given(changed: u64, failure: Option<&str>) -> StepInput {
    In::Given(Ok(GivenFiles { changed, linked: 1, failure: failure.map(str::to_owned) }))
}

#[test]
fn what_a_step_made_is_given_however_it_ended_and_before_it_is_done() {
    for (end, status) in [
        (In::Exited(ExitStatus::Code(0), false), StepStatus::Passed),
        (In::Exited(ExitStatus::Code(3), false), StepStatus::Failed),
        (In::Exited(ExitStatus::Signal(9), true), StepStatus::Failed),
    ] {
        let mut step = giving_step(None);
        assert_eq!(step.on(end), [Do::GiveFiles]);
        assert!(step.is_active() && step.outcome().is_none());
        for ignored in
            [In::TimeUp, In::Cancel(CancelReason::Interrupt(Signal::Interrupt)), In::Overdue(EndStage::Terminated)]
        {
            assert_eq!(step.on(ignored), []);
        }
        assert_eq!(step.on(given(7, None)), [Do::Given(7, 1), Do::Done]);
        assert_eq!(outcome(&step).0, status);
    }
}

#[test]
fn a_step_that_ran_out_of_time_or_was_interrupted_gives_what_it_made() {
    let mut step = giving_step(Some(Duration::from_secs(1)));
    step.on(In::TimeUp);
    assert_eq!(step.on(In::Exited(ExitStatus::Signal(15), false)), [Do::GiveFiles]);
    step.on(given(0, None));
    assert_eq!(outcome(&step), (StepStatus::TimedOut, Some(124), "its time is up (timeout: 1s)"));
    let mut step = giving_step(None);
    step.on(In::Cancel(CancelReason::Interrupt(Signal::Interrupt)));
    assert_eq!(step.on(In::Exited(ExitStatus::Signal(2), false)), [Do::GiveFiles]);
}

#[test]
fn what_could_not_be_given_fails_a_step_that_passed_and_is_told_of_one_that_failed() {
    let mut step = giving_step(None);
    step.on(In::Exited(ExitStatus::Code(0), false));
    step.on(given(2, Some("too many")));
    let cause = "what it made could not be given to its owner: too many";
    assert_eq!(outcome(&step), (StepStatus::Failed, Some(1), cause));
    let mut step = giving_step(None);
    step.on(In::Exited(ExitStatus::Code(3), false));
    let effects = step.on(In::Given(Err("gone".to_owned())));
    assert_eq!(effects[0], Do::Warn("what step `compile` made was not given to its owner: gone".to_owned()));
    assert_eq!(outcome(&step), (StepStatus::Failed, Some(3), ""));
}

#[test]
fn nothing_is_given_of_a_step_that_never_ran_or_whose_machine_is_gone() {
    let mut step = step(None, false);
    step.facts.gives_files = true;
    step.on(In::Begin);
    let failure = StartFailure { exit_code: 127, cause: "no program `cargo`".to_owned() };
    assert_eq!(step.on(In::Started(Err(failure))), [Do::Done]);
    let mut step = giving_step(None);
    let effects = step.on(In::MachineLost("killed".to_owned()));
    assert!(matches!(effects.as_slice(), [Do::Warn(text), Do::Done] if text.contains("its machine is gone")));
    let mut step = giving_step(None);
    assert_eq!(step.on(In::Cancel(CancelReason::Kill)), [Do::Done]);
    let mut step = giving_step(None);
    step.on(In::Exited(ExitStatus::Code(0), false));
    assert_eq!(step.on(In::MachineLost("killed".to_owned())), [Do::Done]);
    assert_eq!(outcome(&step).1, Some(125));
}

#[test]
fn a_program_that_is_not_there_is_127() {
    let mut step = step(None, false);
    step.on(In::Begin);
    step.on(In::Started(Err(StartFailure { exit_code: 127, cause: "no program `cargo`".to_owned() })));
    assert_eq!(outcome(&step), (StepStatus::Failed, Some(127), "no program `cargo`"));
}

#[test]
fn time_up_ends_the_whole_step_and_then_its_machine() {
    let mut step = running();
    let ending = step.on(In::TimeUp);
    let timer = Timer::StepEnd(FIRST, EndStage::Terminated);
    assert_eq!(ending, [Do::Terminate(GRACE), Do::Arm(timer, Duration::from_secs(15))]);
    let overdue = step.on(In::Overdue(EndStage::Terminated));
    assert_eq!(overdue, [Do::KillMachine("the agent did not end step `compile`".to_owned())]);
    step.on(In::MachineLost("killed".to_owned()));
    assert_eq!(outcome(&step), (StepStatus::TimedOut, Some(124), "its time is up (timeout: 1m30s)"));
}

#[test]
fn an_interrupted_step_gets_sigint_and_after_the_grace_is_killed() {
    let mut step = running();
    let cancel = step.on(In::Cancel(CancelReason::Interrupt(Signal::Interrupt)));
    assert_eq!(cancel, [Do::Signal(2), Do::Arm(Timer::StepEnd(FIRST, EndStage::Interrupted), GRACE)]);
    let overdue = step.on(In::Overdue(EndStage::Interrupted));
    assert_eq!(overdue[0], Do::Terminate(Duration::ZERO));
    step.on(In::Exited(ExitStatus::Signal(9), false));
    assert_eq!(outcome(&step), (StepStatus::Canceled, Some(137), ""));
}

#[test]
fn a_step_that_is_canceled_while_it_starts_is_ended_when_it_has_started() {
    let mut step = step(None, false);
    step.on(In::Begin);
    assert!(matches!(step.on(In::Cancel(CancelReason::Interrupt(Signal::Interrupt)))[..], [Do::Arm(..)]));
    assert_eq!(step.on(In::Started(Ok(())))[0], Do::Signal(2));
}

#[test]
fn an_agent_that_never_starts_a_step_ends_its_machine() {
    let mut silent = step(None, false);
    let timer = Timer::StepEnd(FIRST, EndStage::Unstarted);
    assert_eq!(silent.on(In::Begin), [Do::Begin, Do::Exec, Do::Arm(timer, Duration::from_secs(30))]);
    let cause = "the agent did not start step `compile` within 30s".to_owned();
    assert_eq!(silent.on(In::Overdue(EndStage::Unstarted)), [Do::KillMachine(cause)]);
    // It runs, or its outputs are looked for: the time of its start is no longer of interest.
    assert_eq!(running().on(In::Overdue(EndStage::Unstarted)), []);
}

#[test]
fn a_lost_machine_fails_the_step_with_125() {
    let mut step = running();
    step.on(In::MachineLost("machine `build`: the guest powered off".to_owned()));
    assert_eq!(outcome(&step), (StepStatus::Failed, Some(125), "machine `build`: the guest powered off"));
}

#[test]
fn a_step_whose_source_was_lost_does_not_pass() {
    let lost = || In::SourceLost("`/out` was removed".to_owned());
    let ends = [
        (ExitStatus::Code(0), (125, "`/out` was removed")),
        (ExitStatus::Code(3), (3, "exit code 3, and `/out` was removed")),
        (ExitStatus::Signal(11), (139, "killed by SIGSEGV; `/out` was removed")),
    ];
    for (status, (code, cause)) in ends {
        let mut step = running();
        assert_eq!(step.on(lost()), []);
        step.on(In::Exited(status, false));
        assert_eq!(outcome(&step), (StepStatus::Failed, Some(code), cause));
    }
    let mut checked = step(None, true);
    checked.on(In::Begin);
    checked.on(In::Started(Ok(())));
    checked.on(lost());
    checked.on(In::Exited(ExitStatus::Code(0), false));
    checked.on(In::Outputs(Ok(Vec::new())));
    assert_eq!(outcome(&checked), (StepStatus::Failed, Some(125), "`/out` was removed"));
}

#[test]
fn a_second_interrupt_waits_for_nothing() {
    let mut step = running();
    step.on(In::Cancel(CancelReason::Interrupt(Signal::Interrupt)));
    assert_eq!(step.on(In::Cancel(CancelReason::Kill)), [Do::Done]);
    assert_eq!(outcome(&step).0, StepStatus::Canceled);
}

#[test]
fn durations_read_as_in_the_file() {
    assert_eq!(duration(Duration::from_millis(3_661_500)), "1h1m1s500ms");
    assert_eq!(duration(Duration::ZERO), "0s");
}

//! The life of one service, input by input.

use super::*;
use crate::event::Stream;
use crate::plan::{Command, HealthPlan};

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn check(log_line: Option<&str>, has_test: bool) -> HealthPlan {
    HealthPlan {
        test: has_test.then(|| Command::List(vec!["test".to_owned()])),
        log_line: log_line.map(str::to_owned),
        interval: seconds(5),
        timeout: seconds(2),
        retries: 2,
        start_period: seconds(3),
        start_interval: seconds(1),
    }
}

fn service(restart: Restart, health: Option<HealthPlan>) -> Service {
    let facts = ServiceFacts { restart, health, grace: seconds(7), memory: "1GiB".to_owned() };
    Service::new(facts, TimeLimits::new(1))
}

fn running(restart: Restart, health: Option<HealthPlan>) -> Service {
    let mut service = service(restart, health);
    service.on(Duration::ZERO, In::MachineReady);
    service.on(Duration::ZERO, In::Started(1, Ok(())));
    service
}

fn phases(effects: &[ServiceEffect]) -> Vec<(ServicePhase, Option<u32>)> {
    let told = effects.iter().filter_map(|effect| match effect {
        Do::Tell(news) => Some((news.phase, news.attempt)),
        _ => None,
    });
    told.collect()
}

fn code(code: i32) -> ExitStatus {
    ExitStatus::Code(code)
}

#[test]
fn pauses_double_from_a_tenth_of_a_second_to_a_minute_and_begin_again_once_it_was_well() {
    let mut service = running(Restart::Always, None);
    let mut now = Duration::ZERO;
    let mut pauses = Vec::new();
    for start in 1..=12 {
        let effects = service.on(now, In::Exited(start, code(0), false));
        let Some(Do::Arm(Time::Rest(_), pause)) = effects.last() else { panic!("{effects:?}") };
        pauses.push(pause.as_millis());
        now += *pause;
        service.on(now, In::Overdue(Time::Rest(start)));
        service.on(now, In::Started(start + 1, Ok(())));
    }
    assert_eq!(pauses, [100, 200, 400, 800, 1600, 3200, 6400, 12800, 25600, 51200, 60000, 60000]);
    let effects = service.on(now + WELL_AFTER, In::Exited(13, code(1), false));
    assert_eq!(effects.last(), Some(&Do::Arm(Time::Rest(13), REST_FIRST)));
    assert_eq!(phases(&effects), [(ServicePhase::Exited, Some(13)), (ServicePhase::Restarting, Some(13))]);
}

#[test]
fn on_failure_leaves_a_command_that_ended_with_zero() {
    let mut service = running(Restart::OnFailure, None);
    service.on(seconds(1), In::Exited(1, code(0), false));
    assert_eq!((service.state(), service.end().map(|end| end.exit_code)), (At::Ended, Some(0)));
}

#[test]
fn what_it_left_behind_is_ended_before_it_is_started_again() {
    let mut service = running(Restart::Always, None);
    let effects = service.on(seconds(1), In::Exited(1, ExitStatus::Signal(11), false));
    assert!(effects.contains(&Do::Kill(1)), "{effects:?}");
    let told = effects.iter().find_map(|effect| match effect {
        Do::Tell(news) => Some((news.exit_code, news.cause.clone())),
        _ => None,
    });
    assert_eq!(told, Some((Some(139), Some("killed by SIGSEGV".to_owned()))));
}

#[test]
fn memory_that_is_short_is_told() {
    let mut service = running(Restart::No, None);
    service.on(seconds(1), In::Exited(1, ExitStatus::Signal(9), true));
    let end = service.end().unwrap();
    assert_eq!((end.exit_code, end.cause.as_deref()), (137, Some("out of memory (memory: 1GiB)")));
}

#[test]
fn it_is_asked_to_end_then_killed_then_given_up() {
    let mut service = running(Restart::Always, None);
    let effects = service.on(seconds(1), In::Stop(None));
    assert_eq!(effects[1..], [Do::Signal(1), Do::Arm(Time::Grace(1), seconds(7))]);
    assert_eq!(service.on(seconds(1), In::Stop(None)), []);
    assert_eq!(service.on(seconds(8), In::Overdue(Time::Grace(1)))[0], Do::Kill(1));
    let effects = service.on(seconds(13), In::Overdue(Time::Kill(1)));
    assert_eq!(phases(&effects), [(ServicePhase::Stopped, None)]);
    assert!(service.is_over() && service.end().is_none());
}

#[test]
fn a_grace_of_nothing_kills_at_once_and_a_pause_is_over_at_once() {
    let mut service = running(Restart::Always, None);
    assert_eq!(service.on(seconds(1), In::Stop(Some(Duration::ZERO)))[1], Do::Kill(1));
    let mut service = running(Restart::Always, None);
    service.on(seconds(1), In::Exited(1, code(0), false));
    assert_eq!(phases(&service.on(seconds(1), In::Stop(None))), [(ServicePhase::Stopped, None)]);
    assert_eq!(service.on(seconds(2), In::Overdue(Time::Rest(1))), []);
}

#[test]
fn one_that_is_stopped_while_it_starts_is_asked_once_it_has() {
    let mut service = service(Restart::No, None);
    service.on(Duration::ZERO, In::MachineReady);
    assert_eq!(phases(&service.on(seconds(1), In::Stop(None))), [(ServicePhase::Stopping, None)]);
    assert_eq!(service.on(seconds(2), In::Started(1, Ok(())))[0], Do::Signal(1));
    assert_eq!(service.on(seconds(30), In::Overdue(Time::Start(1))), []);
}

#[test]
fn an_agent_that_does_not_start_it_ends_the_machine() {
    let mut service = service(Restart::No, None);
    service.on(Duration::ZERO, In::MachineReady);
    let effects = service.on(seconds(30), In::Overdue(Time::Start(1)));
    assert_eq!(effects, [Do::KillMachine("the agent did not start its command within 30s".to_owned())]);
}

#[test]
fn a_machine_that_comes_up_again_starts_it_anew() {
    let mut service = running(Restart::No, None);
    let effects = service.on(seconds(1), In::MachineGone);
    let [Do::Tell(news)] = effects.as_slice() else { panic!("{effects:?}") };
    assert_eq!((news.phase, news.exit_code), (ServicePhase::Stopped, Some(137)), "as who is killed");
    assert_eq!(service.on(seconds(9), In::MachineReady)[0], Do::Exec(2));
    assert_eq!(service.on(seconds(9), In::Exited(1, code(1), false)), []);
    service.on(seconds(9), In::Started(2, Ok(())));
    assert_eq!(service.state(), At::Running);
}

#[test]
fn failures_count_after_the_start_period_and_the_one_at_once_never_does() {
    let mut service = running(Restart::No, Some(check(None, true)));
    let told = |effects: Vec<ServiceEffect>| phases(&effects);
    let fail = |service: &mut Service, at: u64, test| {
        let effects = service.on(seconds(at), In::TestExited(test, code(1)));
        let next = effects.last().cloned();
        (told(effects), next)
    };
    let (first, next) = fail(&mut service, 0, 1);
    assert_eq!((first, next), (vec![(ServicePhase::Testing, Some(0))], Some(Do::Arm(Time::Test(2), seconds(1)))));
    assert_eq!(service.on(seconds(1), In::Overdue(Time::Test(2)))[0], Do::Test(3));
    let (second, next) = fail(&mut service, 2, 3);
    assert_eq!((second, next), (vec![(ServicePhase::Testing, Some(0))], Some(Do::Arm(Time::Test(4), seconds(1)))));
    service.on(seconds(3), In::Overdue(Time::Test(4)));
    let (third, next) = fail(&mut service, 3, 5);
    assert_eq!((third, next), (vec![(ServicePhase::Testing, Some(1))], Some(Do::Arm(Time::Test(6), seconds(5)))));
    service.on(seconds(8), In::Overdue(Time::Test(6)));
    let (fourth, _) = fail(&mut service, 8, 7);
    assert_eq!(fourth, [(ServicePhase::Unhealthy, Some(2))]);
    service.on(seconds(13), In::Overdue(Time::Test(8)));
    assert_eq!(told(service.on(seconds(13), In::TestExited(9, code(0)))), [(ServicePhase::Healthy, None)]);
    assert!(service.is_healthy());
}

#[test]
fn once_healthy_failures_count_at_once() {
    let mut service = running(Restart::No, Some(check(None, true)));
    service.on(Duration::ZERO, In::TestExited(1, code(0)));
    service.on(seconds(1), In::Overdue(Time::Test(2)));
    let effects = service.on(seconds(1), In::TestExited(3, code(1)));
    assert_eq!(phases(&effects), [(ServicePhase::Testing, Some(1))]);
    assert!(service.is_healthy(), "one failure is not enough");
    // So that nobody is shown a failure that is over.
    service.on(seconds(6), In::Overdue(Time::Test(4)));
    assert_eq!(phases(&service.on(seconds(6), In::TestExited(5, code(0)))), [(ServicePhase::Healthy, None)]);
    service.on(seconds(11), In::Overdue(Time::Test(6)));
    assert_eq!(phases(&service.on(seconds(11), In::TestExited(7, code(0)))), []);
}

/// Who tested, the code and the words of a failed test.
fn said(test: Command, failed: ServiceInput) -> (Option<String>, Option<i32>, Option<String>) {
    let mut service = running(Restart::No, Some(HealthPlan { test: Some(test), ..check(None, true) }));
    let effects = service.on(seconds(1), failed);
    let told = effects.into_iter().find_map(|effect| match effect {
        Do::Tell(news) => Some((news.test, news.exit_code, news.cause)),
        _ => None,
    });
    told.unwrap()
}

#[test]
fn a_test_is_named_by_its_program_where_that_is_plain() {
    let list = |words: &[&str]| Command::List(words.iter().map(|word| (*word).to_owned()).collect());
    let script = |text: &str| Command::Script { text: text.to_owned(), shell: vec!["sh".to_owned()] };
    let name = |test| said(test, In::TestExited(1, code(2))).0;
    assert_eq!(name(list(&["/usr/bin/pg_isready", "-q"])).as_deref(), Some("pg_isready"));
    assert_eq!(name(script("curl -f http://localhost || exit 1")).as_deref(), Some("curl"));
    for other in ["if true; then exit 2; fi", "$PROGRAM", "[ -e /up ]", "{ true; }", ""] {
        assert_eq!(name(script(other)), None, "{other}");
    }
}

#[test]
fn a_test_that_cannot_be_run_has_the_code_of_a_shell_and_says_why() {
    for (exit_code, cause) in [(127, "there is no program `pg_isready`"), (126, "`/etc` cannot be run")] {
        let failure = StartFailure { exit_code, cause: cause.to_owned() };
        let test = Command::List(vec!["pg_isready".to_owned()]);
        let told = said(test, In::TestFailed(1, failure));
        assert_eq!(told, (Some("pg_isready".to_owned()), Some(exit_code), Some(cause.to_owned())));
    }
}

#[test]
fn a_test_that_takes_too_long_is_ended_and_counts() {
    let mut service = running(Restart::No, Some(check(None, true)));
    assert_eq!(service.on(seconds(2), In::Overdue(Time::TestTime(1)))[0], Do::KillTest(1));
    let effects = service.on(seconds(2), In::TestExited(1, ExitStatus::Signal(9)));
    let said = effects.iter().find_map(|effect| match effect {
        Do::Tell(news) => Some((news.exit_code, news.cause.clone())),
        _ => None,
    });
    assert_eq!(said, Some((None, Some("it took longer than 2s".to_owned()))));
    // One whose end is never told does not hold the next one up.
    service.on(seconds(3), In::Overdue(Time::Test(2)));
    service.on(seconds(5), In::Overdue(Time::TestTime(3)));
    let effects = service.on(seconds(10), In::Overdue(Time::TestKill(3)));
    assert_eq!(phases(&effects), [(ServicePhase::Testing, Some(1))]);
}

#[test]
fn a_line_makes_it_ready_wherever_its_bytes_are_cut_and_before_the_start_is_told() {
    let mut service = service(Restart::No, Some(check(Some("ready to accept"), false)));
    service.on(Duration::ZERO, In::MachineReady);
    let output = |text: &str| In::Output(1, Stream::Stderr, text.as_bytes().to_vec());
    assert_eq!(phases(&service.on(seconds(1), output("LOG: ready to"))), [(ServicePhase::Started, None)]);
    assert_eq!(phases(&service.on(seconds(1), In::Output(1, Stream::Stdout, b" accept".to_vec()))), []);
    assert_eq!(phases(&service.on(seconds(1), output(" accept connections\n"))), [(ServicePhase::Healthy, None)]);
    assert_eq!(service.on(seconds(2), In::Started(1, Ok(()))), []);
}

#[test]
fn a_service_whose_line_has_come_is_asked_nothing_more() {
    let mut service = running(Restart::No, Some(check(Some("ready"), false)));
    let effects = service.on(seconds(1), In::Output(1, Stream::Stdout, b"ready\n".to_vec()));
    assert_eq!(phases(&effects), [(ServicePhase::Healthy, None)]);
    // What was due before the line came.
    assert_eq!(service.on(seconds(1), In::Overdue(Time::Test(1))), []);
    assert!(service.is_healthy());
}

#[test]
fn a_line_that_does_not_come_makes_it_unhealthy() {
    let mut service = running(Restart::No, Some(check(Some("ready"), false)));
    assert_eq!(phases(&service.on(seconds(1), In::Overdue(Time::Test(1)))), [(ServicePhase::Testing, Some(0))]);
    service.on(seconds(4), In::Overdue(Time::Test(2)));
    let effects = service.on(seconds(9), In::Overdue(Time::Test(3)));
    assert_eq!(phases(&effects), [(ServicePhase::Unhealthy, Some(2))]);
    assert_eq!(service.complaint(), "no line with `ready` has come");
    let named = effects.iter().any(|effect| matches!(effect, Do::Tell(news) if news.test.is_some()));
    assert!(!named, "no test has failed: {effects:?}");
}

#[test]
fn with_a_test_and_a_line_both_are_wanted() {
    let mut service = running(Restart::No, Some(check(Some("ready"), true)));
    let effects = service.on(Duration::ZERO, In::TestExited(1, code(0)));
    assert_eq!(phases(&effects), [(ServicePhase::Testing, Some(0))]);
    let effects = service.on(Duration::ZERO, In::Output(1, Stream::Stdout, b"ready\n".to_vec()));
    assert_eq!(effects[0], Do::Test(3), "the line has the test asked at once");
    let effects = service.on(Duration::ZERO, In::TestExited(3, code(0)));
    assert_eq!(phases(&effects), [(ServicePhase::Healthy, None)]);
}

#[test]
fn a_new_start_is_tested_from_the_beginning() {
    let mut service = running(Restart::Always, Some(check(None, true)));
    service.on(seconds(1), In::TestExited(1, code(0)));
    let effects = service.on(seconds(2), In::Exited(1, code(1), false));
    assert!(!service.is_healthy());
    assert_eq!(phases(&effects), [(ServicePhase::Exited, Some(1)), (ServicePhase::Restarting, Some(1))]);
    service.on(seconds(3), In::Overdue(Time::Rest(1)));
    let effects = service.on(seconds(3), In::Started(2, Ok(())));
    assert_eq!(service.health(), Some(HealthState::Starting));
    assert!(effects.iter().any(|effect| matches!(effect, Do::Test(_))));
}

//! When what was asked of a run from outside has come: commands that are started, services that are healthy.

use super::service_world::Life;
use super::services::{after, service, tested, with};
use super::sim::{Played, Script, simulate};
use crate::plan::{Condition, MachinePlan};
use crate::run::{CommandError, Hold, RunCommand};

/// Two machines with services that were stopped, of which `db` has a test.
fn stopped() -> Vec<MachinePlan> {
    vec![tested("db", 3), service("web")]
}

/// They come up, go down at 30 s, and this is asked for at 60 s.
fn script(name: &str, is_healthy: bool) -> Script {
    let stop = RunCommand::Stop { machines: Vec::new(), grace: None };
    let start = RunCommand::Start { machines: vec![name.to_owned()], is_healthy };
    Script::default()
        .hold(Hold::AfterSuccess)
        .command(30_000, stop)
        .command(60_000, start)
        .command(600_000, RunCommand::Down)
}

/// The answer to what was asked for second, and how many seconds after it was asked for it came.
fn answer(played: &Played) -> (Result<(), CommandError>, u64) {
    let place = played.answers.iter().position(|(id, _)| *id == 2).unwrap();
    (played.answers[place].1.clone(), played.answered[place].as_secs() - 60)
}

fn failed(machine: &str, cause: &str) -> Result<(), CommandError> {
    Err(CommandError::Failed { machine: machine.to_owned(), cause: cause.to_owned() })
}

#[test]
fn start_has_come_when_the_command_was_started_and_with_wait_when_it_is_healthy() {
    // The first life passes its test, the second one fails it twice.
    let tests = [Some(0), Some(2), Some(2), Some(2), Some(0)];
    for (is_healthy, least) in [(false, 0), (true, 2)] {
        let mut machines = stopped();
        machines[0].service.as_mut().unwrap().health.as_mut().unwrap().interval = std::time::Duration::from_secs(40);
        let script = script("db", is_healthy).tests("db", &tests[..]);
        let (came, seconds) = answer(&simulate(&with(machines, vec![]), &script));
        assert_eq!(came, Ok(()));
        assert!(if least == 0 { seconds == 0 } else { seconds >= 40 }, "{is_healthy}: {seconds} s");
    }
    let (came, seconds) = answer(&simulate(&with(stopped(), vec![]), &script("web", true)));
    assert_eq!((came, seconds), (Ok(()), 0), "one without a test is as far when it runs");
}

#[test]
fn start_fails_where_the_command_cannot_be_started_and_with_wait_where_it_is_not_well() {
    let not_found = script("web", false).lives("web", &[Life::Runs, Life::NotFound]);
    let (came, _) = answer(&simulate(&with(stopped(), vec![]), &not_found));
    assert_eq!(came, failed("web", "service `web` ended: there is no program `serve`"));

    let ends = |is_healthy| script("web", is_healthy).lives("web", &[Life::Runs, Life::Exits(500, 3)]);
    assert_eq!(answer(&simulate(&with(stopped(), vec![]), &ends(false))).0, Ok(()), "it was started");
    let tests = &[Some(0), Some(2)];
    let sick = script("db", true).tests("db", tests);
    let (came, _) = answer(&simulate(&with(stopped(), vec![]), &sick));
    let cause = "its service is unhealthy: its test ended with exit code 2: test says Some(2)";
    assert_eq!(came, failed("db", cause));
}

#[test]
fn start_fails_where_what_it_waits_for_never_comes() {
    let machines = vec![tested("db", 3), after(service("web"), "db", Condition::Healthy)];
    let sick = script("web", false).tests("db", &[Some(0), Some(2)]);
    let (came, _) = answer(&simulate(&with(machines, vec![]), &sick));
    let cause = "service `db` is unhealthy: its test ended with exit code 2: test says Some(2)";
    assert_eq!(came, failed("web", cause));
}

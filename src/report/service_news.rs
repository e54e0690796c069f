//! Which news of services people are told, and in which words. One that ends again and again, or whose test fails now and
//! then, must not fill a screen: of its restarts the first are told, then each that doubles their number.
//!
//! Deliberately not here: how they are shown, and how a service stands now (`tty::services`).

use std::collections::HashMap;

use super::words;
use crate::event::{Event, ServicePhase};

/// Restarts of a service that are told one by one.
const RESTARTS_TOLD: u32 = 3;

/// What was told of each service, by its machine.
#[derive(Debug, Default)]
pub(super) struct ServiceNews {
    known: HashMap<String, Known>,
}

#[derive(Debug, Default)]
struct Known {
    /// The number of the last restart.
    restarts: u32,
    is_healthy: bool,
}

impl ServiceNews {
    /// Takes the next event of a service; what is to be told of it, in words that go after its name, where that is
    /// something.
    pub(super) fn words(&mut self, event: &Event, tells_all: bool) -> Option<String> {
        let Event::Service { machine, phase, attempt, .. } = event else { return None };
        let known = self.known.entry(machine.clone()).or_default();
        let was_healthy = known.is_healthy;
        match phase {
            ServicePhase::Healthy => known.is_healthy = true,
            ServicePhase::Started | ServicePhase::Unhealthy => known.is_healthy = false,
            ServicePhase::Exited => *known = Known { restarts: attempt.unwrap_or(0), is_healthy: false },
            ServicePhase::Stopped => *known = Known::default(),
            ServicePhase::Testing | ServicePhase::Restarting | ServicePhase::Stopping => {}
        }
        let is_told = match phase {
            // Its end has told it.
            ServicePhase::Restarting => false,
            ServicePhase::Healthy if was_healthy => false,
            ServicePhase::Exited | ServicePhase::Started | ServicePhase::Healthy | ServicePhase::Unhealthy => {
                tells_all || known.restarts <= RESTARTS_TOLD || known.restarts.is_power_of_two()
            }
            ServicePhase::Testing | ServicePhase::Stopping | ServicePhase::Stopped => true,
        };
        let words = match phase {
            ServicePhase::Testing if was_healthy => format!("healthy, but: {}", words::service_test(event)),
            _ => words::service(event),
        };
        is_told.then_some(words)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn service(phase: ServicePhase, attempt: Option<u32>) -> Event {
        Event::Service {
            machine: "db".to_owned(),
            phase,
            seconds: 1.0,
            attempt,
            of: (phase == ServicePhase::Testing).then_some(3),
            exit_code: matches!(phase, ServicePhase::Testing | ServicePhase::Exited).then_some(1),
            delay: (phase == ServicePhase::Exited).then_some(0.4),
            test: None,
            cause: None,
        }
    }

    #[test]
    fn of_a_service_that_ends_again_and_again_few_restarts_are_told() {
        let mut news = ServiceNews::default();
        let mut told = Vec::new();
        for number in 1..=100 {
            for (phase, attempt) in [
                (ServicePhase::Started, None),
                (ServicePhase::Exited, Some(number)),
                (ServicePhase::Restarting, Some(number)),
            ] {
                told.extend(news.words(&service(phase, attempt), false));
            }
        }
        assert_eq!(told[..2], ["started", "exited with exit code 1, restarting in 0.40s (restart 1)"]);
        let ends = told.iter().filter(|words| words.starts_with("exited")).count();
        assert_eq!((ends, told.len()), (8, 17), "1, 2, 3, 4, 8, 16, 32 and 64: {told:?}");
        assert!(news.words(&service(ServicePhase::Exited, Some(101)), true).is_some(), "where all is wanted");
        let last = news.words(&service(ServicePhase::Exited, None), false);
        assert!(last.is_some(), "one that is the last is told in any case");
    }

    #[test]
    fn a_healthy_service_whose_test_fails_is_healthy_until_it_is_not() {
        let mut news = ServiceNews::default();
        let testing = service(ServicePhase::Testing, Some(1));
        assert_eq!(news.words(&testing, false).as_deref(), Some("not healthy yet: 1/3, exit code 1"));
        assert!(news.words(&service(ServicePhase::Healthy, None), false).is_some());
        assert_eq!(news.words(&testing, false).as_deref(), Some("healthy, but: 1/3, exit code 1"));
        assert_eq!(news.words(&service(ServicePhase::Healthy, None), false), None);
    }
}

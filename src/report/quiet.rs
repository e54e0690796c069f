//! Nothing but what went wrong, on standard error, at the end.
//!
//! Deliberately not here: a word where all passed.

use crate::event::{Event, RunStatus, Timed};

use super::failure::Failures;
use super::plain::render_summary;
use super::reporter::{ReportOptions, Reporter, Sink};

/// Tells failures, warnings and, where the run did not pass, the summary.
#[derive(Debug)]
pub struct QuietReporter {
    options: ReportOptions,
    stderr: Sink,
    failures: Failures,
}

impl QuietReporter {
    /// A reporter that writes to `stderr`.
    pub fn new(options: ReportOptions, stderr: Sink) -> Self {
        Self { options, stderr, failures: Failures::default() }
    }
}

impl Reporter for QuietReporter {
    fn on(&mut self, timed: &Timed) {
        self.failures.on(timed);
        let style = self.options.stderr_style;
        match &timed.event {
            Event::Warning { text } => {
                let line = format!("{} {text}\n", style.warn("warning:"));
                self.stderr.write(line.as_bytes());
            }
            Event::RunFinished { status, .. } if *status != RunStatus::Passed => {
                let mut text = self.failures.render(style, &self.options.again, self.options.offers_shell);
                text.push_str(&render_summary(&timed.event, &self.failures.beside(), style));
                self.stderr.write(text.as_bytes());
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::reporter::Verbosity;
    use super::super::reporter::testing::{Shared, options};
    use super::*;
    use std::time::Duration;

    fn finish(status: RunStatus) -> Timed {
        let event = Event::RunFinished {
            status,
            exit_code: 1,
            cause: Some("step `a` failed with exit code 1".to_owned()),
            seconds: 2.0,
            passed: 1,
            failed: 1,
            skipped: 0,
            cached: 0,
        };
        Timed { at: Duration::from_secs(2), event }
    }

    #[test]
    fn a_run_that_passed_is_silent_and_one_that_failed_is_not() {
        let err = Shared::default();
        let mut reporter = QuietReporter::new(options(Verbosity::Quiet), err.sink());
        reporter.on(&finish(RunStatus::Passed));
        assert_eq!(err.text(), "");
        reporter.on(&finish(RunStatus::Failed));
        assert_eq!(err.text(), "failed: 1 failed, 1 passed in 2.0s: step `a` failed with exit code 1\n");
    }
}

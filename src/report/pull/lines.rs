//! Plain lines of a pull, for pipes and CI: one when an image begins, when a layer is here, when an image is; and where
//! that takes long one now and then.

use std::collections::HashMap;
use std::time::Duration;

use jiff::SignedDuration;

use super::fact::{LayerStep, PullFact, PullOutcome, TimedFact};
use super::json::render_pull_line;
use super::state::PullView;
use super::words::{end_of_image, image_size, progress_of, short_digest};
use crate::report::readable::readable;
use crate::report::reporter::{ReportOptions, Sink, Verbosity};

/// How long nothing is said of an image that goes on.
const SILENCE: Duration = Duration::from_secs(10);
/// So often a program is told of one layer, at most.
const PERIOD: Duration = Duration::from_millis(200);

/// Who reads the lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    People,
    Programs,
}

/// Prints a line a fact, where it says something new.
#[derive(Debug)]
pub struct PullLines {
    options: ReportOptions,
    form: Form,
    out: Sink,
    view: PullView,
    /// When something was said of an image.
    said: HashMap<usize, Duration>,
    /// When something was said of a layer, and its step.
    told: HashMap<String, (Duration, LayerStep)>,
}

impl PullLines {
    /// For people.
    pub fn people(options: ReportOptions, stderr: Sink) -> Self {
        Self::new(options, Form::People, stderr)
    }

    /// For programs: JSON.
    pub fn programs(options: ReportOptions, stdout: Sink) -> Self {
        Self::new(options, Form::Programs, stdout)
    }

    fn new(options: ReportOptions, form: Form, out: Sink) -> Self {
        let (view, said, told) = (PullView::default(), HashMap::new(), HashMap::new());
        Self { options, form, out, view, said, told }
    }

    /// Takes the next fact.
    pub fn on(&mut self, timed: &TimedFact) {
        let place = self.view.on(timed);
        if self.form == Form::People {
            self.tell(timed, place);
        } else if self.is_due(timed, place) {
            let view = &self.view.images[place];
            let (done, all) = view.total();
            self.out.write(render_pull_line(timed, (done, all, view.fetched())).as_bytes());
        }
    }

    /// Whether a layer has another step, or was not told of for a while; all else is due.
    fn is_due(&mut self, timed: &TimedFact, place: usize) -> bool {
        let PullFact::Layer { digest, step, .. } = &timed.fact else { return true };
        let key = format!("{place} {digest}");
        let is_new =
            self.told.get(&key).is_none_or(|(when, known)| known != step || timed.at.saturating_sub(*when) >= PERIOD);
        if is_new {
            self.told.insert(key, (timed.at, *step));
        }
        is_new
    }

    fn tell(&mut self, timed: &TimedFact, place: usize) {
        let view = &self.view.images[place];
        let name = readable(view.name.as_bytes());
        let style = self.options.stderr_style;
        let said = *self.said.entry(place).or_insert(timed.at);
        let is_silent = timed.at.saturating_sub(said) >= SILENCE;
        let text = match &timed.fact {
            PullFact::Finished { outcome, .. } => {
                let end = end_of_image(view, timed.at.saturating_sub(view.started));
                match outcome {
                    PullOutcome::Here { .. } => format!("{name}: {end}"),
                    PullOutcome::Failed { .. } => format!("{name}: {}: {end}", style.bad("failed")),
                }
            }
            PullFact::Layer { digest, step: LayerStep::Done, total, .. } => {
                let was_here = view.layers.iter().any(|layer| layer.digest == *digest && layer.was_here());
                let key = format!("{place} {digest}");
                let is_told = self.told.insert(key, (timed.at, LayerStep::Done)).is_some();
                if was_here || is_told {
                    return;
                }
                format!("{name}: layer {} is here, {}", short_digest(digest), image_size(*total))
            }
            PullFact::Words { text, .. } => format!("{name}: {}", readable(text.as_bytes())),
            PullFact::Layer { .. } if is_silent => {
                let (done, all) = view.total();
                let rate = self.view.rate(timed.at).map(|rate| format!(", {}/s", image_size(rate)));
                format!("{name}: {}{}", progress_of(done, all), rate.unwrap_or_default())
            }
            PullFact::Started { .. } | PullFact::Layer { .. } => return,
        };
        let is_failure = matches!(&timed.fact, PullFact::Finished { outcome: PullOutcome::Failed { .. }, .. });
        if self.options.verbosity == Verbosity::Quiet && !is_failure {
            return;
        }
        self.said.insert(place, timed.at);
        let line = format!("{} {text}\n", style.dim(&self.clock(timed.at)));
        self.out.write(line.as_bytes());
    }

    fn clock(&self, at: Duration) -> String {
        let since = SignedDuration::try_from(at).unwrap_or(SignedDuration::ZERO);
        self.options.start.checked_add(since).map_or_else(
            |_| "--:--:--".to_owned(),
            |now| format!("{:02}:{:02}:{:02}", now.hour(), now.minute(), now.second()),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::super::state::testing::{at, finished, layer, started};
    use super::*;
    use crate::report::reporter::testing::{Shared, options};

    fn told(verbosity: Verbosity, facts: &[TimedFact]) -> String {
        let out = Shared::default();
        let mut lines = PullLines::people(options(verbosity), out.sink());
        facts.iter().for_each(|fact| lines.on(fact));
        out.text()
    }

    fn pull() -> Vec<TimedFact> {
        let mut facts = vec![
            started(0, "alpine:3.20"),
            layer(100, "alpine:3.20", 'a', LayerStep::Done, (3, 3)),
            layer(100, "alpine:3.20", 'b', LayerStep::Fetching, (0, 60)),
        ];
        facts.extend(
            (1..=30).map(|second| layer(second * 1000, "alpine:3.20", 'b', LayerStep::Fetching, (second * 2, 60))),
        );
        facts.push(layer(31_000, "alpine:3.20", 'b', LayerStep::Unpacking, (10, 60)));
        facts.push(layer(32_000, "alpine:3.20", 'b', LayerStep::Done, (60, 60)));
        facts.push(finished(33_000, "alpine:3.20", false));
        facts
    }

    #[test]
    fn a_line_a_layer_and_an_image_and_one_every_ten_seconds() {
        assert_eq!(
            told(Verbosity::Normal, &pull()),
            "12:00:10 alpine:3.20: 20 of 60 MiB, 2.0 MiB/s\n\
             12:00:20 alpine:3.20: 40 of 60 MiB, 2.0 MiB/s\n\
             12:00:30 alpine:3.20: 60 of 60 MiB, 2.0 MiB/s\n\
             12:00:32 alpine:3.20: layer bbbbbbbbbbbb is here, 60 MiB\n\
             12:00:33 alpine:3.20: pulled 60 MiB in 33.0s (ffffffffffff)\n"
        );
        assert_eq!(told(Verbosity::Quiet, &pull()), "");
    }

    #[test]
    fn what_is_here_is_said_in_a_line_and_a_failure_in_every_mood() {
        let here = [started(0, "a"), layer(0, "a", 'a', LayerStep::Done, (3, 3)), finished(10, "a", true)];
        assert_eq!(told(Verbosity::Normal, &here), "12:00:00 a: up to date (ffffffffffff)\n");
        assert_eq!(
            told(Verbosity::Normal, &[started(0, "a"), finished(10, "a", false)]),
            "12:00:00 a: here already (ffffffffffff)\n"
        );
        let cause = "the registry is not there\nmore".to_owned();
        let outcome = PullOutcome::Failed { cause };
        let failed = [started(0, "a"), at(10, PullFact::Finished { image: "a".to_owned(), outcome })];
        assert_eq!(told(Verbosity::Quiet, &failed), "12:00:00 a: failed: the registry is not there\n");
    }

    #[test]
    fn programs_are_told_no_more_than_five_times_a_second_of_a_layer() {
        let out = Shared::default();
        let mut lines = PullLines::programs(options(Verbosity::Normal), out.sink());
        for millis in 0..1000 {
            lines.on(&layer(millis, "a", 'a', LayerStep::Fetching, (millis, 1000)));
        }
        let text = out.text();
        assert_eq!(text.lines().filter(|line| line.contains("\"layer\"")).count(), 5, "{text}");
    }
}

//! How far all images are: a fold over what is told of them.

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use super::fact::{LayerStep, PullFact, PullOutcome, TimedFact};

/// Over how long a rate is taken.
const RATE_SPAN: Duration = Duration::from_secs(4);
/// A rate of less time than this says nothing.
const RATE_LEAST: Duration = Duration::from_millis(500);
/// So many samples are kept, evenly over the span.
const SAMPLES_MAX: usize = 40;

/// All images, in the order in which they were asked for.
#[derive(Debug, Clone, Default)]
pub(in crate::report) struct PullView {
    pub(in crate::report) images: Vec<ImageView>,
    /// Bytes that came so far, now and then.
    samples: VecDeque<(Duration, u64)>,
}

/// One image.
#[derive(Debug, Clone)]
pub(in crate::report) struct ImageView {
    pub(in crate::report) name: String,
    pub(in crate::report) started: Duration,
    /// What takes long, in words.
    pub(in crate::report) words: Option<String>,
    /// Those that were told of, in that order.
    pub(in crate::report) layers: Vec<LayerView>,
    /// By digest.
    places: HashMap<String, usize>,
    pub(in crate::report) outcome: Option<PullOutcome>,
}

/// One layer.
#[derive(Debug, Clone)]
pub(in crate::report) struct LayerView {
    pub(in crate::report) digest: String,
    pub(in crate::report) step: LayerStep,
    /// Bytes behind in this step.
    pub(in crate::report) done: u64,
    pub(in crate::report) total: u64,
    /// Bytes that are here, of those that are fetched; none of a layer that was here.
    came: u64,
    /// None where nothing of it had to come.
    before: Option<u64>,
    was_unpacked: bool,
}

impl PullView {
    /// Takes the next fact; the place of its image.
    pub(in crate::report) fn on(&mut self, timed: &TimedFact) -> usize {
        let name = match &timed.fact {
            PullFact::Started { image }
            | PullFact::Words { image, .. }
            | PullFact::Layer { image, .. }
            | PullFact::Finished { image, .. } => image,
        };
        let place = self.images.iter().position(|view| view.name == *name).unwrap_or_else(|| {
            self.images.push(ImageView::new(name.clone(), timed.at));
            self.images.len() - 1
        });
        let view = &mut self.images[place];
        match &timed.fact {
            PullFact::Started { .. } => {}
            PullFact::Words { text, .. } => view.words = Some(text.clone()),
            PullFact::Layer { digest, step, done, total, .. } => {
                view.words = None;
                view.layer(digest, *step, *done, *total);
                self.sample(timed.at);
            }
            PullFact::Finished { outcome, .. } => {
                view.words = None;
                view.outcome = Some(outcome.clone());
            }
        }
        place
    }

    fn sample(&mut self, now: Duration) {
        let gap = RATE_SPAN / u32::try_from(SAMPLES_MAX).unwrap_or(1);
        let is_due = self.samples.back().is_none_or(|(last, _)| now.saturating_sub(*last) >= gap);
        if is_due {
            let came = self.images.iter().map(ImageView::fetched).sum();
            self.samples.push_back((now, came));
            while self.samples.len() > SAMPLES_MAX {
                self.samples.pop_front();
            }
        }
    }

    /// Bytes a second, lately; none where that cannot be said yet.
    pub(in crate::report) fn rate(&self, now: Duration) -> Option<u64> {
        let first = self.samples.iter().find(|(at, _)| now.saturating_sub(*at) <= RATE_SPAN)?;
        let time = now.saturating_sub(first.0);
        let came: u64 = self.images.iter().map(ImageView::fetched).sum();
        let millis = u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        (time >= RATE_LEAST).then(|| came.saturating_sub(first.1).saturating_mul(1000) / millis.max(1))
    }

    /// Bytes that are here of those that have to be fetched, of all images. An image whose layers are not known yet
    /// counts nothing.
    pub(in crate::report) fn total(&self) -> (u64, u64) {
        self.images.iter().map(ImageView::total).fold((0, 0), |sum, one| (sum.0 + one.0, sum.1 + one.1))
    }

    /// How many images are over, and how many there are.
    pub(in crate::report) fn counts(&self) -> (usize, usize) {
        (self.images.iter().filter(|view| view.outcome.is_some()).count(), self.images.len())
    }

    /// How long the rest takes at the rate of now, where all is known.
    pub(in crate::report) fn remaining(&self, now: Duration) -> Option<Duration> {
        let is_known = |view: &ImageView| view.outcome.is_some() || !view.layers.is_empty();
        let rate = self.rate(now).filter(|rate| *rate > 0 && self.images.iter().all(is_known))?;
        let (done, total) = self.total();
        (total > done).then(|| Duration::from_secs((total - done).div_ceil(rate)))
    }
}

impl ImageView {
    fn new(name: String, started: Duration) -> Self {
        Self { name, started, words: None, layers: Vec::new(), places: HashMap::new(), outcome: None }
    }

    fn layer(&mut self, digest: &str, step: LayerStep, done: u64, total: u64) {
        let place = *self.places.entry(digest.to_owned()).or_insert_with(|| {
            self.layers.push(LayerView {
                digest: digest.to_owned(),
                step: LayerStep::Waiting,
                done: 0,
                total,
                came: 0,
                before: None,
                was_unpacked: false,
            });
            self.layers.len() - 1
        });
        let layer = &mut self.layers[place];
        (layer.step, layer.done, layer.total) = (step, done, total);
        match step {
            LayerStep::Fetching => {
                // What is here at first was left by an earlier pull; but a small layer may be told of only once, when it is
                // whole.
                layer.before.get_or_insert(if done < total { done } else { 0 });
                layer.came = done;
            }
            LayerStep::Unpacking => {
                layer.was_unpacked = true;
                layer.end_fetch();
            }
            LayerStep::Done => layer.end_fetch(),
            LayerStep::Waiting => {}
        }
    }

    /// Bytes that came by this pull.
    pub(in crate::report) fn fetched(&self) -> u64 {
        self.layers.iter().map(|layer| layer.came.saturating_sub(layer.before.unwrap_or(0))).sum()
    }

    /// Whether a layer was unpacked by this pull.
    pub(in crate::report) fn was_unpacked(&self) -> bool {
        self.layers.iter().any(|layer| layer.was_unpacked)
    }

    /// Bytes that are here of those that have to be fetched.
    pub(in crate::report) fn total(&self) -> (u64, u64) {
        let wanted = self.layers.iter().filter(|layer| !layer.was_here());
        wanted.fold((0, 0), |sum, layer| (sum.0 + layer.came, sum.1 + layer.total))
    }
}

impl LayerView {
    fn end_fetch(&mut self) {
        if self.before.is_some() {
            self.came = self.total;
        }
    }

    /// Whether nothing of it had to come.
    pub(in crate::report) fn was_here(&self) -> bool {
        self.before.is_none() && matches!(self.step, LayerStep::Unpacking | LayerStep::Done)
    }
}

#[cfg(test)]
pub(in crate::report) mod testing {
    //! Facts for tests.

    use super::*;

    pub(in crate::report) fn at(millis: u64, fact: PullFact) -> TimedFact {
        TimedFact { at: Duration::from_millis(millis), fact }
    }

    pub(in crate::report) fn started(millis: u64, image: &str) -> TimedFact {
        at(millis, PullFact::Started { image: image.to_owned() })
    }

    /// A layer whose digest begins with this letter; sizes in MiB.
    pub(in crate::report) fn layer(
        millis: u64,
        image: &str,
        letter: char,
        step: LayerStep,
        (done, total): (u64, u64),
    ) -> TimedFact {
        let digest = format!("sha256:{}", letter.to_string().repeat(64));
        let fact =
            PullFact::Layer { image: image.to_owned(), digest, layers: 3, step, done: done << 20, total: total << 20 };
        at(millis, fact)
    }

    pub(in crate::report) fn finished(millis: u64, image: &str, is_asked: bool) -> TimedFact {
        let digest = format!("sha256:{}", "f".repeat(64));
        let outcome = PullOutcome::Here { digest, is_asked };
        at(millis, PullFact::Finished { image: image.to_owned(), outcome })
    }
}

#[cfg(test)]
mod tests {
    use super::testing::{at, layer, started};
    use super::*;

    #[test]
    fn what_was_here_is_not_counted_and_what_an_earlier_pull_left_is_not_fetched_again() {
        let mut view = PullView::default();
        for timed in [
            started(0, "a"),
            layer(0, "a", 'a', LayerStep::Done, (8, 8)),
            layer(0, "a", 'b', LayerStep::Fetching, (4, 10)),
            layer(0, "a", 'c', LayerStep::Waiting, (0, 6)),
        ] {
            view.on(&timed);
        }
        assert_eq!(view.total(), (4 << 20, 16 << 20));
        view.on(&layer(1000, "a", 'b', LayerStep::Fetching, (6, 10)));
        assert_eq!(view.rate(Duration::from_secs(1)), Some(2 << 20));
        assert_eq!(view.remaining(Duration::from_secs(1)), Some(Duration::from_secs(5)));
        view.on(&layer(1500, "a", 'b', LayerStep::Unpacking, (1, 10)));
        assert_eq!((view.total().0, view.images[0].fetched()), (10 << 20, 6 << 20));
    }

    #[test]
    fn a_rate_is_of_the_last_seconds_and_nothing_is_foretold_of_what_is_not_known() {
        let mut view = PullView::default();
        view.on(&started(0, "a"));
        assert_eq!((view.rate(Duration::ZERO), view.remaining(Duration::ZERO)), (None, None));
        for second in 0..20 {
            let step = LayerStep::Fetching;
            view.on(&layer(second * 1000, "a", 'a', step, (if second < 10 { second * 4 } else { 36 + second }, 1000)));
        }
        assert_eq!(view.rate(Duration::from_secs(19)), Some(1 << 20));
        view.on(&started(19_000, "b"));
        assert_eq!(view.remaining(Duration::from_secs(19)), None);
        view.on(&at(19_000, PullFact::Words { image: "b".to_owned(), text: "waits".to_owned() }));
        assert_eq!(view.images[1].words.as_deref(), Some("waits"));
    }
}

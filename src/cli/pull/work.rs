//! Images brought side by side, on threads of their own; what is known of them goes to whoever shows it.
//!
//! Deliberately not here: which images, how it looks.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use tokio::sync::mpsc::Sender;
use tokio::sync::mpsc::error::TrySendError;

use super::wanted::Wanted;
use crate::cli::exit::{Class, Failure, chain};
use crate::image::{
    Access, Digest, ImageError, ImageRequest, ImageSource, ImageWaiter, Images, LayerPhase, LayerProgress, Platform,
    ReadyImage,
};
use crate::report::{LayerStep, PullFact, PullOutcome, TimedFact};

/// So many images come at the same time; each fetches several layers at once.
const AT_ONCE: usize = 3;

/// How often a place for a fact is looked for where there is none.
const LOOK: Duration = Duration::from_millis(10);

/// What to bring, and how.
#[derive(Debug)]
pub(crate) struct Work {
    /// Where images are kept.
    pub(crate) images: Arc<Images>,
    /// Which.
    pub(crate) wanted: Vec<Wanted>,
    /// What may be asked of registries.
    pub(crate) access: Access,
}

/// What one image came to.
pub(crate) type Brought = (Wanted, Result<Digest, ImageError>);

/// What to tell of an image that cannot be had.
pub(crate) fn failure(error: ImageError) -> Failure {
    let help = error.help();
    help.into_iter().fold(Failure::new(Class::World, error), Failure::help)
}

impl Work {
    fn bring(&self, wanted: &Wanted, waiter: &mut dyn ImageWaiter) -> Result<ReadyImage, ImageError> {
        let locked = wanted.lock.as_ref().and_then(|digest| digest.parse().ok());
        let source = ImageSource::of(&wanted.image).expect("only images that are brought are wanted");
        let request = ImageRequest { source, platform: Platform::machine(), locked, access: self.access };
        self.images.bring(&request, waiter)
    }

    /// Brings all; in the order in which they are wanted. Blocks.
    pub(crate) fn run(self, has_left: &AtomicBool, facts: &Sender<TimedFact>) -> Vec<Brought> {
        let started = Instant::now();
        let (next, done) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
        let work = &self;
        thread::scope(|scope| {
            for _ in 0..work.wanted.len().min(AT_ONCE) {
                scope.spawn(|| {
                    while let Some(wanted) = work.wanted.get(next.fetch_add(1, Ordering::Relaxed)) {
                        let mut told = Told { image: &wanted.name, started, facts, has_left };
                        let result = told.bring(work, wanted);
                        done.lock().unwrap_or_else(PoisonError::into_inner).push((wanted.clone(), result));
                    }
                });
            }
        });
        let mut done = done.into_inner().unwrap_or_else(PoisonError::into_inner);
        done.sort_by_key(|(wanted, _)| self.wanted.iter().position(|one| one == wanted));
        done
    }
}

/// Who waits for one image.
struct Told<'a> {
    image: &'a str,
    started: Instant,
    facts: &'a Sender<TimedFact>,
    has_left: &'a AtomicBool,
}

impl Told<'_> {
    fn bring(&mut self, work: &Work, wanted: &Wanted) -> Result<Digest, ImageError> {
        let image = wanted.name.clone();
        self.say(PullFact::Started { image: image.clone() });
        let result = work.bring(wanted, self).map(|ready| ready.digest);
        let outcome = match &result {
            Ok(digest) => {
                let is_asked = work.access == Access::Refresh && wanted.lock.is_none();
                PullOutcome::Here { digest: digest.to_string(), is_asked }
            }
            // Why nobody waits any more is said by who went.
            Err(error) if error.is_left() => PullOutcome::Failed { cause: "given up".to_owned() },
            Err(error) => PullOutcome::Failed { cause: chain(error).collect::<Vec<_>>().join(": ") },
        };
        self.say(PullFact::Finished { image, outcome });
        result
    }

    fn say(&self, fact: PullFact) {
        let is_passing = matches!(fact, PullFact::Layer { step: LayerStep::Fetching | LayerStep::Unpacking, .. });
        let mut fact = TimedFact { at: self.started.elapsed(), fact };
        // Whoever shows it may have gone, or be slow: the work goes on, and the next fact says what this one would have.
        // Who fetches calls from within a runtime, where nothing may block on a channel.
        while let Err(TrySendError::Full(back)) = self.facts.try_send(fact) {
            if is_passing || self.has_left.load(Ordering::Relaxed) {
                break;
            }
            fact = back;
            thread::sleep(LOOK);
        }
    }
}

impl ImageWaiter for Told<'_> {
    fn tell(&mut self, words: &str) {
        self.say(PullFact::Words { image: self.image.to_owned(), text: words.to_owned() });
    }

    fn layer(&mut self, progress: &LayerProgress) {
        let LayerProgress { digest, number: (_, layers), phase, done, total } = progress;
        let step = match phase {
            LayerPhase::Waiting => LayerStep::Waiting,
            LayerPhase::Fetching => LayerStep::Fetching,
            LayerPhase::Unpacking => LayerStep::Unpacking,
            LayerPhase::Done => LayerStep::Done,
        };
        self.say(PullFact::Layer {
            image: self.image.to_owned(),
            digest: digest.to_string(),
            layers: *layers,
            step,
            done: *done,
            total: *total,
        });
    }

    fn has_left(&self) -> bool {
        self.has_left.load(Ordering::Relaxed)
    }
}

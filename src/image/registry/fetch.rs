//! Many blobs side by side: a few threads, each with one blob at a time, while the caller's thread tells how far it is.

use std::collections::HashSet;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::sync::watch;

use super::access::Patience;
use super::blob::Fetch;
use super::error::PullError;
use super::retry::{Notes, Tries};
use super::route::Route;
use super::sink::{BlobPlaces, FetchWatch, Place};
use crate::config::Reference;
use crate::image::manifest::Descriptor;
use crate::image::waiter::LOOK;

/// Blobs that are fetched at the same time.
const PARALLEL: usize = 4;

/// What all threads share.
struct Work<'a> {
    image: &'a Reference,
    blobs: Vec<(&'a Descriptor, State)>,
    next: AtomicUsize,
    places: &'a dyn BlobPlaces,
    route: &'a Route,
    patience: Patience,
    notes: Notes,
    /// Whether all shall end: somebody has left, or something has failed.
    is_over: watch::Sender<bool>,
    handle: &'a Handle,
}

#[derive(Default)]
struct State {
    /// Bytes that were here when its fetch began.
    begun: OnceLock<u64>,
    done: AtomicU64,
    is_finished: AtomicBool,
}

/// What was told of a blob.
#[derive(Clone, Default)]
struct Told {
    is_begun: bool,
    done: u64,
    is_finished: bool,
}

/// How blobs are fetched.
#[derive(Debug, Clone, Copy)]
pub(super) struct Means<'a> {
    pub(super) route: &'a Route,
    pub(super) patience: Patience,
    pub(super) handle: &'a Handle,
}

/// Fetches blobs into their places.
pub(super) fn fetch(
    means: Means<'_>,
    image: &Reference,
    blobs: &[Descriptor],
    places: &dyn BlobPlaces,
    watch: &mut dyn FetchWatch,
) -> Result<(), PullError> {
    let mut seen = HashSet::new();
    let blobs: Vec<_> =
        blobs.iter().filter(|blob| seen.insert(&blob.digest)).map(|blob| (blob, State::default())).collect();
    let Means { route, patience, handle } = means;
    let (is_over, _) = watch::channel(false);
    let notes = Notes::default();
    let work = Work { image, blobs, next: AtomicUsize::new(0), places, route, patience, notes, is_over, handle };
    thread::scope(|scope| {
        let threads: Vec<_> = (0..PARALLEL.min(work.blobs.len())).map(|_| scope.spawn(|| work.thread())).collect();
        let mut told = vec![Told::default(); work.blobs.len()];
        while threads.iter().any(|thread| !thread.is_finished()) {
            work.tell(&mut told, watch);
            if watch.has_left() {
                work.end();
            }
            thread::sleep(LOOK.min(Duration::from_millis(20)));
        }
        work.tell(&mut told, watch);
        let mut first: Option<PullError> = None;
        for thread in threads {
            let ended = thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
            if let Err(error) = ended
                // Those who were told to end have nothing to say beside the one who failed.
                && first.as_ref().is_none_or(PullError::is_left)
            {
                first = Some(error);
            }
        }
        first.map_or(Ok(()), Err)
    })
}

impl Work<'_> {
    fn end(&self) {
        self.is_over.send_replace(true);
    }

    fn left(&self) -> PullError {
        PullError::Left { image: self.image.to_string() }
    }

    fn thread(&self) -> Result<(), PullError> {
        loop {
            let Some((blob, state)) = self.blobs.get(self.next.fetch_add(1, Ordering::Relaxed)) else { return Ok(()) };
            if let Err(error) = self.blob(blob, state) {
                self.end();
                return Err(error);
            }
        }
    }

    fn blob(&self, blob: &Descriptor, state: &State) -> Result<(), PullError> {
        let store = |source| PullError::Store { image: self.image.to_string(), digest: blob.digest.clone(), source };
        loop {
            if *self.is_over.borrow() {
                return Err(self.left());
            }
            match self.places.open(blob).map_err(store)? {
                Place::Here => break,
                Place::Busy => thread::sleep(LOOK),
                Place::Open(mut sink) => {
                    // What is more than the blob has is thrown away.
                    let left = Some(sink.offset()).filter(|offset| *offset <= blob.size).unwrap_or(0);
                    state.done.store(left, Ordering::Relaxed);
                    // Told before any byte that comes: what an earlier fetch left is not counted as fetched.
                    state.begun.get_or_init(|| left);
                    let progress = |done| state.done.store(done, Ordering::Relaxed);
                    let mut fetch = Fetch { image: self.image, blob, sink: &mut *sink, progress: &progress };
                    self.handle.block_on(self.unless_over(self.by_any_host(&mut fetch)))?;
                    break;
                }
            }
        }
        state.done.store(blob.size, Ordering::Relaxed);
        state.is_finished.store(true, Ordering::Release);
        Ok(())
    }

    /// Fetches it from the first host that gives it.
    async fn by_any_host(&self, fetch: &mut Fetch<'_>) -> Result<(), PullError> {
        let what = format!("blob `{}` of `{}`", fetch.blob.digest, self.image);
        self.route
            .first_of(&self.notes, async |session| {
                fetch.run(session, Tries::new(self.patience, session, what.clone(), &self.notes)).await
            })
            .await
    }

    async fn unless_over(&self, work: impl Future<Output = Result<(), PullError>>) -> Result<(), PullError> {
        let mut is_over = self.is_over.subscribe();
        tokio::select! {
            ended = work => ended,
            _ = is_over.wait_for(|is_over| *is_over) => Err(self.left()),
        }
    }

    /// Tells what is new.
    fn tell(&self, told: &mut [Told], watch: &mut dyn FetchWatch) {
        for words in self.notes.take() {
            watch.tell(&words);
        }
        for ((blob, state), told) in self.blobs.iter().zip(told) {
            let is_finished = state.is_finished.load(Ordering::Acquire);
            let done = state.done.load(Ordering::Relaxed);
            if !told.is_begun
                && let Some(offset) = state.begun.get()
            {
                (told.is_begun, told.done) = (true, *offset);
                watch.fetched(blob, *offset);
            }
            if done != told.done {
                told.done = done;
                watch.fetched(blob, done);
            }
            if is_finished && !told.is_finished {
                told.is_finished = true;
                watch.finished(blob);
            }
        }
    }
}

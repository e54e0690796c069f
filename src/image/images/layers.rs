//! The layers of an image: fetched some at a time, each unpacked as soon as it is here, and the caller told of all of it.

use std::fs::File;
use std::ops::ControlFlow;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::sync::{Mutex, PoisonError};
use std::thread;

use super::bring::left_or;
use super::fetch::Places;
use super::known::Known;
use crate::config::Reference;
use crate::image::manifest::Descriptor;
use crate::image::registry::{FetchWatch, Registry};
use crate::image::store::{LayerBegun, Shared, Store};
use crate::image::unpack::{Limits, UnpackError, unpack};
use crate::image::waiter::LOOK;
use crate::image::{Digest, ImageError, ImageWaiter, LayerPhase, LayerProgress};

/// Layers that are unpacked at the same time.
const PARALLEL: usize = 4;
/// Bytes of a blob after which its progress is told again.
const STEP: u64 = 256 << 10;

/// A layer that the image needs, each once.
#[derive(Debug)]
pub(super) struct Wanted {
    blob: Descriptor,
    diff_id: Digest,
    state: WantedState,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum WantedState {
    Unpacked,
    Packed,
    Missing,
}

impl Wanted {
    /// Whether nothing must be fetched for it.
    pub(super) fn is_here(&self) -> bool {
        self.state != WantedState::Missing
    }
}

/// What there is to do for an image.
pub(super) fn wanted(store: &Store, known: &Known) -> Result<Vec<Wanted>, ImageError> {
    let mut wanted: Vec<Wanted> = Vec::new();
    for (layer, diff_id) in known.content.layers.iter().zip(&known.config.diff_ids) {
        if wanted.iter().any(|known| known.diff_id == *diff_id) {
            continue;
        }
        let state = if store.has_layer(diff_id) {
            WantedState::Unpacked
        } else if store.blob(&layer.blob.digest, layer.blob.size)?.is_some() {
            WantedState::Packed
        } else {
            WantedState::Missing
        };
        wanted.push(Wanted { blob: layer.blob.clone(), diff_id: diff_id.clone(), state });
    }
    Ok(wanted)
}

/// What threads say to the one that waits.
enum News {
    Words(String),
    Layer(usize, LayerPhase, u64),
}

/// What they share.
struct Work<'a> {
    store: &'a Store,
    wanted: &'a [Wanted],
    image: &'a str,
    shared: &'a Shared,
    /// Whether all shall end: nobody waits any more, or one has failed.
    is_over: AtomicBool,
    /// Whether a blob was damaged, and is removed.
    is_damaged: AtomicBool,
}

/// Fetches and unpacks what is missing. False where a blob was damaged, and is removed: all is to be looked at again.
pub(super) fn bring(
    store: &Store,
    wanted: &[Wanted],
    from: Option<(&Registry, &Reference)>,
    (image, shared): (&str, &Shared),
    waiter: &mut dyn ImageWaiter,
) -> Result<bool, ImageError> {
    let work =
        Work { store, wanted, image, shared, is_over: AtomicBool::new(false), is_damaged: AtomicBool::new(false) };
    let (news, inbox) = mpsc::channel();
    let (arrived, queue) = mpsc::channel();
    let queue = Mutex::new(queue);
    let failure = thread::scope(|scope| {
        let mut threads = Vec::new();
        let cpus = thread::available_parallelism().map_or(1, usize::from);
        for _ in 0..PARALLEL.min(cpus).min(wanted.len()) {
            let (news, work, queue) = (news.clone(), &work, &queue);
            threads.push(scope.spawn(move || work.unpack_all(queue, &news)));
        }
        for (number, layer) in wanted.iter().enumerate().filter(|(_, layer)| layer.is_here()) {
            let _ = news.send(match layer.state {
                WantedState::Unpacked => News::Layer(number, LayerPhase::Done, layer.blob.size),
                _ => News::Layer(number, LayerPhase::Waiting, 0),
            });
            if layer.state == WantedState::Packed {
                let _ = arrived.send(number);
            }
        }
        if let Some((registry, reference)) = from {
            let watch = Watch { work: &work, arrived: arrived.clone(), news: news.clone() };
            let work = &work;
            threads.push(scope.spawn(move || work.fetch(registry, reference, watch)));
        }
        drop((arrived, news));
        work.tell(&inbox, waiter);
        let ended =
            threads.into_iter().map(|thread| thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)));
        first_failure(ended)
    });
    failure.map_or(Ok(!work.is_damaged.into_inner()), Err)
}

/// The failure that is told: those who were made to end have nothing to say beside the one who failed.
fn first_failure(ended: impl Iterator<Item = Result<(), ImageError>>) -> Option<ImageError> {
    let mut first: Option<ImageError> = None;
    for error in ended.filter_map(Result::err) {
        if first.as_ref().is_none_or(ImageError::is_left) {
            first = Some(error);
        }
    }
    first
}

impl Work<'_> {
    /// Tells the waiter what the threads say, until all have ended.
    fn tell(&self, inbox: &Receiver<News>, waiter: &mut dyn ImageWaiter) {
        loop {
            if waiter.has_left() {
                self.is_over.store(true, Ordering::Relaxed);
            }
            match inbox.recv_timeout(LOOK) {
                Ok(News::Words(words)) => waiter.tell(&words),
                Ok(News::Layer(number, phase, done)) => waiter.layer(&LayerProgress {
                    digest: self.wanted[number].blob.digest.clone(),
                    number: (number, self.wanted.len()),
                    phase,
                    done,
                    total: self.wanted[number].blob.size,
                }),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return,
            }
        }
    }

    fn is_over(&self) -> bool {
        self.is_over.load(Ordering::Relaxed)
    }

    /// Remembers that all shall end where something failed.
    fn ending<T>(&self, ended: Result<T, ImageError>) -> Result<T, ImageError> {
        ended.inspect_err(|_| self.is_over.store(true, Ordering::Relaxed))
    }

    fn fetch(&self, registry: &Registry, reference: &Reference, mut watch: Watch<'_>) -> Result<(), ImageError> {
        let missing = self.wanted.iter().filter(|layer| !layer.is_here());
        let blobs: Vec<Descriptor> = missing.map(|layer| layer.blob.clone()).collect();
        let fetched = registry.fetch(reference, &blobs, &Places(self.store), &mut watch);
        self.ending(fetched.map_err(|error| match error.is_left() {
            true => self.left(),
            false => ImageError::Pull(error),
        }))
    }

    fn left(&self) -> ImageError {
        ImageError::Left { image: self.image.to_owned() }
    }

    /// Unpacks layers as they arrive, until no more can.
    fn unpack_all(&self, queue: &Mutex<Receiver<usize>>, news: &Sender<News>) -> Result<(), ImageError> {
        loop {
            let next = queue.lock().unwrap_or_else(PoisonError::into_inner).recv();
            let Ok(number) = next else { return Ok(()) };
            if self.is_over() {
                return Err(self.left());
            }
            self.ending(self.unpack(number, news))?;
        }
    }

    fn unpack(&self, number: usize, news: &Sender<News>) -> Result<(), ImageError> {
        let layer = &self.wanted[number];
        let say = |phase, done| drop(news.send(News::Layer(number, phase, done)));
        let of_store = |error| left_or(self.image, error);
        let begun = self.store.begin_layer(&layer.diff_id, self.shared, &|| self.is_over()).map_err(of_store)?;
        let LayerBegun::Open(mut work) = begun else {
            say(LayerPhase::Done, layer.blob.size);
            return Ok(());
        };
        say(LayerPhase::Unpacking, 0);
        let Some(path) = self.store.blob(&layer.blob.digest, layer.blob.size).map_err(of_store)? else {
            return self.damaged();
        };
        let Ok(file) = File::open(&path) else { return self.damaged() };
        let mut told = 0;
        let mut progress = |done: u64| {
            if done >= told + STEP {
                told = done;
                say(LayerPhase::Unpacking, done);
            }
            if self.is_over() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        };
        let unpacked = match unpack(file, work.pack(), &Limits::default(), &mut progress) {
            Ok(unpacked) => unpacked,
            Err(UnpackError::Left) => return Err(self.left()),
            Err(UnpackError::Write(error)) => return Err(of_store(work.failed(error))),
            Err(source) => {
                let image = self.image.to_owned();
                return self.blame(layer, ImageError::Unpack { image, layer: layer.blob.digest.clone(), source });
            }
        };
        if unpacked.diff_id != layer.diff_id {
            let (image, blob) = (self.image.to_owned(), layer.blob.digest.clone());
            let (wanted, found) = (layer.diff_id.clone(), unpacked.diff_id);
            return self.blame(layer, ImageError::DiffId { image, layer: blob, wanted, found });
        }
        work.keep(&unpacked.index, &unpacked.pack).map_err(of_store)?;
        say(LayerPhase::Done, layer.blob.size);
        Ok(())
    }

    /// A layer that cannot be used: the store's fault where the blob is not what it was when it came.
    fn blame(&self, layer: &Wanted, error: ImageError) -> Result<(), ImageError> {
        if self.store.drop_if_damaged(&layer.blob.digest)? { self.damaged() } else { Err(error) }
    }

    fn damaged(&self) -> Result<(), ImageError> {
        self.is_damaged.store(true, Ordering::Relaxed);
        Ok(())
    }
}

/// The thread that fetches, as the registry sees who waits.
struct Watch<'a> {
    work: &'a Work<'a>,
    arrived: Sender<usize>,
    news: Sender<News>,
}

impl Watch<'_> {
    fn numbers(&self, blob: &Descriptor) -> Vec<usize> {
        let wanted = self.work.wanted.iter().enumerate();
        wanted.filter(|(_, layer)| !layer.is_here() && layer.blob.digest == blob.digest).map(|(n, _)| n).collect()
    }
}

impl FetchWatch for Watch<'_> {
    fn tell(&mut self, words: &str) {
        let _ = self.news.send(News::Words(words.to_owned()));
    }

    fn fetched(&mut self, blob: &Descriptor, done: u64) {
        for number in self.numbers(blob) {
            let _ = self.news.send(News::Layer(number, LayerPhase::Fetching, done));
        }
    }

    fn finished(&mut self, blob: &Descriptor) {
        for number in self.numbers(blob) {
            let _ = self.arrived.send(number);
        }
    }

    fn has_left(&self) -> bool {
        self.work.is_over()
    }
}

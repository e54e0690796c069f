//! What names mean at their registries now, asked side by side.
//!
//! Deliberately not here: what becomes of the answers.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use crate::cli::exit::{Class, Failure};
use crate::cli::interrupts::Interrupts;
use crate::cli::printer::Printer;
use crate::cli::settings::Settings;
use crate::config::Reference;
use crate::image::manifest::Descriptor;
use crate::image::registry::{Ask, FetchWatch, PullError, Registry};
use crate::image::{Digest, Platform};

/// So many registries are asked at the same time.
const AT_ONCE: usize = 8;

/// Why nobody is asked.
#[derive(Debug, thiserror::Error)]
#[error("`{image}` has to be asked for at its registry, and smolvm is to be offline")]
struct OfflineError {
    image: String,
}

/// The digests of these names, in their order. Where one cannot be had none is: a lock file is written whole.
pub(super) fn digests(
    references: Vec<Reference>,
    settings: &Settings,
    printer: &Printer,
) -> Result<Vec<Digest>, Failure> {
    let Some(first) = references.first() else { return Ok(Vec::new()) };
    if settings.is_offline {
        let image = first.written().to_owned();
        return Err(Failure::new(Class::World, OfflineError { image }).help("unset SMOLVM_OFFLINE"));
    }
    let registry = Registry::new(crate::compose::registry_access(settings.registries.clone())).map_err(failure)?;
    let printer = *printer;
    let work = move |has_left: Arc<AtomicBool>| ask_all(&registry, &references, &Waiting { has_left, printer });
    Interrupts::listen()?.until_left(work)?.into_iter().map(|answer| answer.map_err(failure)).collect()
}

fn failure(error: PullError) -> Failure {
    let help = error.help();
    help.into_iter().fold(Failure::new(Class::World, error), Failure::help)
}

type Answer = Result<Digest, PullError>;

fn ask_all(registry: &Registry, references: &[Reference], waiting: &Waiting) -> Vec<Answer> {
    let (next, answers) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    thread::scope(|scope| {
        for _ in 0..references.len().min(AT_ONCE) {
            scope.spawn(|| {
                loop {
                    let place = next.fetch_add(1, Ordering::Relaxed);
                    let Some(reference) = references.get(place) else { break };
                    let answer = ask(registry, reference, waiting);
                    answers.lock().unwrap_or_else(PoisonError::into_inner).push((place, answer));
                }
            });
        }
    });
    let mut answers = answers.into_inner().unwrap_or_else(PoisonError::into_inner);
    answers.sort_by_key(|(place, _)| *place);
    answers.into_iter().map(|(_, answer)| answer).collect()
}

/// What a name means: an index where there is one, which must have the image for machines, else a manifest.
fn ask(registry: &Registry, image: &Reference, waiting: &Waiting) -> Answer {
    let platform = Platform::machine();
    let ask = Ask { image, locked: None, platform: &platform, known: &|_| None };
    let found = registry.resolve(&ask, &mut waiting.clone())?;
    let named = found.indexes.into_iter().next().unwrap_or(found.manifest);
    Ok(named.descriptor.digest)
}

/// Who waits for the answers.
#[derive(Clone)]
struct Waiting {
    has_left: Arc<AtomicBool>,
    printer: Printer,
}

impl FetchWatch for Waiting {
    fn tell(&mut self, words: &str) {
        self.printer.note(&format!("{words}\n"));
    }

    fn fetched(&mut self, _: &Descriptor, _: u64) {}

    fn finished(&mut self, _: &Descriptor) {}

    fn has_left(&self) -> bool {
        self.has_left.load(Ordering::Relaxed)
    }
}

//! What names mean at their registries now, asked side by side.
//!
//! Deliberately not here: what becomes of the answers.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;

use crate::cli::exit::{Class, Failure};
use crate::cli::interrupts::Interrupts;
use crate::cli::pull::{self};
use crate::cli::settings::Settings;
use crate::config::Reference;
use crate::image::{Digest, ImageError, ImageWaiter, Images, Platform};

/// So many registries are asked at the same time.
const AT_ONCE: usize = 8;

/// Why nobody is asked.
#[derive(Debug, thiserror::Error)]
#[error("`{image}` has to be asked for at its registry, and smolvm is to be offline")]
struct OfflineError {
    image: String,
}

/// The digests of these names, in their order. Where one cannot be had none is: a lock file is written whole.
pub(super) fn digests(references: Vec<Reference>, settings: &Settings) -> Result<Vec<Digest>, Failure> {
    let Some(first) = references.first() else { return Ok(Vec::new()) };
    if settings.is_offline {
        let image = first.written().to_owned();
        return Err(Failure::new(Class::World, OfflineError { image }).help("unset SMOLVM_OFFLINE"));
    }
    let images = pull::open(settings)?;
    let answers = Interrupts::listen()?.until_left(move |has_left| ask_all(&images, &references, &has_left))?;
    answers.into_iter().map(|answer| answer.map_err(pull::failure)).collect()
}

type Answer = Result<Digest, ImageError>;

fn ask_all(images: &Arc<Images>, references: &[Reference], has_left: &AtomicBool) -> Vec<Answer> {
    let (next, answers) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    thread::scope(|scope| {
        for _ in 0..references.len().min(AT_ONCE) {
            scope.spawn(|| {
                loop {
                    let place = next.fetch_add(1, Ordering::Relaxed);
                    let Some(reference) = references.get(place) else { break };
                    let answer = images.ask(reference, &Platform::machine(), &mut Waiting(has_left));
                    answers.lock().unwrap_or_else(PoisonError::into_inner).push((place, answer));
                }
            });
        }
    });
    let mut answers = answers.into_inner().unwrap_or_else(PoisonError::into_inner);
    answers.sort_by_key(|(place, _)| *place);
    answers.into_iter().map(|(_, answer)| answer).collect()
}

/// Waits in silence.
struct Waiting<'a>(&'a AtomicBool);

impl ImageWaiter for Waiting<'_> {
    fn tell(&mut self, _: &str) {}

    fn has_left(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

//! Tries again what may end otherwise: after a pause that doubles and is never quite the same, or as long as is asked for.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use super::access::Patience;
use super::error::PullError;
use super::session::Session;
use super::wire::WireError;

/// Words for who waits, from any thread.
#[derive(Debug, Default)]
pub(super) struct Notes(Mutex<Vec<String>>);

impl Notes {
    pub(super) fn tell(&self, words: String) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(words);
    }

    pub(super) fn take(&self) -> Vec<String> {
        std::mem::take(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Tries of one thing.
#[derive(Debug)]
pub(super) struct Tries<'a> {
    pub(super) patience: Patience,
    pub(super) session: &'a Session,
    /// What is fetched: the image, or the blob and the image.
    pub(super) what: String,
    pub(super) notes: &'a Notes,
    /// How often it was tried, all in all.
    made: u32,
    /// How often since something came of it.
    in_row: u32,
}

impl<'a> Tries<'a> {
    pub(super) fn new(patience: Patience, session: &'a Session, what: String, notes: &'a Notes) -> Self {
        Self { patience, session, what, notes, made: 0, in_row: 0 }
    }

    /// Something came of the last try, though it failed: the pauses begin anew.
    pub(super) fn progressed(&mut self) {
        self.in_row = 0;
    }

    /// Waits before the next try, or says that there is none.
    pub(super) async fn after(&mut self, error: WireError) -> Result<(), PullError> {
        self.made += 1;
        self.in_row += 1;
        let most = match self.session.endpoint.is_mirror {
            // There are others to ask.
            true => 2.min(self.patience.tries),
            false => self.patience.tries,
        };
        let longest = self.patience.longest_pause;
        let is_too_long = error.after().is_some_and(|after| after > longest);
        if !error.is_passing() || is_too_long || self.in_row >= error.tries(most) {
            return Err(self.failed(error));
        }
        let pause = error.after().unwrap_or_else(|| pause(&self.patience, self.in_row, random()));
        let registry = &self.session.endpoint.name;
        let seconds = pause.as_secs_f64();
        self.notes.tell(format!("{}: registry `{registry}`: {error}; trying again in {seconds:.1} s", self.what));
        tokio::time::sleep(pause).await;
        Ok(())
    }

    /// The error of the last try, in full.
    pub(super) fn failed(&self, source: WireError) -> PullError {
        let registry = self.session.endpoint.name.clone();
        PullError::Fetch { what: self.what.clone(), registry, tries: self.made.max(1), source }
    }
}

/// The pause after so many tries: doubled each time, by a random half shorter or longer, so that many who were refused
/// together do not come back together.
fn pause(patience: &Patience, tries: u32, random: f64) -> Duration {
    let doubled = patience.first_pause.saturating_mul(1 << (tries.saturating_sub(1)).min(16));
    doubled.mul_f64(0.5 + random).min(patience.longest_pause)
}

/// A number from 0 to 1.
fn random() -> f64 {
    let mut bytes = [0_u8; 4];
    // Without random numbers all pauses are the middle ones.
    match rustix::rand::getrandom(&mut bytes, rustix::rand::GetRandomFlags::empty()) {
        Ok(4) => f64::from(u32::from_le_bytes(bytes)) / f64::from(u32::MAX),
        _ => 0.5,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_are_scattered_and_end_somewhere() {
        let patience = Patience { first_pause: Duration::from_secs(1), ..Patience::default() };
        let seconds = |tries, random| pause(&patience, tries, random).as_secs_f64();
        assert_eq!((seconds(1, 0.0), seconds(1, 1.0)), (0.5, 1.5));
        assert_eq!((seconds(3, 0.5), seconds(40, 0.5)), (4.0, 60.0));
        assert!((0.0..=1.0).contains(&random()));
    }
}

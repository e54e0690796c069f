//! Machines of this process that go: one that was dropped holds its name until the last of its processes has ended, and
//! whoever starts it again waits for that.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, LazyLock, Mutex, PoisonError};

use tokio::sync::watch;

use crate::run::ProjectLock;

/// Machines of this process that hold something, by the folder of what they keep.
static LIVES: LazyLock<Mutex<HashMap<PathBuf, Life>>> = LazyLock::new(Mutex::default);

/// One that holds something.
struct Life {
    number: u64,
    is_going: Arc<AtomicBool>,
    over: watch::Receiver<()>,
}

/// The owner's end: dropped, the machine goes.
#[derive(Debug)]
pub(super) struct Owner(Arc<AtomicBool>);

/// The run's end: dropped, the name is free.
#[derive(Debug)]
pub(super) struct Held {
    // The lock goes first: who waits takes it next.
    _lock: ProjectLock,
    _place: Place,
    _over: watch::Sender<()>,
}

#[derive(Debug)]
struct Place {
    folder: PathBuf,
    number: u64,
}

/// Notes a machine that holds the lock of this folder.
pub(super) fn begin(folder: &Path, lock: ProjectLock) -> (Owner, Held) {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    let is_going = Arc::new(AtomicBool::new(false));
    let (over, seen) = watch::channel(());
    let life = Life { number, is_going: Arc::clone(&is_going), over: seen };
    lives().insert(folder.to_owned(), life);
    let place = Place { folder: folder.to_owned(), number };
    (Owner(is_going), Held { _lock: lock, _place: place, _over: over })
}

/// Waits for the end of a machine of this process that goes; for no other.
pub(super) async fn until_gone(folder: &Path) {
    let going = lives().get(folder).filter(|life| life.is_going.load(Ordering::Acquire)).map(|life| life.over.clone());
    if let Some(mut over) = going {
        // Nothing is ever sent: this is the end of the sender.
        while over.changed().await.is_ok() {}
    }
}

fn lives() -> std::sync::MutexGuard<'static, HashMap<PathBuf, Life>> {
    LIVES.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Drop for Owner {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Release);
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut lives = lives();
        if lives.get(&self.folder).is_some_and(|life| life.number == self.number) {
            lives.remove(&self.folder);
        }
    }
}

//! The streams that the host opens for commands, until each is taken by its own.
//!
//! Deliberately not here: what goes through a stream (`ends`, `pump`).

use std::collections::VecDeque;
use std::fs::File;
use std::io::Write;
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use smolvm_agent::greeting;

use crate::sys::VsockListener;
use crate::wire::read_attach;

/// Streams that may wait for their command; past that the oldest is closed, whose host has forgotten it.
const WAITING_MAX: usize = 64;

/// Pause after a connection that could not be accepted for want of something.
const PAUSE: Duration = Duration::from_millis(50);

/// Streams without a command.
#[derive(Debug)]
pub(crate) struct Streams {
    listener: VsockListener,
    waiting: Mutex<VecDeque<(u64, File)>>,
}

impl Streams {
    pub(crate) fn new(listener: VsockListener) -> Self {
        Self { listener, waiting: Mutex::default() }
    }

    /// Accepts for ever. A stream is kept before the host hears a greeting, and so before it asks for the command.
    pub(crate) fn accept(&self) -> ! {
        loop {
            let Ok(stream) = self.listener.accept_host() else {
                thread::sleep(PAUSE);
                continue;
            };
            let Ok(attach) = read_attach(&stream) else { continue };
            let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
            if (&stream).write_all(&greeting()).is_err() {
                continue;
            }
            waiting.push_back((attach.exec, stream));
            if waiting.len() > WAITING_MAX {
                waiting.pop_front();
            }
        }
    }

    /// The stream of a command, once.
    pub(crate) fn take(&self, exec: u64) -> Option<File> {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        let place = waiting.iter().position(|(own, _)| *own == exec)?;
        waiting.remove(place).map(|(_, stream)| stream)
    }
}

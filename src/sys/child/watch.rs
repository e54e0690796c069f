//! A child that serves for as long as somebody holds its handle: what it says last is kept, its death is told.
//!
//! Deliberately not here: what it serves, and how it is asked to end.

use std::collections::VecDeque;
use std::fmt;
use std::fs::File;
use std::io::{self, Read};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, Receiver};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use super::{Child, ChildExit};

/// How long a child that was told to end may take before it is killed.
const END_LIMIT: Duration = Duration::from_millis(500);

/// How much of a child's last words is kept.
const WORDS_MAX_BYTES: usize = 4096;

/// What is called when a child dies by itself, with how that was and its last words.
pub type OnDeath = Box<dyn FnOnce(String) + Send>;

/// A running child. [`Watched::end`] ends and reaps it.
pub struct Watched {
    child: Arc<Child>,
    is_ending: Arc<AtomicBool>,
    /// Behind a lock only so that a handle may be shared.
    ended: Mutex<Receiver<()>>,
    watcher: Option<JoinHandle<()>>,
}

impl fmt::Debug for Watched {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Watched").field("pid", &self.pid()).finish_non_exhaustive()
    }
}

impl Watched {
    /// Watches a child from now on. `on_death` is called, on a thread of its own, when the child ends by itself with
    /// another code than 0; never after [`Watched::end`].
    pub fn start(child: Child, words: LastWords, name: &str, on_death: OnDeath) -> io::Result<Self> {
        let child = Arc::new(child);
        let is_ending = Arc::new(AtomicBool::new(false));
        let (tell_ended, ended) = mpsc::channel();
        let watcher = {
            let (child, is_ending) = (Arc::clone(&child), Arc::clone(&is_ending));
            thread::Builder::new().name(format!("watch {name}")).spawn(move || {
                let exit = child.wait();
                let last = words.last();
                // The receiver is there until the end of the handle.
                let _ = tell_ended.send(());
                // A server whose front end has gone ends with 0.
                if let Ok(exit) = exit
                    && exit != ChildExit::Code(0)
                    && !is_ending.load(Ordering::Acquire)
                {
                    on_death(describe_death(exit, &last));
                }
            })
        };
        Ok(Self { child, is_ending, ended: Mutex::new(ended), watcher: Some(watcher?) })
    }

    /// Process id.
    pub fn pid(&self) -> u32 {
        self.child.pid()
    }

    /// Ends it: asks first, and kills it where that does not help.
    pub fn end(&mut self, ask: impl FnOnce()) {
        self.is_ending.store(true, Ordering::Release);
        ask();
        let ended = self.ended.get_mut().unwrap_or_else(PoisonError::into_inner);
        if ended.recv_timeout(END_LIMIT).is_err() {
            self.child.kill();
        }
        if let Some(watcher) = self.watcher.take() {
            // A watcher that panicked has nothing left to say.
            drop(watcher.join());
        }
    }
}

/// How a child ended, with its last words.
pub fn describe_death(exit: ChildExit, words: &str) -> String {
    let how = match exit {
        ChildExit::Code(code) => format!("it ended with exit code {code}"),
        ChildExit::Signal(signal) => format!("it was ended by signal {signal}"),
    };
    if words.is_empty() { how } else { format!("{how}: {words}") }
}

/// The last of what a child writes to its standard error.
#[derive(Debug)]
pub struct LastWords {
    reader: JoinHandle<VecDeque<u8>>,
}

impl LastWords {
    /// Listens to the pipe that is the child's standard error.
    pub fn listen(mut pipe: File) -> io::Result<Self> {
        let reader = thread::Builder::new().name("last words".into()).spawn(move || {
            let mut last = VecDeque::with_capacity(WORDS_MAX_BYTES);
            let mut chunk = [0; 1024];
            while let Ok(count @ 1..) = pipe.read(&mut chunk) {
                last.extend(&chunk[..count]);
                last.drain(..last.len().saturating_sub(WORDS_MAX_BYTES));
            }
            last
        })?;
        Ok(Self { reader })
    }

    /// Waits until every process that holds the pipe has ended, and returns what was last said, on one line.
    pub fn last(self) -> String {
        let bytes: Vec<u8> = self.reader.join().unwrap_or_default().into();
        let text = String::from_utf8_lossy(&bytes);
        let lines: Vec<&str> = text.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
        let start = lines.len().saturating_sub(3);
        lines[start..].join("; ")
    }
}

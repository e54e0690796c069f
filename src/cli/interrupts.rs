//! The signals that end a run, heard from the first moment of a verb on.
//!
//! Deliberately not here: what a run does about them (`run`).

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use tokio::runtime::Runtime;
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::sync::oneshot;

use super::exit::{Class, Failure};
use crate::run::{self, Signal};

/// What hears them, from before the run holds anything.
#[derive(Debug)]
pub(crate) struct Interrupts {
    /// Where the run's tasks run.
    pub(crate) runtime: Runtime,
    /// The signals that came.
    pub(crate) signals: UnboundedReceiver<Signal>,
}

/// Why signals cannot be heard, or what one of them ended.
#[derive(Debug, thiserror::Error)]
enum InterruptError {
    #[error("the runtime cannot be started")]
    Runtime(#[source] std::io::Error),
    #[error("signals cannot be handled")]
    Signals(#[source] std::io::Error),
    #[error("interrupted by {0}")]
    Interrupted(&'static str),
    #[error("what was waited for ended without a result")]
    Wait,
}

impl Interrupts {
    /// From now on the signals arrive here.
    pub(crate) fn listen() -> Result<Self, Failure> {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .map_err(|error| Failure::new(Class::World, InterruptError::Runtime(error)))?;
        let entered = runtime.enter();
        let signals = run::signals().map_err(|error| Failure::new(Class::World, InterruptError::Signals(error)))?;
        drop(entered);
        Ok(Self { runtime, signals })
    }

    /// Does what takes long and cleans up after itself when it is told to leave: at the first signal the flag says so and
    /// the end is waited for, at the second it is not.
    pub(crate) fn until_left<T: Send + 'static>(
        &mut self,
        work: impl FnOnce(Arc<AtomicBool>) -> T + Send + 'static,
    ) -> Result<T, Failure> {
        let has_left = Arc::new(AtomicBool::new(false));
        let (sender, mut done) = oneshot::channel();
        let flag = Arc::clone(&has_left);
        let thread = thread::Builder::new().name("work".to_owned()).spawn(move || sender.send(work(flag)).is_ok());
        thread.map_err(|error| Failure::new(Class::World, InterruptError::Runtime(error)))?;
        let signals = &mut self.signals;
        self.runtime.block_on(async {
            let signal = tokio::select! {
                value = &mut done => return value.map_err(|_| Failure::new(Class::World, InterruptError::Wait)),
                Some(signal) = signals.recv() => signal,
            };
            has_left.store(true, Ordering::Relaxed);
            tokio::select! {
                _ = done => {}
                Some(_) = signals.recv() => {}
            }
            Err(Failure::new(Class::Interrupted(signal), InterruptError::Interrupted(signal.name())))
        })
    }

    /// Waits for what others do, unless a signal comes first.
    pub(crate) fn run_unless_interrupted<T>(&mut self, work: impl Future<Output = T>) -> Result<T, Failure> {
        let signals = &mut self.signals;
        self.runtime.block_on(async {
            tokio::select! {
                Some(signal) = signals.recv() => {
                    Err(Failure::new(Class::Interrupted(signal), InterruptError::Interrupted(signal.name())))
                }
                value = work => Ok(value),
            }
        })
    }

    /// Does what may block for ever, unless a signal comes first. Then it goes on until the process has ended.
    pub(crate) fn unless_interrupted<T: Send + 'static>(
        &mut self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, Failure> {
        let (sender, done) = oneshot::channel();
        // A thread of its own: a runtime that is dropped waits for those that it knows.
        let thread = thread::Builder::new().name("wait".to_owned()).spawn(move || sender.send(work()).is_ok());
        thread.map_err(|error| Failure::new(Class::World, InterruptError::Runtime(error)))?;
        let signals = &mut self.signals;
        self.runtime.block_on(async {
            tokio::select! {
                Some(signal) = signals.recv() => {
                    Err(Failure::new(Class::Interrupted(signal), InterruptError::Interrupted(signal.name())))
                }
                Ok(value) = done => Ok(value),
                else => Err(Failure::new(Class::World, InterruptError::Wait)),
            }
        })
    }
}

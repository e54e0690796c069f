//! Follows one QEMU to its end: hands on its console, hears its reasons, keeps its last words, and says how it ended.

use std::collections::VecDeque;
use std::io::{PipeReader, Read};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::SyncSender;

use rustix::event::{PollFd, PollFlags, poll};

use super::console::PanicWatch;
use super::qmp::{QmpReader, ShutdownReason};
use crate::engine::{VmEvent, VmExit};
use crate::sys::child::{Child, ChildExit};

/// What is kept of QEMU's messages.
const LAST_WORDS_MAX_BYTES: usize = 4096;

/// Lines of them that are told.
const LAST_WORDS_LINES: usize = 5;

/// Everything that is known of a running QEMU. Each source is `None` once it has ended.
#[derive(Debug)]
pub(super) struct Watch {
    console: Option<UnixStream>,
    qmp: Option<UnixStream>,
    stderr: Option<PipeReader>,
    child: Arc<Child>,
    is_killed: Arc<AtomicBool>,
    events: SyncSender<VmEvent>,
    panic: PanicWatch,
    reasons: QmpReader,
    last_words: VecDeque<u8>,
    buffer: Vec<u8>,
}

impl Watch {
    pub(super) fn new(
        console: UnixStream,
        qmp: UnixStream,
        stderr: PipeReader,
        child: Arc<Child>,
        is_killed: Arc<AtomicBool>,
        events: SyncSender<VmEvent>,
    ) -> Self {
        Self {
            console: Some(console),
            qmp: Some(qmp),
            stderr: Some(stderr),
            child,
            is_killed,
            events,
            panic: PanicWatch::default(),
            reasons: QmpReader::default(),
            last_words: VecDeque::new(),
            buffer: vec![0; 16 * 1024],
        }
    }

    /// Returns when QEMU has ended and all of its words are handed on.
    pub(super) fn run(mut self) {
        while self.wait_and_read() {}
        let exit = self.child.wait();
        let exit = if self.is_killed.load(Ordering::Acquire) {
            VmExit::Killed
        } else {
            let told = exit.map_or_else(|error| format!("was lost: {error}"), describe);
            classify(self.reasons.reason(), self.panic.finish(), &told, &last_lines(&self.last_words))
        };
        // Nobody may listen any more.
        drop(self.events.send(VmEvent::Exited(exit)));
    }

    /// Waits for the sources that are left and reads those that are ready; false when all have ended. Each ends when
    /// QEMU does, since no other process has its other end.
    fn wait_and_read(&mut self) -> bool {
        let sources = [
            self.console.as_ref().map(AsFd::as_fd),
            self.qmp.as_ref().map(AsFd::as_fd),
            self.stderr.as_ref().map(AsFd::as_fd),
        ];
        let mut polled: Vec<PollFd<'_>> =
            sources.iter().flatten().map(|fd| PollFd::from_borrowed_fd(*fd, PollFlags::IN)).collect();
        if polled.is_empty() {
            return false;
        }
        match poll(&mut polled, None) {
            Err(rustix::io::Errno::INTR) => return true,
            Err(_) => return false,
            Ok(_) => {}
        }
        let mut ready = polled.iter().map(|fd| !fd.revents().is_empty());
        let [console, qmp, stderr] = sources.map(|source| source.is_some() && ready.next().unwrap_or(false));
        if console {
            let bytes = read_some(&mut self.console, &mut self.buffer);
            if !bytes.is_empty() {
                self.panic.feed(bytes);
                drop(self.events.send(VmEvent::Console(bytes.to_vec())));
            }
        }
        if qmp {
            self.reasons.feed(read_some(&mut self.qmp, &mut self.buffer));
        }
        if stderr {
            self.last_words.extend(read_some(&mut self.stderr, &mut self.buffer));
            let surplus = self.last_words.len().saturating_sub(LAST_WORDS_MAX_BYTES);
            self.last_words.drain(..surplus);
        }
        true
    }
}

/// Reads once; at its end the source is closed.
fn read_some<'a>(source: &mut Option<impl Read>, buffer: &'a mut [u8]) -> &'a [u8] {
    let Some(open) = source else { return &[] };
    match open.read(buffer) {
        Ok(count) if count > 0 => &buffer[..count],
        Err(error) if error.kind() == std::io::ErrorKind::Interrupted => &[],
        Ok(_) | Err(_) => {
            *source = None;
            &[]
        }
    }
}

fn describe(exit: ChildExit) -> String {
    match exit {
        ChildExit::Code(code) => format!("exited with code {code}"),
        ChildExit::Signal(signal) => format!("was ended by signal {signal}"),
    }
}

fn last_lines(words: &VecDeque<u8>) -> String {
    let bytes: Vec<u8> = words.iter().copied().collect();
    let text = String::from_utf8_lossy(&bytes);
    let lines: Vec<&str> = text.lines().filter(|line| !line.trim().is_empty()).collect();
    lines[lines.len().saturating_sub(LAST_WORDS_LINES)..].join("\n")
}

/// How a machine ended of which nobody asked the end. A panic is believed only with the reset that follows it: its
/// line alone can be printed by anyone in the guest.
fn classify(reason: Option<&ShutdownReason>, panic: Option<String>, told: &str, last_words: &str) -> VmExit {
    let cause = match (reason, panic) {
        (Some(ShutdownReason::GuestShutdown), _) => return VmExit::PoweredOff,
        (Some(ShutdownReason::GuestReset), Some(line)) => return VmExit::Panicked(line),
        (Some(ShutdownReason::GuestReset), None) => return VmExit::Rebooted,
        (Some(ShutdownReason::Other(name)), _) => format!("stopped (`{name}`) and {told}"),
        (None, _) => told.to_owned(),
    };
    VmExit::EngineFailed(if last_words.is_empty() {
        format!("qemu {cause}")
    } else {
        format!("qemu {cause}: {last_words}")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn end_is_named_by_its_reason() {
        let panic = || Some("Kernel panic - not syncing: x".to_owned());
        let exit = |reason, panic| classify(reason, panic, "exited with code 0", "");
        let (off, reset) = (ShutdownReason::GuestShutdown, ShutdownReason::GuestReset);
        assert_eq!(exit(Some(&off), None), VmExit::PoweredOff);
        assert_eq!(exit(Some(&reset), None), VmExit::Rebooted);
        assert_eq!(exit(Some(&reset), panic()), VmExit::Panicked("Kernel panic - not syncing: x".into()));
        // Printed by a step, not by the kernel.
        assert_eq!(exit(Some(&off), panic()), VmExit::PoweredOff);
    }

    #[test]
    fn failure_comes_with_the_last_words() {
        let words = VecDeque::from(b"one\n\ntwo\nthree\nfour\nfive\nsix\n".to_vec());
        assert_eq!(
            classify(None, None, &describe(ChildExit::Code(1)), &last_lines(&words)),
            VmExit::EngineFailed("qemu exited with code 1: two\nthree\nfour\nfive\nsix".into())
        );
        let signal = ShutdownReason::Other("host-signal".into());
        assert_eq!(
            classify(Some(&signal), None, &describe(ChildExit::Signal(9)), ""),
            VmExit::EngineFailed("qemu stopped (`host-signal`) and was ended by signal 9".into())
        );
    }
}

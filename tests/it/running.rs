//! A run of `up` that goes on: events are awaited, signals sent, and its processes can be hurt.
//!
//! Deliberately not here: what is asked of a run that has ended (`events`), what it may leave behind (`world`).

use std::fs;
use std::io::{BufRead, BufReader};
use std::process::{Child, Command};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process, kill_process_group};
use serde_json::Value;

use crate::events::Ran;

/// How long a test waits for anything; an emulated machine beside others is slow.
pub(crate) const EVENT_LIMIT: Duration = Duration::from_secs(180);

/// How long after its death anything of a run may stay.
pub(crate) const LEFTOVER_LIMIT: Duration = Duration::from_secs(2);

/// A run that goes on.
pub(crate) struct Live {
    child: Child,
    lines: Receiver<Vec<u8>>,
    errors: Receiver<Vec<u8>>,
    stderr: String,
    seen: Vec<Value>,
    signaled: Option<Instant>,
}

/// The lines of a stream with their ends, read on a thread of their own.
fn lines_of(mut stream: impl BufRead + Send + 'static) -> Receiver<Vec<u8>> {
    let (sender, lines) = channel();
    thread::spawn(move || {
        let mut line = Vec::new();
        while stream.read_until(b'\n', &mut line).is_ok_and(|length| length > 0) {
            if sender.send(std::mem::take(&mut line)).is_err() {
                return;
            }
        }
    });
    lines
}

impl Live {
    /// Starts a command that prints events.
    pub(crate) fn start(mut command: Command) -> Self {
        let mut child = command.spawn().unwrap();
        drop(child.stdin.take());
        let stdout = BufReader::new(child.stdout.take().unwrap());
        let stderr = BufReader::new(child.stderr.take().unwrap());
        let (lines, errors) = (lines_of(stdout), lines_of(stderr));
        Self { child, lines, errors, stderr: String::new(), seen: Vec::new(), signaled: None }
    }

    /// Id of smolvm's process.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// The next event, which is not kept; none when the run has ended.
    #[track_caller]
    pub(crate) fn next(&mut self) -> Option<Value> {
        match self.lines.recv_timeout(EVENT_LIMIT) {
            // A killed program may have told half an event.
            Ok(line) if !line.ends_with(b"\n") => None,
            Ok(line) => Some(serde_json::from_slice(&line).unwrap_or_else(|error| {
                panic!("{error}: {}", String::from_utf8_lossy(&line));
            })),
            Err(RecvTimeoutError::Disconnected) => None,
            Err(RecvTimeoutError::Timeout) => panic!("the run does not go on: {:#?}", self.seen),
        }
    }

    /// Reads up to the first event that is it.
    #[track_caller]
    pub(crate) fn until(&mut self, what: &str, is_it: impl Fn(&Value) -> bool) -> Value {
        let start = Instant::now();
        while let Some(event) = self.next() {
            self.seen.push(event.clone());
            if is_it(&event) {
                return event;
            }
            assert!(start.elapsed() < EVENT_LIMIT, "no {what} in time: {:#?}", self.seen);
        }
        let told: String = self.errors.iter().map(|line| String::from_utf8_lossy(&line).into_owned()).collect();
        panic!("the run ended before {what}: {:#?}\n{told}", self.seen)
    }

    /// Lets this much of its time pass, or less where it ends before.
    pub(crate) fn pass(&mut self, time: Duration) {
        let end = Instant::now() + time;
        while let Ok(line) = self.lines.recv_timeout(end.saturating_duration_since(Instant::now())) {
            self.seen.extend(serde_json::from_slice::<Value>(&line).ok());
        }
        thread::sleep(end.saturating_duration_since(Instant::now()));
    }

    /// Reads up to a machine's phase.
    #[track_caller]
    pub(crate) fn until_phase(&mut self, phase: &str) {
        self.until(phase, |event| event["event"] == "machine" && event["phase"] == phase);
    }

    /// Reads up to an output with these words in it.
    #[track_caller]
    pub(crate) fn until_output(&mut self, words: &str) {
        self.until(words, |event| event["text"].as_str().is_some_and(|text| text.contains(words)));
    }

    /// Reads standard error up to a line that begins so.
    #[track_caller]
    pub(crate) fn until_stderr(&mut self, start: &str) {
        loop {
            match self.errors.recv_timeout(EVENT_LIMIT) {
                Ok(line) => {
                    self.stderr.push_str(&String::from_utf8_lossy(&line));
                    if line.starts_with(start.as_bytes()) {
                        return;
                    }
                }
                Err(error) => panic!("no {start:?} ({error}): {}", self.stderr),
            }
        }
    }

    /// Waits until it has set a handler for a signal.
    pub(crate) fn until_heard(&self, signal: Signal) {
        let start = Instant::now();
        let bit = 1_u64 << (signal.as_raw() - 1);
        while status_number(self.pid(), "SigCgt:", 16).is_none_or(|mask| mask & bit == 0) {
            assert!(start.elapsed() < EVENT_LIMIT, "{signal:?} is not heard");
            thread::yield_now();
        }
    }

    /// Processes below smolvm's whose command line holds this word, as it is.
    pub(crate) fn processes(&self, word: &str) -> Vec<u32> {
        let mut found = Vec::new();
        let mut open = vec![self.pid()];
        while let Some(parent) = open.pop() {
            for child in children(parent) {
                open.push(child);
                let line = fs::read(format!("/proc/{child}/cmdline")).unwrap_or_default();
                if line.split(|byte| *byte == 0).any(|part| part == word.as_bytes()) {
                    found.push(child);
                }
            }
        }
        found
    }

    /// Sends a signal to the process alone.
    pub(crate) fn signal(&mut self, kind: Signal) {
        self.signaled = Some(Instant::now());
        signal(self.pid(), kind);
    }

    /// Sends a signal to its process group, as a terminal does.
    pub(crate) fn signal_group(&mut self, kind: Signal) {
        self.signaled = Some(Instant::now());
        kill_process_group(pid_of(self.pid()), kind).unwrap();
    }

    /// Kills the process, and gives what it had said.
    pub(crate) fn kill(mut self) -> Ran {
        self.signal(Signal::KILL);
        self.finish()
    }

    /// Waits for the end.
    #[track_caller]
    pub(crate) fn finish(mut self) -> Ran {
        let start = Instant::now();
        while let Some(event) = self.next() {
            self.seen.push(event);
            assert!(start.elapsed() < EVENT_LIMIT, "the run did not end: {:#?}", self.seen);
        }
        let status = self.child.wait().unwrap();
        let after = self.signaled.map_or(Duration::ZERO, |at| at.elapsed());
        // Whoever still holds the pipe would be a process that is left.
        while let Ok(line) = self.errors.recv_timeout(LEFTOVER_LIMIT) {
            self.stderr.push_str(&String::from_utf8_lossy(&line));
        }
        let (events, stderr) = (std::mem::take(&mut self.seen), std::mem::take(&mut self.stderr));
        Ran { code: status.code(), stderr, events, after }
    }
}

impl Drop for Live {
    /// A test that failed leaves no run behind.
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn children(parent: u32) -> Vec<u32> {
    let Ok(tasks) = fs::read_dir(format!("/proc/{parent}/task")) else { return Vec::new() };
    let lists = tasks.filter_map(|task| fs::read_to_string(task.ok()?.path().join("children")).ok());
    lists.flat_map(|list| list.split(' ').filter_map(|pid| pid.trim().parse().ok()).collect::<Vec<_>>()).collect()
}

/// A number of a process's `status`.
pub(crate) fn status_number(pid: u32, name: &str, radix: u32) -> Option<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let value = status.lines().find_map(|line| line.strip_prefix(name))?.trim();
    u64::from_str_radix(value.split(' ').next()?, radix).ok()
}

fn pid_of(pid: u32) -> Pid {
    Pid::from_raw(i32::try_from(pid).unwrap()).unwrap()
}

/// Sends a signal to one process.
pub(crate) fn signal(pid: u32, kind: Signal) {
    kill_process(pid_of(pid), kind).unwrap();
}

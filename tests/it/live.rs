//! A run that goes on while a test watches it: its events as they come, its processes, signals to it.
//!
//! Deliberately not here: expectations.

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Lines};
use std::process::{Child, ChildStdout, ExitStatus};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use crate::support::Case;

/// A started `smolvm up --progress json`.
pub(crate) struct Live {
    pub(crate) child: Child,
    lines: Lines<BufReader<ChildStdout>>,
}

/// A process: its id and when it started, so that a later one with its number is not taken for it.
pub(crate) type Process = (u32, String);

impl Live {
    /// Starts the command of a case.
    pub(crate) fn start(case: &Case) -> Self {
        let mut child = case.command().spawn().unwrap();
        drop(child.stdin.take());
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        Self { child, lines }
    }

    /// Reads up to the first event that has these values.
    pub(crate) fn until(&mut self, wanted: &[(&str, &str)]) -> Value {
        loop {
            let line = self.lines.next().unwrap_or_else(|| panic!("the run ended before {wanted:?}")).unwrap();
            let event: Value = serde_json::from_str(&line).unwrap();
            if wanted.iter().all(|(key, value)| event[*key] == *value) {
                return event;
            }
        }
    }

    /// Sends a signal to the program alone.
    pub(crate) fn signal(&self, signal: Signal) {
        let pid = Pid::from_raw(i32::try_from(self.child.id()).unwrap()).unwrap();
        kill_process(pid, signal).unwrap();
    }

    /// Reads the rest and waits for the end.
    pub(crate) fn end(mut self) -> (Vec<Value>, ExitStatus) {
        let rest = self.lines.map(|line| serde_json::from_str(&line.unwrap()).unwrap()).collect();
        (rest, self.child.wait().unwrap())
    }

    /// Every process below the program.
    pub(crate) fn family(&self) -> BTreeSet<Process> {
        let all: Vec<(u32, u32, String)> = std::fs::read_dir("/proc")
            .unwrap()
            .filter_map(|entry| entry.unwrap().file_name().to_str()?.parse().ok())
            .filter_map(stat)
            .collect();
        let mut family = BTreeSet::new();
        let mut parents = vec![self.child.id()];
        while let Some(parent) = parents.pop() {
            for (pid, _, start) in all.iter().filter(|(_, above, _)| *above == parent) {
                if family.insert((*pid, start.clone())) {
                    parents.push(*pid);
                }
            }
        }
        family
    }
}

/// Id, parent and start of a process that is there and not only waits to be reaped.
fn stat(pid: u32) -> Option<(u32, u32, String)> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let fields: Vec<&str> = text.rsplit_once(')')?.1.split_whitespace().collect();
    let is_gone = matches!(*fields.first()?, "Z" | "X");
    (!is_gone).then_some((pid, fields.get(1)?.parse().ok()?, (*fields.get(19)?).to_owned()))
}

/// Waits until all of these are gone.
#[track_caller]
pub(crate) fn gone_within(limit: Duration, processes: &BTreeSet<Process>) {
    let start = Instant::now();
    loop {
        let left: Vec<&Process> =
            processes.iter().filter(|(pid, since)| stat(*pid).is_some_and(|(_, _, start)| start == *since)).collect();
        if left.is_empty() {
            return;
        }
        assert!(start.elapsed() < limit, "still there: {left:?}");
        std::thread::yield_now();
    }
}

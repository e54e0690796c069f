//! A run that goes on while a test watches it: its events as they come.
//!
//! Deliberately not here: signals to it and what it leaves (`running`), expectations.

use std::io::{BufRead, BufReader, Lines};
use std::process::{Child, ChildStdout, ExitStatus};

use serde_json::Value;

use crate::support::Case;

/// A started `smolvm up --progress json`.
pub(crate) struct Live {
    pub(crate) child: Child,
    lines: Lines<BufReader<ChildStdout>>,
}

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

    /// Reads the rest and waits for the end.
    pub(crate) fn end(mut self) -> (Vec<Value>, ExitStatus) {
        let rest = self.lines.map(|line| serde_json::from_str(&line.unwrap()).unwrap()).collect();
        (rest, self.child.wait().unwrap())
    }
}

//! A run of `up` that has ended, as a program sees it: its events, asked by step and machine, and its exit code.
//!
//! Deliberately not here: a run that goes on (`running`).

use std::process::Command;
use std::time::Duration;

use serde_json::Value;

use crate::running::Live;

/// A run that has ended.
pub(crate) struct Ran {
    /// Exit code; a process that a signal ended has none.
    pub(crate) code: Option<i32>,
    pub(crate) stderr: String,
    pub(crate) events: Vec<Value>,
    /// Since the last signal that was sent to it.
    pub(crate) after: Duration,
}

/// How a step ended: its status, exit code and cause.
pub(crate) type End<'a> = (&'a str, Option<i64>, &'a str);

impl Ran {
    /// Runs a command that prints events, to its end.
    pub(crate) fn of(command: Command) -> Self {
        Live::start(command).finish()
    }

    /// Whether all went well; else everything that it said.
    #[track_caller]
    pub(crate) fn passed(self) -> Self {
        assert_eq!(self.code, Some(0), "{}", self.told());
        self
    }

    /// Everything that it said, for people.
    pub(crate) fn told(&self) -> String {
        let lines: Vec<String> = self.events.iter().map(|event| shorten(&event.to_string())).collect();
        format!("{}\n{}", lines.join("\n"), self.stderr)
    }

    /// The events of this name.
    pub(crate) fn named<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a Value> {
        self.events.iter().filter(move |event| event["event"] == name)
    }

    /// The last event of a step.
    #[track_caller]
    pub(crate) fn finished(&self, step: &str) -> &Value {
        let found = self.named("step-finished").find(|event| event["step"] == step);
        found.unwrap_or_else(|| panic!("step {step} has no end\n{}", self.told()))
    }

    /// How a step ended.
    #[track_caller]
    pub(crate) fn end(&self, step: &str) -> End<'_> {
        let event = self.finished(step);
        (event["status"].as_str().unwrap(), event["exit_code"].as_i64(), event["cause"].as_str().unwrap_or(""))
    }

    /// Every byte of a step's stream.
    pub(crate) fn bytes(&self, step: &str, stream: &str) -> Vec<u8> {
        self.named("output")
            .filter(|event| event["step"] == step && event["stream"] == stream)
            .flat_map(bytes_of)
            .collect()
    }

    /// What a step wrote on standard output.
    pub(crate) fn stdout(&self, step: &str) -> String {
        String::from_utf8(self.bytes(step, "stdout")).unwrap()
    }

    /// Phases that a machine went through.
    pub(crate) fn phases(&self, machine: &str) -> Vec<&str> {
        let events = self.named("machine").filter(|event| event["machine"] == machine);
        events.map(|event| event["phase"].as_str().unwrap()).collect()
    }

    /// Ids and statuses of the steps, in the order of their ends.
    pub(crate) fn steps(&self) -> Vec<(&str, &str)> {
        let ends = self.named("step-finished");
        ends.map(|event| (event["step"].as_str().unwrap(), event["status"].as_str().unwrap())).collect()
    }

    /// The last event, which tells the end of the run.
    #[track_caller]
    pub(crate) fn last(&self) -> &Value {
        let last = self.events.last().unwrap_or_else(|| panic!("no event: {}", self.stderr));
        assert_eq!(last["event"], "run-finished", "{last}");
        last
    }

    /// Status, exit code and cause of a run, and its process's exit code.
    #[track_caller]
    pub(crate) fn assert_run(&self, status: &str, code: i32, cause: &str) {
        let last = self.last();
        assert_eq!((&last["status"], &last["exit_code"]), (&status.into(), &code.into()), "{last}");
        assert!(last["cause"].as_str().is_some_and(|text| text.contains(cause)), "not {cause:?}: {last}");
        assert_eq!(self.code, Some(code), "{}", self.stderr);
    }
}

fn shorten(line: &str) -> String {
    let end = line.char_indices().nth(2000).map_or(line.len(), |(place, _)| place);
    line[..end].to_owned()
}

/// The bytes of one `output` event.
pub(crate) fn bytes_of(event: &Value) -> Vec<u8> {
    match event["text"].as_str() {
        Some(text) => text.as_bytes().to_vec(),
        None => decode_base64(event["base64"].as_str().unwrap()),
    }
}

fn decode_base64(text: &str) -> Vec<u8> {
    let value = |letter: u8| -> u32 {
        u32::from(match letter {
            b'A'..=b'Z' => letter - b'A',
            b'a'..=b'z' => letter - b'a' + 26,
            b'0'..=b'9' => letter - b'0' + 52,
            b'+' => 62,
            b'/' => 63,
            other => panic!("{other} is no letter of base64"),
        })
    };
    assert_eq!(text.len() % 4, 0, "base64 is padded");
    let mut bytes = Vec::with_capacity(text.len() / 4 * 3);
    for four in text.trim_end_matches('=').as_bytes().chunks(4) {
        let bits = four.iter().fold(0, |bits, letter| bits << 6 | value(*letter)) << (6 * (4 - four.len()));
        bytes.extend(&bits.to_be_bytes()[1..four.len()]);
    }
    bytes
}

#[test]
fn base64_is_read_as_it_is_written() {
    for (text, bytes) in
        [("", &b""[..]), ("/w==", b"\xff"), ("/wA=", b"\xff\0"), ("/wCA", b"\xff\0\x80"), ("YWJjZA==", b"abcd")]
    {
        assert_eq!(decode_base64(text), bytes);
    }
}

//! Runs of `up` as a program sees them: the events of a finished run, asked by step and machine; and a run that goes
//! on, whose events are read while it does and whose processes can be hurt.

use std::collections::VecDeque;
use std::fs;
use std::io::Read;
use std::process::{Child, Command, Output};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;

/// Longest that a test waits for anything.
const LIMIT: Duration = Duration::from_secs(180);

/// A run that has ended.
pub(crate) struct Ran {
    pub(crate) code: Option<i32>,
    pub(crate) stderr: String,
    pub(crate) events: Vec<Value>,
}

/// How a step ended: its status, exit code and cause.
pub(crate) type End<'a> = (&'a str, Option<i64>, &'a str);

impl Ran {
    /// Runs a command that prints events, to its end.
    pub(crate) fn of(mut command: Command) -> Self {
        let child = command.spawn().unwrap();
        Self::from(child.wait_with_output().unwrap())
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
}

impl From<Output> for Ran {
    fn from(output: Output) -> Self {
        let events = output.stdout.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()).map(parse).collect();
        let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
        Self { code: output.status.code(), stderr, events }
    }
}

fn parse(line: &[u8]) -> Value {
    serde_json::from_slice(line).unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(line)))
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

/// A run that goes on.
pub(crate) struct Live {
    child: Child,
    lines: Receiver<Vec<u8>>,
    seen: Vec<Value>,
    stderr: Option<thread::JoinHandle<String>>,
    start: Instant,
}

impl Live {
    /// Starts a command that prints events.
    pub(crate) fn start(mut command: Command) -> Self {
        let mut child = command.spawn().unwrap();
        drop(child.stdin.take());
        let mut stdout = child.stdout.take().unwrap();
        let mut stderr = child.stderr.take().unwrap();
        let (sender, lines) = channel();
        thread::spawn(move || {
            let (mut open, mut buffer) = (VecDeque::new(), vec![0; 1 << 16]);
            while let Ok(count @ 1..) = stdout.read(&mut buffer) {
                open.extend(&buffer[..count]);
                while let Some(end) = open.iter().position(|byte| *byte == b'\n') {
                    let line = open.drain(..=end).take(end).collect();
                    let _ = sender.send(line);
                }
            }
        });
        let stderr = thread::spawn(move || {
            let mut text = Vec::new();
            let _ = stderr.read_to_end(&mut text);
            String::from_utf8_lossy(&text).into_owned()
        });
        Self { child, lines, seen: Vec::new(), stderr: Some(stderr), start: Instant::now() }
    }

    /// Id of smolvm's process.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// The next event; none when the run has ended.
    pub(crate) fn next(&mut self) -> Option<Value> {
        let left = LIMIT.saturating_sub(self.start.elapsed());
        match self.lines.recv_timeout(left) {
            Ok(line) => Some(parse(&line)),
            Err(RecvTimeoutError::Disconnected) => None,
            Err(RecvTimeoutError::Timeout) => panic!("the run does not go on after {:?}", self.seen.last()),
        }
    }

    /// Reads up to the first event that is looked for.
    pub(crate) fn until(&mut self, what: &str, is_it: impl Fn(&Value) -> bool) -> Value {
        loop {
            let Some(event) = self.next() else { panic!("the run ended before {what}\n{:?}", self.seen) };
            self.seen.push(event.clone());
            if is_it(&event) {
                return event;
            }
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

    /// Reads to the end of the run.
    pub(crate) fn finish(mut self) -> Ran {
        while let Some(event) = self.next() {
            self.seen.push(event);
        }
        let code = self.child.wait().unwrap().code();
        let stderr = self.stderr.take().unwrap().join().unwrap();
        Ran { code, stderr, events: std::mem::take(&mut self.seen) }
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

/// Sends a signal to one process.
pub(crate) fn signal(pid: u32, signal: rustix::process::Signal) {
    let pid = rustix::process::Pid::from_raw(i32::try_from(pid).unwrap()).unwrap();
    rustix::process::kill_process(pid, signal).unwrap();
}

#[test]
fn base64_is_read_as_it_is_written() {
    for (text, bytes) in
        [("", &b""[..]), ("/w==", b"\xff"), ("/wA=", b"\xff\0"), ("/wCA", b"\xff\0\x80"), ("YWJjZA==", b"abcd")]
    {
        assert_eq!(decode_base64(text), bytes);
    }
}

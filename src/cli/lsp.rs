//! `smolvm lsp`: the language server over standard input and output.
//!
//! ```text
//! stdin ─► reader thread ─┐                        ┌─► stdout
//! editor's end (pidfd) ───┼─► one inbox ─► Server ─┤
//! checker thread ─────────┘                        └─► at most one check at a time, of the newest texts
//! ```
//!
//! A check waits until the typing rests for a moment, and not longer than a few moments; while one runs, what is typed is
//! one more check afterwards, however much it is. Nothing but the protocol goes to standard output.

use std::io::{self, BufReader, Write};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, poll};
use rustix::process::{Pid, PidfdFlags, pidfd_open};
use serde_json::Value;

use super::args::LspArgs;
use super::exit::{Class, ExitCode, Failure};
use super::load;
use super::printer::Printer;
use super::settings::Settings;
use crate::host::HostFiles;
use crate::lsp::{CheckJob, CheckResult, Frame, FrameError, Next, Server, read_frame};

/// So long the typing rests before a check.
const REST: Duration = Duration::from_millis(80);

/// So long a check waits at most.
const WAIT_MAX: Duration = Duration::from_millis(400);

/// The exit code of a session that ends without the word of the editor, as the protocol asks for.
const UNCLEAN: u8 = 1;

/// What the session can hear of.
#[derive(Debug)]
enum Input {
    Frame(Frame),
    /// Standard input has ended.
    Ended(Option<FrameError>),
    EditorGone,
    Checked(Option<Box<CheckResult>>),
}

/// Serves until the editor says that it is enough, or goes.
pub(crate) fn run(args: &LspArgs, settings: &Settings, printer: &Printer) -> Result<ExitCode, Failure> {
    let template = load::for_editor(settings)?;
    let (sender, inbox) = channel();
    let (jobs, todo) = channel();
    let of_reader = sender.clone();
    thread::spawn(move || read(&of_reader));
    let of_checker = sender.clone();
    thread::spawn(move || check(&todo, &of_checker));
    let mut session = Session {
        server: Server::new(template),
        files: HostFiles::new(),
        sender,
        jobs,
        is_checking: false,
        watched: None,
        first_change: None,
        last_change: None,
    };
    if let Some(process) = args.client_process_id {
        session.watch(process);
    }
    let code = session.serve(&inbox)?;
    if code != ExitCode::Passed {
        printer.note("note: the editor ended the session without `shutdown`\n");
    }
    Ok(code)
}

struct Session {
    server: Server,
    files: HostFiles,
    sender: Sender<Input>,
    jobs: Sender<CheckJob>,
    is_checking: bool,
    /// The editor's process.
    watched: Option<u32>,
    /// When what is still to be checked began to change, and when it changed last.
    first_change: Option<Instant>,
    last_change: Option<Instant>,
}

impl Session {
    fn serve(&mut self, inbox: &Receiver<Input>) -> Result<ExitCode, Failure> {
        loop {
            let first = match self.due() {
                None => inbox.recv().ok(),
                Some(wait) => match inbox.recv_timeout(wait) {
                    Ok(input) => Some(input),
                    Err(RecvTimeoutError::Timeout) => {
                        self.start_check();
                        continue;
                    }
                    Err(RecvTimeoutError::Disconnected) => None,
                },
            };
            let inputs: Vec<Input> = first.into_iter().chain(inbox.try_iter()).collect();
            let mut batch = Vec::new();
            let mut end = None;
            for input in inputs {
                match input {
                    Input::Frame(frame) => batch.push(frame),
                    Input::Checked(result) => {
                        self.is_checking = false;
                        let said = result.map(|result| self.server.absorb(*result)).unwrap_or_default();
                        self.send(&said)?;
                    }
                    Input::Ended(Some(error)) => return Err(Failure::new(Class::World, error)),
                    Input::Ended(None) | Input::EditorGone => end = Some(ExitCode::Run(UNCLEAN)),
                }
            }
            let is_busy = !batch.is_empty();
            let (said, next) = self.server.receive(batch, &self.files);
            // Before the editor hears that all has begun: once it is gone, it cannot be told from one that is elsewhere.
            if let Some(process) = self.server.editor() {
                self.watch(process);
            }
            self.send(&said)?;
            match (next, end) {
                (Next::End { is_clean: true }, _) => return Ok(ExitCode::Passed),
                (Next::End { is_clean: false }, _) => return Ok(ExitCode::Run(UNCLEAN)),
                (Next::Go, Some(code)) => return Ok(code),
                (Next::Go, None) => {}
            }
            if is_busy {
                self.note_change();
            }
        }
    }

    fn note_change(&mut self) {
        if self.server.is_dirty() {
            let now = Instant::now();
            self.first_change.get_or_insert(now);
            self.last_change = Some(now);
        }
    }

    /// How long the next check is still to wait; none where there is none to be made now.
    fn due(&self) -> Option<Duration> {
        if self.is_checking || !self.server.is_dirty() {
            return None;
        }
        let rested = self.last_change.map(|last| last + REST);
        let longest = self.first_change.map(|first| first + WAIT_MAX);
        let at = rested.into_iter().chain(longest).min();
        Some(at.map_or(Duration::ZERO, |at| at.saturating_duration_since(Instant::now())))
    }

    fn start_check(&mut self) {
        let Some(job) = self.server.take_job(&self.files) else { return };
        (self.first_change, self.last_change) = (None, None);
        self.is_checking = self.jobs.send(job).is_ok();
    }

    /// Hears of the end of the editor. A process that is not there, as that of an editor outside this container, tells
    /// nothing: then the end of standard input does.
    fn watch(&mut self, process: u32) {
        if self.watched.replace(process) == Some(process) {
            return;
        }
        let Some(pid) = i32::try_from(process).ok().and_then(Pid::from_raw) else { return };
        let Ok(editor) = pidfd_open(pid, PidfdFlags::empty()) else { return };
        let sender = self.sender.clone();
        thread::spawn(move || {
            let mut ends = [PollFd::new(&editor, PollFlags::IN)];
            while matches!(poll(&mut ends, None), Err(rustix::io::Errno::INTR)) {}
            // The session may have ended meanwhile.
            let _ = sender.send(Input::EditorGone);
        });
    }

    fn send(&self, messages: &[Value]) -> Result<(), Failure> {
        let mut stdout = io::stdout().lock();
        let mut write = |message: &Value| -> io::Result<()> {
            let text = message.to_string();
            write!(stdout, "Content-Length: {}\r\n\r\n{text}", text.len())?;
            stdout.flush()
        };
        for message in messages {
            match write(message) {
                // Its end of standard input is about to tell the same.
                Err(error) if error.kind() == io::ErrorKind::BrokenPipe => return Ok(()),
                written => written.map_err(|error| Failure::new(Class::World, SendError(error)))?,
            }
        }
        Ok(())
    }
}

/// Why nothing can be said to the editor.
#[derive(Debug, thiserror::Error)]
#[error("cannot write to the editor")]
struct SendError(#[source] io::Error);

/// Reads all frames.
fn read(sender: &Sender<Input>) {
    let mut stdin = BufReader::new(io::stdin());
    loop {
        let input = match read_frame(&mut stdin) {
            Ok(Some(frame)) => Input::Frame(frame),
            Ok(None) => Input::Ended(None),
            Err(error) => Input::Ended(Some(error)),
        };
        let is_end = matches!(input, Input::Ended(_));
        if sender.send(input).is_err() || is_end {
            return;
        }
    }
}

/// Makes one check after the other.
fn check(jobs: &Receiver<CheckJob>, sender: &Sender<Input>) {
    let files = HostFiles::new();
    for job in jobs {
        // A mistake of ours costs the remarks of this text, not the session.
        let result = catch_unwind(AssertUnwindSafe(|| job.run(&files))).ok().flatten();
        if sender.send(Input::Checked(result.map(Box::new))).is_err() {
            return;
        }
    }
}

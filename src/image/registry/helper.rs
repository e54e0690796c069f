//! Credential helpers of docker: `docker-credential-NAME get`, with the registry on standard input and JSON as the answer.

use std::fs::File;
use std::io::{self, Read as _, Seek as _, Write as _};
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use rustix::fs::{MemfdFlags, memfd_create};

use super::surroundings::Surroundings;
use super::text::shown;
use crate::image::waiter::LOOK;
use crate::sys::child::{self, Child, ChildExit, ChildSpec, ChildStdio};

/// How long a helper may take; it may ask the user to open a key ring.
const LIMIT: Duration = Duration::from_secs(30);
/// Bytes of an answer.
const ANSWER_MAX: u64 = 64 << 10;
/// What helpers say, and exit with 1, where they know no credentials.
const NOT_FOUND: &str = "credentials not found in native keychain";

/// Why a helper gave nothing.
#[derive(Debug, thiserror::Error)]
pub(super) enum HelperError {
    #[error("its name is none")]
    Name,
    #[error("it cannot be run: it is not in `PATH`")]
    Missing,
    #[error("it cannot be run: {0}")]
    Run(#[from] io::Error),
    #[error("it failed: {0}")]
    Failed(String),
    #[error("it did not answer within {} s", LIMIT.as_secs())]
    Slow,
    #[error("it said what is no answer of a helper")]
    Form,
}

/// What it answers. Deliberately without `Debug`.
#[derive(serde::Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Answer {
    username: String,
    secret: String,
}

/// Asks a helper; user and secret, where it knows any.
pub(super) fn ask(
    name: &str,
    key: &str,
    surroundings: &Surroundings,
    has_left: &AtomicBool,
) -> Result<Option<(String, String)>, HelperError> {
    if name.is_empty() || name.contains('/') {
        return Err(HelperError::Name);
    }
    let mut question = File::from(memfd_create("registry", MemfdFlags::CLOEXEC).map_err(io::Error::from)?);
    question.write_all(key.as_bytes())?;
    question.rewind()?;
    let (read, write) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC).map_err(io::Error::from)?;
    let mut spec = ChildSpec::new(program(name, surroundings));
    spec.args.push("get".into());
    spec.stdin = ChildStdio::Fd(question.into());
    spec.stdout = ChildStdio::Fd(write);
    spec.identity.clone_from(&surroundings.helper_identity);
    let replaced = &surroundings.helper_variables;
    let ours = std::env::vars_os().filter(|(name, _)| !replaced.iter().any(|(other, _)| other == name));
    spec.env = Some(ours.chain(replaced.iter().cloned()).collect());
    let child = child::spawn(spec).map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => HelperError::Missing,
        _ => HelperError::Run(error),
    })?;
    let answer = collect(read);
    let exit = wait(&child, has_left)?;
    // What it left running may hold the pipe; its end has nothing to say.
    let text = answer.recv_timeout(Duration::from_secs(1)).map_err(|_| HelperError::Slow)?;
    if exit == ChildExit::Code(0) {
        let answer: Answer = serde_json::from_slice(&text).map_err(|_| HelperError::Form)?;
        // Some answer so where they know none.
        let is_some = !answer.username.is_empty() || !answer.secret.is_empty();
        return Ok(is_some.then_some((answer.username, answer.secret)));
    }
    let said = String::from_utf8_lossy(&text);
    if said.contains(NOT_FOUND) {
        return Ok(None);
    }
    Err(HelperError::Failed(match (shown(said.trim()), exit) {
        (said, _) if !said.is_empty() => said,
        (_, ChildExit::Code(code)) => format!("exit code {code}"),
        (_, ChildExit::Signal(signal)) => format!("signal {signal}"),
    }))
}

/// The program, in the `PATH` that it gets.
fn program(name: &str, surroundings: &Surroundings) -> PathBuf {
    let bare = format!("docker-credential-{name}");
    let path = surroundings.helper_variables.iter().find(|(name, _)| name == "PATH");
    let folders = path.into_iter().flat_map(|(_, path)| std::env::split_paths(path));
    folders.map(|folder| folder.join(&bare)).find(|file| file.is_file()).unwrap_or_else(|| bare.into())
}

/// Reads what it says on a thread, which ends with the pipe.
fn collect(pipe: OwnedFd) -> mpsc::Receiver<Vec<u8>> {
    let (told, answer) = mpsc::channel();
    thread::spawn(move || {
        let mut bytes = Vec::new();
        let _ = File::from(pipe).take(ANSWER_MAX).read_to_end(&mut bytes);
        let _ = told.send(bytes);
    });
    answer
}

fn wait(child: &Child, has_left: &AtomicBool) -> Result<ChildExit, HelperError> {
    let start = Instant::now();
    loop {
        if let Some(exit) = child.wait_for(LOOK)? {
            return Ok(exit);
        }
        if has_left.load(Ordering::Relaxed) || start.elapsed() > LIMIT {
            child.kill_group();
            return Err(HelperError::Slow);
        }
    }
}

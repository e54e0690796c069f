//! `smolvm cp`: files into a machine that is up, or out of it, as docker copies them.
//!
//! The agent's own program packs and unpacks inside the machine, so that an image needs none for it. What comes from a
//! machine is not trusted: `guest::unpack` lets no name out of the destination, and no setuid bit along.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::io::{self, BufWriter, IsTerminal, Read, Write};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::PathBuf;

use clap::Args;
use tokio::sync::{mpsc, watch};

use super::archive;
use crate::cli::args::GlobalArgs;
use crate::cli::exec::{attend, refused};
use crate::cli::exit::{Class, ExitCode, Failure};
use crate::cli::interrupts::Interrupts;
use crate::cli::printer::Printer;
use crate::cli::project::{KnownProject, told};
use crate::cli::settings::Settings;
use crate::control::ExecAsk;
use crate::guest::{
    AGENT_PROGRAM, Destination, ExitStatus, FOLLOWED, Output, PACK, Skipped, Stream, Streams, TerminalSize, UNPACK,
    UNPACK_CONTENTS, WITH_OWNERS, pack, unpack,
};
use crate::run::Attended;

/// Pieces that wait on either way.
const WAITING: usize = 4;

/// Bytes of a piece.
const PIECE: usize = 64 << 10;

/// What a machine may say about its failure, or what it did not copy, in bytes.
const SAID_MAX: usize = 16 << 10;

/// Options of `cp`.
#[derive(Debug, Args)]
pub(crate) struct CopyArgs {
    /// What is copied: `MACHINE:PATH`, or a path of this computer; `FOLDER/.` is what the folder holds, `-` a tar archive on
    /// standard input, whose entries are copied
    #[arg(value_name = "SRC")]
    source: OsString,
    /// Where to: a folder that is there takes it by its name, else it gets this name; `-` writes a tar archive to standard
    /// output
    #[arg(value_name = "DST")]
    target: OsString,
    /// Keep user and group of everything, as numbers
    #[arg(short = 'a', long)]
    archive: bool,
    /// Where `SRC` is a link, copy what it leads to
    #[arg(short = 'L', long)]
    follow_link: bool,
    #[command(flatten)]
    pub(crate) global: GlobalArgs,
}

/// Why nothing, or not all, was copied.
#[derive(Debug, thiserror::Error)]
enum CopyError {
    #[error("one of `{0}` and `{1}` must be a path of a machine, and the other one of this computer")]
    NotOneMachine(String, String),
    #[error("an archive is not {0} a terminal")]
    Terminal(&'static str),
    #[error("machine `{0}` ended before all was copied")]
    MachineGone(String),
    #[error("machine `{machine}` cannot copy: {said}")]
    InMachine { machine: String, said: String },
    #[error("cannot copy")]
    Here(#[source] io::Error),
}

/// A place in a machine: its name and a path.
#[derive(Debug, PartialEq, Eq)]
struct InMachine<'a> {
    machine: &'a str,
    path: OsString,
}

/// Takes `MACHINE:PATH`; a path of this computer with a colon begins with `/` or `.`.
fn in_machine(word: &OsStr) -> Option<InMachine<'_>> {
    let word = word.as_bytes();
    let colon = word.iter().position(|byte| *byte == b':')?;
    // The names of machines are text, paths are bytes.
    let machine = std::str::from_utf8(&word[..colon]).ok()?;
    if machine.is_empty() || machine.starts_with(['/', '.']) || machine.contains('/') {
        return None;
    }
    let path = &word[colon + 1..];
    let root: &[u8] = if path.starts_with(b"/") { b"" } else { b"/" };
    Some(InMachine { machine, path: OsString::from_vec([root, path].concat()) })
}

/// Whether the entries of a folder are meant instead of the folder.
fn is_contents(path: &OsStr) -> bool {
    path == "." || path.as_bytes().ends_with(b"/.")
}

/// A tar archive on standard input or output.
const ARCHIVE: &str = "-";

/// What is to be done: the place in the machine, the words for the agent's program there, and the work here.
fn parse(args: &CopyArgs) -> Result<(InMachine<'_>, Vec<OsString>, Work), Failure> {
    let usage = |error| Failure::new(Class::Usage, error);
    match (in_machine(&args.source), in_machine(&args.target)) {
        (None, Some(place)) => {
            let is_archive = args.source == ARCHIVE;
            if is_archive && io::stdin().is_terminal() {
                return Err(usage(CopyError::Terminal("read from")).help("pipe it in: `tar -c FILE | smolvm cp - …`"));
            }
            let verb = if is_archive || is_contents(&args.source) { UNPACK_CONTENTS } else { UNPACK };
            let mut words = vec![verb.into(), place.path.clone()];
            words.extend(args.archive.then(|| WITH_OWNERS.into()));
            let give = Work::Give { from: PathBuf::from(&args.source), is_followed: args.follow_link };
            Ok((place, words, if is_archive { Work::GiveArchive } else { give }))
        }
        (Some(place), None) => {
            let is_archive = args.target == ARCHIVE;
            if is_archive && io::stdout().is_terminal() {
                return Err(usage(CopyError::Terminal("written to")).help("redirect it: `smolvm cp … - > FILE.tar`"));
            }
            let mut words = vec![PACK.into(), place.path.clone()];
            words.extend(args.follow_link.then(|| FOLLOWED.into()));
            let is_contents = is_contents(&place.path);
            let take = Work::Take { to: PathBuf::from(&args.target), is_contents, has_owners: args.archive };
            Ok((place, words, if is_archive { Work::TakeArchive { is_contents } } else { take }))
        }
        _ => {
            let [source, target] = [&args.source, &args.target].map(|word| word.display().to_string());
            let error = CopyError::NotOneMachine(source, target);
            Err(usage(error).help("`MACHINE:PATH` is a path of a machine"))
        }
    }
}

/// Copies.
pub(crate) fn run(args: &CopyArgs, settings: &Settings, printer: &Printer) -> Result<ExitCode, Failure> {
    let (place, words, work) = parse(args)?;
    let Interrupts { runtime, mut signals } = Interrupts::listen()?;
    let known = KnownProject::find(settings)?;
    let client = known.holder("`smolvm up -d` brings the machines up")?;
    let machine = place.machine.to_owned();
    let copied = runtime.block_on(async {
        known.has_machine(&machine, &client.view().await.map_err(told)?)?;
        let ask = ExecAsk {
            machine: machine.clone(),
            command: [AGENT_PROGRAM.into()].into_iter().chain(words).collect(),
            env: BTreeMap::new(),
            working_dir: Some("/".into()),
            user: Some("0:0".to_owned()),
            streams: Streams::Pipes,
        };
        let remote = client.exec(ask).await.map_err(refused)?;
        let (attended, given, taken) = ends();
        let here = tokio::task::spawn_blocking(move || work.carry_out(given, taken));
        let ended = attend(remote, attended, &mut signals).await.map_err(told)?;
        let (done, skipped, said) =
            here.await.map_err(|error| Failure::new(Class::World, CopyError::Here(error.into())))?;
        let Some((status, _)) = ended else {
            return Err(Failure::new(Class::World, CopyError::MachineGone(machine)));
        };
        match done {
            // The machine knows better why it took no more, or gave no more.
            Err(error) if said.is_empty() || !is_cut(&error) => Err(CopyError::Here(error)),
            _ if status == ExitStatus::Code(0) => Ok(remarks(&machine, skipped, &said)),
            _ => Err(CopyError::InMachine { machine, said: said.replace('\n', "; ") }),
        }
        .map_err(|error| Failure::new(Class::World, error))
    });
    runtime.shutdown_background();
    printer.note(&copied?);
    Ok(ExitCode::Passed)
}

/// What was not copied: here, and what the machine says of itself.
fn remarks(machine: &str, skipped: Skipped, said: &str) -> String {
    let here = skipped.lines().into_iter().map(|line| format!("warning: {line}\n"));
    here.chain(said.lines().map(|line| format!("warning: in machine `{machine}`: {line}\n"))).collect()
}

fn is_cut(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::BrokenPipe | io::ErrorKind::UnexpectedEof)
}

/// The two sides of the streams: the command's, and this process's.
fn ends() -> (Attended, mpsc::Sender<Vec<u8>>, mpsc::Receiver<Output>) {
    let (given, input) = mpsc::channel(WAITING);
    let (output, taken) = mpsc::channel(WAITING);
    let (_, size) = watch::channel(TerminalSize { rows: 24, columns: 80 });
    (Attended { input, output, size }, given, taken)
}

/// What this process does.
enum Work {
    Give { from: PathBuf, is_followed: bool },
    GiveArchive,
    Take { to: PathBuf, is_contents: bool, has_owners: bool },
    TakeArchive { is_contents: bool },
}

impl Work {
    /// Does it, and tells what was not copied, and what the machine said.
    fn carry_out(
        self,
        given: mpsc::Sender<Vec<u8>>,
        taken: mpsc::Receiver<Output>,
    ) -> (io::Result<()>, Skipped, String) {
        let mut skipped = Skipped::default();
        let mut taken = Taken { taken, piece: Vec::new(), read: 0, said: Vec::new() };
        let mut given = BufWriter::with_capacity(PIECE, Given(given));
        let done = match self {
            Self::Give { from, is_followed } => {
                let done = pack(&from, is_followed, &mut given, &mut skipped);
                drop(given);
                done
            }
            Self::GiveArchive => {
                let done = archive::read(io::stdin().lock(), &mut given, &mut skipped);
                drop(given);
                done
            }
            Self::Take { to, is_contents, has_owners } => {
                drop(given);
                // What a machine sends is not trusted.
                let to = Destination { path: &to, is_contents, mode_mask: 0o777, has_owners, is_trusted: false };
                unpack(&to, &mut taken)
            }
            Self::TakeArchive { is_contents } => {
                drop(given);
                archive::write(&mut taken, is_contents, BufWriter::with_capacity(PIECE, io::stdout().lock()))
            }
        };
        // Who failed here takes no more, and so ends the command.
        if done.as_ref().err().is_none_or(is_cut) {
            while taken.next() {}
        }
        let said = String::from_utf8_lossy(&taken.said);
        let said = said.trim().lines().map(|line| {
            line.chars().map(|letter| if letter.is_control() { '\u{fffd}' } else { letter }).collect::<String>()
        });
        (done, skipped, said.collect::<Vec<_>>().join("\n"))
    }
}

/// The command's input.
struct Given(mpsc::Sender<Vec<u8>>);

impl Write for Given {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.blocking_send(bytes.to_vec()).map_err(|_| io::Error::from(io::ErrorKind::BrokenPipe))?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The command's output; what it says on the other stream is kept.
struct Taken {
    taken: mpsc::Receiver<Output>,
    piece: Vec<u8>,
    read: usize,
    said: Vec<u8>,
}

impl Taken {
    /// Waits for another piece; false at the end.
    fn next(&mut self) -> bool {
        let Some(Output { stream, bytes }) = self.taken.blocking_recv() else { return false };
        match stream {
            Stream::Stdout => (self.piece, self.read) = (bytes, 0),
            Stream::Stderr => {
                let room = SAID_MAX.saturating_sub(self.said.len()).min(bytes.len());
                self.said.extend_from_slice(&bytes[..room]);
            }
        }
        true
    }
}

impl Read for Taken {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.read == self.piece.len() {
            if !self.next() {
                return Ok(0);
            }
        }
        let count = buffer.len().min(self.piece.len() - self.read);
        buffer[..count].copy_from_slice(&self.piece[self.read..self.read + count]);
        self.read += count;
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_with_a_colon_is_of_this_computer_where_it_begins_so() {
        let place = |path: &[u8]| Some(InMachine { machine: "db", path: OsString::from_vec(path.to_vec()) });
        assert_eq!(in_machine(OsStr::new("db:/etc")), place(b"/etc"));
        assert_eq!(in_machine(OsStr::new("db:x/.")), place(b"/x/."));
        assert_eq!(in_machine(OsStr::from_bytes(b"db:a\xff:\n")), place(b"/a\xff:\n"));
        for word in ["file", "./a:b", "/a:b", "../a:b", "a/b:c", ":x"] {
            assert_eq!(in_machine(OsStr::new(word)), None, "{word}");
        }
        assert_eq!(in_machine(OsStr::from_bytes(b"\xff:x")), None);
        let is = |path: &str| is_contents(OsStr::new(path));
        assert!(is("a/.") && is(".") && !is("a."));
    }
}

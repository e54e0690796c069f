//! Who sits at the command: the streams of this process, or its terminal.
//!
//! ```text
//! standard input ─► thread ─► (4 pieces) ─► command ─► (4 pieces) ─► thread ─► standard output, standard error
//! SIGWINCH ─► size of the terminal ─► command
//! ```
//!
//! The thread that reads begins when the command does, so that nobody is robbed of input for a machine that never
//! comes up, and is left to the end of the process. The terminal is given back by whatever end.

use std::fs::File;
use std::io::{self, IsTerminal, Read, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::panic;
use std::sync::mpsc as std_mpsc;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use clap::Args;
use rustix::event::{PollFd, PollFlags, poll};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{mpsc, oneshot, watch};

use crate::guest::{Output, Stream, Streams, Terminal, TerminalSize};
use crate::run::{Attend, Attended};
use crate::sys::terminal::{self, Keys};

/// Pieces that wait on either way.
const WAITING: usize = 4;

/// Bytes of a piece of input.
const PIECE: usize = 64 << 10;

/// The size of a terminal that does not tell its own.
const USUAL_SIZE: TerminalSize = TerminalSize { rows: 24, columns: 80 };

/// What is wanted of the streams.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Wanted {
    /// A terminal for the command.
    pub(crate) has_terminal: bool,
    /// Standard input for the command.
    pub(crate) has_input: bool,
}

/// What may be typed about the streams of a command.
#[derive(Debug, Clone, Args)]
pub(crate) struct StreamArgs {
    /// Pass standard input on, also where it is a terminal and standard output is none
    #[arg(short = 'i', long)]
    pub(crate) interactive: bool,
    /// Give the command a terminal, also where standard input and output are none
    #[arg(short = 't', long, conflicts_with = "no_tty")]
    pub(crate) tty: bool,
    /// Give the command no terminal, also where standard input and output are one
    #[arg(short = 'T', long)]
    pub(crate) no_tty: bool,
}

impl StreamArgs {
    /// A terminal where a person sits at both ends, as docker compose gives one; input where it is more than a person who
    /// only looks on, or no terminal was asked for.
    pub(crate) fn wanted(&self) -> Wanted {
        let has_keys = io::stdin().is_terminal();
        let has_terminal = self.tty || (!self.no_tty && has_keys && io::stdout().is_terminal());
        Wanted { has_terminal, has_input: self.interactive || self.no_tty || !has_keys || has_terminal }
    }
}

/// The streams of this process.
pub(crate) struct Attendant {
    wanted: Wanted,
    size: watch::Receiver<TerminalSize>,
    keys: Option<Arc<Keys>>,
    once: Mutex<Option<Once>>,
}

/// What the beginning takes.
struct Once {
    /// Closed when nothing of ours is on the terminal any more.
    is_clear: std_mpsc::Receiver<()>,
    written: oneshot::Sender<io::Result<()>>,
}

/// The end of what the command writes.
pub(crate) struct Written(oneshot::Receiver<io::Result<()>>);

impl Attendant {
    /// Prepares the streams; the command's output waits until the other end of `is_clear` is dropped. Must be called
    /// within a tokio runtime.
    ///
    /// # Errors
    /// Where the terminal cannot be used.
    pub(crate) fn new(wanted: Wanted, is_clear: std_mpsc::Receiver<()>) -> io::Result<(Self, Written)> {
        let (sizes, size) = watch::channel(own_size());
        let mut keys = None;
        if wanted.has_terminal {
            follow_size(sizes)?;
            if io::stdin().is_terminal() {
                let own = Arc::new(Keys::of(io::stdin())?);
                give_back_on_panic(&own);
                keys = Some(own);
            }
        }
        let (written, end) = oneshot::channel();
        let once = Mutex::new(Some(Once { is_clear, written }));
        Ok((Self { wanted, size, keys, once }, Written(end)))
    }

    /// Gives the terminal back. A command that has not begun never will.
    pub(crate) fn leave(&self) {
        drop(self.once.lock().unwrap_or_else(PoisonError::into_inner).take());
        if let Some(keys) = &self.keys {
            keys.give_back();
        }
    }
}

impl Attend for Attendant {
    fn streams(&self) -> Streams {
        if !self.wanted.has_terminal {
            return Streams::Pipes;
        }
        let kind = std::env::var("TERM").ok().filter(|kind| !kind.is_empty()).unwrap_or_else(|| "xterm".to_owned());
        Streams::Terminal(Terminal { kind, size: *self.size.borrow() })
    }

    fn begin(&self) -> Attended {
        let (to_command, input) = mpsc::channel(WAITING);
        let (output, from_command) = mpsc::channel(WAITING);
        let once = self.once.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(once) = once {
            if let Some(keys) = &self.keys {
                // A terminal that cannot be changed works by the line.
                let _ = keys.pass_on();
            }
            let work = move || {
                // Nothing is ever sent: this is the end of the sender.
                let _ = once.is_clear.recv();
                // The verb may have given up.
                let _ = once.written.send(write_all(from_command));
            };
            // Without a thread its channel closes, and with it the command's outputs.
            let _ = thread::Builder::new().name("output".to_owned()).spawn(work);
            if self.wanted.has_input {
                // Without a thread the input is at its end.
                let _ = thread::Builder::new().name("input".to_owned()).spawn(move || read_all(&to_command));
            }
        }
        Attended { input, output, size: self.size.clone() }
    }
}

impl Written {
    /// Waits until all is written; tells why it could not be.
    pub(crate) async fn wait(self) -> io::Result<()> {
        // A command that never began has written nothing.
        self.0.await.unwrap_or(Ok(()))
    }
}

fn own_size() -> TerminalSize {
    let size =
        terminal::size(io::stdout()).or_else(|| terminal::size(io::stdin())).or_else(|| terminal::size(io::stderr()));
    size.map_or(USUAL_SIZE, |(columns, rows)| TerminalSize { rows, columns })
}

fn follow_size(sizes: watch::Sender<TerminalSize>) -> io::Result<()> {
    let mut changes = signal(SignalKind::window_change())?;
    tokio::spawn(async move {
        while changes.recv().await.is_some() {
            if sizes.send(own_size()).is_err() {
                return;
            }
        }
    });
    Ok(())
}

/// A panic, of whatever thread, first gives the terminal back, so that its message can be read.
fn give_back_on_panic(keys: &Arc<Keys>) {
    let keys = Arc::clone(keys);
    let before = panic::take_hook();
    panic::set_hook(Box::new(move |panic| {
        keys.give_back();
        before(panic);
    }));
}

fn read_all(to_command: &mpsc::Sender<Vec<u8>>) {
    // Not through the standard library's buffer: what is not taken stays where it is.
    let Ok(stdin) = io::stdin().as_fd().try_clone_to_owned() else { return };
    let mut stdin = File::from(stdin);
    let mut buffer = vec![0; PIECE];
    loop {
        match stdin.read(&mut buffer) {
            Ok(count) if count > 0 => {
                if to_command.blocking_send(buffer[..count].to_vec()).is_err() {
                    return;
                }
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => wait(stdin.as_fd(), PollFlags::IN),
            // What cannot be read is at its end, as for every program.
            Ok(_) | Err(_) => return,
        }
    }
}

/// Writes what the command writes, without a buffer between.
fn write_all(mut from_command: mpsc::Receiver<Output>) -> io::Result<()> {
    let stdout = File::from(io::stdout().as_fd().try_clone_to_owned()?);
    let stderr = File::from(io::stderr().as_fd().try_clone_to_owned()?);
    while let Some(Output { stream, bytes }) = from_command.blocking_recv() {
        let file = match stream {
            Stream::Stdout => &stdout,
            Stream::Stderr => &stderr,
        };
        write_piece(file, &bytes)?;
    }
    Ok(())
}

fn write_piece(mut file: &File, mut bytes: &[u8]) -> io::Result<()> {
    while !bytes.is_empty() {
        match file.write(bytes) {
            Ok(count) => bytes = &bytes[count..],
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            // Somebody else may have set the terminal so.
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => wait(file.as_fd(), PollFlags::OUT),
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

fn wait(file: BorrowedFd<'_>, for_what: PollFlags) {
    // Where it cannot be waited for, the next attempt says why.
    let _ = poll(&mut [PollFd::from_borrowed_fd(file, for_what)], None);
}

//! The thread that shows images on their way.
//!
//! Deliberately not here: any text (`report`).

use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::sync::mpsc::{Receiver, Sender, channel};

use crate::cli::exit::{Class, Failure};
use crate::cli::printer::Printer;
use crate::cli::report_run::Mode;
use crate::cli::settings::Settings;
use crate::cli::terminal::{self, Terminal, TerminalSignals};
use crate::report::{PullLines, ReportOptions, Sink, Style, TerminalPull, TimedFact, Verbosity};

/// Facts that may wait before the work is held back.
const FACTS_WAITING: usize = 1024;

/// How long the end of an interrupted pull waits for a reader that does not read.
const READER_PATIENCE: Duration = Duration::from_secs(1);

/// The thread that shows it.
#[derive(Debug)]
pub(crate) struct Showing {
    done: mpsc::Receiver<()>,
}

impl Showing {
    /// Waits until all is shown; after a signal not for ever.
    pub(crate) fn finish(self, is_interrupted: bool) {
        // Either way nothing is left to do: a thread that panicked has told so by the panic itself.
        let _ = match is_interrupted {
            true => self.done.recv_timeout(READER_PATIENCE).is_ok(),
            false => self.done.recv().is_ok(),
        };
    }
}

/// Why nothing can be shown.
#[derive(Debug, thiserror::Error)]
enum ShowError {
    #[error("the thread that shows it cannot be started")]
    Thread(#[source] std::io::Error),
    #[error("the signals of the terminal cannot be handled")]
    Signals(#[source] std::io::Error),
}

/// How it is shown.
enum Shown {
    Lines(Box<PullLines>),
    Block(Box<(Terminal, TerminalPull, TerminalSignals)>),
}

/// Starts the thread, for so many images; it ends when the sender is dropped.
pub(crate) fn spawn(
    mode: Mode,
    count: usize,
    settings: &Settings,
    printer: &Printer,
    runtime: &Handle,
) -> Result<(Sender<TimedFact>, Showing), Failure> {
    let failed = |error| Failure::new(Class::World, error);
    let shown = shown(mode, count, settings, printer, runtime).map_err(failed)?;
    let (sender, facts) = channel(FACTS_WAITING);
    let runtime = runtime.clone();
    let (done_sender, done) = mpsc::channel();
    let work = move || {
        shown.follow(facts, &runtime);
        // Nobody waits for the word after a signal.
        let _ = done_sender.send(());
    };
    let thread = thread::Builder::new().name("report".to_owned()).spawn(work);
    thread.map_err(|error| failed(ShowError::Thread(error)))?;
    Ok((sender, Showing { done }))
}

fn shown(
    mode: Mode,
    count: usize,
    settings: &Settings,
    printer: &Printer,
    runtime: &Handle,
) -> Result<Shown, ShowError> {
    let colored =
        |style: Style| if mode == Mode::Tty && settings.color.is_wanted(true) { Style::new(true) } else { style };
    let volume = if mode == Mode::Quiet { Verbosity::Quiet } else { settings.volume };
    let options = ReportOptions {
        start: jiff::Zoned::now(),
        verbosity: volume,
        stdout_style: printer.stdout_style(),
        stderr_style: colored(printer.stderr_style()),
        again: String::new(),
        offers_shell: false,
    };
    Ok(match mode {
        Mode::Json => Shown::Lines(Box::new(PullLines::programs(options, Sink::stdout()))),
        Mode::Tty if volume > Verbosity::Quiet => {
            let _entered = runtime.enter();
            let signals = TerminalSignals::listen().map_err(ShowError::Signals)?;
            let terminal = Terminal::Stderr;
            let mut reporter = TerminalPull::new(options, count, terminal.screen());
            terminal.clear_on_panic(&mut reporter);
            Shown::Block(Box::new((terminal, reporter, signals)))
        }
        Mode::Tty | Mode::Plain | Mode::Quiet => Shown::Lines(Box::new(PullLines::people(options, Sink::stderr()))),
    })
}

impl Shown {
    fn follow(self, mut facts: Receiver<TimedFact>, runtime: &Handle) {
        match self {
            Self::Lines(mut lines) => {
                while let Some(fact) = facts.blocking_recv() {
                    lines.on(&fact);
                }
            }
            Self::Block(block) => {
                let (terminal, reporter, signals) = *block;
                runtime.block_on(terminal::follow(terminal, reporter, facts, signals, |_| ()));
            }
        }
    }
}

//! The verb: finds the run, reads it, shows it, and goes on while the run does.

use std::io::{self, IsTerminal, Write};
use std::thread;
use std::time::{Duration, SystemTime};

use clap::Args;

use super::choice::Choice;
use super::lines::{LineForm, LogLines};
use super::time;
use crate::cli::args::GlobalArgs;
use crate::cli::exit::{Class, ExitCode, Failure};
use crate::cli::number;
use crate::cli::printer::Printer;
use crate::cli::project::KnownProject;
use crate::cli::settings::{Settings, Volume};
use crate::event::OutputOf;
use crate::report::Names;
use crate::run::{LogPiece, LogReader, RunFolder};

/// How often a run that goes on is looked at.
const LOOK: Duration = Duration::from_millis(100);

/// Options of `logs`.
#[derive(Debug, Args)]
pub(crate) struct LogsArgs {
    /// Steps, or machines with their service and their steps; all by default
    #[arg(value_name = "STEP|MACHINE")]
    names: Vec<String>,
    /// Go on with what is written while the run goes on
    #[arg(short = 'f', long)]
    follow: bool,
    /// Show only the last lines of each step and service; `all` is the default
    #[arg(short = 'n', long, value_name = "N", value_parser = parse_tail, allow_negative_numbers = true)]
    tail: Option<Tail>,
    /// Show what came since then: `10m`, `2026-03-01T12:00:00Z`
    #[arg(long, value_name = "TIME", value_parser = time::parse, allow_hyphen_values = true)]
    since: Option<SystemTime>,
    /// Show what came before then
    #[arg(long, value_name = "TIME", value_parser = time::parse, allow_hyphen_values = true)]
    until: Option<SystemTime>,
    /// Show when each line came
    #[arg(short = 't', long)]
    timestamps: bool,
    /// Show the lines without the names before them
    #[arg(long)]
    no_log_prefix: bool,
    #[command(flatten)]
    pub(crate) global: GlobalArgs,
}

/// How many of the last lines.
#[derive(Debug, Clone, Copy)]
struct Tail(Option<usize>);

fn parse_tail(text: &str) -> Result<Tail, String> {
    match text {
        "all" => Ok(Tail(None)),
        number => match number::digits(number) {
            Some(count) => Ok(Tail(Some(count))),
            None => Err("write how many lines, as `20`, or `all`".to_owned()),
        },
    }
}

/// Why logs cannot be shown.
#[derive(Debug, thiserror::Error)]
enum LogsError {
    #[error("the logs of the run `{run}` cannot be read")]
    Read { run: String, source: io::Error },
    #[error("cannot write to standard output")]
    Write(#[source] io::Error),
}

/// How showing ends before its end.
enum Stop {
    Read(io::Error),
    Write(io::Error),
}

impl From<io::Error> for Stop {
    fn from(error: io::Error) -> Self {
        Self::Read(error)
    }
}

/// Shows them.
pub(crate) fn run(args: &LogsArgs, settings: &Settings, printer: &Printer) -> Result<ExitCode, Failure> {
    let known = KnownProject::find(settings)?;
    let mut runs = known.state.runs().map_err(|error| Failure::new(Class::World, error))?;
    let last = runs.pop();
    let has_consoles = settings.volume == Volume::Verbose;
    let choice = Choice::new(&args.names, has_consoles, &known.project, last.as_ref())?;
    let Some(last) = last else {
        printer.note(&format!("note: there is no run of `{}` yet\n", known.project.name));
        return Ok(ExitCode::Passed);
    };
    let form = LineForm {
        names: (!args.no_log_prefix).then(|| Names::padded(choice.shown())),
        has_times: args.timestamps,
        style: printer.stdout_style(),
        is_terminal: io::stdout().is_terminal(),
        since: args.since,
        until: args.until,
    };
    let is_live = |run: &RunFolder| run.is_marked() && known.state.holder().is_some();
    let next = |run: &RunFolder| {
        let runs = known.state.runs().unwrap_or_default();
        runs.into_iter().find(|later| later.previous().as_deref() == Some(run.id()))
    };
    let earlier = chain(&runs, &last);
    let lines = LogLines::new(form, args.tail.and_then(|tail| tail.0));
    let mut show = Show { reader: LogReader::new(last.clone()), run: last.clone(), choice, lines };
    let shown = show.services_of(earlier).and_then(|()| show.all(args.follow, &is_live, &next));
    match shown {
        Ok(()) => Ok(ExitCode::Passed),
        // A reader that has gone wants no more.
        Err(Stop::Write(error)) if error.kind() == io::ErrorKind::BrokenPipe => Ok(ExitCode::Passed),
        Err(Stop::Write(error)) => Err(Failure::new(Class::World, LogsError::Write(error))),
        Err(Stop::Read(source)) => {
            let run = last.id().to_owned();
            Err(Failure::new(Class::World, LogsError::Read { run, source }))
        }
    }
}

/// The runs in whose machines a run goes on, the oldest first.
fn chain(runs: &[RunFolder], last: &RunFolder) -> Vec<RunFolder> {
    let mut found: Vec<RunFolder> = Vec::new();
    let mut previous = last.previous();
    // From the newest: a run goes on in the machines of an older one.
    for run in runs.iter().rev() {
        if previous.as_deref() == Some(run.id()) {
            previous = run.previous();
            found.push(run.clone());
        }
    }
    found.reverse();
    found
}

/// Who takes what is read.
type Take<'a> = &'a mut dyn FnMut(LogPiece) -> Result<(), Stop>;

struct Show {
    reader: LogReader,
    run: RunFolder,
    choice: Choice,
    lines: LogLines,
}

impl Show {
    /// Shows what services wrote before the run, in machines that it went on in.
    fn services_of(&mut self, runs: Vec<RunFolder>) -> Result<(), Stop> {
        for run in runs {
            let mut reader = LogReader::new(run);
            let Self { choice, lines, .. } = self;
            let mut take = |piece: LogPiece| {
                if matches!(piece.source.of, OutputOf::Step(_)) || !choice.has(&piece.source) {
                    return Ok(());
                }
                let mut out = Vec::with_capacity(piece.bytes.len());
                lines.push(&piece, &mut out);
                write(&out)
            };
            reader.read_present(&mut take)?;
        }
        Ok(())
    }

    /// Shows what is there, and with `is_followed` what comes, until the run has ended.
    fn all(
        mut self,
        is_followed: bool,
        is_live: &dyn Fn(&RunFolder) -> bool,
        next: &dyn Fn(&RunFolder) -> Option<RunFolder>,
    ) -> Result<(), Stop> {
        self.round(|reader, take| reader.read_present(take))?;
        if !is_followed {
            return self.write(|lines, out| lines.end(out));
        }
        self.write(LogLines::end_past)?;
        loop {
            // Asked first: what the end of the run wrote is then read too.
            let goes_on = is_live(&self.run);
            while self.round(|reader, take| reader.read(take))? {}
            if !goes_on && let Some(run) = next(&self.run) {
                (self.reader, self.run) = (LogReader::new(run.clone()), run);
                continue;
            }
            if !goes_on {
                return self.write(|lines, out| lines.end(out));
            }
            thread::sleep(LOOK);
        }
    }

    /// Shows what a way of reading gives.
    fn round<T>(&mut self, read: impl FnOnce(&mut LogReader, &mut Take<'_>) -> Result<T, Stop>) -> Result<T, Stop> {
        let Self { reader, run, choice, lines } = self;
        let mut take = |piece: LogPiece| {
            if !choice.knows_source(&piece.source) {
                choice.learn(run);
            }
            if !choice.has(&piece.source) {
                return Ok(());
            }
            let mut out = Vec::with_capacity(piece.bytes.len());
            lines.push(&piece, &mut out);
            write(&out)
        };
        let mut take: Take<'_> = &mut take;
        read(reader, &mut take)
    }

    fn write(&mut self, render: impl FnOnce(&mut LogLines, &mut Vec<u8>)) -> Result<(), Stop> {
        let mut out = Vec::new();
        render(&mut self.lines, &mut out);
        write(&out)
    }
}

fn write(bytes: &[u8]) -> Result<(), Stop> {
    if bytes.is_empty() {
        return Ok(());
    }
    let mut stdout = io::stdout().lock();
    stdout.write_all(bytes).and_then(|()| stdout.flush()).map_err(Stop::Write)
}

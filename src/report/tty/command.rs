//! What is shown of a run that is one command: on a terminal one line until the command runs, which is taken off then;
//! afterwards nothing but what went wrong. What the command itself writes passes by.

use std::sync::mpsc::Sender;
use std::time::Duration;

use super::bar::FULL;
use super::canvas::{Canvas, Painted};
use super::line::{Line, Tint};
use super::render::{bar_columns, clock};
use super::reporter::Screen;
use crate::event::{Event, MachinePhase, OutputOf, StepStatus, Stream, Timed};
use crate::report::readable::readable;
use crate::report::reporter::{Reporter, Verbosity};
use crate::report::style::Style;
use crate::report::tail::{LINES_KEPT, Tail};
use crate::report::words;

/// Columns of the bar of a download.
const BAR: usize = 24;

/// The cause of an end that nobody needs to be told: the reader had enough, as with every program.
const READER_LEFT: &str = "killed by SIGPIPE";

/// Tells of one command, on standard error.
#[derive(Debug)]
pub struct CommandReporter {
    style: Style,
    verbosity: Verbosity,
    canvas: Canvas,
    /// What ends a line: a terminal may pass everything on as it is.
    line_end: &'static str,
    /// What is being done, and how much of it is done.
    doing: String,
    part: Option<u64>,
    console: Tail,
    /// Dropped when nothing of ours is on the terminal any more.
    is_clear: Option<Sender<()>>,
    has_ended: bool,
    is_block_wanted: bool,
}

impl CommandReporter {
    /// A reporter that writes to a terminal.
    pub fn on_terminal(style: Style, verbosity: Verbosity, screen: Screen, is_clear: Sender<()>) -> Self {
        Self {
            style,
            verbosity,
            canvas: Canvas::new(screen, style),
            line_end: "\r\n",
            doing: "preparing".to_owned(),
            part: None,
            console: Tail::default(),
            is_clear: Some(is_clear),
            has_ended: false,
            is_block_wanted: verbosity == Verbosity::Normal,
        }
    }

    /// A reporter without a block, for what is no terminal.
    pub fn plain(style: Style, verbosity: Verbosity, screen: Screen, is_clear: Sender<()>) -> Self {
        let plain = Self::on_terminal(style, verbosity, screen, is_clear);
        Self { line_end: "\n", is_block_wanted: false, ..plain }
    }

    fn say(&mut self, line: &str) {
        self.canvas.pending.push_str(line);
        self.canvas.pending.push_str(self.line_end);
    }

    fn fail(&mut self, cause: &str) {
        let text = readable(cause.as_bytes());
        let line = format!("{} {text}", self.style.bad("error:"));
        self.say(&line);
    }

    fn machine(&mut self, phase: MachinePhase, seconds: f64, cause: Option<&str>) {
        if phase == MachinePhase::Failed {
            self.fail(&format!("the machine failed: {}", words::first_line(cause)));
            let lines = self.console.last(LINES_KEPT);
            if !lines.is_empty() {
                self.say("the end of its console:");
                lines.iter().for_each(|line| self.say(&format!("  {line}")));
            }
            return;
        }
        if self.verbosity == Verbosity::Verbose {
            let line = format!("machine {} after {}", phase.name(), words::render_seconds(seconds));
            self.say(&self.style.dim(&line).clone());
        }
        let doing = match phase {
            MachinePhase::Prepared => "starting the machine",
            MachinePhase::Booting => "booting",
            MachinePhase::Agent => "making the mounts",
            _ => "starting the command",
        };
        self.do_next(doing);
    }

    fn do_next(&mut self, doing: &str) {
        self.doing = readable(doing.as_bytes());
        self.part = None;
    }

    fn console_output(&mut self, bytes: &[u8]) {
        self.console.push(Stream::Console, bytes);
        if self.verbosity == Verbosity::Verbose {
            let text = String::from_utf8_lossy(bytes).into_owned();
            text.lines().for_each(|line| self.say(&self.style.dim(&readable(line.as_bytes())).clone()));
        }
    }

    /// The block goes, for good, and whoever waits for that may go on.
    fn clear(&mut self) {
        self.is_block_wanted = false;
        self.flush();
        self.is_clear = None;
    }

    fn flush(&mut self) {
        self.canvas.paint(None);
    }

    fn line(&self, now: Duration) -> Line {
        let columns = self.canvas.size.columns.saturating_sub(1);
        let line =
            Line::of(Tint::Live, format!("{} ", self.canvas.signs.turning(now))).with(Tint::Plain, self.doing.clone());
        let bar = self.part.map(|part| self.canvas.signs.bar(bar_columns(columns, BAR), part)).unwrap_or_default();
        let right = bar.with(Tint::Dim, format!(" {}", clock(now)));
        line.beside(right, columns, 12)
    }
}

impl Reporter for CommandReporter {
    fn on(&mut self, timed: &Timed) {
        match &timed.event {
            Event::Machine { phase, seconds, cause, .. } => self.machine(*phase, *seconds, cause.as_deref()),
            Event::Progress { text, .. } => {
                if self.verbosity == Verbosity::Verbose {
                    self.say(&self.style.dim(&readable(text.as_bytes())).clone());
                }
                self.do_next(text);
            }
            Event::Pull { image, done, total, .. } => {
                self.do_next(image);
                self.part = total.filter(|total| *total > 0).map(|total| {
                    u64::try_from(u128::from(*done) * u128::from(FULL) / u128::from(total)).unwrap_or(FULL)
                });
            }
            Event::StepStarted { .. } => self.clear(),
            Event::Output { of: OutputOf::Machine(_), bytes, .. } => self.console_output(bytes),
            Event::StepFinished { status, exit_code, cause, .. } => {
                self.has_ended |= exit_code.is_some();
                let is_failed = matches!(status, StepStatus::Failed | StepStatus::TimedOut);
                if let Some(cause) = cause.as_deref().filter(|cause| is_failed && *cause != READER_LEFT) {
                    self.fail(cause);
                }
            }
            Event::Warning { text } => {
                let line = format!("{} {}", self.style.warn("warning:"), readable(text.as_bytes()));
                self.say(&line);
            }
            Event::RunFinished { status: crate::event::RunStatus::Interrupted, cause: Some(cause), .. }
                if !self.has_ended =>
            {
                self.fail(&cause.clone());
                self.clear();
            }
            Event::RunFinished { .. } => self.clear(),
            Event::RunStarted { .. }
            | Event::Waiting { .. }
            | Event::NotStarted { .. }
            | Event::Paused { .. }
            | Event::RunHeld { .. }
            | Event::Service { .. }
            | Event::Output { .. }
            | Event::Ownership { .. } => {}
        }
        if !self.is_block_wanted {
            self.flush();
        }
    }
}

impl Painted for CommandReporter {
    type Fact = Timed;

    fn time_of(fact: &Timed) -> Duration {
        fact.at
    }

    fn take(&mut self, fact: &Timed) {
        self.on(fact);
    }

    fn block(&self, now: Duration) -> Option<Vec<Line>> {
        self.is_block_wanted.then(|| vec![self.line(now)])
    }

    fn canvas(&mut self) -> &mut Canvas {
        &mut self.canvas
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;
    use crate::report::reporter::testing::Shared;
    use crate::report::tty::{Signs, Size};

    fn screen(shared: &Shared) -> Screen {
        Screen { signs: Signs::Ascii, size: Size { columns: 60, rows: 24 }, terminal: shared.sink() }
    }

    fn timed(event: Event) -> Timed {
        Timed { at: Duration::from_secs(1), event }
    }

    fn machine(phase: MachinePhase, cause: Option<&str>) -> Timed {
        let cause = cause.map(str::to_owned);
        timed(Event::Machine { machine: "run".to_owned(), phase, seconds: 1.0, engine: None, cause })
    }

    fn started() -> Timed {
        timed(Event::StepStarted { step: "run".into(), title: None, machine: "run".into(), attempt: 1 })
    }

    fn finished(exit_code: i32, cause: Option<&str>) -> Timed {
        timed(Event::StepFinished {
            step: "run".into(),
            machine: "run".into(),
            status: StepStatus::Failed,
            exit_code: Some(exit_code),
            seconds: 1.0,
            cause: cause.map(str::to_owned),
            is_allowed: false,
            log: None,
        })
    }

    #[test]
    fn the_line_is_gone_before_the_command_writes() {
        let shared = Shared::default();
        let (is_clear, waiting) = mpsc::channel();
        let mut reporter = CommandReporter::on_terminal(Style::plain(), Verbosity::Normal, screen(&shared), is_clear);
        reporter.on(&machine(MachinePhase::Prepared, None));
        reporter.draw(Duration::from_millis(1200), true);
        assert!(shared.text().contains(" starting the machine "), "{:?}", shared.text());
        assert_eq!(waiting.try_recv(), Err(mpsc::TryRecvError::Empty));
        reporter.on(&started());
        assert_eq!(waiting.try_recv(), Err(mpsc::TryRecvError::Disconnected));
        let mut terminal = vt100::Parser::new(24.try_into().unwrap(), 60.try_into().unwrap(), 0);
        terminal.process(shared.text().as_bytes());
        assert_eq!((terminal.screen().contents(), terminal.screen().cursor_position()), (String::new(), (0, 0)));
        let before = shared.text();
        reporter.draw(Duration::from_secs(9), true);
        assert_eq!(shared.text(), before);
        reporter.on(&finished(3, None));
        assert_eq!(shared.text(), before, "an exit code speaks for itself");
    }

    #[test]
    fn what_went_wrong_is_said_once() {
        let told = |events: &[Timed]| {
            let shared = Shared::default();
            let (is_clear, _waiting) = mpsc::channel();
            let mut reporter = CommandReporter::plain(Style::plain(), Verbosity::Normal, screen(&shared), is_clear);
            events.iter().for_each(|event| reporter.on(event));
            shared.text()
        };
        let missing = "there is no program `x` in the machine";
        assert_eq!(told(&[started(), finished(127, Some(missing))]), format!("error: {missing}\n"));
        assert_eq!(told(&[started(), finished(141, Some(READER_LEFT))]), "");
        let died = machine(MachinePhase::Failed, Some("kernel: panic"));
        assert_eq!(told(&[died]), "error: the machine failed: kernel: panic\n");
    }
}

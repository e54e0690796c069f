//! The block as lines: a pure function of how far the run is, the size of the screen and the time.
//!
//! ```text
//! acme  ━━━━━━╸─────  2/4                  12.3s      how far the run is
//! ⠹ compile        on build                 3.2s      what runs, each with the last lines of its output
//!   │ gcc -c main.c
//! ⠹ machine test   booting: waits for …  ━━╸───       machines and services on their way
//! ● service db     healthy                 9.1s       those that are there, or wait
//! · machine web    waiting for db healthy: 4/30, pg_isready exit 2: no response
//! · unit           waiting for compile                steps that wait
//!   … 12 more steps wait                              what has no room
//! ```
//!
//! No line is as wide as the screen, so that nothing wraps, and there are never more than rows. Deliberately not here:
//! what has ended (it has its own line above the block), how much room each part gets (`rooms`).

use std::time::Duration;

use super::bar::{FULL, Signs};
use super::line::{Line, Tint};
use super::rooms::{Room, Rooms, Wanted};
use super::services;
use super::state::{MachineView, PullView, RunView, StepPhase};
use super::waits::{idle_waits, machine_waits, step_waits};
use crate::event::MachinePhase;
use crate::report::readable::{expand_tabs, readable, width};
use crate::report::words;

/// Size of a screen in characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Size {
    /// Characters in a line.
    pub columns: usize,
    /// Lines.
    pub rows: usize,
}

/// Fewest columns that the left end of a line keeps before its right end is left out.
const LEFT_LEAST: usize = 8;

/// Fewest columns in which words are begun that have no room to end.
const WORDS_LEAST: usize = 8;

/// Narrower screens show the names of machines alone.
const NARROW: usize = 40;

/// Screens lower than this are used to the last row; of others one row shows what is above the block.
const LOW_SCREEN: usize = 6;

/// How long a machine under emulation needs, about: what a bar that cannot know moves by.
const USUAL_BOOT_MILLIS: u64 = 3000;

/// The lines of the block.
pub(super) fn render(view: &RunView, signs: Signs, size: Size, now: Duration) -> Vec<Line> {
    let columns = size.columns.saturating_sub(1).max(1);
    let rows = body_rows(size.rows);
    let block = Block { view, signs, columns, now };
    let mut lines = vec![block.head()];
    lines.extend(block.body(rows - 1));
    lines
}

/// Rows that a block may have on a screen of so many.
pub(super) fn body_rows(rows: usize) -> usize {
    if rows < LOW_SCREEN { rows.max(1) } else { rows - 1 }
}

/// What all lines of one picture share.
struct Block<'a> {
    view: &'a RunView,
    signs: Signs,
    columns: usize,
    now: Duration,
}

/// A line of the body before it is laid out.
struct Row {
    sign: (Tint, char),
    name: String,
    what: Line,
    right: Line,
}

impl Block<'_> {
    /// Project, steps that are over, failures, time.
    fn head(&self) -> Line {
        let (done, failed) = self.view.counts();
        let all = self.view.steps.len();
        let mut left = Line::of(Tint::Bold, self.view.plan.project.as_str()).with(Tint::Plain, "  ");
        if self.view.is_services_only() {
            return self.services_head(left);
        }
        let room = bar_columns(self.columns, 30);
        if room > 0 {
            left = left.then(self.signs.bar(room, part_of(done, all))).with(Tint::Plain, "  ");
        }
        left = left.with(Tint::Plain, format!("{done}/{all}"));
        if failed > 0 {
            left = left.with(Tint::Bad, format!("  {failed} failed"));
        }
        left = left.with(Tint::Dim, self.ending());
        left.beside(Line::of(Tint::Dim, clock(self.now)), self.columns, LEFT_LEAST)
    }

    /// The head where there are no steps. While all is well nothing of it moves, so that text of a screen that is left
    /// alone can be marked.
    fn services_head(&self, left: Line) -> Line {
        let (up, all) = services::counts(self.view);
        let services = if all == 1 { "service" } else { "services" };
        let left = left.with(Tint::Plain, format!("{up}/{all} {services} up"));
        let left = left.with(Tint::Dim, if self.ending().is_empty() { "  Ctrl-C ends" } else { self.ending() });
        let right = if up == all { Line::default() } else { Line::of(Tint::Dim, clock(self.now)) };
        left.beside(right, self.columns, LEFT_LEAST)
    }

    /// What a signal has begun, and what the next one does.
    fn ending(&self) -> &'static str {
        match self.view.signals {
            0 if self.view.is_told_down => "  ending",
            0 => "",
            1 => "  ending, Ctrl-C again kills",
            _ => "  ending at once",
        }
    }

    fn body(&self, rows: usize) -> Vec<Line> {
        let running = self.running();
        let (moving, still) = self.machines();
        let all_waiting: Vec<usize> = (0..self.view.steps.len()).filter(|step| self.view.is_waiting(*step)).collect();
        // No more than there are rows are looked at: a plan may have a thousand steps, and ten pictures a second.
        let waiting: Vec<Row> = all_waiting.iter().take(rows).map(|step| self.waiting(*step)).collect();
        let tails: Vec<Vec<String>> = running.iter().map(|(id, _)| self.view.failures.last_lines(id, rows)).collect();
        let wanted = Wanted {
            running: running.len(),
            moving: moving.len(),
            still: still.len(),
            waiting: all_waiting.len(),
            tails: tails.iter().map(Vec::len).collect(),
        };
        let rooms = Rooms::share(&wanted, rows);
        let shown_running = running.iter().map(|(_, row)| row).take(rooms.running.shown);
        let shown_machines = moving.iter().take(rooms.moving.shown).chain(still.iter().take(rooms.still.shown));
        let shown_rows = shown_running.chain(shown_machines).chain(waiting.iter().take(rooms.waiting.shown));
        let name_columns = shown_rows.map(|row| width(&row.name)).max().unwrap_or(0).min(self.columns / 3);
        let mut lines = Vec::new();
        for (((_, row), tail), room) in running.into_iter().zip(tails).zip(&rooms.tails).take(rooms.running.shown) {
            lines.push(self.lay_out(row, name_columns));
            lines.extend(tail[tail.len().saturating_sub(*room)..].iter().map(|text| self.output(text)));
        }
        self.fold(&mut lines, rooms.running, "run", "step");
        for (rows, room, does) in [(moving, rooms.moving, "come or go"), (still, rooms.still, "wait")] {
            lines.extend(rows.into_iter().take(room.shown).map(|row| self.lay_out(row, name_columns)));
            self.fold(&mut lines, room, does, "machine");
        }
        lines.extend(waiting.into_iter().take(rooms.waiting.shown).map(|row| self.lay_out(row, name_columns)));
        self.fold(&mut lines, rooms.waiting, "wait", "step");
        lines
    }

    /// `… 12 more steps wait`.
    fn fold(&self, lines: &mut Vec<Line>, room: Room, does: &str, what: &str) {
        if room.folded > 0 {
            let ending = if room.folded == 1 { "" } else { "s" };
            let more = if room.shown == 0 { "" } else { "more " };
            let does = if room.folded == 1 { singular(does) } else { does };
            let text = format!("  … {} {more}{what}{ending} {does}", room.folded);
            lines.push(Line::of(Tint::Dim, text).fit(self.columns));
        }
    }

    fn lay_out(&self, row: Row, name_columns: usize) -> Line {
        let (tint, sign) = row.sign;
        let name = Line::of(Tint::Plain, row.name).fit(name_columns.max(LEFT_LEAST).min(self.columns));
        let pad = name_columns.saturating_sub(name.width());
        let left = Line::of(tint, sign).with(Tint::Plain, " ").then(name);
        let room = self.columns.saturating_sub(left.width() + pad + 2 + row.right.width() + 1);
        // A word or two that are cut say nothing.
        let has_room = row.what.width() <= room || room >= WORDS_LEAST;
        let left = if has_room { left.with(Tint::Plain, " ".repeat(pad + 2)).then(row.what) } else { left };
        left.beside(row.right, self.columns, LEFT_LEAST)
    }

    fn output(&self, text: &str) -> Line {
        let margin = format!("  {} ", self.signs.margin());
        Line::of(Tint::Dim, margin).with(Tint::Plain, expand_tabs(text)).fit(self.columns)
    }

    /// Steps that run, with their ids.
    fn running(&self) -> Vec<(&str, Row)> {
        let steps = self.view.steps.iter().zip(&self.view.plan.steps);
        let row = |(step, plan): (&super::state::StepView, _)| {
            let StepPhase::Running { since, attempt } = step.phase else { return None };
            let plan: &crate::plan::StepPlan = plan;
            let attempt = if attempt > 1 { format!(", attempt {attempt}") } else { String::new() };
            let title = plan.title.as_ref().map(|title| format!("{}, ", readable(title.as_bytes())));
            let title = title.unwrap_or_default();
            let row = Row {
                sign: (Tint::Live, self.signs.turning(self.now)),
                name: plan.id.clone(),
                what: Line::of(Tint::Dim, format!("{title}on {}{attempt}", plan.machine)),
                right: Line::of(Tint::Plain, clock(self.now.saturating_sub(since))),
            };
            Some((plan.id.as_str(), row))
        };
        steps.filter_map(row).collect()
    }

    fn waiting(&self, step: usize) -> Row {
        Row {
            sign: (Tint::Dim, self.signs.waiting()),
            name: self.view.plan.steps.get(step).map(|plan| plan.id.clone()).unwrap_or_default(),
            what: Line::of(Tint::Dim, format!("waiting for {}", step_waits(self.view, step))),
            right: Line::default(),
        }
    }

    /// Machines that come or go, and machines that wait. One that runs a step has no line beside the step's.
    fn machines(&self) -> (Vec<Row>, Vec<Row>) {
        let (mut moving, mut still) = (Vec::new(), Vec::new());
        for (place, machine) in self.view.machines.iter().enumerate() {
            let has_service = self.view.plan.machines[place].service.is_some();
            let is_wanted = has_service || self.view.steps_of(place).any(|step| self.view.is_waiting(step));
            let is_busy = self.view.steps_of(place).any(|step| self.view.is_running(step));
            let waits = |text: String| self.still(place, format!("waiting for {text}"));
            match machine.phase {
                Some(MachinePhase::Stopped | MachinePhase::Failed) => {}
                None if machine.lost.is_some() => still.extend(machine.lost.as_ref().map(|why| self.lost(place, why))),
                None if machine.news.is_none() && is_wanted => still.push(waits(machine_waits(self.view, place))),
                None if machine.news.is_none() => {}
                Some(MachinePhase::Ready) if machine.service.is_some() => {
                    if let Some((is_moving, row)) = self.service(place, machine) {
                        if is_moving { moving.push(row) } else { still.push(row) }
                    }
                }
                Some(MachinePhase::Ready) if is_busy => {}
                Some(MachinePhase::Ready) => {
                    let waits =
                        idle_waits(self.view, place).map_or(String::new(), |text| format!(", waiting for {text}"));
                    still.push(self.still(place, format!("ready{waits}")));
                }
                _ => moving.push(self.moving(place, machine)),
            }
        }
        (moving, still)
    }

    /// The service of a machine that is up, and whether it is on its way. Where there are only services, one that is as
    /// it should be needs no line: it speaks for itself.
    fn service(&self, place: usize, machine: &MachineView) -> Option<(bool, Row)> {
        let standing = services::standing(self.view, place)?;
        if standing.is_up && self.view.is_services_only() {
            return None;
        }
        let sign = match standing.tint {
            Tint::Good => self.signs.up(),
            _ if standing.is_moving => self.signs.turning(self.now),
            _ => self.signs.failed(),
        };
        let since = machine.service.as_ref().map_or(self.now, |service| service.since);
        let row = Row {
            sign: (standing.tint, sign),
            name: self.name(place, "service "),
            what: Line::of(if standing.tint == Tint::Bad { Tint::Bad } else { Tint::Dim }, standing.text),
            right: Line::of(Tint::Plain, clock(self.now.saturating_sub(since))),
        };
        Some((standing.is_moving, row))
    }

    fn machine_name(&self, place: usize) -> String {
        self.name(place, "machine ")
    }

    fn name(&self, place: usize, kind: &str) -> String {
        let kind = if self.columns < NARROW - 1 { "" } else { kind };
        self.view.plan.machines.get(place).map(|plan| format!("{kind}{}", plan.name)).unwrap_or_default()
    }

    fn still(&self, place: usize, text: String) -> Row {
        Row {
            sign: (Tint::Dim, self.signs.waiting()),
            name: self.machine_name(place),
            what: Line::of(Tint::Dim, text),
            right: Line::default(),
        }
    }

    fn lost(&self, place: usize, why: &str) -> Row {
        let what = Line::of(Tint::Bad, format!("not started: {why}"));
        Row { sign: (Tint::Bad, self.signs.failed()), what, ..self.still(place, String::new()) }
    }

    fn moving(&self, place: usize, machine: &MachineView) -> Row {
        let since = self.now.saturating_sub(machine.since);
        let mut right = Line::default();
        if let Some(part) = progress(machine, since) {
            right = self.signs.bar(bar_columns(self.columns, 20), part);
            right = if right.width() > 0 { right.with(Tint::Plain, "  ") } else { right };
        }
        if let Some(pull) = &machine.pull {
            right = right.with(Tint::Plain, pulled(pull)).with(Tint::Plain, "  ");
        }
        Row {
            sign: (Tint::Live, self.signs.turning(self.now)),
            name: self.machine_name(place),
            what: Line::of(Tint::Dim, machine_does(machine)),
            right: right.with(Tint::Plain, clock(since)),
        }
    }
}

fn singular(does: &str) -> &str {
    match does {
        "run" => "runs",
        "wait" => "waits",
        _ => "comes or goes",
    }
}

/// What a machine does, and what it waits for meanwhile.
fn machine_does(machine: &MachineView) -> String {
    let engine = machine.engine.as_deref().unwrap_or("the engine");
    match machine.phase {
        None => machine.news.clone().unwrap_or_default(),
        Some(MachinePhase::Prepared) => "starting: waits for the engine".to_owned(),
        Some(MachinePhase::Booting) => format!("booting, {engine}: waits for its agent"),
        Some(MachinePhase::Agent) => "booted: waits for its mounts".to_owned(),
        Some(MachinePhase::Mounted) => "mounted: waits for its users".to_owned(),
        Some(MachinePhase::Stopping) => "stopping".to_owned(),
        Some(phase) => phase.name().to_owned(),
    }
}

/// How full the bar of a machine is: the bytes of a download, the phases of a boot. Within a phase whose length nobody
/// knows it moves ever slower towards the next one.
fn progress(machine: &MachineView, since: Duration) -> Option<u64> {
    if let Some(pull) = &machine.pull {
        let total = pull.total.filter(|total| *total > 0)?;
        return u64::try_from(u128::from(pull.done) * u128::from(FULL) / u128::from(total)).ok();
    }
    let millis = u64::try_from(since.as_millis()).unwrap_or(u64::MAX);
    let towards = |from: u64, to: u64| {
        let moved = u128::from(to - from) * u128::from(millis) / (u128::from(millis) + u128::from(USUAL_BOOT_MILLIS));
        from + u64::try_from(moved).unwrap_or(0)
    };
    match machine.phase? {
        MachinePhase::Prepared => Some(50),
        MachinePhase::Booting => Some(towards(100, 850)),
        MachinePhase::Agent => Some(towards(850, 950)),
        MachinePhase::Mounted => Some(950),
        MachinePhase::Ready | MachinePhase::Stopping | MachinePhase::Stopped | MachinePhase::Failed => None,
    }
}

/// Columns of a bar: as many as wanted on a wide screen, none on one where they would take the place of words.
pub(super) fn bar_columns(columns: usize, wanted: usize) -> usize {
    if columns < 36 { 0 } else { wanted.min(columns / 5) }
}

fn part_of(done: usize, all: usize) -> u64 {
    let (done, all) = (u64::try_from(done).unwrap_or(0), u64::try_from(all).unwrap_or(0));
    done.saturating_mul(FULL).checked_div(all).unwrap_or(FULL)
}

/// `12.3 of 48.1MiB`.
fn pulled(pull: &PullView) -> String {
    let mib = |bytes: u64| {
        let tenths = u128::from(bytes) * 10 / (1 << 20);
        format!("{}.{}", tenths / 10, tenths % 10)
    };
    match pull.total {
        Some(total) => format!("{} of {}MiB", mib(pull.done), mib(total)),
        None => format!("{}MiB", mib(pull.done)),
    }
}

/// A time that goes on: tenths of a second are enough to see that it does.
pub(super) fn clock(time: Duration) -> String {
    let tenths = time.as_millis() / 100;
    if tenths < 600 { format!("{}.{}s", tenths / 10, tenths % 10) } else { words::render_seconds(time.as_secs_f64()) }
}

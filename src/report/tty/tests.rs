//! The block at several sizes, and whole runs of recorded events as a terminal shows them.

mod services;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use proptest::prelude::*;

use super::bar::Signs;
use super::canvas::Painted;
use super::render::{Size, render};
use super::reporter::{Screen, TerminalReporter};
use super::state::RunView;
use crate::event::{Event, MachinePhase, OutputOf, RunStatus, StepStatus, Stream, Timed};
use crate::plan::{Command, Limits, MachinePlan, Operation, OperationKind, Plan, StepPlan};
use crate::report::reporter::testing::{Shared, options};
use crate::report::reporter::{Reporter, Verbosity};
use crate::report::style::Style;

fn machine(name: &str) -> MachinePlan {
    MachinePlan::bare(name, 512)
}

fn step((id, machine, needs): &(&str, &str, &[&str])) -> StepPlan {
    StepPlan {
        id: (*id).to_owned(),
        title: None,
        machine: (*machine).to_owned(),
        command: Command::List(vec!["true".to_owned()]),
        uses_entrypoint: false,
        env: BTreeMap::new(),
        working_dir: None,
        user: None,
        needs: needs.iter().map(|need| (*need).to_owned()).collect(),
        timeout: None,
        retry: None,
        outputs: Vec::new(),
        chown: None,
        continue_on_error: false,
        is_finally: false,
    }
}

/// A plan with an operation for each machine's boot and each step.
fn plan(machines: &[&str], steps: &[(&str, &str, &[&str])]) -> Arc<Plan> {
    let operation = |kind, id: String, machine: &str, after: Vec<String>| Operation {
        id,
        kind,
        machine: machine.to_owned(),
        after,
        why: String::new(),
    };
    let boots = machines.iter().map(|name| operation(OperationKind::Boot, format!("boot:{name}"), name, Vec::new()));
    let runs = steps.iter().map(|(id, machine, needs)| {
        let after = needs.iter().map(|need| format!("step:{need}")).chain([format!("boot:{machine}")]);
        operation(OperationKind::Step, format!("step:{id}"), machine, after.collect())
    });
    Arc::new(Plan {
        project: "acme".to_owned(),
        folder: PathBuf::from("/project"),
        machines: machines.iter().map(|name| machine(name)).collect(),
        steps: steps.iter().map(step).collect(),
        skipped: Vec::new(),
        operations: boots.chain(runs).collect(),
        limits: Limits { steps_at_once: 2, memory_mib: 4096 },
    })
}

fn at(millis: u64, event: Event) -> Timed {
    Timed { at: Duration::from_millis(millis), event }
}

fn phase(millis: u64, machine: &str, phase: MachinePhase, seconds: f64) -> Timed {
    let engine = (phase == MachinePhase::Booting).then(|| "qemu (tcg)".to_owned());
    at(millis, Event::Machine { machine: machine.to_owned(), phase, seconds, engine, cause: None })
}

fn started(millis: u64, step: &str, machine: &str) -> Timed {
    at(millis, Event::StepStarted { step: step.to_owned(), title: None, machine: machine.to_owned(), attempt: 1 })
}

fn printed(millis: u64, step: &str, text: &str) -> Timed {
    let bytes = text.as_bytes().to_vec();
    at(millis, Event::Output { of: OutputOf::Step(step.to_owned()), stream: Stream::Stdout, bytes })
}

fn finished(millis: u64, step: &str, status: StepStatus, exit_code: Option<i32>) -> Timed {
    let event = Event::StepFinished {
        step: step.to_owned(),
        machine: "build".to_owned(),
        status,
        exit_code,
        seconds: 2.0,
        cause: None,
        is_allowed: false,
        log: Some(format!("/state/{step}.log")),
    };
    at(millis, event)
}

fn ended(millis: u64, status: RunStatus, cause: Option<&str>) -> Timed {
    let event = Event::RunFinished {
        status,
        exit_code: 0,
        cause: cause.map(str::to_owned),
        seconds: 9.0,
        passed: 1,
        failed: usize::from(status == RunStatus::Failed),
        skipped: 0,
        cached: 0,
    };
    at(millis, event)
}

/// The run of the README, as far as it is there.
fn demonstration() -> (Arc<Plan>, Vec<Timed>) {
    let plan = plan(
        &["build", "test", "db"],
        &[
            ("fetch", "build", &[]),
            ("compile", "build", &["fetch"]),
            ("unit", "test", &["compile"]),
            ("load", "db", &["compile"]),
            ("report", "build", &["unit", "load"]),
        ],
    );
    let events = vec![
        at(0, Event::RunStarted { run: "r".to_owned(), project: "acme".to_owned() }),
        phase(50, "build", MachinePhase::Prepared, 0.05),
        phase(100, "build", MachinePhase::Booting, 0.05),
        phase(1900, "build", MachinePhase::Agent, 1.8),
        phase(2000, "build", MachinePhase::Mounted, 0.1),
        phase(2000, "build", MachinePhase::Ready, 0.0),
        started(2000, "fetch", "build"),
        finished(4000, "fetch", StepStatus::Passed, Some(0)),
        started(4000, "compile", "build"),
        phase(4100, "test", MachinePhase::Prepared, 0.05),
        phase(4200, "test", MachinePhase::Booting, 0.05),
        printed(5000, "compile", "gcc -O2 -c main.c\ngcc -O2 -c greet.c\n\x1b[33mwarning:\x1b[0m unused `x`\n"),
    ];
    (plan, events)
}

fn view_of(plan: &Arc<Plan>, events: &[Timed]) -> RunView {
    let mut view = RunView::new(Arc::clone(plan), 2);
    events.iter().for_each(|event| view.on(event));
    view
}

fn shown(view: &RunView, columns: usize, rows: usize, millis: u64) -> String {
    let lines = render(view, Signs::Unicode, Size { columns, rows }, Duration::from_millis(millis));
    let lines: Vec<String> = lines.iter().map(|line| line.paint(Style::plain()).trim_end().to_owned()).collect();
    format!("{}\n", lines.join("\n"))
}

#[test]
fn a_usual_screen_shows_what_runs_what_boots_and_what_waits() {
    let (plan, events) = demonstration();
    let expected = "\
acme  ━━━────────────  1/5                                                 5.3s
⠸ compile       on build                                                   1.3s
  │ gcc -O2 -c main.c
  │ gcc -O2 -c greet.c
  │ warning: unused `x`
⠸ machine test  booting, qemu (tcg): waits for its agent  ━━━━╸──────────  1.1s
· machine db    waiting for compile
· unit          waiting for compile
· load          waiting for compile
· report        waiting for unit and load
";
    assert_eq!(shown(&view_of(&plan, &events), 80, 24, 5300), expected);
    let readme = include_str!("../../../README.md");
    assert!(readme.contains(expected), "the picture in README.md is not what a terminal shows:\n{expected}");
}

#[test]
fn narrow_and_low_screens_show_what_matters_most() {
    let (plan, events) = demonstration();
    let view = view_of(&plan, &events);
    assert_eq!(
        shown(&view, 40, 10, 5300),
        "\
acme  ━──────  1/5                 5.3s
⠸ compile       on build           1.3s
  │ gcc -O2 -c main.c
  │ gcc -O2 -c greet.c
  │ warning: unused `x`
⠸ machine test  booting,… ━━─────  1.1s
· machine db    waiting for compile
· unit          waiting for compile
  … 2 more steps wait
"
    );
    assert_eq!(
        shown(&view, 20, 5, 5300),
        "\
acme  1/5      5.3s
⠸ compile      1.3s
  │ warning: unuse…
⠸ test         1.1s
· db      waiting …
"
    );
    assert_eq!(shown(&view, 10, 3, 5300), "acme  1/5\n⠸ compile\n⠸ test\n");
    assert_eq!(shown(&view, 1, 1, 5300), "…\n");
}

#[test]
fn thirty_steps_that_run_are_shown_as_far_as_there_is_room() {
    let names: Vec<String> = (0..30).map(|number| format!("s{number:02}")).collect();
    let machines: Vec<&str> = names.iter().map(String::as_str).collect();
    let steps: Vec<(&str, &str, &[&str])> = machines.iter().map(|name| (*name, *name, &[][..])).collect();
    let plan = plan(&machines, &steps);
    let mut events = Vec::new();
    for name in &names {
        events.push(phase(1000, name, MachinePhase::Ready, 1.0));
        events.push(started(1000, name, name));
        events.push(printed(1500, name, "one\ntwo\nthree\n"));
    }
    let view = view_of(&plan, &events);
    let small = shown(&view, 80, 10, 2000);
    assert_eq!(small.lines().count(), 9, "{small}");
    assert!(
        small.ends_with(
            "⠋ s06  on s06                                                              1.0s\n  … 23 more steps run\n"
        ),
        "{small}"
    );
    let large = shown(&view, 80, 50, 2000);
    assert_eq!(large.lines().count(), 49, "{large}");
    assert_eq!(large.matches("  │ three").count(), 18, "{large}");
    assert!(!large.contains('…'), "{large}");
}

#[test]
fn machines_and_steps_say_what_they_wait_for() {
    let mut plan =
        (*plan(&["a", "b", "c"], &[("one", "a", &[]), ("two", "a", &[]), ("three", "b", &[]), ("four", "c", &[])]))
            .clone();
    plan.limits.memory_mib = 1024;
    let plan = Arc::new(plan);
    let download = Event::Progress { machine: "a".to_owned(), text: "downloading linux".to_owned() };
    let pull = |done| Event::Pull { machine: "a".to_owned(), image: "linux".to_owned(), done, total: Some(48 << 20) };
    let mut events = vec![at(0, download), at(100, pull(12 << 20))];
    assert_eq!(
        shown(&view_of(&plan, &events), 80, 24, 200),
        "\
acme  ───────────────  0/4                                                 0.2s
⠹ machine a  downloading linux           ━━━╸───────────  12.0 of 48.0MiB  0.2s
· machine b  waiting for the kernel, as a does
· machine c  waiting for the kernel, as a does
· one        waiting for machine a
· two        waiting for machine a
· three      waiting for machine b
· four       waiting for machine c
"
    );
    events.extend([
        phase(200, "a", MachinePhase::Prepared, 0.2),
        phase(300, "b", MachinePhase::Prepared, 0.2),
        phase(900, "a", MachinePhase::Ready, 0.2),
        started(900, "one", "a"),
        phase(1000, "b", MachinePhase::Agent, 0.2),
    ]);
    assert_eq!(
        shown(&view_of(&plan, &events), 80, 24, 1000),
        "\
acme  ───────────────  0/4                                                 1.0s
⠋ one        on a                                                          0.1s
⠋ machine b  booted: waits for its mounts                 ━━━━━━━━━━━━╸──  0.0s
· machine c  waiting for memory that other machines have
· two        waiting for one, which runs on a
· three      waiting for machine b
· four       waiting for machine c
"
    );
}

#[test]
fn what_a_step_prints_stays_within_its_line() {
    let plan = plan(&["m"], &[("wide", "m", &[])]);
    let lines = ["漢字".repeat(60), "🚀".repeat(60), "e\u{301}".repeat(90), "\tx\ty".to_owned(), "x".repeat(500)];
    let text = format!("\x1b[2J\x1b[31m{}\n", lines.join("\n"));
    let events = [started(0, "wide", "m"), printed(10, "wide", &text)];
    let view = view_of(&plan, &events);
    for columns in 1..120 {
        let shown = shown(&view, columns, 12, 20);
        for line in shown.lines() {
            assert!(crate::report::readable::width(line) < columns.max(2), "{columns}: {line}");
            assert!(!line.contains(char::is_control), "{line:?}");
        }
    }
    assert!(shown(&view, 30, 12, 20).contains("  │ 漢字漢字漢字漢字漢字漢字…\n"), "{}", shown(&view, 30, 12, 20));
}

/// A terminal to which recorded events are shown.
struct Watched {
    reporter: TerminalReporter,
    bytes: Shared,
    screen: vt100::Parser,
    read: usize,
}

fn nonzero(count: usize) -> std::num::NonZeroU16 {
    std::num::NonZeroU16::new(u16::try_from(count).unwrap()).unwrap()
}

impl Watched {
    fn new(plan: &Arc<Plan>, columns: usize, rows: usize, verbosity: Verbosity) -> Self {
        let bytes = Shared::default();
        let size = Size { columns, rows };
        let screen = Screen { signs: Signs::Unicode, size, terminal: bytes.sink() };
        let reporter = TerminalReporter::new(options(verbosity), Arc::clone(plan), 2, screen);
        let screen = vt100::Parser::new(nonzero(rows), nonzero(columns), 1000);
        Self { reporter, bytes, screen, read: 0 }
    }

    fn take(&mut self, timed: &Timed) {
        self.reporter.on(timed);
        self.draw(timed.at, true);
    }

    fn draw(&mut self, now: Duration, is_ours: bool) {
        self.reporter.draw(now, is_ours);
        let text = self.bytes.text();
        self.screen.process(&text.as_bytes()[self.read..]);
        self.read = text.len();
    }

    fn resize(&mut self, columns: usize, rows: usize) {
        self.screen.screen_mut().set_size(nonzero(rows), nonzero(columns));
        self.reporter.resize(Size { columns, rows });
    }

    /// Every row, those that were scrolled off the screen too.
    fn text(&mut self) -> String {
        let screen = self.screen.screen_mut();
        let columns = screen.size().1.get();
        let mut rows = Vec::new();
        for offset in (1..=screen.scrollback_len()).rev() {
            screen.set_scrollback(offset);
            rows.extend(screen.rows(0, columns).next());
        }
        screen.set_scrollback(0);
        rows.extend(screen.rows(0, columns));
        let rows: Vec<&str> = rows.iter().map(|row| row.trim_end()).collect();
        rows.join("\n").trim_end().to_owned()
    }
}

#[test]
fn a_run_leaves_a_line_a_step_its_failures_and_one_summary() {
    let (plan, mut events) = demonstration();
    events.extend([
        finished(6000, "compile", StepStatus::Failed, Some(2)),
        finished(6000, "unit", StepStatus::Skipped, None),
        at(6500, Event::Warning { text: "SIGINT: \x1b[2Jending".to_owned() }),
        ended(9000, RunStatus::Failed, Some("step `compile` failed with exit code 2")),
    ]);
    let mut watched = Watched::new(&plan, 120, 24, Verbosity::Normal);
    events.iter().for_each(|event| watched.take(event));
    assert_eq!(
        watched.text(),
        "\
✓ fetch: passed in 2.0s
✗ compile: failed with exit code 2 in 2.0s
- unit: skipped
warning: SIGINT: ending

step `compile` failed with exit code 2
  its last lines:
  │ gcc -O2 -c main.c
  │ gcc -O2 -c greet.c
  │ warning: unused `x`
  log:   /state/compile.log
  shell: smolvm up -i compile
  again: smolvm up compile

failed: 1 failed, 1 passed in 9.0s; critical path: boot build 1.9s, fetch 2.0s, compile 2.0s"
    );
    assert_eq!(watched.screen.screen().cursor_position().1, 0);
}

#[test]
fn what_is_printed_is_permanent_where_all_is_to_be_seen() {
    let (plan, mut events) = demonstration();
    events.push(finished(6000, "compile", StepStatus::Passed, Some(0)));
    events.push(ended(9000, RunStatus::Passed, None));
    let mut watched = Watched::new(&plan, 100, 24, Verbosity::Verbose);
    events.iter().for_each(|event| watched.take(event));
    let text = watched.text();
    assert!(text.contains("\ncompile │ warning: unused `x`\n✓ compile: passed in 2.0s\n"), "{text}");
    assert!(text.contains("\n· machine build: booting, qemu (tcg) after 0.05s\n"), "{text}");
}

#[test]
fn a_terminal_that_is_lent_shows_no_block_but_every_result() {
    let (plan, events) = demonstration();
    let mut watched = Watched::new(&plan, 80, 24, Verbosity::Normal);
    for event in &events {
        watched.reporter.on(event);
        watched.draw(event.at, false);
    }
    assert_eq!(watched.text(), "✓ fetch: passed in 2.0s");
    watched.draw(Duration::from_secs(6), true);
    assert!(watched.text().contains("\nacme  "));
    watched.reporter.leave();
    watched.draw(Duration::from_secs(6), false);
    assert_eq!(watched.text(), "✓ fetch: passed in 2.0s");
}

fn any_event() -> impl Strategy<Value = Event> {
    let step = || prop::sample::select(vec!["one", "two", "three", "four"]).prop_map(str::to_owned);
    let machine = || prop::sample::select(vec!["a", "b", "nobody"]).prop_map(str::to_owned);
    let phases = [
        MachinePhase::Prepared,
        MachinePhase::Booting,
        MachinePhase::Agent,
        MachinePhase::Mounted,
        MachinePhase::Ready,
        MachinePhase::Stopping,
        MachinePhase::Stopped,
        MachinePhase::Failed,
    ];
    let statuses = [StepStatus::Passed, StepStatus::Failed, StepStatus::TimedOut, StepStatus::Skipped];
    prop_oneof![
        (machine(), prop::sample::select(phases.to_vec()), -1.0..1e12).prop_map(|(machine, phase, seconds)| {
            Event::Machine { machine, phase, seconds, engine: None, cause: None }
        }),
        (machine(), any::<u64>(), any::<Option<u64>>()).prop_map(|(machine, done, total)| Event::Pull {
            machine,
            image: "i".to_owned(),
            done,
            total
        }),
        (machine(), "\\PC*").prop_map(|(machine, text)| Event::Progress { machine, text }),
        (step(), machine(), any::<u32>()).prop_map(|(step, machine, attempt)| Event::StepStarted {
            step,
            title: None,
            machine,
            attempt
        }),
        (step(), any::<Vec<u8>>()).prop_map(|(step, bytes)| Event::Output {
            of: OutputOf::Step(step),
            stream: Stream::Stdout,
            bytes
        }),
        (step(), prop::sample::select(statuses.to_vec())).prop_map(|(step, status)| Event::StepFinished {
            step,
            machine: "a".to_owned(),
            status,
            exit_code: Some(1),
            seconds: 1.0,
            cause: None,
            is_allowed: false,
            log: None,
        }),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn whatever_happens_there_is_one_block_within_the_screen_and_none_in_the_end(
        events in prop::collection::vec((any_event(), prop::option::of((1..90usize, 1..30usize))), 0..40),
        columns in 1..90usize,
        rows in 1..30usize,
    ) {
        let steps: [(&str, &str, &[&str]); 4] = [("one", "a", &[]), ("two", "a", &["one"]), ("three", "b", &[]), ("four", "b", &["one", "three"])];
        let mut watched = Watched::new(&plan(&["a", "b"], &steps), columns, rows, Verbosity::Normal);
        let mut size = (columns, rows);
        for (number, (event, resized)) in events.into_iter().enumerate() {
            if let Some(next) = resized {
                size = next;
                watched.resize(size.0, size.1);
            }
            let now = Duration::from_millis(250 * number as u64);
            let lines = render(&watched.reporter.view, Signs::Unicode, Size { columns: size.0, rows: size.1 }, now);
            prop_assert!(lines.len() <= size.1);
            prop_assert!(lines.iter().all(|line| line.width() < size.0.max(2)));
            watched.take(&Timed { at: now, event });
            if size.0 > 12 {
                prop_assert_eq!(watched.text().matches("acme  ").count(), 1, "{}", watched.text());
            }
        }
        watched.take(&ended(60_000, RunStatus::Passed, None));
        let text = watched.text();
        prop_assert!(!text.contains("acme  ") && !text.contains("waits for"), "{}", text);
        prop_assert_eq!(watched.screen.screen().cursor_position().1, 0);
    }
}

//! The block at several sizes, and whole runs of recorded events as a terminal shows them.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use proptest::prelude::*;

use super::bar::Signs;
use super::render::{Size, render};
use super::reporter::{Screen, TerminalReporter};
use super::state::RunView;
use crate::event::{Event, MachinePhase, OutputOf, RunStatus, StepStatus, Stream, Timed};
use crate::plan::{Command, Image, KernelSource, Limits, MachinePlan, Operation, OperationKind, Plan, StepPlan};
use crate::report::reporter::testing::{Shared, options};
use crate::report::reporter::{Reporter, Verbosity};
use crate::report::style::Style;

fn machine(name: &str) -> MachinePlan {
    MachinePlan {
        name: name.to_owned(),
        image: Image::Host,
        kernel: KernelSource::Auto,
        modules: None,
        cpus: 1,
        memory_mib: 512,
        hostname: name.to_owned(),
        mounts: Vec::new(),
        user: "root".to_owned(),
    }
}

fn step((id, machine, needs): &(&str, &str, &[&str])) -> StepPlan {
    StepPlan {
        id: (*id).to_owned(),
        title: None,
        machine: (*machine).to_owned(),
        command: Command::List(vec!["true".to_owned()]),
        env: BTreeMap::new(),
        working_dir: None,
        user: "root".to_owned(),
        needs: needs.iter().map(|need| (*need).to_owned()).collect(),
        timeout: None,
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
    assert_eq!(
        shown(&view_of(&plan, &events), 80, 24, 5300),
        "\
acme  ━━━───────────────  1/5                                             5.3s
"
    );
}

#[test]
fn narrow_and_low_screens_show_what_matters_most() {
    let (plan, events) = demonstration();
    let view = view_of(&plan, &events);
    assert_eq!(shown(&view, 40, 10, 5300), "");
    assert_eq!(shown(&view, 20, 5, 5300), "");
    assert_eq!(shown(&view, 10, 3, 5300), "");
    assert_eq!(shown(&view, 1, 1, 5300), "");
}

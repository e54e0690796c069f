//! `smolvm stats`: what the machines that are up cost this computer.
//!
//! On a terminal the table is written anew every second, as compose does; elsewhere once. Deliberately not here: where the
//! numbers come from (`host`, `storage`).

use std::collections::HashMap;
use std::io::{self, IsTerminal};
use std::thread;
use std::time::{Duration, Instant};

use clap::Args;
use serde::Serialize;

use super::args::{DataFormat, GlobalArgs};
use super::exit::{ExitCode, Failure};
use super::images::{size, table};
use super::printer::Printer;
use super::project::{KnownProject, asking};
use super::settings::Settings;
use crate::control::Client;
use crate::host::{VmProcess, vm_processes};
use crate::plan::{self, MachinePlan, Selection};
use crate::run::{MachineView, file_name};
use crate::storage::Storage;

const JSON_VERSION: u32 = 1;

/// Time between two looks.
const LOOK: Duration = Duration::from_secs(1);

/// Options of `stats`.
#[derive(Debug, Args)]
pub(crate) struct StatsArgs {
    /// Machines to show; all that are up by default
    #[arg(value_name = "MACHINE")]
    names: Vec<String>,
    /// Show them once, also on a terminal
    #[arg(long)]
    no_stream: bool,
    /// Form of the list
    #[arg(long, value_enum, value_name = "FORM", default_value_t = DataFormat::Text)]
    format: DataFormat,
    #[command(flatten)]
    pub(crate) global: GlobalArgs,
}

/// What one machine costs.
#[derive(Debug, Clone, PartialEq, Serialize)]
struct Cost {
    name: String,
    /// Of one CPU, in percent; null where there is none yet.
    cpu_percent: Option<f64>,
    cpus: Option<u32>,
    memory: u64,
    memory_limit: Option<u64>,
    /// What the disk behind its workspace takes.
    workspace: Option<u64>,
}

#[derive(Serialize)]
struct Report<'a> {
    version: u32,
    project: &'a str,
    machines: &'a [Cost],
}

/// Shows it.
pub(super) fn run(args: &StatsArgs, settings: &Settings, printer: &Printer) -> Result<ExitCode, Failure> {
    let known = KnownProject::find(settings)?;
    let client = known.client()?;
    let is_once = args.no_stream || args.format == DataFormat::Json || !io::stdout().is_terminal();
    let mut watch = Watch::new(&known, args);
    let mut rows = 0;
    loop {
        let costs = match &client {
            Some(client) => watch.look(client)?,
            None => Some(Vec::new()),
        };
        // Who held the machines is gone, and they are.
        let Some(costs) = costs else { return Ok(ExitCode::Passed) };
        let text = match args.format {
            DataFormat::Text => render_text(&costs),
            DataFormat::Json => render_json(&known.project.name, &costs),
        };
        let back = if rows > 0 { format!("\x1b[{rows}A\x1b[J") } else { String::new() };
        printer.data(&format!("{back}{text}"))?;
        if is_once || client.is_none() {
            return Ok(ExitCode::Passed);
        }
        rows = text.lines().count();
    }
}

struct Watch<'a> {
    known: &'a KnownProject,
    args: &'a StatsArgs,
    plans: HashMap<String, MachinePlan>,
    before: Option<(Instant, Vec<VmProcess>)>,
}

impl<'a> Watch<'a> {
    fn new(known: &'a KnownProject, args: &'a StatsArgs) -> Self {
        // A file that has mistakes now says no limits.
        let plan = plan::build(&known.project, &crate::host::facts(), &Selection::all()).ok();
        let machines = plan.map(|plan| plan.machines).unwrap_or_default();
        let plans = machines.into_iter().map(|machine| (machine.name.clone(), machine)).collect();
        Self { known, args, plans, before: None }
    }

    /// What the machines cost since the last look, or within a second; none when nobody holds them any more.
    fn look(&mut self, client: &Client) -> Result<Option<Vec<Cost>>, Failure> {
        let view = match asking(client.view()) {
            Ok(view) => view,
            Err(_) if self.before.is_some() => return Ok(None),
            Err(failure) => return Err(failure),
        };
        for name in &self.args.names {
            self.known.has_machine(name, &view)?;
        }
        let (then, before) = match self.before.take() {
            Some(before) => before,
            None => (Instant::now(), vm_processes(client.pid())),
        };
        thread::sleep(LOOK.saturating_sub(then.elapsed()));
        let (now, processes) = (Instant::now(), vm_processes(client.pid()));
        let used = workspaces(self.known);
        let is_asked = |machine: &&MachineView| self.args.names.is_empty() || self.args.names.contains(&machine.name);
        let cost = |machine: &MachineView| {
            let process = processes.iter().find(|process| process.machine == machine.name)?;
            let earlier = before.iter().find(|earlier| earlier.pid == process.pid);
            let plan = self.plans.get(&machine.name);
            Some(Cost {
                name: machine.name.clone(),
                cpu_percent: earlier.map(|earlier| percent(process.cpu.saturating_sub(earlier.cpu), now - then)),
                cpus: plan.map(|plan| plan.cpus),
                memory: process.memory,
                memory_limit: plan.map(|plan| plan.memory_mib << 20),
                workspace: used.get(&file_name(&machine.name)).copied(),
            })
        };
        let costs = view.machines.iter().filter(is_asked).filter_map(cost).collect();
        self.before = Some((now, processes));
        Ok(Some(costs))
    }
}

/// What the disks behind workspaces take, by the names of their files.
fn workspaces(known: &KnownProject) -> HashMap<String, u64> {
    let storage = Storage::new(known.state.folder(), known.state.actor().clone());
    storage.workspaces().unwrap_or_default().into_iter().map(|disk| (disk.name, disk.used)).collect()
}

/// A share of a CPU with one digit behind the point.
fn percent(used: Duration, within: Duration) -> f64 {
    let share = used.as_secs_f64() / within.as_secs_f64().max(0.001) * 100.0;
    (share * 10.0).round() / 10.0
}

fn render_text(costs: &[Cost]) -> String {
    let head = ["MACHINE", "CPU %", "CPUS", "MEMORY / LIMIT", "WORKSPACE"].map(str::to_owned);
    let dash = || "-".to_owned();
    let row = |cost: &Cost| {
        let limit = cost.memory_limit.map_or_else(dash, size);
        [
            cost.name.clone(),
            cost.cpu_percent.map_or_else(dash, |percent| format!("{percent:.1}")),
            cost.cpus.map_or_else(dash, |cpus| cpus.to_string()),
            format!("{} / {limit}", size(cost.memory)),
            cost.workspace.map_or_else(dash, size),
        ]
    };
    table(std::iter::once(head).chain(costs.iter().map(row)).collect())
}

fn render_json(project: &str, machines: &[Cost]) -> String {
    let report = Report { version: JSON_VERSION, project, machines };
    let mut text = serde_json::to_string(&report).expect("text and numbers serialize");
    text.push('\n');
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn costs() -> Vec<Cost> {
        vec![
            Cost {
                name: "db".to_owned(),
                cpu_percent: Some(percent(Duration::from_millis(1234), Duration::from_secs(1))),
                cpus: Some(2),
                memory: 200 << 20,
                memory_limit: Some(1 << 30),
                workspace: Some(5 << 20),
            },
            Cost {
                name: "web".to_owned(),
                cpu_percent: None,
                cpus: None,
                memory: 1 << 20,
                memory_limit: None,
                workspace: None,
            },
        ]
    }

    #[test]
    fn a_line_a_machine_with_what_is_known() {
        assert_eq!(
            render_text(&costs()),
            "\
MACHINE  CPU %  CPUS  MEMORY / LIMIT       WORKSPACE
db       123.4  2     200.0 MiB / 1.0 GiB  5.0 MiB
web      -      -     1.0 MiB / -          -
"
        );
    }

    #[test]
    fn programs_get_bytes() {
        assert_eq!(
            render_json("acme", &costs()[1..]),
            "{\"version\":1,\"project\":\"acme\",\"machines\":[{\"name\":\"web\",\"cpu_percent\":null,\"cpus\":null,\
             \"memory\":1048576,\"memory_limit\":null,\"workspace\":null}]}\n"
        );
    }
}

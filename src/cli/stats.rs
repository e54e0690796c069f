//! `smolvm stats`: what the machines that are up use, and what they cost this computer.
//!
//! The table is docker's: what runs in a machine, as the machine counts it. What its VM takes of this computer is with it in
//! the form for programs. On a terminal the table is written anew every second, elsewhere once. Deliberately not here: where
//! the numbers come from (`run`, `host`, `storage`).

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
use super::terminal::Terminal;
use crate::control::Client;
use crate::guest::GuestStats;
use crate::host::{VmProcess, vm_processes};
use crate::plan::{self, MachinePlan, Selection};
use crate::report::Size;
use crate::run::{MachineUsage, MachineView, RunView, file_name};
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
    /// Also show machines that are down
    #[arg(short = 'a', long)]
    all: bool,
    /// Show them once, also on a terminal
    #[arg(long)]
    no_stream: bool,
    /// Form of the list
    #[arg(long, value_enum, value_name = "FORM", default_value_t = DataFormat::Text)]
    format: DataFormat,
    #[command(flatten)]
    pub(crate) global: GlobalArgs,
}

/// What one machine uses and costs; of what is not known yet, or not any more, there is none.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
struct Cost {
    name: String,
    /// Of one CPU, in percent.
    cpu_percent: Option<f64>,
    cpus: Option<u32>,
    memory: Option<u64>,
    memory_limit: Option<u64>,
    tasks: Option<u64>,
    net_received: Option<u64>,
    net_sent: Option<u64>,
    disk_read: Option<u64>,
    disk_written: Option<u64>,
    /// What its VM takes of one CPU of this computer, in percent.
    host_cpu_percent: Option<f64>,
    /// What its VM has of this computer's memory.
    host_memory: Option<u64>,
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
            None => Some(watch.nothing()?),
        };
        // Who held the machines is gone, and they are.
        let Some(costs) = costs else { return Ok(ExitCode::Passed) };
        let text = match args.format {
            DataFormat::Json => render_json(&known.project.name, &costs),
            DataFormat::Text if is_once => render_text(&costs),
            DataFormat::Text => fitted(&render_text(&costs), Terminal::Stdout.screen().size),
        };
        let back = if rows > 0 { format!("\x1b[{rows}A\x1b[J") } else { String::new() };
        printer.data(&format!("{back}{text}"))?;
        if is_once || client.is_none() {
            return Ok(ExitCode::Passed);
        }
        rows = text.lines().count();
    }
}

/// As much of a table as a screen can take back: a line that is wrapped, or that has left at the top, cannot be.
fn fitted(text: &str, size: Size) -> String {
    let lines = text.lines().take(size.rows.saturating_sub(1).max(1));
    lines.map(|line| line.chars().take(size.columns).collect::<String>() + "\n").collect()
}

/// What was found at one time.
struct Seen {
    at: Instant,
    usage: HashMap<String, MachineUsage>,
    processes: HashMap<String, VmProcess>,
}

impl Seen {
    fn ask(client: &Client) -> Result<Self, Failure> {
        let usage = asking(client.usage())?;
        Ok(Self {
            at: Instant::now(),
            usage: usage.into_iter().map(|usage| (usage.machine.clone(), usage)).collect(),
            processes: vm_processes(client.pid())
                .into_iter()
                .map(|process| (process.machine.clone(), process))
                .collect(),
        })
    }
}

struct Watch<'a> {
    known: &'a KnownProject,
    args: &'a StatsArgs,
    plans: HashMap<String, MachinePlan>,
    before: Option<Seen>,
}

impl<'a> Watch<'a> {
    fn new(known: &'a KnownProject, args: &'a StatsArgs) -> Self {
        // A file that has mistakes now says no limits.
        let plan = plan::build(&known.project, &crate::host::facts(), &Selection::all().held()).ok();
        let machines = plan.map(|plan| plan.machines).unwrap_or_default();
        let plans = machines.into_iter().map(|machine| (machine.name.clone(), machine)).collect();
        Self { known, args, plans, before: None }
    }

    fn is_asked(&self, machine: &MachineView) -> bool {
        match &self.args.names[..] {
            [] => self.args.all || !machine.is_down(),
            names => names.contains(&machine.name),
        }
    }

    /// What there is where nobody holds machines.
    fn nothing(&self) -> Result<Vec<Cost>, Failure> {
        let view = RunView::nothing();
        for name in &self.args.names {
            self.known.has_machine(name, &view)?;
        }
        Ok(Vec::new())
    }

    /// What the machines cost since the last look, or within a second; none when nobody holds them any more.
    fn look(&mut self, client: &Client) -> Result<Option<Vec<Cost>>, Failure> {
        let is_first = self.before.is_none();
        let looked = self.look_again(client);
        match looked {
            Err(_) if !is_first => Ok(None),
            looked => looked.map(Some),
        }
    }

    fn look_again(&mut self, client: &Client) -> Result<Vec<Cost>, Failure> {
        let before = match self.before.take() {
            Some(before) => before,
            None => {
                let view = asking(client.view())?;
                for name in &self.args.names {
                    self.known.has_machine(name, &view)?;
                }
                Seen::ask(client)?
            }
        };
        thread::sleep(LOOK.saturating_sub(before.at.elapsed()));
        let now = Seen::ask(client)?;
        let view = asking(client.view())?;
        let used = workspaces(self.known);
        let asked = view.machines.iter().filter(|machine| self.is_asked(machine));
        let costs = asked.map(|machine| self.cost(machine, &before, &now, &used)).collect();
        self.before = Some(now);
        Ok(costs)
    }

    fn cost(&self, machine: &MachineView, before: &Seen, now: &Seen, used: &HashMap<String, u64>) -> Cost {
        let name = &machine.name;
        let plan = self.plans.get(name);
        let cost = Cost {
            name: name.clone(),
            cpus: plan.map(|plan| plan.cpus),
            memory_limit: plan.map(|plan| plan.memory_mib << 20),
            workspace: used.get(&file_name(name)).copied(),
            ..Cost::default()
        };
        let Some(process) = now.processes.get(name).filter(|_| !machine.is_down()) else { return cost };
        // Another process is another life of the machine, which has used nothing before.
        let earlier = before.processes.get(name).filter(|earlier| earlier.pid == process.pid);
        let within = now.at - before.at;
        let usage = now.usage.get(name);
        let guest = usage.and_then(|usage| usage.guest);
        let guest_before = before.usage.get(name).and_then(|usage| usage.guest).filter(|_| earlier.is_some());
        let cpu = guest.zip(guest_before);
        let cpu = cpu.map(|(now, before)| Duration::from_micros(now.cpu_us.saturating_sub(before.cpu_us)));
        let net = |forwarded: fn(&MachineUsage) -> u64, own: fn(&GuestStats) -> u64| {
            let usage = usage?;
            Some(forwarded(usage).saturating_add(guest.as_ref().map_or(0, own)))
        };
        Cost {
            cpu_percent: cpu.map(|cpu| percent(cpu, within)),
            memory: guest.map(|guest| guest.memory),
            memory_limit: cost.memory_limit.or(guest.map(|guest| guest.memory_total)),
            tasks: guest.map(|guest| guest.tasks),
            net_received: net(|usage| usage.received, |guest| guest.net_received),
            net_sent: net(|usage| usage.sent, |guest| guest.net_sent),
            disk_read: guest.map(|guest| guest.disk_read),
            disk_written: guest.map(|guest| guest.disk_written),
            host_cpu_percent: earlier.map(|earlier| percent(process.cpu.saturating_sub(earlier.cpu), within)),
            host_memory: Some(process.memory),
            ..cost
        }
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
    let head = ["MACHINE", "CPU %", "MEM USAGE / LIMIT", "MEM %", "NET I/O", "BLOCK I/O", "PIDS", "HOST MEM"];
    let dash = || "-".to_owned();
    let both = |one: Option<u64>, other: Option<u64>| match (one, other) {
        (None, None) => dash(),
        (one, other) => format!("{} / {}", one.map_or_else(dash, size), other.map_or_else(dash, size)),
    };
    let row = |cost: &Cost| {
        let share = cost.memory.zip(cost.memory_limit).map(|(memory, limit)| part(memory, limit));
        [
            cost.name.clone(),
            cost.cpu_percent.map_or_else(dash, |percent| format!("{percent:.1}%")),
            both(cost.memory, cost.memory_limit),
            share.map_or_else(dash, |tenths| format!("{}.{}%", tenths / 10, tenths % 10)),
            both(cost.net_received, cost.net_sent),
            both(cost.disk_read, cost.disk_written),
            cost.tasks.map_or_else(dash, |tasks| tasks.to_string()),
            cost.host_memory.map_or_else(dash, size),
        ]
    };
    table(std::iter::once(head.map(str::to_owned)).chain(costs.iter().map(row)).collect())
}

/// A part of a whole in tenths of a percent.
fn part(part: u64, whole: u64) -> u128 {
    u128::from(part) * 1000 / u128::from(whole.max(1))
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
        let db = Cost {
            name: "db".to_owned(),
            cpu_percent: Some(percent(Duration::from_millis(1234), Duration::from_secs(1))),
            cpus: Some(2),
            memory: Some(200 << 20),
            memory_limit: Some(1 << 30),
            tasks: Some(12),
            net_received: Some(1023),
            net_sent: Some(3 << 20),
            disk_read: Some(0),
            disk_written: Some(5 << 30),
            host_cpu_percent: Some(130.0),
            host_memory: Some(300 << 20),
            workspace: Some(5 << 20),
        };
        vec![db, Cost { name: "web".to_owned(), ..Cost::default() }]
    }

    #[test]
    fn a_line_a_machine_with_what_is_known() {
        assert_eq!(
            render_text(&costs()),
            "\
MACHINE  CPU %   MEM USAGE / LIMIT    MEM %  NET I/O           BLOCK I/O      PIDS  HOST MEM
db       123.4%  200.0 MiB / 1.0 GiB  19.5%  1023 B / 3.0 MiB  0 B / 5.0 GiB  12    300.0 MiB
web      -       -                    -      -                 -              -     -
"
        );
    }

    #[test]
    fn a_screen_gets_only_what_it_can_take_back() {
        let text = render_text(&costs());
        assert_eq!(fitted(&text, Size { columns: 9, rows: 3 }), "MACHINE  \ndb       \n");
        assert_eq!(fitted(&text, Size { columns: 200, rows: 50 }), text);
        assert_eq!(fitted(&text, Size { columns: 2, rows: 0 }), "MA\n");
    }

    #[test]
    fn programs_get_bytes() {
        assert_eq!(
            render_json("acme", &costs()[..1]),
            "{\"version\":1,\"project\":\"acme\",\"machines\":[{\"name\":\"db\",\"cpu_percent\":123.4,\"cpus\":2,\
             \"memory\":209715200,\"memory_limit\":1073741824,\"tasks\":12,\"net_received\":1023,\
             \"net_sent\":3145728,\"disk_read\":0,\"disk_written\":5368709120,\"host_cpu_percent\":130.0,\
             \"host_memory\":314572800,\"workspace\":5242880}]}\n"
        );
    }
}

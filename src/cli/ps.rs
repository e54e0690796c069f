//! `smolvm ps`: the machines of a project that are up, and how they stand.
//!
//! Deliberately not here: how it is known (`control`), what makes a machine another one (`drift`).

use std::time::SystemTime;

use clap::Args;
use jiff::Timestamp;
use serde::Serialize;

use super::args::{DataFormat, GlobalArgs};
use super::drift::Shapes;
use super::exit::{ExitCode, Failure};
use super::images::table;
use super::printer::Printer;
use super::project::{KnownProject, asking};
use super::settings::{Settings, Volume};
use crate::control::{About, Role};
use crate::event::MachinePhase;
use crate::plan::PortPlan;
use crate::run::{Health, MachineView, RunView, ServiceState, ServiceView, StepView};

const JSON_VERSION: u32 = 1;

/// Options of `ps`.
#[derive(Debug, Args)]
pub(crate) struct PsArgs {
    /// Machines to list; all that are up by default
    #[arg(value_name = "MACHINE")]
    names: Vec<String>,
    /// Also list machines that are down
    #[arg(short = 'a', long)]
    all: bool,
    /// Form of the list
    #[arg(long, value_enum, value_name = "FORM", default_value_t = DataFormat::Text)]
    format: DataFormat,
    #[command(flatten)]
    pub(crate) global: GlobalArgs,
}

/// What is listed.
struct Listed {
    about: Option<About>,
    view: RunView,
    /// What the file makes of each machine now.
    shapes: Shapes,
}

/// Lists them.
pub(super) fn run(args: &PsArgs, settings: &Settings, printer: &Printer) -> Result<ExitCode, Failure> {
    let known = KnownProject::find(settings)?;
    let mut listed = Listed::find(&known)?;
    let is_asked = |machine: &MachineView| args.names.is_empty() || args.names.contains(&machine.name);
    for name in &args.names {
        known.has_machine(name, &listed.view)?;
    }
    listed
        .view
        .machines
        .retain(|machine| is_asked(machine) && (args.all || !args.names.is_empty() || !machine.is_down()));
    printer.data(&match args.format {
        DataFormat::Text if settings.volume == Volume::Quiet => listed.render_names(),
        DataFormat::Text => listed.render_text(SystemTime::now()),
        DataFormat::Json => listed.render_json(),
    })?;
    if args.format == DataFormat::Text {
        // Of what runs in the background nobody else tells.
        for text in &listed.view.warnings {
            printer.note(&format!("warning: {}\n", crate::report::readable(text.as_bytes())));
        }
    }
    Ok(ExitCode::Passed)
}

impl Listed {
    fn find(known: &KnownProject) -> Result<Self, Failure> {
        let project = &known.project;
        let nothing = RunView { project: project.name.clone(), is_settled: true, ..RunView::nothing() };
        let (about, view) = match known.client()? {
            Some(client) => asking(async move {
                let about = client.about().await?;
                Ok((Some(about), client.view().await?))
            })?,
            None => (None, nothing),
        };
        Ok(Self { about, view, shapes: Shapes::of(project) })
    }

    /// Names alone, for `$(smolvm ps -q)`.
    fn render_names(&self) -> String {
        self.view.machines.iter().map(|machine| format!("{}\n", machine.name)).collect()
    }

    fn render_text(&self, now: SystemTime) -> String {
        let head = ["MACHINE", "STATUS", "FOR", "RUNS", "PORTS", "NOTE"].map(str::to_owned);
        let row = |machine: &MachineView| {
            let since = machine.phase.map(|_| ago(now, machine.since)).unwrap_or_default();
            let ports: Vec<String> = machine.ports.iter().map(port).collect();
            let note = if self.shapes.is_older(machine) {
                "runs an older file".to_owned()
            } else if self.shapes.is_dropped(machine) {
                "the file has it no more".to_owned()
            } else {
                machine.cause.as_deref().and_then(|cause| cause.lines().next()).unwrap_or_default().to_owned()
            };
            let runs = self.running(machine).map(|step| step.id.clone()).unwrap_or_default();
            [
                machine.name.clone(),
                status(machine),
                since,
                runs,
                ports.join(", "),
                crate::report::readable(note.as_bytes()),
            ]
        };
        // Columns in which nothing stands are left out.
        let rows: Vec<[String; 6]> = std::iter::once(head).chain(self.view.machines.iter().map(row)).collect();
        table_without_empty(rows)
    }

    /// The step that runs in a machine now.
    fn running(&self, machine: &MachineView) -> Option<&StepView> {
        self.view.steps.iter().find(|step| step.machine == machine.name && step.attempt.is_some())
    }

    fn render_json(&self) -> String {
        let holder = self.about.as_ref().map(|about| Holder {
            pid: about.pid,
            command: &about.command,
            since: rfc3339(about.since),
            kind: match about.role {
                Role::Foreground => "foreground",
                Role::Supervisor => "supervisor",
            },
        });
        let machine = |machine: &'_ MachineView| MachineEntry {
            name: machine.name.clone(),
            phase: machine.phase.map(MachinePhase::name),
            since: machine.phase.map(|_| rfc3339(machine.since)),
            service: machine.service.as_ref().map(ServiceEntry::of),
            step: self.running(machine).map(|step| step.id.clone()),
            ports: machine.ports.iter().map(PortEntry::of).collect(),
            cause: machine.cause.clone(),
            older: self.shapes.is_older(machine),
        };
        let report = Report {
            version: JSON_VERSION,
            project: &self.view.project,
            run: Some(self.view.run.as_str()).filter(|run| !run.is_empty()),
            holder,
            machines: self.view.machines.iter().map(machine).collect(),
            warnings: &self.view.warnings,
        };
        let mut text = serde_json::to_string(&report).expect("text and numbers serialize");
        text.push('\n');
        text
    }
}

/// A table without the columns of which only the head is there, but for the first two.
fn table_without_empty(rows: Vec<[String; 6]>) -> String {
    let is_kept = |column: usize| column < 3 || rows.iter().skip(1).any(|row| !row[column].is_empty());
    let kept: Vec<usize> = (0..6).filter(|column| is_kept(*column)).collect();
    let row = |row: &[String; 6]| -> [String; 6] {
        std::array::from_fn(|place| kept.get(place).map(|column| row[*column].clone()).unwrap_or_default())
    };
    table(rows.iter().map(row).collect())
}

/// How a machine stands, in a few words.
fn status(machine: &MachineView) -> String {
    let Some(phase_reached) = machine.phase else { return "not started".to_owned() };
    match (phase_reached, &machine.service) {
        (MachinePhase::Ready, Some(service)) => service_status(service),
        (MachinePhase::Ready, None) => "up".to_owned(),
        (MachinePhase::Prepared | MachinePhase::Booting | MachinePhase::Agent | MachinePhase::Mounted, _) => {
            "booting".to_owned()
        }
        (phase, _) => phase.name().to_owned(),
    }
}

fn service_status(service: &ServiceView) -> String {
    let health = service.health.map(|health| format!(" ({})", health_word(health))).unwrap_or_default();
    let restarts = match service.restarts {
        0 => String::new(),
        1 => ", restarted once".to_owned(),
        count => format!(", restarted {count} times"),
    };
    match service.state {
        ServiceState::Waiting => "up, service not started".to_owned(),
        ServiceState::Running => format!("up{health}{restarts}"),
        ServiceState::Restarting { exit_code: Some(code) } => format!("restarting ({code}){restarts}"),
        ServiceState::Restarting { exit_code: None } => format!("restarting{restarts}"),
        ServiceState::Exited { exit_code: Some(code) } => format!("exited ({code}){restarts}"),
        ServiceState::Exited { exit_code: None } => format!("exited{restarts}"),
    }
}

fn health_word(health: Health) -> &'static str {
    match health {
        Health::Starting => "starting",
        Health::Healthy => "healthy",
        Health::Unhealthy => "unhealthy",
    }
}

/// `127.0.0.1:8080 -> 80`.
fn port(port: &PortPlan) -> String {
    let host = std::net::SocketAddr::new(port.address, port.host);
    format!("{host}->{}", port.guest)
}

/// `12s`, `5m`, `3h`, `2d`.
pub(super) fn ago(now: SystemTime, since: SystemTime) -> String {
    let seconds = now.duration_since(since).unwrap_or_default().as_secs();
    match seconds {
        0..120 => format!("{seconds}s"),
        120..7200 => format!("{}m", seconds / 60),
        7200..172_800 => format!("{}h", seconds / 3600),
        _ => format!("{}d", seconds / 86_400),
    }
}

pub(super) fn rfc3339(time: SystemTime) -> String {
    Timestamp::try_from(time).map(|time| time.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()).unwrap_or_default()
}

#[derive(Serialize)]
struct Report<'a> {
    version: u32,
    project: &'a str,
    run: Option<&'a str>,
    holder: Option<Holder<'a>>,
    machines: Vec<MachineEntry>,
    warnings: &'a [String],
}

#[derive(Serialize)]
struct Holder<'a> {
    pid: u32,
    command: &'a str,
    since: String,
    kind: &'static str,
}

#[derive(Serialize)]
struct MachineEntry {
    name: String,
    phase: Option<&'static str>,
    since: Option<String>,
    service: Option<ServiceEntry>,
    step: Option<String>,
    ports: Vec<PortEntry>,
    cause: Option<String>,
    older: bool,
}

#[derive(Serialize)]
struct ServiceEntry {
    state: &'static str,
    exit_code: Option<i32>,
    health: Option<&'static str>,
    restarts: u32,
}

#[derive(Serialize)]
struct PortEntry {
    address: String,
    host: u16,
    guest: u16,
}

impl ServiceEntry {
    fn of(service: &ServiceView) -> Self {
        let (state, exit_code) = match service.state {
            ServiceState::Waiting => ("waiting", None),
            ServiceState::Running => ("running", None),
            ServiceState::Restarting { exit_code } => ("restarting", exit_code),
            ServiceState::Exited { exit_code } => ("exited", exit_code),
        };
        Self { state, exit_code, health: service.health.map(health_word), restarts: service.restarts }
    }
}

impl PortEntry {
    fn of(port: &PortPlan) -> Self {
        Self { address: port.address.to_string(), host: port.host, guest: port.guest }
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;
    use std::time::{Duration, UNIX_EPOCH};

    use super::*;

    fn machine(name: &str, phase: Option<MachinePhase>, service: Option<ServiceView>) -> MachineView {
        MachineView {
            name: name.to_owned(),
            phase,
            since: UNIX_EPOCH + Duration::from_secs(1000),
            service,
            ports: Vec::new(),
            cause: None,
            shape: "new".to_owned(),
        }
    }

    fn service(state: ServiceState, health: Option<Health>, restarts: u32) -> Option<ServiceView> {
        Some(ServiceView { state, health, restarts })
    }

    fn listed(machines: Vec<MachineView>, steps: Vec<StepView>) -> Listed {
        let view = RunView {
            run: "1".to_owned(),
            project: "acme".to_owned(),
            is_settled: true,
            machines,
            steps,
            earlier: Vec::new(),
            warnings: Vec::new(),
        };
        Listed {
            about: None,
            view,
            shapes: Shapes::these([("db", "other"), ("web", "new"), ("test", "new"), ("late", "new")]),
        }
    }

    #[test]
    fn a_line_a_machine_with_what_there_is_to_say() {
        let ready = Some(MachinePhase::Ready);
        let mut web = machine("web", ready, service(ServiceState::Running, None, 2));
        web.ports = vec![PortPlan { address: Ipv4Addr::LOCALHOST.into(), host: 8080, is_any: false, guest: 80 }];
        let step = StepView {
            id: "unit".to_owned(),
            machine: "test".to_owned(),
            attempt: Some(1),
            status: None,
            exit_code: None,
            shape: String::new(),
        };
        let machines = vec![
            machine("db", ready, service(ServiceState::Running, Some(Health::Healthy), 0)),
            web,
            machine("test", ready, None),
            machine("late", None, None),
            machine("loop", ready, service(ServiceState::Restarting { exit_code: Some(1) }, None, 12)),
        ];
        assert_eq!(
            listed(machines, vec![step]).render_text(UNIX_EPOCH + Duration::from_secs(1312)),
            "\
MACHINE  STATUS                              FOR  RUNS  PORTS               NOTE
db       up (healthy)                        5m                             runs an older file
web      up, restarted 2 times               5m         127.0.0.1:8080->80
test     up                                  5m   unit
late     not started
loop     restarting (1), restarted 12 times  5m                             the file has it no more
"
        );
    }

    #[test]
    fn columns_of_nothing_are_left_out() {
        let one = machine("one", Some(MachinePhase::Stopped), None);
        assert_eq!(
            listed(vec![one], Vec::new()).render_text(UNIX_EPOCH),
            "MACHINE  STATUS   FOR\none      stopped  0s\n"
        );
        assert_eq!(listed(Vec::new(), Vec::new()).render_text(UNIX_EPOCH), "MACHINE  STATUS  FOR\n");
    }

    #[test]
    fn programs_get_every_field() {
        let exited = service(ServiceState::Exited { exit_code: Some(1) }, Some(Health::Starting), 0);
        let listed = listed(vec![machine("db", Some(MachinePhase::Ready), exited)], Vec::new());
        assert_eq!(
            listed.render_json(),
            "{\"version\":1,\"project\":\"acme\",\"run\":\"1\",\"holder\":null,\"machines\":[{\"name\":\"db\",\
             \"phase\":\"ready\",\"since\":\"1970-01-01T00:16:40Z\",\"service\":{\"state\":\"exited\",\"exit_code\":1,\
             \"health\":\"starting\",\"restarts\":0},\"step\":null,\"ports\":[],\"cause\":null,\"older\":true}],\"warnings\":[]}\n"
        );
    }
}

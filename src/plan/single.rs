//! The plan of one command in one machine of a project, in place of the file's steps.

use std::collections::BTreeMap;

use super::build::plan_machine;
use super::graph;
use super::members::Presence;
use super::model::{DiskPlan, HostFacts, Limits, MachinePlan, MountPlanKind, Plan, StepPlan};
use super::operations::{Reasons, plan_operations};
use crate::config::Project;
use crate::config::model::{Command, Machine, MachineNames};

/// Id of the step that the command is.
const STEP: &str = "run";

/// What is to run.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SingleCommand {
    /// Words; without any it is the machine's own command, or the image's.
    pub words: Vec<String>,
    /// A program in the place of the image's entrypoint. The image's command does not go with it.
    pub entrypoint: Option<String>,
    /// Whether the services that its machine depends on or is linked to come up for it, with those that they need.
    pub brings_services: bool,
}

impl SingleCommand {
    fn of(&self, machine: &Machine) -> (Command, bool) {
        if let Some(entrypoint) = &self.entrypoint {
            return (Command::List([std::slice::from_ref(entrypoint), &self.words].concat()), false);
        }
        match &machine.service.command {
            Some(own) if self.words.is_empty() => (own.value.clone(), matches!(own.value, Command::List(_))),
            _ => (Command::List(self.words.clone()), true),
        }
    }
}

/// The services that a machine depends on or is linked to, and those that they need, each with the reason.
fn services_for(project: &Project, machine: &Machine) -> BTreeMap<String, Presence> {
    let names = MachineNames::new(&project.machines);
    let mut found = BTreeMap::new();
    let mut open = vec![machine];
    while let Some(waiting) = open.pop() {
        let why = |is_awaited: bool| match is_awaited {
            true => Presence::Awaited(waiting.name.value.clone()),
            false => Presence::Linked(waiting.name.value.clone()),
        };
        let awaited = waiting.depends_on.iter().map(|on| (&on.machine.value, true));
        let linked = waiting.network.links.iter().map(|link| (&link.machine.value, false));
        for (name, is_awaited) in awaited.chain(linked) {
            for other in names.find(name).map_or(&[][..], |range| &project.machines[range]) {
                let is_new = other.name.value != machine.name.value && !found.contains_key(&other.name.value);
                if is_new && other.service.command.is_some() {
                    found.insert(other.name.value.clone(), why(is_awaited));
                    open.push(other);
                }
            }
        }
    }
    found
}

/// The command's machine and those that it brings, in file order.
fn with_services(project: &Project, host: &HostFacts, own: MachinePlan, reasons: &Reasons) -> Vec<MachinePlan> {
    let (name, mut own) = (own.name.clone(), Some(own));
    let planned = project.machines.iter().filter_map(|machine| match machine.name.value == name {
        true => own.take(),
        false => reasons.machines.contains_key(&machine.name.value).then(|| plan_machine(project, machine, host)),
    });
    let mut machines: Vec<MachinePlan> = planned.collect();
    let present: Vec<String> = machines.iter().map(|machine| machine.name.clone()).collect();
    for machine in &mut machines {
        // What has no command of its own, steps alone, does not come.
        machine.depends_on.retain(|on| present.contains(&on.machine));
    }
    machines
}

/// Plans one command; nothing where the project has no such machine.
pub fn build_single(project: &Project, host: &HostFacts, machine: &str, command: &SingleCommand) -> Option<Plan> {
    let machine = project.machines.iter().find(|known| known.name.value == machine)?;
    let reasons = match command.brings_services {
        true => Reasons { machines: services_for(project, machine), ..Reasons::default() },
        false => Reasons::default(),
    };
    let (command, uses_entrypoint) = command.of(machine);
    let mut env = project.env.clone();
    env.extend(machine.env.clone());
    let step = StepPlan {
        id: STEP.to_owned(),
        title: None,
        machine: machine.name.value.clone(),
        command,
        uses_entrypoint,
        env,
        working_dir: machine.working_dir.as_ref().map(|folder| folder.value.clone()),
        user: machine.user.as_ref().map(|user| user.value.clone()),
        needs: Vec::new(),
        timeout: None,
        retry: None,
        outputs: Vec::new(),
        continue_on_error: false,
        chown: None,
        is_finally: false,
    };
    // The command stands in the place of the machine's own.
    let mut own = MachinePlan { service: None, ..plan_machine(project, machine, host) };
    for mount in &mut own.mounts {
        // The machine is a fresh one, which leaves nothing. Volumes are the project's.
        if let MountPlanKind::Disk { disk: disk @ DiskPlan::Workspace, .. } = &mut mount.kind {
            *disk = DiskPlan::Scratch;
        }
    }
    let machines = with_services(project, host, own, &reasons);
    let steps = vec![step];
    let operations = graph::sort(plan_operations(&machines, &steps, &reasons));
    Some(Plan {
        project: project.name.clone(),
        folder: project.folder.clone(),
        machines,
        steps,
        skipped: Vec::new(),
        operations,
        limits: Limits { steps_at_once: 1, memory_mib: host.memory_mib },
    })
}

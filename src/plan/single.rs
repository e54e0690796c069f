//! The plan of one command in one machine of a project, in place of the file's steps.

use super::build::plan_machine;
use super::graph;
use super::model::{DiskPlan, HostFacts, Limits, MachinePlan, MountPlanKind, Plan, StepPlan};
use super::operations::{Reasons, plan_operations};
use crate::config::Project;
use crate::config::model::{Command, Machine};

/// Id of the step that the command is.
const STEP: &str = "run";

/// What is to run.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SingleCommand {
    /// Words; without any it is the machine's own command, or the image's.
    pub words: Vec<String>,
    /// A program in the place of the image's entrypoint. The image's command does not go with it.
    pub entrypoint: Option<String>,
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

/// Plans one command; nothing where the project has no such machine.
pub fn build_single(project: &Project, host: &HostFacts, machine: &str, command: &SingleCommand) -> Option<Plan> {
    let machine = project.machines.iter().find(|known| known.name.value == machine)?;
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
    // The command stands in the place of the machine's own, and what the machine depends on is not there.
    let mut own = MachinePlan { service: None, depends_on: Vec::new(), ..plan_machine(project, machine, host) };
    for mount in &mut own.mounts {
        // The machine is a fresh one, which leaves nothing. Volumes are the project's.
        if let MountPlanKind::Disk { disk: disk @ DiskPlan::Workspace, .. } = &mut mount.kind {
            *disk = DiskPlan::Scratch;
        }
    }
    let machines = vec![own];
    let steps = vec![step];
    let operations = graph::sort(plan_operations(&machines, &steps, &Reasons::default()));
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

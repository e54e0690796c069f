//! From a project to a plan: which machines, which steps, which operations, and why each is there.
//!
//! Input is a checked project, so ids are unique, names exist and there is no cycle. Deliberately not here:
//! anything that looks at the host (it comes as facts), and the text of a plan (`render`).

use std::collections::BTreeSet;

use super::graph;
use super::members::{self, Members};
use super::model::{HostFacts, Limits, MachinePlan, Plan, SkippedStep, StepPlan};
use super::mounts::plan_mounts;
use super::network::{plan_links, plan_network, plan_ports};
use super::operations::{Reasons, plan_operations};
use super::owners::plan_chown;
use super::selection::{self, Selection, SelectionError};
use super::service::{DependencyPlan, plan_dependencies, plan_service};
use super::turns;
use crate::config::Project;
use crate::config::model::{Condition, Exclusion, Image, KernelSource, Machine, Step, exclusions};

/// CPUs of a machine that names none, where the host has as many.
const DEFAULT_CPUS: u32 = 2;

/// Fewest steps that run at the same time: also on one CPU, two steps that wait for each other's files get on.
const MIN_STEPS_AT_ONCE: usize = 2;

/// Decides what runs, where, in which order and why.
///
/// # Errors
/// Where a name of the selection means nothing (exit code 4).
pub fn build(project: &Project, host: &HostFacts, selection: &Selection) -> Result<Plan, SelectionError> {
    selection::check(project, selection)?;
    let (excluded, finally) = exclusions(project, &selection.names);
    let skipped = skipped(project, selection, &excluded, &finally);
    let whole = project;
    let project = &project.without(&excluded, &finally);
    let needs = selection::needs(project);
    let Members { steps: chosen, machines: present } = members::choose(project, &needs, selection);
    let ids = |needed: &[usize]| needed.iter().map(|index| project.steps[*index].id.value.clone()).collect();
    let mut steps: Vec<StepPlan> = chosen
        .keys()
        .filter_map(|index| plan_step(project, host, &project.steps[*index], ids(&needs[*index]), false))
        .collect();
    steps.extend(project.finally.iter().filter_map(|step| plan_step(project, host, step, Vec::new(), true)));
    let of_steps = steps.iter().map(|step| step.machine.as_str());
    let used: BTreeSet<&str> = of_steps.chain(present.keys().map(String::as_str)).collect();
    let machines: Vec<MachinePlan> = project
        .machines
        .iter()
        .filter(|machine| used.contains(machine.name.value.as_str()))
        .map(|machine| plan_machine(project, machine, host))
        .collect();
    let mut machines = keep_what_comes(machines, &steps, whole);
    turns::put_in_turn(&mut machines, &steps);
    let steps_by = chosen.into_iter().map(|(index, reason)| (project.steps[index].id.value.clone(), reason)).collect();
    let reasons = Reasons { steps: steps_by, machines: present };
    let mut operations = plan_operations(&machines, &steps, &reasons);
    turns::order_operations(&machines, &mut operations);
    let operations = graph::sort(operations);
    let steps_at_once = usize::try_from(host.cpus).unwrap_or(usize::MAX).max(MIN_STEPS_AT_ONCE);
    Ok(Plan {
        project: project.name.clone(),
        folder: project.folder.clone(),
        machines,
        steps,
        skipped,
        operations,
        limits: Limits { steps_at_once, memory_mib: host.memory_mib },
    })
}

/// Lets go of waits for steps that are all passed over: there is nothing to wait for.
fn keep_what_comes(mut machines: Vec<MachinePlan>, steps: &[StepPlan], whole: &Project) -> Vec<MachinePlan> {
    let has_steps = |name: &str| steps.iter().any(|step| step.machine == name && !step.is_finally);
    let had_steps = |name: &str| whole.steps.iter().any(|step| step.machine.value == name);
    let is_moot =
        |on: &DependencyPlan| on.condition == Condition::Completed && had_steps(&on.machine) && !has_steps(&on.machine);
    for machine in &mut machines {
        machine.depends_on.retain(|on| !is_moot(on));
    }
    machines
}

/// Of the steps that are passed over those that the selection names, or all.
fn skipped(
    project: &Project,
    selection: &Selection,
    steps: &[Option<Exclusion>],
    finally: &[Option<Exclusion>],
) -> Vec<SkippedStep> {
    let steps = project.steps.iter().zip(steps).chain(project.finally.iter().zip(finally));
    steps
        .filter(|(step, _)| selection.means(project, step))
        .filter_map(|(step, excluded)| {
            let excluded = excluded.as_ref()?;
            Some(SkippedStep {
                id: step.id.value.clone(),
                machine: step.machine.value.clone(),
                why: excluded.why(),
                is_profile: matches!(excluded, Exclusion::Profiles(_) | Exclusion::MachineProfiles(_)),
            })
        })
        .collect()
}

fn plan_step(
    project: &Project,
    host: &HostFacts,
    step: &Step,
    needs: Vec<String>,
    is_finally: bool,
) -> Option<StepPlan> {
    let machine = project.machines.iter().find(|machine| machine.name.value == step.machine.value)?;
    let mut env = project.env.clone();
    env.extend(machine.env.clone());
    env.extend(step.env.clone());
    let user = step.user.as_ref().or(machine.user.as_ref()).map(|user| user.value.clone());
    Some(StepPlan {
        id: step.id.value.clone(),
        title: step.title.clone(),
        machine: step.machine.value.clone(),
        command: step.command.value.clone(),
        uses_entrypoint: false,
        env,
        working_dir: step.working_dir.as_ref().or(machine.working_dir.as_ref()).map(|folder| folder.value.clone()),
        user,
        needs,
        timeout: step.timeout,
        retry: step.retry.filter(|retry| retry.attempts > 1),
        outputs: step.outputs.iter().map(|output| output.value.clone()).collect(),
        continue_on_error: step.continue_on_error,
        chown: plan_chown(project, machine, step, host),
        is_finally,
    })
}

pub(super) fn plan_machine(project: &Project, machine: &Machine, host: &HostFacts) -> MachinePlan {
    MachinePlan {
        name: machine.name.value.clone(),
        image: machine.image.value.clone(),
        image_lock: image_lock(project, &machine.image.value),
        kernel: machine.kernel.value.clone(),
        kernel_lock: kernel_lock(project, &machine.kernel.value),
        modules: machine.modules.as_ref().map(|modules| modules.value.clone()),
        cpus: machine.cpus.as_ref().map_or_else(|| DEFAULT_CPUS.min(host.cpus), |cpus| cpus.value).max(1),
        memory_mib: machine.memory_mib.value,
        hostname: machine.hostname_or_default(),
        mounts: plan_mounts(project, machine),
        user: machine.user.as_ref().map(|user| user.value.clone()),
        env: project.env.iter().chain(&machine.env).map(|(name, value)| (name.clone(), value.clone())).collect(),
        working_dir: machine.working_dir.as_ref().map(|folder| folder.value.clone()),
        service: plan_service(machine),
        stop_grace: machine.service.stop_grace.as_ref().map(|grace| grace.value),
        depends_on: plan_dependencies(project, machine),
        after: Vec::new(),
        ports: plan_ports(machine),
        links: plan_links(machine),
        network: plan_network(machine),
    }
}

/// What the lock file says of an image.
fn image_lock(project: &Project, image: &Image) -> Option<String> {
    match image {
        Image::Reference(reference) => project.locks.digest(reference).map(str::to_owned),
        _ => None,
    }
}

/// What the lock file says of a kernel.
fn kernel_lock(project: &Project, kernel: &KernelSource) -> Option<String> {
    let digest = match kernel {
        KernelSource::Reference(reference) => project.locks.digest(reference),
        KernelSource::Auto => project.locks.auto_kernel(),
        KernelSource::Path(_) => None,
    };
    digest.map(str::to_owned)
}

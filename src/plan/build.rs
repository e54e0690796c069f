//! From a project to a plan: which machines, which steps, which operations, and why each is there.
//!
//! Input is a checked project, so ids are unique, names exist and there is no cycle. Deliberately not here:
//! anything that looks at the host (it comes as facts), and the text of a plan (`render`).

use std::collections::{BTreeMap, BTreeSet};

use super::graph;
use super::model::{HostFacts, Limits, MachinePlan, Operation, OperationKind, Plan, SkippedStep, StepPlan};
use super::mounts::plan_mounts;
use super::network::{plan_links, plan_network, plan_ports};
use super::owners::plan_chown;
use super::selection::{self, Reason, Selection, SelectionError};
use super::service::{plan_dependencies, plan_service};
use super::turns;
use crate::config::Project;
use crate::config::model::{Exclusion, Image, KernelSource, Machine, Retry, Step, exclusions};
use crate::config::show_duration;

/// CPUs of a machine that names none, where the host has as many.
const DEFAULT_CPUS: u32 = 2;

/// Names in the reason of an operation; a step may wait for all machines of a matrix.
const NAMES_MAX: usize = 6;

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
    let project = &project.without(&excluded, &finally);
    let needs = selection::needs(project);
    let chosen = selection::choose(project, &needs, selection);
    let ids = |needed: &[usize]| needed.iter().map(|index| project.steps[*index].id.value.clone()).collect();
    let mut steps: Vec<StepPlan> = chosen
        .keys()
        .filter_map(|index| plan_step(project, host, &project.steps[*index], ids(&needs[*index]), false))
        .collect();
    steps.extend(project.finally.iter().filter_map(|step| plan_step(project, host, step, Vec::new(), true)));
    let used: BTreeSet<&str> = steps.iter().map(|step| step.machine.as_str()).collect();
    let mut machines: Vec<MachinePlan> = project
        .machines
        .iter()
        .filter(|machine| used.contains(machine.name.value.as_str()))
        .map(|machine| plan_machine(project, machine, host))
        .collect();
    turns::put_in_turn(&mut machines, &steps);
    let reasons = chosen.into_iter().map(|(index, reason)| (project.steps[index].id.value.clone(), reason)).collect();
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
        service: plan_service(project, machine),
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

/// All operations, in the order in which they are printed where the graph leaves it open: a machine's own before its
/// first step, then the step, each machine's end after everything that runs on it.
pub(super) fn plan_operations(
    machines: &[MachinePlan],
    steps: &[StepPlan],
    reasons: &BTreeMap<String, Reason>,
) -> Vec<Operation> {
    let mut operations = Vec::new();
    let mut seen = BTreeSet::new();
    let ends: Vec<String> = last_steps(steps);
    let mut finally_before: Option<String> = None;
    for step in steps {
        if seen.insert(step.machine.as_str()) {
            operations.extend(plan_boot(step, if step.is_finally { &ends } else { &[] }));
        }
        let mut after = vec![format!("boot:{}", step.machine)];
        if step.is_finally {
            after.extend(finally_before.clone().map_or_else(|| ends.clone(), |before| vec![before]));
            finally_before = Some(operation_id(step));
        } else {
            after.extend(step.needs.iter().map(|need| format!("step:{need}")));
        }
        operations.push(Operation {
            id: operation_id(step),
            kind: if step.is_finally { OperationKind::Finally } else { OperationKind::Step },
            machine: step.machine.clone(),
            after,
            why: format!("{}{}", why_step(step, reasons.get(&step.id)), attempts(step)),
        });
    }
    operations.extend(machines.iter().map(|machine| plan_stop(machine, steps)));
    operations
}

/// The steps (not of `finally`) that no other step waits for.
fn last_steps(steps: &[StepPlan]) -> Vec<String> {
    let needed: BTreeSet<&String> = steps.iter().flat_map(|step| &step.needs).collect();
    let is_last = |step: &&StepPlan| !step.is_finally && !needed.contains(&step.id);
    steps.iter().filter(is_last).map(operation_id).collect()
}

fn operation_id(step: &StepPlan) -> String {
    format!("{}:{}", if step.is_finally { "finally" } else { "step" }, step.id)
}

/// `prepare` and `boot` of the machine of its first step; a machine that only `finally` uses is touched `after` all
/// steps.
fn plan_boot(first: &StepPlan, after: &[String]) -> [Operation; 2] {
    let machine = &first.machine;
    let why =
        if first.is_finally { format!("`{}` of `finally`", first.id) } else { format!("first step `{}`", first.id) };
    let operation = |word: &str, kind, after| Operation {
        id: format!("{word}:{machine}"),
        kind,
        machine: machine.clone(),
        after,
        why: why.clone(),
    };
    [
        operation("prepare", OperationKind::Prepare, after.to_vec()),
        operation("boot", OperationKind::Boot, vec![format!("prepare:{machine}")]),
    ]
}

fn plan_stop(machine: &MachinePlan, steps: &[StepPlan]) -> Operation {
    let own: Vec<&StepPlan> = steps.iter().filter(|step| step.machine == machine.name).collect();
    let last = own.last().map_or_else(String::new, |step| format!("`{}` is its last", step.id));
    Operation {
        id: format!("stop:{}", machine.name),
        kind: OperationKind::Stop,
        machine: machine.name.clone(),
        after: own.into_iter().map(operation_id).collect(),
        why: last,
    }
}

/// How often it is tried, to go after the reason.
fn attempts(step: &StepPlan) -> String {
    let Some(Retry { attempts, delay }) = step.retry else { return String::new() };
    let delay = u64::try_from(delay.as_millis()).unwrap_or(u64::MAX);
    let apart = if delay == 0 { String::new() } else { format!(", {} apart", show_duration(delay)) };
    format!("; at most {attempts} attempts{apart}")
}

fn why_step(step: &StepPlan, reason: Option<&Reason>) -> String {
    let names = |ids: &[String]| {
        let shown = ids.iter().take(NAMES_MAX).map(|id| format!("`{id}`")).collect::<Vec<_>>().join(", ");
        let more = ids.len().saturating_sub(NAMES_MAX);
        if more == 0 { shown } else { format!("{shown} and {more} more") }
    };
    if step.is_finally {
        return "always, at the end".to_owned();
    }
    match reason {
        Some(Reason::Selected) => "selected".to_owned(),
        Some(Reason::NeededBy(id)) => format!("needed by `{id}`"),
        Some(Reason::Everything) | None if step.needs.is_empty() => "needs nothing".to_owned(),
        Some(Reason::Everything) | None => format!("after {}", names(&step.needs)),
    }
}

//! The operations of a plan: what is done to each machine and step, what comes before it, and why it is there.
//!
//! Deliberately not here: which machines and steps there are (`members`), their order as a list (`graph`).

use std::collections::{BTreeMap, BTreeSet};

use super::members::Presence;
use super::model::{MachinePlan, Operation, OperationKind, StepPlan};
use super::selection::Reason;
use crate::config::model::{Condition, Retry};
use crate::config::show_duration;

/// Names in the reason of an operation; a step may wait for all machines of a matrix.
const NAMES_MAX: usize = 6;

/// Why steps (by id) and machines (by name) are in the plan.
#[derive(Debug, Default)]
pub(super) struct Reasons {
    pub(super) steps: BTreeMap<String, Reason>,
    pub(super) machines: BTreeMap<String, Presence>,
}

/// All operations, in the order in which they are printed where the graph leaves it open: machines without steps, then a
/// machine's own before its first step, then the step, each machine's end after everything that runs on it.
pub(super) fn plan_operations(machines: &[MachinePlan], steps: &[StepPlan], reasons: &Reasons) -> Vec<Operation> {
    let draft = Draft { machines, steps, reasons, ends: last_steps(steps) };
    let mut operations = Vec::new();
    let mut seen = BTreeSet::new();
    let has_steps = |machine: &MachinePlan| steps.iter().any(|step| step.machine == machine.name);
    for machine in machines.iter().filter(|machine| !has_steps(machine)) {
        operations.extend(draft.boot(machine, None));
    }
    let mut finally_before: Option<String> = None;
    for step in steps {
        let machine = machines.iter().find(|machine| machine.name == step.machine);
        if let Some(machine) = machine.filter(|machine| seen.insert(machine.name.as_str())) {
            operations.extend(draft.boot(machine, Some(step)));
        }
        let is_served = machine.is_some_and(|machine| machine.service.is_some());
        let mut after = vec![format!("{}:{}", if is_served { "service" } else { "boot" }, step.machine)];
        if step.is_finally {
            after.extend(finally_before.clone().map_or_else(|| draft.ends.clone(), |before| vec![before]));
            finally_before = Some(operation_id(step));
        } else {
            after.extend(step.needs.iter().map(|need| format!("step:{need}")));
        }
        operations.push(Operation {
            id: operation_id(step),
            kind: if step.is_finally { OperationKind::Finally } else { OperationKind::Step },
            machine: step.machine.clone(),
            after,
            why: format!("{}{}", why_step(step, reasons.steps.get(&step.id)), attempts(step)),
        });
    }
    operations.extend(machines.iter().map(|machine| draft.stop(machine, finally_before.as_ref())));
    operations
}

/// What all operations are made from.
struct Draft<'a> {
    machines: &'a [MachinePlan],
    steps: &'a [StepPlan],
    reasons: &'a Reasons,
    /// The last steps.
    ends: Vec<String>,
}

impl Draft<'_> {
    /// `prepare` and `boot` of a machine, and the start of its service. One that only `finally` uses is touched after
    /// all steps, and waits for no other.
    fn boot(&self, machine: &MachinePlan, first: Option<&StepPlan>) -> Vec<Operation> {
        let name = &machine.name;
        let is_last = first.is_some_and(|step| step.is_finally) && machine.service.is_none();
        let why = match (first, self.reasons.machines.get(name)) {
            (Some(step), None) if step.is_finally => format!("`{}` of `finally`", step.id),
            (Some(step), None) => format!("first step `{}`", step.id),
            (_, Some(presence)) => why_present(presence),
            (None, None) => "a service".to_owned(),
        };
        let mut ready = vec![format!("prepare:{name}")];
        let mut waits = String::new();
        if !is_last && !machine.depends_on.is_empty() {
            ready.extend(machine.depends_on.iter().flat_map(|on| self.come(&on.machine, on.condition)));
            let on = machine.depends_on.iter().map(|on| format!("`{}` is {}", on.machine, on.condition.word()));
            waits = format!(", when {}", shorten(on.collect()));
        }
        let operation = |word: &str, kind, after, why| Operation {
            id: format!("{word}:{name}"),
            kind,
            machine: name.clone(),
            after,
            why,
        };
        let before = if is_last { self.ends.clone() } else { Vec::new() };
        let mut operations = vec![
            operation("prepare", OperationKind::Prepare, before, why.clone()),
            operation("boot", OperationKind::Boot, ready, format!("{why}{waits}")),
        ];
        if let Some(service) = &machine.service {
            let why = if service.health.is_some() { "its command, until it is healthy" } else { "its command" };
            operations.push(operation("service", OperationKind::Service, vec![format!("boot:{name}")], why.to_owned()));
        }
        operations
    }

    /// The operations after which a machine is in a state.
    fn come(&self, machine: &str, condition: Condition) -> Vec<String> {
        let own = self.steps.iter().filter(|step| step.machine == machine && !step.is_finally);
        let own: Vec<String> = own.map(operation_id).collect();
        match condition {
            Condition::Completed if !own.is_empty() => own,
            Condition::Started | Condition::Healthy | Condition::Completed => vec![format!("service:{machine}")],
        }
    }

    /// A machine goes down after its last step, a service at the end and after those who use it, unless it ends by
    /// itself.
    fn stop(&self, machine: &MachinePlan, finally_last: Option<&String>) -> Operation {
        let own: Vec<&StepPlan> = self.steps.iter().filter(|step| step.machine == machine.name).collect();
        let last = own.last().map(|step| format!("`{}` is its last", step.id));
        let mut after: Vec<String> = own.into_iter().map(operation_id).collect();
        let mut why = last.unwrap_or_else(|| "its command has ended".to_owned());
        if machine.service.is_some() {
            after.push(format!("service:{}", machine.name));
            if !self.is_job(machine) {
                why = "the end of all steps".to_owned();
                after.extend(self.ends.iter().chain(finally_last).cloned());
                let users = self.machines.iter().filter(|user| uses(user, &machine.name));
                after.extend(users.map(|user| format!("stop:{}", user.name)));
                if self.steps.is_empty() {
                    why = "when the run is told to end".to_owned();
                }
            }
        }
        let mut seen = BTreeSet::new();
        after.retain(|id| seen.insert(id.clone()));
        Operation {
            id: format!("stop:{}", machine.name),
            kind: OperationKind::Stop,
            machine: machine.name.clone(),
            after,
            why,
        }
    }

    /// Whether others wait for the end of its command.
    fn is_job(&self, machine: &MachinePlan) -> bool {
        let has_steps = self.steps.iter().any(|step| step.machine == machine.name && !step.is_finally);
        let mut waits = self.machines.iter().flat_map(|other| &other.depends_on);
        !has_steps && waits.any(|on| on.machine == machine.name && on.condition == Condition::Completed)
    }
}

/// Whether a machine uses the service of another.
fn uses(user: &MachinePlan, service: &str) -> bool {
    let waits = user.depends_on.iter().any(|on| on.machine == service && on.condition != Condition::Completed);
    user.name != service && (waits || user.links.iter().any(|link| link.machine == service))
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

/// How often it is tried, to go after the reason.
fn attempts(step: &StepPlan) -> String {
    let Some(Retry { attempts, delay }) = step.retry else { return String::new() };
    let delay = u64::try_from(delay.as_millis()).unwrap_or(u64::MAX);
    let apart = if delay == 0 { String::new() } else { format!(", {} apart", show_duration(delay)) };
    format!("; at most {attempts} attempts{apart}")
}

fn why_present(presence: &Presence) -> String {
    match presence {
        Presence::Service => "a service".to_owned(),
        Presence::Held => "it stays up".to_owned(),
        Presence::Selected => "selected".to_owned(),
        Presence::Awaited(machine) => format!("machine `{machine}` depends on it"),
        Presence::Linked(machine) => format!("machine `{machine}` is linked to it"),
    }
}

/// The first of several things, and how many more there are.
fn shorten(all: Vec<String>) -> String {
    let more = all.len().saturating_sub(NAMES_MAX);
    let shown = all.into_iter().take(NAMES_MAX).collect::<Vec<_>>().join(", ");
    if more == 0 { shown } else { format!("{shown} and {more} more") }
}

fn why_step(step: &StepPlan, reason: Option<&Reason>) -> String {
    if step.is_finally {
        return "always, at the end".to_owned();
    }
    match reason {
        Some(Reason::Selected) => "selected".to_owned(),
        Some(Reason::NeededBy(id)) => format!("needed by `{id}`"),
        Some(Reason::AwaitedBy(machine)) => format!("machine `{machine}` waits for it"),
        Some(Reason::Everything) | None if step.needs.is_empty() => "needs nothing".to_owned(),
        Some(Reason::Everything) | None => {
            format!("after {}", shorten(step.needs.iter().map(|id| format!("`{id}`")).collect()))
        }
    }
}

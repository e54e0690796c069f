//! The rule about two machines that write one volume and must be up at the same time (0108).
//!
//! A machine holds its volumes while it is up. Whoever plans puts the users of a volume one after another, so that only
//! those are told of whom neither can be through before the other begins. Deliberately not here: folders (`overlap`),
//! whose users may merely meet.

use std::collections::{HashMap, HashSet};

use petgraph::graph::NodeIndex;

use super::order::Order;
use super::overlap_matrix::of_one_matrix;
use super::reach::Reach;
use super::world::World;
use crate::config::model::{Machine, Mount, MountKind, Spanned, never_run};
use crate::diag::{Code, Diagnostic, Diagnostics, Severity, Span};

/// So many pairs of users are compared for one file: past that the rule is silent rather than slow.
const COMPARISONS_MAX: u32 = 200_000;

/// When a machine is first used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Start {
    Boot,
    /// No step runs in it, but this entry of `finally`.
    Finally(usize),
}

/// When a machine is no longer needed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    /// When its steps have passed, or its command has ended.
    Completed,
    /// After this entry of `finally`.
    Finally(usize),
    /// Its command runs until the end of the run.
    Never,
}

/// A mount of a volume in a machine that is used.
struct Use<'a> {
    index: usize,
    machine: &'a Machine,
    name: &'a Spanned<String>,
    mount: Span,
    is_written: bool,
}

/// Compares the users of each volume.
pub(super) fn check_volume_users(world: &World<'_>, order: &Order, reach: &Reach, out: &mut Diagnostics) {
    let users = users(world);
    if users.is_empty() {
        return;
    }
    let lives = lives(world, order);
    let mut steps: Vec<Vec<usize>> = vec![Vec::new(); world.project.machines.len()];
    order.running().for_each(|(step, machine)| steps[machine].push(step));
    let held = Held { world, order, reach, lives, steps };
    let mut budget = COMPARISONS_MAX;
    let mut told: HashSet<Span> = HashSet::new();
    for uses in &users {
        for (at, second) in uses.iter().enumerate() {
            let mut before = uses[..at].iter().filter(|first| first.index != second.index);
            let conflict = before.find(|first| {
                budget = budget.saturating_sub(1);
                budget > 0 && (first.is_written || second.is_written) && held.must_meet(first.index, second.index)
            });
            if let Some(first) = conflict.filter(|_| told.insert(second.mount)) {
                out.push(held.report(first, second));
            }
        }
    }
}

/// The mounts of each volume that is declared, those that count later at the end.
fn users<'a>(world: &World<'a>) -> Vec<Vec<Use<'a>>> {
    let project = world.project;
    let mut numbers: HashMap<&str, usize> = HashMap::new();
    let mut users: Vec<Vec<Use<'a>>> = Vec::new();
    let mounts = |(index, machine): (usize, &'a Machine)| {
        machine.mounts.iter().map(move |mount: &'a Mount| (index, machine, mount))
    };
    for (index, machine, mount) in project.machines.iter().enumerate().flat_map(mounts) {
        let MountKind::Volume { name, readonly } = &mount.kind else { continue };
        if !world.is_volume_known(&name.value) {
            continue;
        }
        let number = *numbers.entry(&name.value).or_insert_with(|| {
            users.push(Vec::new());
            users.len() - 1
        });
        users[number].push(Use { index, machine, name, mount: mount.span, is_written: !readonly });
    }
    users.iter_mut().for_each(|uses| uses.sort_by_key(|found| (project.origins.place(found.name.span), found.index)));
    users
}

/// From when to when each machine is needed; `None` where nothing runs in it.
fn lives(world: &World<'_>, order: &Order) -> Vec<Option<(Start, End)>> {
    let project = world.project;
    let mut lives: Vec<Option<(Start, End)>> = vec![None; project.machines.len()];
    for (_, machine) in order.running() {
        lives[machine] = Some((Start::Boot, End::Completed));
    }
    for (index, _) in project.machines.iter().enumerate().filter(|(_, machine)| machine.service.command.is_some()) {
        let end = if order.is_ending(index) { End::Completed } else { End::Never };
        lives[index] = Some((Start::Boot, end));
    }
    let never = never_run(&project.finally);
    for (entry, step) in project.finally.iter().enumerate().filter(|(entry, _)| !never[*entry]) {
        let Some(machine) = world.machine_index(&step.machine.value) else { continue };
        lives[machine] = match lives[machine] {
            Some((start, End::Never)) => Some((start, End::Never)),
            Some((start, _)) => Some((start, End::Finally(entry))),
            None => Some((Start::Finally(entry), End::Finally(entry))),
        };
    }
    lives
}

struct Held<'a> {
    world: &'a World<'a>,
    order: &'a Order,
    reach: &'a Reach,
    lives: Vec<Option<(Start, End)>>,
    /// What runs in each machine.
    steps: Vec<Vec<usize>>,
}

impl Held<'_> {
    /// Whether two machines are up at the same time however they are planned.
    fn must_meet(&self, a: usize, b: usize) -> bool {
        !self.may_precede(a, b) && !self.may_precede(b, a)
    }

    /// Whether one machine can be through before another one begins.
    fn may_precede(&self, a: usize, b: usize) -> bool {
        let (Some((_, end)), Some((start, _))) = (self.lives[a], self.lives[b]) else { return true };
        match (end, start) {
            (End::Never, _) | (End::Finally(_), Start::Boot) => false,
            (End::Completed, Start::Boot) => !self.waits_for_boot(self.order.completed(a), b),
            (End::Completed, Start::Finally(_)) => true,
            (End::Finally(last), Start::Finally(first)) => last < first,
        }
    }

    fn waits_for_boot(&self, waiting: NodeIndex, machine: usize) -> bool {
        self.reach.waits_for_boot(&self.order.graph, waiting, self.order.boot(machine))
    }

    fn report(&self, first: &Use<'_>, second: &Use<'_>) -> Diagnostic {
        let is_of_one_matrix = of_one_matrix(first.machine, second.machine).is_some();
        let name = |found: &Use<'_>| {
            let machine = found.machine;
            if is_of_one_matrix { machine.name.value.clone() } else { machine.declared_name().to_owned() }
        };
        let (a, b, volume) = (name(first), name(second), &first.name.value);
        let is_read = !first.is_written || !second.is_written;
        let what = match (first.is_written, second.is_written) {
            (true, true) => format!("machines `{a}` and `{b}` both write the volume `{volume}`"),
            (true, false) => format!("machine `{b}` reads the volume `{volume}`, which machine `{a}` writes"),
            _ => format!("machine `{a}` reads the volume `{volume}`, which machine `{b}` writes"),
        };
        let message = format!("{what}, and they must be up at the same time: {}", self.why(first, second, (&a, &b)));
        let severity = if is_read { Severity::Warning } else { Severity::Error };
        let text = |found: &Use<'_>| {
            format!("{} by machine `{}` here", if found.is_written { "written" } else { "read" }, name(found))
        };
        let diagnostic = Diagnostic::new(Code(108), severity, message).label(second.name.span, text(second));
        let diagnostic =
            if first.mount == second.mount { diagnostic } else { diagnostic.label(first.name.span, text(first)) };
        diagnostic.help(self.help(first, second))
    }

    /// Why neither can be through before the other begins.
    fn why(&self, first: &Use<'_>, second: &Use<'_>, names: (&str, &str)) -> String {
        let end = |found: &Use<'_>| self.lives[found.index].map_or(End::Completed, |(_, end)| end);
        let (a, b) = names;
        let until = |end: End, name: &str| match end {
            End::Never => format!("the command of `{name}` runs until the end"),
            _ => format!("`{name}` is kept up for its entry of `finally`"),
        };
        let waits = |own: &Use<'_>, other: &Use<'_>, (name, other_name): (&str, &str)| match self.waiting(own, other) {
            Some(step) => format!("step `{step}` of `{name}` runs after `{other_name}` has booted"),
            None => format!("the command of `{name}` runs after `{other_name}` has booted"),
        };
        match (end(first), end(second)) {
            (End::Never, End::Never) => "services run side by side until the end".to_owned(),
            (End::Finally(_), End::Finally(_)) => "both are kept up for their entries of `finally`".to_owned(),
            (End::Completed, End::Completed) => {
                format!("{}, and {}", waits(first, second, (a, b)), waits(second, first, (b, a)))
            }
            (End::Completed, end) => format!("{}, and {}", waits(first, second, (a, b)), until(end, b)),
            (end, End::Completed) => format!("{}, and {}", waits(second, first, (b, a)), until(end, a)),
            (of_a, of_b) => format!("{}, and {}", until(of_a, a), until(of_b, b)),
        }
    }

    /// The first step of a machine that waits for another one's boot.
    fn waiting(&self, own: &Use<'_>, other: &Use<'_>) -> Option<&str> {
        let mut steps = self.steps.get(own.index)?.iter().copied();
        let found = steps.find(|step| self.waits_for_boot(self.order.step(*step), other.index))?;
        Some(self.world.project.steps[found].declared_id())
    }

    fn help(&self, first: &Use<'_>, second: &Use<'_>) -> String {
        let is_of_steps =
            [first, second].iter().all(|found| self.lives[found.index].is_some_and(|(_, end)| end == End::Completed));
        let (volume, name) = (&second.name.value, second.machine.declared_name());
        let own = if first.mount == second.mount {
            "give each of them a volume of its own".to_owned()
        } else {
            format!("give `{name}` a volume of its own, as `{volume}-{name}:` below `volumes`")
        };
        if is_of_steps {
            let other = first.machine.declared_name();
            format!("let the steps of one of `{other}` and `{name}` all come before those of the other, or {own}")
        } else {
            own
        }
    }
}

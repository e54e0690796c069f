//! `up` where the machines are held already, as docker compose users expect it: the steps that are asked for run in
//! them, those that are another by now start anew, those that the file no longer has end, and what is down comes up.
//!
//! Deliberately not here: how a run turns to other steps (`run`).

use std::collections::BTreeSet;
use std::sync::Arc;

use super::{Asked, begin, order, watch};
use crate::cli::exit::{Class, ExitCode, Failure};
use crate::cli::interrupts::Interrupts;
use crate::cli::look::failed_step;
use crate::cli::printer::Printer;
use crate::cli::project::told;
use crate::control::{About, Client, Role};
use crate::event::StepStatus;
use crate::plan::{MachinePlan, Plan, StepPlan};
use crate::run::{CommandError, RoundWish, RunCommand, RunView, shape, step_shape};

/// Why a second `up` cannot do what it was asked for.
#[derive(Debug, thiserror::Error)]
enum SecondError {
    #[error("the project is held by process {pid} (`{command}`)")]
    Foreground { pid: u32, command: String },
}

/// What the file says that does not run.
#[derive(Debug, Default, PartialEq, Eq)]
struct News {
    /// Machines that are another by now.
    changed: Vec<String>,
    /// Machines that are not in what runs.
    new: Vec<String>,
    /// Machines that are not in the file.
    removed: Vec<String>,
    /// Whether there are steps that have not run, or are another by now.
    has_steps: bool,
}

impl News {
    fn between(view: &RunView, plan: &Plan, known: &BTreeSet<String>) -> Self {
        let differs =
            |plan: &&MachinePlan| view.machine(&plan.name).is_some_and(|machine| machine.shape != shape(plan));
        let is_new = |plan: &&MachinePlan| view.machine(&plan.name).is_none();
        let names = |machines: Vec<&MachinePlan>| machines.iter().map(|machine| machine.name.clone()).collect();
        let held = view.machines.iter().map(|machine| machine.name.clone());
        let ran = |step: &StepPlan| {
            let mut all = view.steps.iter().chain(&view.earlier);
            let has_run = |status| !matches!(status, Some(StepStatus::Canceled | StepStatus::Skipped));
            all.any(|known| known.id == step.id && known.shape == step_shape(step) && has_run(known.status))
        };
        Self {
            changed: names(plan.machines.iter().filter(differs).collect()),
            new: names(plan.machines.iter().filter(is_new).collect()),
            removed: held.filter(|name| !known.contains(name)).collect(),
            has_steps: plan.steps.iter().any(|step| !ran(step)),
        }
    }

    fn is_none(&self) -> bool {
        *self == Self::default()
    }

    fn tell(&self, printer: &Printer) {
        let each = |machines: &[String], one: &str, more: &str| {
            let verb = if machines.len() == 1 { one } else { more };
            if !machines.is_empty() {
                printer.note(&format!("{} {verb}\n", named(machines)));
            }
        };
        let stays = "/workspace and volumes stay";
        each(
            &self.changed,
            &format!("is another machine by now and starts anew; its {stays}"),
            &format!("are other machines by now and start anew; their {stays}"),
        );
        each(&self.removed, "is not in the file any more and ends", "are not in the file any more and end");
    }
}

fn named(machines: &[String]) -> String {
    machines.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
}

/// Whether somebody else than a terminal holds the machines.
pub(super) fn is_supervised(client: &Client, interrupts: &mut Interrupts) -> Result<bool, Failure> {
    let asking = client.clone();
    let about = interrupts.run_unless_interrupted(async move { asking.about().await })?.map_err(told)?;
    Ok(about.role == Role::Supervisor)
}

/// Has what runs be what the plan says.
pub(super) fn up(
    client: &Client,
    asked: &Asked<'_>,
    plan: &Arc<Plan>,
    interrupts: &mut Interrupts,
) -> Result<ExitCode, Failure> {
    let (about, mut view) = look(client, interrupts)?;
    refuse_foreground(&about)?;
    if asked.args.detach && is_coming_up(&view) {
        // Somebody else has just begun: what there is to do is known when that is done.
        settle(client, interrupts)?;
        view = look(client, interrupts)?.1;
    }
    let news = News::between(&view, plan, &asked.known);
    let is_for_all = asked.args.detach && asked.args.selection.is_empty();
    if news.is_none() && (is_for_all || plan.steps.iter().all(|step| step.is_finally)) {
        return start(client, asked, plan, &view, interrupts);
    }
    news.tell(asked.printer);
    let wish = RoundWish {
        plan: (**plan).clone(),
        known: asked.known.clone(),
        keep_going: asked.args.keep_going,
        parallel: asked.args.parallel.and_then(|places| usize::try_from(places).ok()),
        looks: asked.args.interactive,
    };
    let going = loop {
        let (asking, wish) = (client.clone(), wish.clone());
        let begun = interrupts.run_unless_interrupted(async move { asking.round(wish).await })?.map_err(told)?;
        match begun {
            Ok(going) => break going,
            Err(CommandError::Busy(what)) if asked.args.wait_lock => {
                asked.printer.note(&format!("waiting: the machines are busy: {what}\n"));
                settle(client, interrupts)?;
            }
            Err(error) => return Err(order::refused(&error)),
        }
    };
    let same = |machine: &&MachinePlan| !news.changed.contains(&machine.name) && !news.new.contains(&machine.name);
    let is_up = |name: &str| view.machine(name).is_some_and(crate::run::MachineView::is_up);
    let ready = plan.machines.iter().filter(same).filter(|machine| is_up(&machine.name));
    let ready: Vec<String> = ready.map(|machine| machine.name.clone()).collect();
    let code = watch::follow(asked, (client, plan), &ready, going, interrupts)?;
    tell_what_stays(client, asked, (&**plan, &news), code, interrupts);
    Ok(code)
}

fn look(client: &Client, interrupts: &mut Interrupts) -> Result<(About, RunView), Failure> {
    let asking = client.clone();
    interrupts.run_unless_interrupted(async move { Ok((asking.about().await?, asking.view().await?)) })?.map_err(told)
}

/// Whether machines boot, and no step runs.
fn is_coming_up(view: &RunView) -> bool {
    !view.is_settled && view.steps.iter().all(|step| step.attempt.is_none())
}

fn refuse_foreground(about: &About) -> Result<(), Failure> {
    if about.role == Role::Supervisor {
        return Ok(());
    }
    let error = SecondError::Foreground { pid: about.pid, command: about.command.clone() };
    Err(Failure::new(Class::World, error).help("wait for it with `--wait-lock`, or end it"))
}

/// Has the machines of the plan come up that are down. Nothing else is another by now.
fn start(
    client: &Client,
    asked: &Asked<'_>,
    plan: &Plan,
    view: &RunView,
    interrupts: &mut Interrupts,
) -> Result<ExitCode, Failure> {
    let machines: Vec<String> = plan.machines.iter().map(|machine| machine.name.clone()).collect();
    let down = view.machines.iter().filter(|machine| machine.is_down() && machines.contains(&machine.name));
    let down: Vec<String> = down.map(|machine| machine.name.clone()).collect();
    match &down[..] {
        [] => asked.printer.note(&format!("up already: {}\n", named(&machines))),
        _ => asked.printer.note(&format!("starting {}\n", named(&down))),
    }
    let asking = client.clone();
    let answer = interrupts
        .run_unless_interrupted(async move { asking.command(RunCommand::Start { machines, is_healthy: false }).await })?
        .map_err(told)?;
    answer.map_err(|error| order::refused(&error))?;
    if plan.steps.iter().any(|step| !step.is_finally) {
        asked
            .printer
            .note("its steps have run and are not run again: `smolvm up` runs them, `smolvm up STEP` one of them\n");
    } else if !asked.args.detach {
        asked.printer.note("there are no steps to run; `smolvm logs -f` shows what the services print\n");
    }
    Ok(ExitCode::Passed)
}

/// Waits until nothing more comes by itself, or the run is over.
fn settle(client: &Client, interrupts: &mut Interrupts) -> Result<(), Failure> {
    let asking = client.clone();
    let settled = interrupts.run_unless_interrupted(async move {
        let mut rows = asking.watch().await?;
        while rows.view().await.is_some_and(|view| !view.is_settled) {}
        Ok(())
    })?;
    settled.map_err(told)
}

/// Says which machines are up, and the ports of those that are new.
fn tell_what_stays(
    client: &Client,
    asked: &Asked<'_>,
    (plan, news): (&Plan, &News),
    code: ExitCode,
    interrupts: &mut Interrupts,
) {
    let asking = client.clone();
    // Where the run is over nothing stays, which its end has told.
    let Ok(Ok(view)) = interrupts.run_unless_interrupted(async move { asking.view().await }) else { return };
    for machine in &view.machines {
        for port in
            machine.ports.iter().filter(|_| news.changed.contains(&machine.name) || news.new.contains(&machine.name))
        {
            let address = std::net::SocketAddr::from((port.address, port.host));
            let line = format!("port: {address} reaches port {} of machine `{}`\n", port.guest, machine.name);
            asked.printer.note(&line);
        }
    }
    let up = view.machines.iter().filter(|machine| machine.is_up());
    let up: Vec<String> = up.map(|machine| machine.name.clone()).collect();
    let failed = failed_step(plan, &view).map(|step| step.machine.clone());
    begin::Stay { machines: up, failed }.tell(code.number(), asked.printer);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::run::tests::plans::{machine, plan, step};
    use crate::run::view_of;

    #[test]
    fn what_the_file_says_and_does_not_run_is_found() {
        let runs = plan(vec![step("a@one", &[]), step("b@two", &[])]);
        let view = view_of(&runs);
        let known = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<BTreeSet<_>>();
        let both = known(&["one", "two"]);
        assert!(News::between(&view, &runs, &both).is_none());
        let part = plan(vec![step("a@one", &[])]);
        assert!(News::between(&view, &part, &both).is_none(), "a part is no other file");

        let mut other = plan(vec![step("a@one", &[]), step("c@three", &[])]);
        other.machines[0] = MachinePlan { memory_mib: 2048, ..machine("one") };
        let news = News::between(&view, &other, &known(&["one", "three"]));
        let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
        assert_eq!((news.changed, news.new, news.removed), (names(&["one"]), names(&["three"]), names(&["two"])));
        assert!(news.has_steps);
        let mut edited = plan(vec![step("a@one", &[])]);
        edited.steps[0].timeout = Some(std::time::Duration::from_secs(1));
        assert!(News::between(&view, &edited, &both).has_steps);
    }
}

//! `up -d` where the machines are held already: what is down comes up. What the file says by now is compared with what
//! runs, so that nobody takes an older machine for a new one.

use std::sync::Arc;

use super::order;
use crate::cli::args::UpArgs;
use crate::cli::exit::{Class, ExitCode, Failure};
use crate::cli::interrupts::Interrupts;
use crate::cli::printer::Printer;
use crate::cli::project::told;
use crate::control::{About, Client, Role};
use crate::plan::{MachinePlan, Plan};
use crate::run::{RunCommand, RunView, shape};

/// Why a second `up` cannot do what it was asked for.
#[derive(Debug, thiserror::Error)]
enum SecondError {
    #[error("the project is held by process {pid} (`{command}`)")]
    Foreground { pid: u32, command: String },
    #[error("{}", older_words(.0))]
    Older(Vec<String>),
    #[error("{} not in what runs", are_words(.0))]
    New(Vec<String>),
}

fn named(machines: &[String]) -> String {
    machines.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
}

fn older_words(machines: &[String]) -> String {
    match machines {
        [one] => format!("machine `{one}` runs an older file"),
        all => format!("machines {} run an older file", named(all)),
    }
}

fn are_words(machines: &[String]) -> String {
    match machines {
        [one] => format!("machine `{one}` is"),
        all => format!("machines {} are", named(all)),
    }
}

/// Has the machines of the plan come up that are down.
pub(super) fn up(
    client: Client,
    plan: &Arc<Plan>,
    args: &UpArgs,
    printer: &Printer,
    mut interrupts: Interrupts,
) -> Result<ExitCode, Failure> {
    let asking = client.clone();
    let (about, view) = interrupts
        .run_unless_interrupted(async move { Ok((asking.about().await?, asking.view().await?)) })?
        .map_err(told)?;
    check(&about, &view, plan)?;
    let machines: Vec<String> = plan.machines.iter().map(|machine| machine.name.clone()).collect();
    let down = view.machines.iter().filter(|machine| machine.is_down() && machines.contains(&machine.name));
    let down: Vec<String> = down.map(|machine| machine.name.clone()).collect();
    match &down[..] {
        [] => printer.note(&format!("up already: {}\n", named(&machines))),
        _ => printer.note(&format!("starting {}\n", named(&down))),
    }
    let is_quiet = args.selection.is_empty() && plan.steps.is_empty();
    let answer =
        interrupts.run_unless_interrupted(async move { client.command(RunCommand::Start { machines }).await })?;
    answer.map_err(told)?.map_err(|error| order::refused(&error))?;
    if !is_quiet {
        printer.note("its steps have run and are not run again: `smolvm down` and `smolvm up -d` run all anew\n");
    }
    Ok(ExitCode::Passed)
}

/// Whether what runs is what the file says.
fn check(about: &About, view: &RunView, plan: &Plan) -> Result<(), Failure> {
    if about.role == Role::Foreground {
        let error = SecondError::Foreground { pid: about.pid, command: about.command.clone() };
        return Err(Failure::new(Class::World, error).help("wait for it with `--wait-lock`, or end it"));
    }
    let anew = "`smolvm down` and `smolvm up -d` start them anew; /workspace and volumes stay";
    let differs = |plan: &&MachinePlan| view.machine(&plan.name).is_some_and(|machine| machine.shape != shape(plan));
    let older: Vec<String> = plan.machines.iter().filter(differs).map(|machine| machine.name.clone()).collect();
    if !older.is_empty() {
        return Err(Failure::new(Class::World, SecondError::Older(older)).help(anew));
    }
    let is_new = |name: &str| view.machine(name).is_none();
    let new: Vec<String> =
        plan.machines.iter().map(|machine| machine.name.clone()).filter(|name| is_new(name)).collect();
    if !new.is_empty() {
        return Err(Failure::new(Class::World, SecondError::New(new)).help(anew));
    }
    Ok(())
}

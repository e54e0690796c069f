//! `stop`, `start`, `restart`, `kill`: something for the process to do that holds the machines.

use std::time::Duration;

use super::args::{KillArgs, StartArgs, StopArgs};
use super::{changes, reach};
use crate::cli::drift::Shapes;
use crate::cli::exit::{Class, ExitCode, Failure};
use crate::cli::interrupts::Interrupts;
use crate::cli::printer::Printer;
use crate::cli::project::{KnownProject, asking, told};
use crate::cli::settings::Settings;
use crate::config::model::Signal;
use crate::run::{CommandError, MachineView, RunCommand, RunView, ServiceState};

/// The signal that ends machines at once.
const KILL: Signal = Signal(9);

/// Why an order cannot be given.
#[derive(Debug, thiserror::Error)]
enum OrderError {
    #[error("`{0}` is no signal")]
    Signal(String),
}

pub(crate) fn stop(args: &StopArgs, settings: &Settings, printer: &Printer) -> Result<ExitCode, Failure> {
    let grace = args.seconds.map(|seconds| Duration::from_secs(seconds.into()));
    let command = RunCommand::Stop { machines: args.machines.clone(), grace };
    give(command, &args.machines, "down already", settings, printer)
}

pub(crate) fn start(args: &StartArgs, settings: &Settings, printer: &Printer) -> Result<ExitCode, Failure> {
    let command = RunCommand::Start { machines: args.machines.clone(), is_healthy: args.wait };
    let code = give(command, &args.machines, "up already", settings, printer)?;
    tell_older(&args.machines, settings, printer);
    Ok(code)
}

pub(crate) fn restart(args: &StopArgs, settings: &Settings, printer: &Printer) -> Result<ExitCode, Failure> {
    let grace = args.seconds.map(|seconds| Duration::from_secs(seconds.into()));
    let command = RunCommand::Restart { machines: args.machines.clone(), grace };
    let code = give(command, &args.machines, "up already", settings, printer)?;
    tell_older(&args.machines, settings, printer);
    Ok(code)
}

/// Says which of the machines that were started again are not what the file says now. What cannot be asked is not said.
fn tell_older(machines: &[String], settings: &Settings, printer: &Printer) {
    let Ok(known) = KnownProject::find(settings) else { return };
    let Ok(Some(client)) = known.client() else { return };
    let Ok(view) = asking(async move { client.view().await }) else { return };
    if let Some(warning) = Shapes::of(&known.project).warn(&view, machines) {
        printer.note(&warning);
    }
}

pub(crate) fn kill(args: &KillArgs, settings: &Settings, printer: &Printer) -> Result<ExitCode, Failure> {
    let Some(signal) = Signal::parse(&args.signal) else {
        let failure = Failure::new(Class::Usage, OrderError::Signal(args.signal.clone()));
        return Err(failure.help("write its name or number, as `HUP`, `SIGUSR1` or `10`"));
    };
    let command = RunCommand::Kill { machines: args.machines.clone(), signal: signal.0.into() };
    let nothing = if signal == KILL { "down already".to_owned() } else { format!("{} sent", signal.name()) };
    give(command, &args.machines, &nothing, settings, printer)
}

/// Gives an order, waits until it is carried out, and says what came of it: `nothing` where all machines stand as before.
/// Interrupted, it is carried out all the same.
fn give(
    command: RunCommand,
    machines: &[String],
    nothing: &str,
    settings: &Settings,
    printer: &Printer,
) -> Result<ExitCode, Failure> {
    let is_signal = matches!(&command, RunCommand::Kill { signal, .. } if *signal != i32::from(KILL.0));
    let mut interrupts = Interrupts::listen()?;
    let client = {
        let (settings, printer) = (settings.clone(), *printer);
        interrupts.unless_interrupted(move || reach::reach(&settings, &printer))??
    };
    interrupts.run_unless_interrupted(async {
        let mut rows = client.watch().await.map_err(told)?;
        let mut seen = rows.view().await.unwrap_or_else(RunView::nothing);
        let is_meant = |machine: &&MachineView| match machines {
            [] => !is_signal || has_command(machine),
            named => named.contains(&machine.name),
        };
        let meant: Vec<String> = seen.machines.iter().filter(is_meant).map(|machine| machine.name.clone()).collect();
        let mut has_told = false;
        let mut tell = |seen: &mut RunView, now: RunView| {
            let lines = changes::lines(seen, &now);
            has_told |= !lines.is_empty();
            printer.note(&lines);
            *seen = now;
        };
        let asked = client.command(command);
        tokio::pin!(asked);
        let answer = loop {
            tokio::select! {
                answer = &mut asked => break answer,
                Some(now) = rows.view() => tell(&mut seen, now),
                // The run is over, which the answer says.
                else => break asked.await,
            }
        };
        // What came last, where somebody is still there to tell it.
        if let Ok(now) = client.view().await {
            tell(&mut seen, now);
        }
        answer.map_err(told)?.map_err(|error| refused(&error))?;
        if is_signal || !has_told {
            printer.note(&format!("{nothing}: {}\n", meant.join(", ")));
        }
        Ok(ExitCode::Passed)
    })?
}

/// Whether a signal for all machines is for this one.
fn has_command(machine: &MachineView) -> bool {
    machine.is_up() && machine.service.as_ref().is_some_and(|service| service.state == ServiceState::Running)
}

/// What a verb fails with where the run did not do what was asked for.
pub(super) fn refused(error: &CommandError) -> Failure {
    let class = match error {
        CommandError::Unknown { .. } => Class::Selection,
        _ => Class::World,
    };
    let failure = Failure::new(class, error.clone());
    match error {
        CommandError::Unknown { near: Some(near), .. } => failure.help(format!("did you mean `{near}`?")),
        CommandError::Unknown { near: None, .. } => failure.help("`smolvm ps` shows the machines of the run"),
        CommandError::Failed { machine, .. } => failure.help(format!("`smolvm logs {machine}` shows its console")),
        CommandError::Busy(_) => failure.help("try again when they are over, or end them"),
        CommandError::Refused(_) | CommandError::Over => failure,
    }
}

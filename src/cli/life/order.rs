//! `stop`, `start`, `restart`, `kill`: something for the process to do that holds the machines.

use std::time::Duration;

use super::args::{KillArgs, StartArgs, StopArgs};
use super::reach;
use crate::cli::drift::Shapes;
use crate::cli::exit::{Class, ExitCode, Failure};
use crate::cli::interrupts::Interrupts;
use crate::cli::printer::Printer;
use crate::cli::project::{KnownProject, asking, told};
use crate::cli::settings::Settings;
use crate::config::model::Signal;
use crate::run::{CommandError, RunCommand};

/// Why an order cannot be given.
#[derive(Debug, thiserror::Error)]
enum OrderError {
    #[error("`{0}` is no signal")]
    Signal(String),
}

pub(crate) fn stop(args: &StopArgs, settings: &Settings, printer: &Printer) -> Result<ExitCode, Failure> {
    let grace = args.seconds.map(|seconds| Duration::from_secs(seconds.into()));
    give(RunCommand::Stop { machines: args.machines.clone(), grace }, settings, printer)
}

pub(crate) fn start(args: &StartArgs, settings: &Settings, printer: &Printer) -> Result<ExitCode, Failure> {
    let command = RunCommand::Start { machines: args.machines.clone(), is_healthy: args.wait };
    let code = give(command, settings, printer)?;
    tell_older(&args.machines, settings, printer);
    Ok(code)
}

pub(crate) fn restart(args: &StopArgs, settings: &Settings, printer: &Printer) -> Result<ExitCode, Failure> {
    let grace = args.seconds.map(|seconds| Duration::from_secs(seconds.into()));
    let code = give(RunCommand::Restart { machines: args.machines.clone(), grace }, settings, printer)?;
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
    give(RunCommand::Kill { machines: args.machines.clone(), signal: signal.0.into() }, settings, printer)
}

/// Gives an order and waits until it is carried out. Interrupted, it is carried out all the same.
fn give(command: RunCommand, settings: &Settings, printer: &Printer) -> Result<ExitCode, Failure> {
    let mut interrupts = Interrupts::listen()?;
    let client = {
        let (settings, printer) = (settings.clone(), *printer);
        interrupts.unless_interrupted(move || reach::reach(&settings, &printer))??
    };
    let answer = interrupts.run_unless_interrupted(async move { client.command(command).await })?;
    answer.map_err(told)?.map_err(|error| refused(&error))?;
    Ok(ExitCode::Passed)
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

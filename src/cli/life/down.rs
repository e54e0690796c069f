//! `smolvm down`: all machines of the project go, in order, and the process that holds them.

use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

use super::args::DownArgs;
use super::{order, reach};
use crate::cli::exit::{Class, ExitCode, Failure};
use crate::cli::interrupts::Interrupts;
use crate::cli::printer::Printer;
use crate::cli::project::{KnownProject, told};
use crate::cli::settings::Settings;
use crate::compose::Places;
use crate::control::{Client, ControlError};
use crate::run::{CommandError, ProjectLock, ProjectState, RunCommand};
use crate::storage::Storage;

/// Stops the machines, and with `-v` removes what they keep.
pub(crate) fn run(args: &DownArgs, settings: &Settings, printer: &Printer) -> Result<ExitCode, Failure> {
    let mut interrupts = Interrupts::listen()?;
    let (known, client) = {
        let (settings, printer) = (settings.clone(), *printer);
        interrupts.unless_interrupted(move || {
            let known = KnownProject::find(&settings)?;
            let client = reach::find(&known.state, &printer)?;
            Ok::<_, Failure>((known, client))
        })??
    };
    let was_up = client.is_some();
    if let Some(client) = client {
        printer.note("stopping the machines\n");
        stop(client, &mut interrupts)?;
    } else {
        printer.note(&format!("no machine of project `{}` is up\n", known.project.name));
    }
    if !was_up && !args.volumes {
        return Ok(ExitCode::Passed);
    }
    let lock = wait_for_lock(&known.state, &mut interrupts)?;
    if args.volumes {
        remove_disks(&known.state, printer)?;
    }
    drop(lock);
    Ok(ExitCode::Passed)
}

fn stop(client: Client, interrupts: &mut Interrupts) -> Result<(), Failure> {
    let pid = client.pid();
    let answer = interrupts.run_unless_interrupted(async move { client.command(RunCommand::Down).await })?;
    match answer {
        // It is gone, which is what was asked for.
        Ok(Ok(()) | Err(CommandError::Over)) | Err(ControlError::Gone { .. }) => Ok(()),
        Ok(Err(error)) => Err(order::refused(&error)),
        // Every version ends in order by a signal.
        Err(ControlError::OtherVersion { .. }) => terminate(pid).map_err(|error| Failure::new(Class::World, error)),
        Err(error) => Err(told(error)),
    }
}

fn terminate(pid: u32) -> std::io::Result<()> {
    let pid = i32::try_from(pid).ok().and_then(Pid::from_raw);
    let pid = pid.ok_or_else(|| std::io::Error::from(std::io::ErrorKind::InvalidInput))?;
    let process = pidfd_open(pid, PidfdFlags::empty())?;
    Ok(pidfd_send_signal(process, Signal::TERM)?)
}

/// Waits until whoever held the project is gone with all that it had.
fn wait_for_lock(state: &ProjectState, interrupts: &mut Interrupts) -> Result<ProjectLock, Failure> {
    let state = state.clone();
    let lock = interrupts.unless_interrupted(move || state.lock("smolvm down", true))?;
    lock.map_err(|error| Failure::new(Class::World, error))
}

fn remove_disks(state: &ProjectState, printer: &Printer) -> Result<(), Failure> {
    let places = Places::find()?;
    let storage = Storage::new(state.folder(), places.state_actor);
    let usage = storage.remove_all().map_err(|error| Failure::new(Class::World, error))?;
    if usage.count > 0 {
        let disks = if usage.count == 1 { "disk" } else { "disks" };
        let size = crate::plan::render_size(usage.bytes.div_ceil(1 << 20));
        printer.note(&format!("removed {} {disks}, {size}\n", usage.count));
    }
    Ok(())
}

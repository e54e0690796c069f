//! `smolvm wait`: until the commands of machines have ended, or the machines are down; as docker compose does, it prints
//! each exit code.

use super::args::WaitArgs;
use super::{order, reach};
use crate::cli::exit::{ExitCode, Failure};
use crate::cli::interrupts::Interrupts;
use crate::cli::printer::Printer;
use crate::cli::project::told;
use crate::cli::settings::Settings;
use crate::plan::nearest;
use crate::run::{CommandError, MachineView, RunView, ServiceState};

/// Waits; the exit code is that of the first of the machines, in their order, that did not end with 0.
pub(crate) fn run(args: &WaitArgs, settings: &Settings, printer: &Printer) -> Result<ExitCode, Failure> {
    let mut interrupts = Interrupts::listen()?;
    let client = {
        let (settings, printer) = (settings.clone(), *printer);
        interrupts.unless_interrupted(move || reach::reach(&settings, &printer))??
    };
    let wanted = args.machines.clone();
    let pid = client.pid();
    let waited = interrupts.run_unless_interrupted(async move {
        let mut rows = client.watch().await.map_err(told)?;
        let mut last = None;
        while let Some(view) = rows.view().await {
            let names = names(&view, &wanted)?;
            let codes: Vec<Option<i32>> = names.iter().filter_map(|name| view.machine(name)).map(ended).collect();
            if codes.iter().all(Option::is_some) {
                return Ok::<_, Failure>(codes);
            }
            last = Some(codes);
        }
        Ok(last.unwrap_or_default())
    })??;
    if waited.iter().any(Option::is_none) {
        reach::has_ended(pid, settings, printer)?;
    }
    // The run is over: what had not ended ended with it.
    let codes: Vec<i32> = waited.into_iter().map(Option::unwrap_or_default).collect();
    for code in &codes {
        printer.data(&format!("{code}\n"))?;
    }
    let first = codes.into_iter().find(|code| *code != 0).unwrap_or_default();
    Ok(match u8::try_from(first) {
        Ok(0) => ExitCode::Passed,
        Ok(code) => ExitCode::Run(code),
        Err(_) => ExitCode::Failed,
    })
}

fn names(view: &RunView, wanted: &[String]) -> Result<Vec<String>, Failure> {
    let known = || view.machines.iter().map(|machine| machine.name.clone());
    if wanted.is_empty() {
        return Ok(known().collect());
    }
    match wanted.iter().find(|name| view.machine(name).is_none()) {
        None => Ok(wanted.to_vec()),
        Some(name) => {
            let known: Vec<String> = known().collect();
            let near = nearest(name, known.iter().map(String::as_str)).map(str::to_owned);
            Err(order::refused(&CommandError::Unknown { name: name.clone(), near }))
        }
    }
}

/// With which code a machine's command has ended, or the machine is down.
fn ended(machine: &MachineView) -> Option<i32> {
    match machine.service.as_ref().map(|service| service.state) {
        Some(ServiceState::Exited { exit_code }) => Some(exit_code.unwrap_or_default()),
        _ if machine.cause.is_some() => Some(125),
        _ => (machine.phase.is_some() && machine.is_down()).then_some(0),
    }
}

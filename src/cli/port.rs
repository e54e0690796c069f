//! `smolvm port`: which addresses of this computer reach the ports of a machine that is up, a line each.

use std::net::SocketAddr;

use clap::Args;

use super::args::GlobalArgs;
use super::exit::{Class, ExitCode, Failure};
use super::printer::Printer;
use super::project::{KnownProject, asking};
use super::settings::Settings;

/// Options of `port`.
#[derive(Debug, Args)]
pub(crate) struct PortArgs {
    /// Machine
    #[arg(value_name = "MACHINE")]
    machine: String,
    /// Port of the guest; all that are published by default
    #[arg(value_name = "PORT")]
    port: Option<u16>,
    #[command(flatten)]
    pub(crate) global: GlobalArgs,
}

/// Why there is nothing to print.
#[derive(Debug, thiserror::Error)]
enum PortError {
    #[error("machine `{machine}` publishes no port {port}")]
    NotPublished { machine: String, port: u16 },
}

/// Prints them.
pub(super) fn run(args: &PortArgs, settings: &Settings, printer: &Printer) -> Result<ExitCode, Failure> {
    let known = KnownProject::find(settings)?;
    let client = known.holder("`smolvm up -d` brings the machines up")?;
    let view = asking(async move { client.view().await })?;
    known.has_machine(&args.machine, &view)?;
    let machine = view.machines.iter().find(|machine| machine.name == args.machine);
    let ports = machine.map(|machine| &machine.ports[..]).unwrap_or_default();
    let lines: Vec<String> = match args.port {
        // As docker has it: one that is named is not named again.
        Some(port) => {
            let own = ports.iter().filter(|own| own.guest == port);
            own.map(|own| format!("{}\n", SocketAddr::from((own.address, own.host)))).collect()
        }
        None => ports
            .iter()
            .map(|own| format!("{}/tcp -> {}\n", own.guest, SocketAddr::from((own.address, own.host))))
            .collect(),
    };
    if let (Some(port), true) = (args.port, lines.is_empty()) {
        let error = PortError::NotPublished { machine: args.machine.clone(), port };
        return Err(Failure::new(Class::Selection, error).help(format!("`ports: [\"0:{port}\"]` publishes it")));
    }
    printer.data(&lines.concat())?;
    Ok(ExitCode::Passed)
}

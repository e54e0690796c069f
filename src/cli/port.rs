//! `smolvm port`: which addresses of this computer reach the ports of a machine that is up, a line each.

use std::net::SocketAddr;

use clap::Args;

use super::args::GlobalArgs;
use super::exit::{Class, ExitCode, Failure};
use super::number;
use super::printer::Printer;
use super::project::{KnownProject, asking};
use super::settings::Settings;

/// Options of `port`.
#[derive(Debug, Args)]
pub(crate) struct PortArgs {
    /// Machine
    #[arg(value_name = "MACHINE")]
    machine: String,
    /// Port of the guest, as `80` or `80/tcp`; all that are published by default
    #[arg(value_name = "PORT", value_parser = guest_port, allow_negative_numbers = true)]
    port: Option<u16>,
    #[command(flatten)]
    pub(crate) global: GlobalArgs,
}

/// Reads a port as it is printed: its protocol may stand behind it.
fn guest_port(text: &str) -> Result<u16, String> {
    let number = match text.split_once('/') {
        None | Some((_, "tcp")) => text.trim_end_matches("/tcp"),
        Some(_) => return Err("published ports are TCP".to_owned()),
    };
    let port = number::digits(number).filter(|port| *port > 0);
    port.ok_or_else(|| "a port is a number from 1 to 65535, as `80` or `80/tcp`".to_owned())
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_may_be_written_as_it_is_printed() {
        assert_eq!((guest_port("80"), guest_port("80/tcp")), (Ok(80), Ok(80)));
        assert_eq!(guest_port("80/udp"), Err("published ports are TCP".to_owned()));
        for text in ["", "/tcp", "http", "65536", "80/tcp/tcp", "-1", "+80", "0"] {
            assert!(guest_port(text).is_err(), "{text}");
        }
    }
}

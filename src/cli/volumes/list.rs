//! `volumes ls` and `volumes rm`.

use serde::Serialize;

use super::args::{LsArgs, RmArgs};
use super::{Volumes, failure};
use crate::cli::args::DataFormat;
use crate::cli::exit::{ExitCode, Failure};
use crate::cli::images::{size, table};
use crate::cli::printer::Printer;
use crate::storage::DEFAULT_SIZE_MIB;

const JSON_VERSION: u32 = 1;

#[derive(Serialize)]
struct Listed {
    name: String,
    /// Bytes that it may hold.
    size: u64,
    /// Bytes that it takes on the host.
    used: u64,
    is_declared: bool,
    /// Whether it is there: one that no machine has used yet is not.
    is_made: bool,
    /// The machine that has it now.
    in_use_by: Option<String>,
}

#[derive(Serialize)]
struct List {
    version: u32,
    volumes: Vec<Listed>,
}

/// Lists the volumes that the file declares in its order, then those that are there beside them.
pub(super) fn ls(volumes: &Volumes, args: &LsArgs, printer: &Printer) -> Result<ExitCode, Failure> {
    let declared: Vec<&str> = volumes.known.project.volumes.iter().map(|volume| volume.name.value.as_str()).collect();
    let others = volumes.stored.iter().map(|disk| disk.name.as_str()).filter(|name| !declared.contains(name));
    let listed = declared.iter().copied().chain(others).map(|name| listed(volumes, name));
    let list = List { version: JSON_VERSION, volumes: listed.collect() };
    printer.data(&match args.format {
        DataFormat::Text => text(&list.volumes),
        DataFormat::Json => format!("{}\n", serde_json::json!(list)),
    })?;
    Ok(ExitCode::Passed)
}

fn listed(volumes: &Volumes, name: &str) -> Listed {
    let stored = volumes.stored.iter().find(|disk| disk.name == name);
    let declared = volumes.declared(name);
    let to_be = declared.flatten().unwrap_or(DEFAULT_SIZE_MIB).saturating_mul(1 << 20);
    Listed {
        name: name.to_owned(),
        size: stored.map_or(to_be, |disk| disk.length),
        used: stored.map_or(0, |disk| disk.used),
        is_declared: declared.is_some(),
        is_made: stored.is_some(),
        in_use_by: stored.and_then(|disk| disk.holder.as_ref()).map(|holder| holder.machine.clone()),
    }
}

fn text(volumes: &[Listed]) -> String {
    if volumes.is_empty() {
        return "no volume\n".to_owned();
    }
    let head = ["VOLUME", "SIZE", "USED", "STATE"].map(str::to_owned);
    let row = |volume: &Listed| {
        let state = match (&volume.in_use_by, volume.is_made, volume.is_declared) {
            (Some(machine), ..) if machine.is_empty() => "in use".to_owned(),
            (Some(machine), ..) => format!("in use by {machine}"),
            (None, false, _) => "not made yet".to_owned(),
            (None, true, false) => "no longer in the file".to_owned(),
            (None, true, true) => String::new(),
        };
        [volume.name.clone(), size(volume.size), size(volume.used), state]
    };
    table(std::iter::once(head).chain(volumes.iter().map(row)).collect())
}

/// Removes volumes, all of them or none that is not known.
pub(super) fn rm(volumes: &Volumes, args: &RmArgs, printer: &Printer) -> Result<ExitCode, Failure> {
    args.names.iter().try_for_each(|name| volumes.check_known(name))?;
    for name in &args.names {
        let words = if volumes.storage.remove_volume(name).map_err(failure)? { "removed" } else { "not there:" };
        printer.data(&format!("{words} volume {name}\n"))?;
    }
    Ok(ExitCode::Passed)
}

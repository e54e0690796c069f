//! `volumes export` and `volumes import`: tar in a machine, so that nothing on the host reads the guest's file system.

use std::io::{self, IsTerminal};
use std::os::fd::AsFd;

use super::archive::{self, ArchiveError};
use super::{Volumes, VolumesError, failure};
use crate::cli::exit::{Class, ExitCode, Failure};
use crate::cli::printer::Printer;
use crate::cli::run::{self, RunArgs};
use crate::cli::settings::Settings;
use crate::guest::{AGENT_PROGRAM, IMPORT};
use crate::plan::{DiskPlan, GuestPath, MountPlan, MountPlanKind, Plan};
use crate::storage::DiskName;

/// Where the volume is in the machine.
const TARGET: &str = "/volume";

/// Owners as numbers, holes as holes, attributes where this tar knows them.
const EXPORT: &str = "if tar --version 2>/dev/null | grep -q GNU; then \
    exec tar --create --file=- --directory=/volume --numeric-owner --sparse --acls --xattrs '--xattrs-include=*' .; fi; \
    exec tar -c -f - -C /volume .";

/// Writes a volume to standard output.
pub(super) fn export(
    volumes: &Volumes,
    name: &str,
    settings: &Settings,
    printer: &Printer,
) -> Result<ExitCode, Failure> {
    volumes.check_known(name)?;
    if io::stdout().is_terminal() {
        let failure = Failure::new(Class::Usage, VolumesError::Terminal);
        return Err(failure.help(format!("`smolvm volumes export {name} > {name}.tar` writes it to a file")));
    }
    // What cannot be had is told without a machine.
    if volumes.stored.iter().all(|disk| disk.name != name) {
        return Err(Failure::new(Class::World, VolumesError::NotMade(name.to_owned())));
    }
    let disk = DiskName::Volume(name.to_owned());
    drop(volumes.storage.open(&disk, None, true, "export").map_err(failure)?);
    in_machine(volumes, name, true, &["sh", "-c", EXPORT], (settings, printer))
}

/// Reads standard input into a volume: all of it, or nothing.
pub(super) fn import(
    volumes: &Volumes,
    name: &str,
    settings: &Settings,
    printer: &Printer,
) -> Result<ExitCode, Failure> {
    volumes.check_known(name)?;
    if io::stdin().is_terminal() {
        let failure = Failure::new(Class::Usage, VolumesError::NoArchive);
        return Err(failure.help(format!("`smolvm volumes import {name} < {name}.tar` reads it from a file")));
    }
    volumes.storage.check_free(name).map_err(failure)?;
    let input = io::stdin().as_fd().try_clone_to_owned().map_err(|error| input_failure(VolumesError::Input(error)))?;
    let archive = archive::whole(input.into(), || volumes.storage.unnamed()).map_err(|error| refused(error, name))?;
    rustix::stdio::dup2_stdin(&archive).map_err(|error| input_failure(VolumesError::Input(error.into())))?;
    let size_mib = volumes.size_mib(name).to_string();
    in_machine(volumes, name, false, &[AGENT_PROGRAM, IMPORT, TARGET, name, &size_mib], (settings, printer))
}

fn input_failure(error: VolumesError) -> Failure {
    Failure::new(Class::World, error)
}

/// What is told of an archive that is not taken.
fn refused(error: ArchiveError, name: &str) -> Failure {
    let help = match &error {
        ArchiveError::Packed { program } => format!("unpack it: `{program} < FILE | smolvm volumes import {name}`"),
        _ => format!("nothing of the volume `{name}` was changed"),
    };
    Failure::new(Class::World, error).help(help)
}

/// Runs a command as root in a machine of this computer's own root that has the volume and nothing else.
fn in_machine(
    volumes: &Volumes,
    name: &str,
    readonly: bool,
    words: &[&str],
    (settings, printer): (&Settings, &Printer),
) -> Result<ExitCode, Failure> {
    let args = RunArgs::of_host(words);
    let size_mib = volumes.declared(name).flatten();
    let change = |plan: &mut Plan| {
        plan.project.clone_from(&volumes.known.project.name);
        plan.folder.clone_from(&volumes.known.project.folder);
        let disk = DiskPlan::Volume(name.to_owned());
        let kind = MountPlanKind::Disk { serial: "disk0".to_owned(), disk, size_mib, readonly };
        for machine in &mut plan.machines {
            let target = GuestPath::parse(TARGET);
            let mount = target.map(|target| MountPlan { target, create: false, kind: kind.clone() });
            machine.mounts = mount.into_iter().collect();
        }
    };
    run::run_changed(&args, settings, printer, change)
}

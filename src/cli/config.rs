//! `smolvm config`: the file as it is understood.

use std::collections::BTreeSet;

use super::args::{ConfigArgs, ConfigFormat};
use super::exit::{ExitCode, Failure};
use super::printer::Printer;
use super::settings::Settings;
use super::{load, remarks};
use crate::config::model::{Image, Machine};
use crate::config::{Mode, Project, resolved_hashes, resolved_json, resolved_yaml};

/// Prints the project with everything written out.
pub(crate) fn run(args: &ConfigArgs, settings: &Settings, printer: &Printer) -> Result<ExitCode, Failure> {
    // What the file means is known whether it runs yet or not.
    let loaded = load::load(settings, Mode::Check)?;
    remarks::tell(&loaded.diagnostics, &loaded.sources, args.max_diagnostics, printer);
    let project = match loaded.project {
        Some(project) if !loaded.diagnostics.has_errors() => project,
        _ => return Ok(ExitCode::InvalidFile),
    };
    if args.images {
        printer.data(&images(&project, args.format))?;
        return Ok(ExitCode::Passed);
    }
    if args.hash {
        printer.data(&hashes(&project, args.format))?;
        return Ok(ExitCode::Passed);
    }
    printer.data(&match args.format {
        ConfigFormat::Yaml => resolved_yaml(&project),
        ConfigFormat::Json => resolved_json(&project),
    })?;
    Ok(ExitCode::Passed)
}

/// Each image once, sorted, as the file says it (paths whole), with the digest that the lock file gives.
fn images(project: &Project, format: ConfigFormat) -> String {
    let shown = |machine: &Machine| match &machine.image.value {
        Image::Reference(reference) => match project.locks.digest(reference) {
            Some(digest) => format!("{}@{digest}", reference.written()),
            None => reference.written().to_owned(),
        },
        image => image.to_string(),
    };
    let images: BTreeSet<String> = project.machines.iter().map(shown).collect();
    match format {
        ConfigFormat::Yaml => images.iter().map(|image| format!("{image}\n")).collect(),
        ConfigFormat::Json => {
            let mut text = serde_json::to_string(&images).expect("texts always serialize");
            text.push('\n');
            text
        }
    }
}

/// `NAME HASH`, a line a machine, as compose prints its services; as JSON that of the whole project too.
fn hashes(project: &Project, format: ConfigFormat) -> String {
    let hashes = resolved_hashes(project);
    match format {
        ConfigFormat::Yaml => hashes.machines.iter().map(|(name, hash)| format!("{name} {hash}\n")).collect(),
        ConfigFormat::Json => {
            let machines: serde_json::Map<_, _> =
                hashes.machines.into_iter().map(|(name, hash)| (name, hash.into())).collect();
            format!("{}\n", serde_json::json!({ "version": 1, "project": hashes.project, "machines": machines }))
        }
    }
}

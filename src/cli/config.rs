//! `smolvm config`: the file as it is understood.

use super::args::{ConfigArgs, ConfigFormat};
use super::exit::{ExitCode, Failure};
use super::printer::Printer;
use super::settings::Settings;
use super::{load, remarks};
use crate::config::{Mode, resolved_json, resolved_yaml};

/// Prints the project with everything written out.
pub(crate) fn run(args: &ConfigArgs, settings: &Settings, printer: &Printer) -> Result<ExitCode, Failure> {
    let loaded = load::load(settings, Mode::Run)?;
    remarks::tell(&loaded.diagnostics, &loaded.sources, args.max_diagnostics, printer);
    let project = match loaded.project {
        Some(project) if !loaded.diagnostics.has_errors() => project,
        _ => return Ok(ExitCode::InvalidFile),
    };
    printer.data(&match args.format {
        ConfigFormat::Yaml => resolved_yaml(&project),
        ConfigFormat::Json => resolved_json(&project),
    })?;
    Ok(ExitCode::Passed)
}

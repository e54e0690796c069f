//! `smolvm plan`: what `up` would do, and why.

use super::args::{DataFormat, PlanArgs};
use super::exit::{Class, ExitCode, Failure};
use super::known_images::KnownImages;
use super::printer::Printer;
use super::settings::Settings;
use super::{load, remarks};
use crate::compose::Places;
use crate::config::model::KernelSource;
use crate::config::{Mode, Project};
use crate::host;
use crate::image::kernel::describe_auto;
use crate::plan::{self, Plan, Selection};

/// Prints the plan.
pub(crate) fn run(args: &PlanArgs, settings: &Settings, printer: &Printer) -> Result<ExitCode, Failure> {
    let loaded = load::load(settings, Mode::Run)?;
    remarks::tell(&loaded.diagnostics, &loaded.sources, args.max_diagnostics, printer);
    let project = match loaded.project {
        Some(project) if !loaded.diagnostics.has_errors() => project,
        _ => return Ok(ExitCode::InvalidFile),
    };
    let plan = build(&project, &args.selection)?;
    tell_kernel(&plan, printer);
    tell_images(&plan, printer);
    printer.data(&match args.format {
        DataFormat::Text => plan::render_text(&plan),
        DataFormat::Json => plan::render_json(&plan),
    })?;
    Ok(ExitCode::Passed)
}

/// Says which kernel `auto` is on this host, where a machine asks for it and there is a place to look.
pub(crate) fn tell_kernel(plan: &Plan, printer: &Printer) {
    if plan.machines.iter().any(|machine| machine.kernel == KernelSource::Auto)
        && let Ok(places) = Places::find()
    {
        printer.note(&format!("kernel auto: {}\n", describe_auto(&places.cache)));
    }
}

/// Says which images are not here yet.
pub(crate) fn tell_images(plan: &Plan, printer: &Printer) {
    for image in KnownImages::default().missing(plan.machines.iter()) {
        printer.note(&format!("pull {image}: it is not here\n"));
    }
}

/// Plans a project on this host.
pub(crate) fn build(project: &Project, selection: &[String]) -> Result<Plan, Failure> {
    build_for(project, &Selection::of(selection))
}

/// The same, for machines that stay up for their own sake.
pub(crate) fn build_held(project: &Project, selection: &[String]) -> Result<Plan, Failure> {
    build_for(project, &Selection::of(selection).held())
}

fn build_for(project: &Project, selection: &Selection) -> Result<Plan, Failure> {
    plan::build(project, &host::facts(), selection)
        .map_err(|error| Failure::new(Class::Selection, error).help("`smolvm plan` lists steps and machines"))
}

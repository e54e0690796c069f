//! `smolvm check`: every mistake of the file, and nothing else.
//!
//! The forms for programs are data and go to standard output; the form for people goes to standard error, as the
//! same remarks do under `up`.

use super::args::{CheckArgs, CheckFormat, Deny};
use super::exit::{ExitCode, Failure};
use super::printer::Printer;
use super::settings::Settings;
use super::{fix, load, remarks};
use crate::config::{Loaded, Mode};
use crate::diag::{self, Diagnostics, Severity};

/// So many lines say what could not be checked.
const UNCHECKED_MAX: usize = 5;

/// Checks the file.
pub(crate) fn run(args: &CheckArgs, settings: &Settings, printer: &Printer) -> Result<ExitCode, Failure> {
    let loaded = if args.fix {
        fix::run(args, settings, printer)?
    } else {
        load::load_locked(settings, Mode::Check, args.locked)?
    };
    report(args, &loaded, printer)?;
    Ok(if fails(&loaded.diagnostics, args.deny) { ExitCode::InvalidFile } else { ExitCode::Passed })
}

fn report(args: &CheckArgs, loaded: &Loaded, printer: &Printer) -> Result<(), Failure> {
    let (diagnostics, sources, max) = (&loaded.diagnostics, &loaded.sources, args.max_diagnostics);
    match args.format {
        CheckFormat::Full => remarks::tell(diagnostics, sources, max, printer),
        CheckFormat::Concise => printer.data(&diag::render_concise(diagnostics, sources, max))?,
        CheckFormat::Json => printer.data(&diag::render_json(diagnostics, sources, max))?,
        CheckFormat::Sarif => printer.data(&diag::render_sarif(diagnostics, sources, max))?,
        CheckFormat::Github => {
            let root = remarks::github_root();
            printer.data(&diag::render_github(diagnostics, sources, max, root.as_deref()))?;
        }
    }
    if args.format == CheckFormat::Full && diagnostics.iter().next().is_none() {
        let name = sources.iter().next().map_or("the file", |(_, source)| source.name.as_str());
        let others = match loaded.read.saturating_sub(1) {
            0 => String::new(),
            1 => " and 1 other file".to_owned(),
            count => format!(" and {count} other files"),
        };
        printer.note(&format!("{name}{others}: no mistakes\n"));
    }
    if args.format == CheckFormat::Full {
        tell_unchecked(diagnostics, printer);
    }
    Ok(())
}

/// What is not known yet is no remark on the file: a few lines at the end, that fail nothing.
fn tell_unchecked(diagnostics: &Diagnostics, printer: &Printer) {
    for what in diagnostics.unchecked().take(UNCHECKED_MAX) {
        printer.note(&format!("not checked: {what}\n"));
    }
    let rest = diagnostics.unchecked().skip(UNCHECKED_MAX).count();
    if rest > 0 {
        printer.note(&format!("not checked: the same of {rest} more\n"));
    }
}

fn fails(diagnostics: &Diagnostics, deny: Option<Deny>) -> bool {
    let warnings = diagnostics.count(Severity::Warning);
    diagnostics.has_errors() || (deny == Some(Deny::Warnings) && warnings > 0)
}

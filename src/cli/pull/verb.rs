//! What the verb does. Deliberately not here: which images are meant (`wanted`), threads (`work`, `show`).

use std::sync::Arc;

use super::args::{Policy, PullArgs};
use super::show;
use super::wanted::{Wanted, WantedError, of_project, of_words};
use super::work::{Work, failure};
use crate::cli::exit::{Class, ExitCode, Failure};
use crate::cli::interrupts::Interrupts;
use crate::cli::printer::Printer;
use crate::cli::settings::Settings;
use crate::cli::up::lines_mode;
use crate::cli::{load, remarks};
use crate::compose::Places;
use crate::config::{Mode, Project};
use crate::image::{Access, Images};

/// Brings what is meant.
pub(crate) fn run(args: &PullArgs, settings: &Settings, printer: &Printer) -> Result<ExitCode, Failure> {
    let project = match project(args, settings, printer)? {
        Known::Project(project) => Some(*project),
        Known::None => None,
        Known::Invalid => return Ok(ExitCode::InvalidFile),
    };
    let words: Vec<String> = args.named.iter().chain(&args.images).cloned().collect();
    let wanted = match (&project, words.is_empty()) {
        (Some(project), true) => of_project(project),
        _ => of_words(&words, project.as_ref()).map_err(word_failure)?,
    };
    if wanted.is_empty() {
        printer.note("nothing to pull: no image comes from a registry or an archive\n");
        return Ok(ExitCode::Passed);
    }
    let access = match args.policy {
        _ if settings.is_offline => Access::Offline,
        Policy::Missing => Access::Missing,
        Policy::Always => Access::Refresh,
    };
    let failures = bring(wanted, access, settings, printer)?;
    tell_all(failures, printer)
}

/// What is known of a project.
enum Known {
    Project(Box<Project>),
    /// None is asked for.
    None,
    /// It is wrong, and that was said.
    Invalid,
}

/// The project, where one is meant: images that are named need none, and are locked by the one that is found.
fn project(args: &PullArgs, settings: &Settings, printer: &Printer) -> Result<Known, Failure> {
    let is_needed = args.images.is_empty() && args.named.is_empty();
    let loaded = match load::load_locked(settings, Mode::Check, args.locked) {
        Ok(loaded) => loaded,
        Err(failure) if is_needed || args.locked || !settings.files.is_empty() => return Err(failure),
        Err(_) => return Ok(Known::None),
    };
    match loaded.project {
        Some(project) if !loaded.diagnostics.has_errors() => Ok(Known::Project(Box::new(project))),
        _ => {
            remarks::tell(&loaded.diagnostics, &loaded.sources, args.max_diagnostics, printer);
            Ok(Known::Invalid)
        }
    }
}

/// What to tell of a word that means no image.
pub(crate) fn word_failure(error: WantedError) -> Failure {
    let WantedError::Word { near, .. } = &error;
    let help = match near {
        Some(near) => format!("did you mean `{near}`?"),
        None => "name a machine of the project, or an image as `alpine:3.20`".to_owned(),
    };
    Failure::new(Class::Selection, error).help(help)
}

/// Brings images with what is shown of it; those that failed.
fn bring(wanted: Vec<Wanted>, access: Access, settings: &Settings, printer: &Printer) -> Result<Vec<Failure>, Failure> {
    let mut interrupts = Interrupts::listen()?;
    let images = open(settings)?;
    let count = wanted.len();
    let (facts, shown) = show::spawn(lines_mode(settings), count, settings, printer, interrupts.runtime.handle())?;
    let work = Work { images, wanted, access };
    let brought = interrupts.until_left(move |has_left| work.run(&has_left, &facts));
    shown.finish(brought.is_err());
    let failures = brought?.into_iter().filter_map(|(_, result)| result.err().map(failure));
    Ok(failures.collect())
}

/// The images of this user.
fn open(settings: &Settings) -> Result<Arc<Images>, Failure> {
    let images = Images::open(&Places::find()?.cache, crate::compose::registry_access(settings.registries.clone()));
    images.map(Arc::new).map_err(failure)
}

/// Tells of all that failed; the last one decides the exit code.
fn tell_all(mut failures: Vec<Failure>, printer: &Printer) -> Result<ExitCode, Failure> {
    let last = failures.pop();
    failures.iter().for_each(|failure| printer.failure(failure));
    last.map_or(Ok(ExitCode::Passed), Err)
}

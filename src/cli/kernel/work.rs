//! `smolvm kernel pull` and `smolvm kernel build`: what takes long, with progress, and clean when it is interrupted.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::thread;

use super::args::{KernelBuildArgs, KernelPullArgs};
use super::progress::Shown;
use crate::cli::exit::{Class, ExitCode, Failure};
use crate::cli::interrupts::Interrupts;
use crate::cli::printer::Printer;
use crate::cli::settings::Settings;
use crate::cli::up::lines_mode;
use crate::compose::ImageTold;
use crate::compose::Places;
use crate::config::Reference;
use crate::image::kernel::lean::{self, LeanError, LeanRequest};
use crate::image::kernel::{self, KernelError};
use crate::image::{Access, ImageError, ImageRequest, ImageSource, Images, Platform};

/// Fetches a kernel.
pub(super) fn pull(args: &KernelPullArgs, settings: &Settings, printer: &Printer) -> Result<ExitCode, Failure> {
    if let Some(reference) = &args.reference {
        return pull_image(reference, settings, printer);
    }
    let mut interrupts = Interrupts::listen()?;
    let cache = Places::find()?.cache;
    let work = shown(settings, printer, move |waiter| kernel::pull(&cache, waiter));
    let (kernel, is_new) = interrupts.until_left(work)?.map_err(|error| kernel_failure(&error))?;
    let words = if is_new { "is in the cache now" } else { "is in the cache already, and the newest" };
    printer.note(&format!("{} ({}) {words}\n", kernel.version, kernel.origin));
    Ok(ExitCode::Passed)
}

/// Brings an image, and takes the kernel out of it.
fn pull_image(written: &str, settings: &Settings, printer: &Printer) -> Result<ExitCode, Failure> {
    let reference = Reference::parse(written).map_err(|error| {
        let failure = Failure::new(Class::Usage, format!("`{written}` is no reference to a kernel: {}", error.message));
        error.instead.map(|instead| format!("write `{instead}`")).into_iter().fold(failure, Failure::help)
    })?;
    let mut interrupts = Interrupts::listen()?;
    let cache = Places::find()?.cache;
    let images = Images::open(&cache, crate::compose::registry_access(settings.registries.clone()))
        .map_err(|error| image_failure(&error))?;
    let request = ImageRequest {
        source: ImageSource::Reference(reference),
        platform: Platform::machine(),
        locked: None,
        access: if settings.is_offline { Access::Offline } else { Access::Refresh },
    };
    let name = written.to_owned();
    let work = shown(settings, printer, move |waiter| {
        let image = images.bring(&request, &mut ImageTold::new(waiter, name.clone()));
        let image = image.map_err(|error| image_failure(&error))?;
        kernel::of_image(&image, &name, None, &cache, waiter).map_err(|error| kernel_failure(&error))
    });
    let (kernel, is_new) = interrupts.until_left(work)??;
    let words = if is_new { "is in the cache now" } else { "is in the cache already" };
    printer.note(&format!("{} ({}) {words}\n", kernel.version, kernel.origin));
    Ok(ExitCode::Passed)
}

/// Builds the lean kernel.
pub(super) fn build(args: &KernelBuildArgs, settings: &Settings, printer: &Printer) -> Result<ExitCode, Failure> {
    let mut interrupts = Interrupts::listen()?;
    let cache = Places::find()?.cache;
    let jobs = args.jobs.and_then(|jobs| usize::try_from(jobs).ok());
    let cpus = || thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let request = LeanRequest { source: args.source.clone(), jobs: jobs.unwrap_or_else(cpus), is_forced: args.force };
    let work = shown(settings, printer, move |waiter| lean::build(&request, &cache, waiter));
    let built = interrupts.until_left(work)?.map_err(lean_failure)?;
    for remark in &built.remarks {
        printer.note(&format!("note: {remark}\n"));
    }
    let words = if built.is_new {
        "`auto` takes it from now on"
    } else {
        "it is in the cache already (`--force` builds it anew)"
    };
    printer.note(&format!("{}: {words}\n", built.kernel.origin));
    Ok(ExitCode::Passed)
}

/// The work, with somebody who waits for it and shows how far it is.
fn shown<T>(
    settings: &Settings,
    printer: &Printer,
    work: impl FnOnce(&mut Shown) -> T + Send + 'static,
) -> impl FnOnce(Arc<AtomicBool>) -> T + Send + 'static {
    let (mode, printer) = (lines_mode(settings), *printer);
    move |has_left| work(&mut Shown::new(mode, printer, has_left))
}

fn image_failure(error: &ImageError) -> Failure {
    let words = crate::cli::exit::chain(error).collect::<Vec<_>>().join(": ");
    error.help().into_iter().fold(Failure::new(Class::World, words), Failure::help)
}

fn kernel_failure(error: &KernelError) -> Failure {
    let failure = Failure::new(Class::World, chained(error));
    error.help().into_iter().fold(failure, Failure::help)
}

fn lean_failure(error: LeanError) -> Failure {
    let class = match &error {
        LeanError::Place { .. } | LeanError::Tools { .. } => Class::Host,
        _ => Class::World,
    };
    let help = error.help();
    help.into_iter().fold(Failure::new(class, error), Failure::help)
}

/// An error that is only borrowed, with its causes, as one text.
fn chained(error: &KernelError) -> String {
    crate::cli::exit::chain(error).collect::<Vec<_>>().join(": ")
}

//! `smolvm kernel`: what kernels there are, fetching one, building the lean one.
//!
//! Deliberately not here: the work itself (`image::kernel`).

mod args;
mod list;
mod progress;
mod work;

pub(super) use args::{KernelArgs, KernelVerb};

use super::exit::{ExitCode, Failure};
use super::printer::Printer;
use super::settings::Settings;

/// Does what was asked for.
pub(super) fn run(args: &KernelArgs, settings: &Settings, printer: &Printer) -> Result<ExitCode, Failure> {
    match &args.verb {
        KernelVerb::Ls(args) => list::run(args, printer),
        KernelVerb::Pull(args) => work::pull(args, settings, printer),
        KernelVerb::Build(args) => work::build(args, settings, printer),
    }
}

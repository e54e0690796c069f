//! What may be typed after `pull`.

use clap::{Args, ValueEnum};

use crate::cli::args::GlobalArgs;
use crate::cli::number;

/// Options of `pull`.
#[derive(Debug, Clone, Args)]
pub(crate) struct PullArgs {
    /// Machines whose image and kernel to bring, or images; all of the project by default
    #[arg(value_name = "MACHINE|IMAGE")]
    pub(crate) named: Vec<String>,
    /// An image, whatever the project says; repeat for more
    #[arg(long = "image", value_name = "REF")]
    pub(crate) images: Vec<String>,
    /// When to ask a registry: where an image is not here, or always
    #[arg(long, value_enum, value_name = "WHEN", default_value_t = Policy::Missing)]
    pub(crate) policy: Policy,
    /// Images must be those of `smolvm.lock`
    #[arg(long)]
    pub(crate) locked: bool,
    /// How many remarks on the file are shown, 0 for all
    #[arg(long, value_name = "N", default_value_t = 50, value_parser = number::count, allow_negative_numbers = true)]
    pub(crate) max_diagnostics: usize,
    #[command(flatten)]
    pub(crate) global: GlobalArgs,
}

/// When a registry is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Policy {
    /// Where the image is not here
    Missing,
    /// Also what its name means now, unless it is locked
    Always,
}

//! What may be typed after `lock` and `update`.

use clap::Args;

use crate::cli::args::GlobalArgs;
use crate::cli::number;

/// Options of `lock`.
#[derive(Debug, Clone, Args)]
pub(crate) struct LockArgs {
    /// Write nothing: say whether the lock file has each image of the project and no other
    #[arg(long)]
    pub(crate) check: bool,
    /// With `--check`: ask the registries too whether names mean other images by now
    #[arg(long, requires = "check")]
    pub(crate) remote: bool,
    /// Also lock the kernel that `kernel: auto` takes on this host
    #[arg(long, conflicts_with = "check")]
    pub(crate) kernel: bool,
    /// How many remarks on the file are shown, 0 for all
    #[arg(long, value_name = "N", default_value_t = 50, value_parser = number::count, allow_negative_numbers = true)]
    pub(crate) max_diagnostics: usize,
    #[command(flatten)]
    pub(crate) global: GlobalArgs,
}

/// Options of `update`.
#[derive(Debug, Clone, Args)]
pub(crate) struct UpdateArgs {
    /// Images, or machines whose image and kernel are meant; all of the project by default
    #[arg(value_name = "IMAGE|MACHINE")]
    pub(crate) named: Vec<String>,
    /// How many remarks on the file are shown, 0 for all
    #[arg(long, value_name = "N", default_value_t = 50, value_parser = number::count, allow_negative_numbers = true)]
    pub(crate) max_diagnostics: usize,
    #[command(flatten)]
    pub(crate) global: GlobalArgs,
}

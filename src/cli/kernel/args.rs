//! What may be typed after `smolvm kernel`.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use crate::cli::args::{DataFormat, GlobalArgs};
use crate::cli::number;

/// Options of `kernel`.
#[derive(Debug, Args)]
pub(crate) struct KernelArgs {
    #[command(subcommand)]
    pub(crate) verb: KernelVerb,
}

/// What to do with kernels.
#[derive(Debug, Subcommand)]
pub(crate) enum KernelVerb {
    /// List the kernels in the cache, which one `auto` takes and why, and what could be had
    #[command(visible_alias = "list")]
    Ls(KernelLsArgs),
    /// Fetch the distribution's newest kernel, or one that an image in a registry holds
    Pull(KernelPullArgs),
    /// Build the lean kernel, which boots soonest, from the distribution's source package; `auto` takes it from then on
    Build(KernelBuildArgs),
}

impl KernelArgs {
    /// The global options that stand after the verb.
    pub(crate) fn global(&self) -> &GlobalArgs {
        match &self.verb {
            KernelVerb::Ls(args) => &args.global,
            KernelVerb::Pull(args) => &args.global,
            KernelVerb::Build(args) => &args.global,
        }
    }
}

/// Options of `kernel ls`.
#[derive(Debug, Args)]
pub(crate) struct KernelLsArgs {
    /// Form of the list
    #[arg(long, value_enum, value_name = "FORM", default_value_t = DataFormat::Text)]
    pub(crate) format: DataFormat,
    #[command(flatten)]
    pub(crate) global: GlobalArgs,
}

/// Options of `kernel pull`.
#[derive(Debug, Clone, Args)]
pub(crate) struct KernelPullArgs {
    /// Image that holds a kernel, as `kernel:` in the file; the distribution's kernel by default
    #[arg(value_name = "REFERENCE")]
    pub(crate) reference: Option<String>,
    #[command(flatten)]
    pub(crate) global: GlobalArgs,
}

/// Options of `kernel build`.
#[derive(Debug, Clone, Args)]
pub(crate) struct KernelBuildArgs {
    /// How many compilers run at once; as many as there are CPUs by default
    #[arg(long, short = 'j', value_name = "N", value_parser = number::at_least_one, allow_negative_numbers = true)]
    pub(crate) jobs: Option<u32>,
    /// Build it also where it is in the cache
    #[arg(long)]
    pub(crate) force: bool,
    /// Tar of a kernel's source, instead of the distribution's package
    #[arg(long, value_name = "FILE")]
    pub(crate) source: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) global: GlobalArgs,
}

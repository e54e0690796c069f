//! What may be typed behind `volumes`.

use clap::{Args, Subcommand};

use crate::cli::args::{DataFormat, GlobalArgs};

/// Options of `volumes`.
#[derive(Debug, Args)]
pub(crate) struct VolumesArgs {
    #[command(subcommand)]
    pub(crate) verb: VolumesVerb,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub(crate) enum VolumesVerb {
    /// List the volumes of the project, what they take and who uses them
    Ls(LsArgs),
    /// Remove volumes that no machine uses, with all that is in them
    Rm(RmArgs),
    /// Write what is in a volume to standard output, as a tar archive
    Export(ExportArgs),
    /// Read a tar archive from standard input into a volume, which is made where it is missing
    Import(ImportArgs),
}

/// Options of `volumes ls`.
#[derive(Debug, Args)]
pub(crate) struct LsArgs {
    /// Form of the list
    #[arg(long, value_enum, value_name = "FORM", default_value_t = DataFormat::Text)]
    pub(crate) format: DataFormat,
    #[command(flatten)]
    pub(crate) global: GlobalArgs,
}

/// Options of `volumes rm`.
#[derive(Debug, Args)]
pub(crate) struct RmArgs {
    /// Volumes to remove
    #[arg(value_name = "VOLUME", required = true)]
    pub(crate) names: Vec<String>,
    #[command(flatten)]
    pub(crate) global: GlobalArgs,
}

/// Options of `volumes export`.
#[derive(Debug, Args)]
pub(crate) struct ExportArgs {
    /// Volume to copy
    #[arg(value_name = "VOLUME")]
    pub(crate) name: String,
    #[command(flatten)]
    pub(crate) global: GlobalArgs,
}

/// Options of `volumes import`.
#[derive(Debug, Args)]
pub(crate) struct ImportArgs {
    /// Volume to fill; files of the archive take the place of those of the same names
    #[arg(value_name = "VOLUME")]
    pub(crate) name: String,
    #[command(flatten)]
    pub(crate) global: GlobalArgs,
}

impl VolumesArgs {
    /// The global options that stand after the verb.
    pub(crate) fn global(&self) -> &GlobalArgs {
        match &self.verb {
            VolumesVerb::Ls(args) => &args.global,
            VolumesVerb::Rm(args) => &args.global,
            VolumesVerb::Export(args) => &args.global,
            VolumesVerb::Import(args) => &args.global,
        }
    }
}

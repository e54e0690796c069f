//! What may be typed behind the verbs for machines that are up.

use clap::Args;

use crate::cli::args::GlobalArgs;
use crate::cli::number;

/// Options of `down`.
#[derive(Debug, Args)]
pub(crate) struct DownArgs {
    /// Also remove the disks behind /workspace and the named volumes
    #[arg(short = 'v', long)]
    pub(crate) volumes: bool,
    #[command(flatten)]
    pub(crate) global: GlobalArgs,
}

/// Options of `stop` and `restart`.
#[derive(Debug, Args)]
pub(crate) struct StopArgs {
    /// Machines; all by default
    #[arg(value_name = "MACHINE")]
    pub(crate) machines: Vec<String>,
    /// Seconds that their commands have to end, instead of what the file says
    #[arg(
        short = 't',
        long = "timeout",
        value_name = "SECONDS",
        value_parser = number::seconds,
        allow_negative_numbers = true
    )]
    pub(crate) seconds: Option<u32>,
    #[command(flatten)]
    pub(crate) global: GlobalArgs,
}

/// Options of `start`.
#[derive(Debug, Args)]
pub(crate) struct StartArgs {
    /// Machines; all by default
    #[arg(value_name = "MACHINE")]
    pub(crate) machines: Vec<String>,
    /// Wait until their services are healthy, rather than started
    #[arg(long)]
    pub(crate) wait: bool,
    #[command(flatten)]
    pub(crate) global: GlobalArgs,
}

/// Options of `kill`.
#[derive(Debug, Args)]
pub(crate) struct KillArgs {
    /// Machines; all by default
    #[arg(value_name = "MACHINE")]
    pub(crate) machines: Vec<String>,
    /// Signal for their commands, as `HUP`, `SIGHUP` or `1`; KILL ends the machines at once, without their help
    #[arg(short = 's', long, value_name = "SIGNAL", default_value = "KILL", allow_hyphen_values = true)]
    pub(crate) signal: String,
    #[command(flatten)]
    pub(crate) global: GlobalArgs,
}

/// Options of `wait`.
#[derive(Debug, Args)]
pub(crate) struct WaitArgs {
    /// Machines; all by default
    #[arg(value_name = "MACHINE")]
    pub(crate) machines: Vec<String>,
    #[command(flatten)]
    pub(crate) global: GlobalArgs,
}

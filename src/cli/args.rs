//! What may be typed, as typed: nothing is resolved here.
//!
//! The global options belong to the program and to every verb alike (so that they may stand before and after the
//! verb), and a verb's own letters can never collide with them: each verb flattens [`GlobalArgs`] itself, and
//! [`GlobalArgs::or`] joins the two places.

mod words;

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

use super::copy::CopyArgs;
use super::exec::{ExecArgs, ShellArgs};
use super::images::ImagesArgs;
use super::kernel::KernelArgs;
use super::life::args::{DownArgs, KillArgs, StartArgs, StopArgs, WaitArgs};
use super::lock::{LockArgs, UpdateArgs};
use super::logs::LogsArgs;
use super::ls::LsArgs;
use super::number;
use super::port::PortArgs;
use super::ps::PsArgs;
use super::pull::PullArgs;
use super::run::RunArgs;
use super::stats::StatsArgs;
use super::system::SystemArgs;
use super::volumes::VolumesArgs;
pub(crate) use words::{
    Accel, CheckFormat, Color, ConfigFormat, DataFormat, Deny, Engine, ExitCodeRule, Progress, RootForm,
};

/// The whole command line.
#[derive(Debug, Parser)]
#[command(
    name = "smolvm",
    version,
    about = "Runs a checked-in smolvm.yaml: Linux microVMs, host folders in them, and ordered steps",
    arg_required_else_help = true
)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) global: GlobalArgs,
    #[command(subcommand)]
    pub(crate) verb: Verb,
}

/// Options of every verb.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Global options")]
pub(crate) struct GlobalArgs {
    /// Project file instead of the one found upwards from here; repeat to merge, `-` is standard input
    #[arg(short = 'f', long = "file", value_name = "FILE")]
    pub(crate) files: Vec<PathBuf>,
    /// Name of the project instead of the file's
    #[arg(short = 'p', long = "project-name", value_name = "NAME")]
    pub(crate) project_name: Option<String>,
    /// Folder of the project where the file comes from standard input
    #[arg(long, value_name = "FOLDER")]
    pub(crate) project_directory: Option<PathBuf>,
    /// Also take machines and steps that belong to this profile; repeat for more, `*` is all
    #[arg(long = "profile", value_name = "NAME")]
    pub(crate) profiles: Vec<String>,
    /// File of `NAME=value` lines instead of `.env` beside the first file; repeat to override
    #[arg(long = "env-file", value_name = "FILE")]
    pub(crate) env_files: Vec<PathBuf>,
    /// How progress is shown
    #[arg(long, value_enum, value_name = "HOW")]
    pub(crate) progress: Option<Progress>,
    /// When to use colours
    #[arg(long, value_enum, value_name = "WHEN")]
    pub(crate) color: Option<Color>,
    /// Say nothing but failures
    #[arg(short = 'q', long, overrides_with = "verbose")]
    pub(crate) quiet: bool,
    /// Say more: phases of machines, their consoles
    #[arg(long, overrides_with = "quiet")]
    pub(crate) verbose: bool,
}

impl GlobalArgs {
    /// What stands after the verb, completed by what stands before it; files of both places in that order.
    pub(crate) fn or(self, before: Self) -> Self {
        let mut files = before.files;
        files.extend(self.files);
        let mut profiles = before.profiles;
        profiles.extend(self.profiles);
        let mut env_files = before.env_files;
        env_files.extend(self.env_files);
        Self {
            files,
            profiles,
            project_name: self.project_name.or(before.project_name),
            project_directory: self.project_directory.or(before.project_directory),
            env_files,
            progress: self.progress.or(before.progress),
            color: self.color.or(before.color),
            quiet: self.quiet || (before.quiet && !self.verbose),
            verbose: self.verbose || (before.verbose && !self.quiet),
        }
    }
}

/// What to do.
#[derive(Debug, Subcommand)]
pub(crate) enum Verb {
    /// Check, plan, boot the machines, run the steps, stop
    Up(UpArgs),
    /// Run one command in a fresh machine, with its input, output and terminal
    Run(Box<RunArgs>),
    /// Stop the machines that stay up, and the process that holds them
    Down(DownArgs),
    /// Stop machines that stay up; their disks stay
    Stop(StopArgs),
    /// Start machines again that were stopped
    Start(StartArgs),
    /// Stop machines and start them again
    Restart(StopArgs),
    /// Send a signal to the commands of machines, or end machines at once
    Kill(KillArgs),
    /// Wait until the commands of machines have ended, and print their exit codes
    Wait(WaitArgs),
    /// List the machines that are up, and how they stand
    Ps(PsArgs),
    /// List the projects whose machines are up, wherever their folders are
    Ls(LsArgs),
    /// Show what the machines that are up cost this computer
    Stats(StatsArgs),
    /// Show what steps and services of the last run wrote, in the order in which it came
    #[command(mut_arg("files", |file| file.short(None)))]
    Logs(Box<LogsArgs>),
    /// Run a command in a machine that is up, with its input, output and terminal
    Exec(ExecArgs),
    /// Open a shell in a machine that is up
    Shell(ShellArgs),
    /// Copy files into a machine that is up, or out of it
    #[command(name = "cp")]
    Copy(CopyArgs),
    /// Print which addresses of this computer reach the ports of a machine
    Port(PortArgs),
    /// Check the file and report every mistake
    #[command(visible_alias = "validate")]
    Check(CheckArgs),
    /// Show what `up` would do, in which order and why
    Plan(PlanArgs),
    /// Print the file as it is understood: variables replaced, paths whole, everything written out
    Config(ConfigArgs),
    /// Explain a rule that a remark names, with a wrong and a right example
    Explain(ExplainArgs),
    /// Write a first smolvm.yaml for what a folder holds: Cargo, npm, pnpm, Yarn, Python, Make, or nothing known
    Init(InitArgs),
    /// Print the JSON Schema of smolvm.yaml
    Schema(SchemaArgs),
    /// Serve an editor: remarks, completion, hover and more while a file is written
    Lsp(LspArgs),
    /// Bring images, and kernels that come from registries
    Pull(PullArgs),
    /// Write which images the project has now into smolvm.lock: adds what is missing, takes out what is not used
    Lock(LockArgs),
    /// Ask the registries anew what the names in smolvm.lock mean
    Update(UpdateArgs),
    /// List, fetch and build the kernels that machines boot
    Kernel(KernelArgs),
    /// List the images that are here
    Images(ImagesArgs),
    /// List, remove and copy the volumes of the project
    Volumes(VolumesArgs),
    /// Say what the cache takes, give it back, or look whether it is sound
    System(SystemArgs),
    /// Say whether this host can run machines, which engine serves, and what to install
    Doctor(DoctorArgs),
    /// Print the version
    Version(VersionArgs),
}

impl Verb {
    /// The global options that stand after the verb.
    pub(crate) fn global(&self) -> &GlobalArgs {
        match self {
            Self::Up(args) => &args.global,
            Self::Run(args) => &args.global,
            Self::Down(args) => &args.global,
            Self::Stop(args) | Self::Restart(args) => &args.global,
            Self::Start(args) => &args.global,
            Self::Kill(args) => &args.global,
            Self::Wait(args) => &args.global,
            Self::Ps(args) => &args.global,
            Self::Ls(args) => &args.global,
            Self::Stats(args) => &args.global,
            Self::Logs(args) => &args.global,
            Self::Exec(args) => &args.global,
            Self::Shell(args) => &args.global,
            Self::Copy(args) => &args.global,
            Self::Port(args) => &args.global,
            Self::Check(args) => &args.global,
            Self::Plan(args) => &args.global,
            Self::Config(args) => &args.global,
            Self::Explain(args) => &args.global,
            Self::Init(args) => &args.global,
            Self::Schema(args) => &args.global,
            Self::Lsp(args) => &args.global,
            Self::Pull(args) => &args.global,
            Self::Lock(args) => &args.global,
            Self::Update(args) => &args.global,
            Self::Kernel(args) => args.global(),
            Self::Images(args) => &args.global,
            Self::Volumes(args) => args.global(),
            Self::System(args) => args.global(),
            Self::Doctor(args) => &args.global,
            Self::Version(args) => &args.global,
        }
    }
}

/// Options of `up`.
#[derive(Debug, Clone, Args)]
pub(crate) struct UpArgs {
    /// Steps to run, with what they need, or machines whose steps to run; all by default
    #[arg(value_name = "STEP|MACHINE")]
    pub(crate) selection: Vec<String>,
    /// Go on with what does not need a failed step
    #[arg(long)]
    pub(crate) keep_going: bool,
    /// Leave the machines up when the steps have passed, in the background
    #[arg(short = 'd', long)]
    pub(crate) detach: bool,
    /// Leave the machines up where a step failed, for a look
    #[arg(long)]
    pub(crate) keep: bool,
    /// Open a shell in the machine of a step that failed, with its folder, user and environment, before all goes down
    #[arg(short = 'i', long, conflicts_with_all = ["detach", "keep"])]
    pub(crate) interactive: bool,
    /// Check and plan only: print the plan, boot nothing
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// What runs the machines
    #[arg(long, value_enum, value_name = "ENGINE")]
    pub(crate) engine: Option<Engine>,
    /// What runs their CPUs
    #[arg(long, value_enum, value_name = "ACCEL")]
    pub(crate) accel: Option<Accel>,
    /// How many steps may run at the same time
    #[arg(long, value_name = "N", value_parser = number::at_least_one, allow_negative_numbers = true)]
    pub(crate) parallel: Option<u32>,
    /// By how much waiting for a guest is longer than on hardware: 1 for KVM and 4 for emulation by default
    #[arg(long, value_name = "N", hide = true, value_parser = number::at_least_one, allow_negative_numbers = true)]
    pub(crate) time_factor: Option<u32>,
    /// Wait where another `up` holds the project
    #[arg(long)]
    pub(crate) wait_lock: bool,
    /// Images must be those of `smolvm.lock`
    #[arg(long)]
    pub(crate) locked: bool,
    /// Exit code of a failed run: that of the first failed step, or always 1
    #[arg(long, value_enum, value_name = "HOW", default_value_t = ExitCodeRule::First)]
    pub(crate) exit_code: ExitCodeRule,
    /// How many remarks on the file are shown, 0 for all
    #[arg(long, value_name = "N", default_value_t = 50, value_parser = number::count, allow_negative_numbers = true)]
    pub(crate) max_diagnostics: usize,
    #[command(flatten)]
    pub(crate) global: GlobalArgs,
}

/// Options of `check`.
#[derive(Debug, Args)]
pub(crate) struct CheckArgs {
    /// Form of the remarks
    #[arg(long, value_enum, value_name = "FORM", default_value_t = CheckFormat::Full)]
    pub(crate) format: CheckFormat,
    /// Fail also where there are only warnings
    #[arg(long, value_enum, value_name = "LEVEL")]
    pub(crate) deny: Option<Deny>,
    /// Mend what can be mended without asking, and write the file; with `-f -` print it
    #[arg(long)]
    pub(crate) fix: bool,
    /// Images must be those of `smolvm.lock`
    #[arg(long)]
    pub(crate) locked: bool,
    /// How many remarks are shown, 0 for all
    #[arg(long, value_name = "N", default_value_t = 50, value_parser = number::count, allow_negative_numbers = true)]
    pub(crate) max_diagnostics: usize,
    #[command(flatten)]
    pub(crate) global: GlobalArgs,
}

/// Options of `plan`.
#[derive(Debug, Args)]
pub(crate) struct PlanArgs {
    /// Steps to run, with what they need, or machines whose steps to run; all by default
    #[arg(value_name = "STEP|MACHINE")]
    pub(crate) selection: Vec<String>,
    /// Form of the plan
    #[arg(long, value_enum, value_name = "FORM", default_value_t = DataFormat::Text)]
    pub(crate) format: DataFormat,
    /// How many remarks on the file are shown, 0 for all
    #[arg(long, value_name = "N", default_value_t = 50, value_parser = number::count, allow_negative_numbers = true)]
    pub(crate) max_diagnostics: usize,
    #[command(flatten)]
    pub(crate) global: GlobalArgs,
}

/// Options of `config`.
#[derive(Debug, Args)]
pub(crate) struct ConfigArgs {
    /// Form of the file
    #[arg(long, value_enum, value_name = "FORM", default_value_t = ConfigFormat::Yaml)]
    pub(crate) format: ConfigFormat,
    /// Print a hash of each machine as it is understood, a line each
    #[arg(long, conflicts_with = "images")]
    pub(crate) hash: bool,
    /// Print the images alone, a line each, sorted
    #[arg(long)]
    pub(crate) images: bool,
    /// How many remarks on the file are shown, 0 for all
    #[arg(long, value_name = "N", default_value_t = 50, value_parser = number::count, allow_negative_numbers = true)]
    pub(crate) max_diagnostics: usize,
    #[command(flatten)]
    pub(crate) global: GlobalArgs,
}

/// Options of `explain`.
#[derive(Debug, Args)]
pub(crate) struct ExplainArgs {
    /// Code of the rule, as `SMOL0101` or `101`
    #[arg(value_name = "CODE", required_unless_present = "list", conflicts_with = "list")]
    pub(crate) code: Option<String>,
    /// List all rules: code, level and what each is about
    #[arg(long)]
    pub(crate) list: bool,
    /// Form of the text
    #[arg(long, value_enum, value_name = "FORM", default_value_t = DataFormat::Text)]
    pub(crate) format: DataFormat,
    #[command(flatten)]
    pub(crate) global: GlobalArgs,
}

/// Options of `init`.
#[derive(Debug, Args)]
pub(crate) struct InitArgs {
    /// Folder of the project; the current one by default. A file that is there is left as it is
    #[arg(value_name = "FOLDER")]
    pub(crate) folder: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) global: GlobalArgs,
}

/// Options of `schema`.
#[derive(Debug, Args)]
pub(crate) struct SchemaArgs {
    #[command(flatten)]
    pub(crate) global: GlobalArgs,
}

/// Options of `lsp`.
#[derive(Debug, Args)]
pub(crate) struct LspArgs {
    /// Speak over standard input and output; many editors say so, and there is no other way
    #[arg(long)]
    pub(crate) stdio: bool,
    /// The editor's process, which it also names when it begins to speak
    #[arg(long = "clientProcessId", value_name = "PID", hide = true)]
    pub(crate) client_process_id: Option<u32>,
    #[command(flatten)]
    pub(crate) global: GlobalArgs,
}

/// Options of `doctor`.
#[derive(Debug, Args)]
pub(crate) struct DoctorArgs {
    /// Form of the findings
    #[arg(long, value_enum, value_name = "FORM", default_value_t = DataFormat::Text)]
    pub(crate) format: DataFormat,
    #[command(flatten)]
    pub(crate) global: GlobalArgs,
}

/// Options of `version`.
#[derive(Debug, Args)]
pub(crate) struct VersionArgs {
    #[command(flatten)]
    pub(crate) global: GlobalArgs,
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    fn parse(words: &[&str]) -> GlobalArgs {
        let cli = Cli::try_parse_from(words).unwrap();
        cli.verb.global().clone().or(cli.global)
    }

    #[test]
    fn no_option_collides_with_another() {
        Cli::command().debug_assert();
    }

    #[test]
    fn global_options_stand_before_and_after_the_verb() {
        let global = parse(&["smolvm", "-f", "a.yaml", "-q", "up", "-f", "b.yaml", "-p", "demo"]);
        assert_eq!(global.files, [PathBuf::from("a.yaml"), PathBuf::from("b.yaml")]);
        assert_eq!(global.project_name.as_deref(), Some("demo"));
        assert!(global.quiet);
    }

    #[test]
    fn the_later_of_quiet_and_verbose_counts() {
        let global = parse(&["smolvm", "-q", "check", "--verbose"]);
        assert!(global.verbose && !global.quiet);
    }
}

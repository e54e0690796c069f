//! What may be typed behind `run`.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

use crate::cli::args::{Accel, Engine, GlobalArgs};
use crate::cli::attendant::StreamArgs;
use crate::cli::number;
use crate::cli::variable::variable;

/// Options of `run`.
#[derive(Debug, Clone, Args)]
#[command(
    override_usage = "smolvm run [OPTIONS] MACHINE [--] [CMD]...\n       smolvm run [OPTIONS] --image REF [--] [CMD]..."
)]
pub(crate) struct RunArgs {
    /// Image of the machine: a reference, `host`, `dir:PATH`, `oci:PATH` or `docker-archive:PATH`; without it the first
    /// word is a machine of the file
    #[arg(long, value_name = "REF")]
    pub(crate) image: Option<String>,
    /// A mount, as in the file: `SOURCE:TARGET[:ro]`, relative to the current folder; repeat for more
    #[arg(short = 'v', long = "volume", value_name = "SOURCE:TARGET[:ro]")]
    pub(crate) volumes: Vec<String>,
    /// A port of the machine that this computer reaches, as in the file: `[HOST_IP:]HOST:GUEST`; repeat for more
    #[arg(long, value_name = "[IP:]HOST:GUEST")]
    pub(crate) publish: Vec<String>,
    /// Publish the ports that the file says of the machine
    #[arg(long, conflicts_with = "image")]
    pub(crate) service_ports: bool,
    /// Leave the services down that the machine depends on or is linked to
    #[arg(long, conflicts_with = "image")]
    pub(crate) no_deps: bool,
    /// A variable for the command; without a value it is passed on; repeat for more
    #[arg(short = 'e', long = "env", value_name = "NAME[=VALUE]", value_parser = variable)]
    pub(crate) env: Vec<String>,
    /// File of `NAME=value` lines for the command; repeat to override
    #[arg(long = "env-from-file", value_name = "FILE")]
    pub(crate) env_from_files: Vec<PathBuf>,
    /// Working folder of the command
    #[arg(short = 'w', long, value_name = "DIR")]
    pub(crate) workdir: Option<String>,
    /// User of the command: `name`, `uid`, `uid:gid` or `name:group`
    #[arg(short = 'u', long, value_name = "USER")]
    pub(crate) user: Option<String>,
    #[command(flatten)]
    pub(crate) streams: StreamArgs,
    /// Program in the place of the image's entrypoint
    #[arg(long, value_name = "PROGRAM")]
    pub(crate) entrypoint: Option<String>,
    /// Memory of the machine, as `2GiB`
    #[arg(long, value_name = "SIZE")]
    pub(crate) memory: Option<String>,
    /// CPUs of the machine
    #[arg(long, value_name = "N", value_parser = number::at_least_one, allow_negative_numbers = true)]
    pub(crate) cpus: Option<u32>,
    /// Name of the machine, and its host name
    #[arg(long, value_name = "NAME", requires = "image")]
    pub(crate) name: Option<String>,
    /// Network of the machine
    #[arg(long, value_enum, value_name = "MODE", requires = "image")]
    pub(crate) network: Option<RunNetwork>,
    /// Kernel of the machine: `auto`, a path or a reference
    #[arg(long, value_name = "KERNEL")]
    pub(crate) kernel: Option<String>,
    /// When to ask the registry for the image
    #[arg(long, value_enum, value_name = "WHEN", default_value_t = Pull::Missing)]
    pub(crate) pull: Pull,
    /// Nothing is ever left of the machine; taken for the sake of habit
    #[arg(long)]
    pub(crate) rm: bool,
    /// What runs the machine
    #[arg(long, value_enum, value_name = "ENGINE")]
    pub(crate) engine: Option<Engine>,
    /// What runs its CPUs
    #[arg(long, value_enum, value_name = "ACCEL")]
    pub(crate) accel: Option<Accel>,
    /// Machine, where there is no `--image`, then the command; without one that of the machine or the image
    #[arg(value_name = "MACHINE|CMD", trailing_var_arg = true)]
    pub(crate) words: Vec<String>,
    #[command(flatten)]
    pub(crate) global: GlobalArgs,
}

/// Networks that a machine of `run` may have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum RunNetwork {
    /// No way out
    None,
}

/// When a registry is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Pull {
    /// Where the image is not there
    Missing,
    /// Always: what the name means now
    Always,
    /// Never
    Never,
}

impl RunArgs {
    /// A command in a machine of this computer's own root, with streams and no terminal.
    pub(crate) fn of_host(words: &[&str]) -> Self {
        Self {
            image: Some("host".to_owned()),
            volumes: Vec::new(),
            publish: Vec::new(),
            service_ports: false,
            no_deps: false,
            env: Vec::new(),
            env_from_files: Vec::new(),
            workdir: None,
            user: None,
            streams: StreamArgs { interactive: true, tty: false, no_tty: true },
            entrypoint: None,
            memory: None,
            cpus: None,
            name: None,
            network: None,
            kernel: None,
            pull: Pull::Missing,
            rm: true,
            engine: None,
            accel: None,
            words: words.iter().map(|word| (*word).to_owned()).collect(),
            global: GlobalArgs::default(),
        }
    }

    /// The machine of the file, where one is to be used, and the words of the command.
    pub(crate) fn machine_and_words(&self) -> (Option<&str>, &[String]) {
        if self.image.is_some() {
            return (None, &self.words);
        }
        match self.words.split_first() {
            Some((machine, rest)) => {
                // Behind the machine everything is the command's, but for the sign that says so.
                let rest = rest.strip_prefix(&["--".to_owned()][..]).unwrap_or(rest);
                (Some(machine), rest)
            }
            None => (None, &[]),
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::cli::args::{Cli, Verb};

    fn parse(words: &[&str]) -> RunArgs {
        let all = ["smolvm", "run"].iter().chain(words);
        match Cli::try_parse_from(all).unwrap().verb {
            Verb::Run(args) => *args,
            verb => panic!("{verb:?}"),
        }
    }

    #[test]
    fn words_of_the_command_are_its_own_whatever_they_look_like() {
        let args = parse(&["--image", "host", "-it", "-v", "./a:/b", "python3", "-c", "x", "--image", "-q", "--", "y"]);
        assert_eq!(args.words, ["python3", "-c", "x", "--image", "-q", "--", "y"]);
        assert!(args.streams.interactive && args.streams.tty && !args.global.quiet);
        assert_eq!(parse(&["--image", "host", "--", "-x"]).words, ["-x"]);
        let args = parse(&["build", "--", "make", "-j"]);
        assert_eq!(args.machine_and_words(), (Some("build"), &["make".to_owned(), "-j".to_owned()][..]));
        let args = parse(&["build", "make", "--"]);
        assert_eq!(args.machine_and_words(), (Some("build"), &["make".to_owned(), "--".to_owned()][..]));
    }

    #[test]
    fn options_that_mean_nothing_together_are_refused() {
        for words in [&["-t", "-T", "--image", "host"][..], &["--name", "x", "build"], &["--bogus", "build"]] {
            let all = ["smolvm", "run"].iter().chain(words);
            assert!(Cli::try_parse_from(all).is_err(), "{words:?}");
        }
    }
}

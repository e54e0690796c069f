//! What may be typed behind `exec` and `shell`.

use std::collections::BTreeMap;

use clap::Args;

use crate::cli::args::GlobalArgs;
use crate::cli::attendant::StreamArgs;
use crate::cli::variable::variable;

/// Options of `exec`.
#[derive(Debug, Clone, Args)]
pub(crate) struct ExecArgs {
    /// A variable for the command; without a value it is passed on; repeat for more
    #[arg(short = 'e', long = "env", value_name = "NAME[=VALUE]", value_parser = variable)]
    pub(crate) env: Vec<String>,
    /// Working folder of the command
    #[arg(short = 'w', long, value_name = "DIR")]
    pub(crate) workdir: Option<String>,
    /// User of the command: `name`, `uid`, `uid:gid` or `name:group`
    #[arg(short = 'u', long, value_name = "USER")]
    pub(crate) user: Option<String>,
    #[command(flatten)]
    pub(crate) streams: StreamArgs,
    /// Machine that is up
    #[arg(value_name = "MACHINE")]
    pub(crate) machine: String,
    /// Program and its arguments
    #[arg(value_name = "CMD", trailing_var_arg = true, allow_hyphen_values = true, required = true)]
    pub(crate) command: Vec<String>,
    #[command(flatten)]
    pub(crate) global: GlobalArgs,
}

/// Options of `shell`.
#[derive(Debug, Clone, Args)]
pub(crate) struct ShellArgs {
    /// User of the shell: `name`, `uid`, `uid:gid` or `name:group`
    #[arg(short = 'u', long, value_name = "USER")]
    pub(crate) user: Option<String>,
    /// Working folder of the shell
    #[arg(short = 'w', long, value_name = "DIR")]
    pub(crate) workdir: Option<String>,
    /// Machine that is up; may be left out where there is one
    #[arg(value_name = "MACHINE")]
    pub(crate) machine: Option<String>,
    #[command(flatten)]
    pub(crate) global: GlobalArgs,
}

impl ExecArgs {
    /// The words of the command; a sign that options are over is none of them.
    pub(super) fn words(&self) -> Vec<String> {
        self.command.strip_prefix(&["--".to_owned()][..]).unwrap_or(&self.command).to_vec()
    }

    /// Variables for the command; one without a value is this process's own, where it has it.
    pub(super) fn variables(&self, own: &dyn Fn(&str) -> Option<String>) -> BTreeMap<String, String> {
        let value = |entry: &String| match entry.split_once('=') {
            Some((name, value)) => Some((name.to_owned(), value.to_owned())),
            None => own(entry).map(|value| (entry.clone(), value)),
        };
        self.env.iter().filter_map(value).collect()
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::cli::args::{Cli, Verb};

    fn parse(words: &[&str]) -> ExecArgs {
        match Cli::try_parse_from(["smolvm", "exec"].iter().chain(words)).unwrap().verb {
            Verb::Exec(args) => args,
            verb => panic!("{verb:?}"),
        }
    }

    #[test]
    fn words_behind_the_machine_are_the_commands() {
        let args = parse(&["-it", "-e", "A=1", "db", "psql", "-U", "me", "--", "-i"]);
        assert_eq!(
            (args.machine.as_str(), args.words()),
            ("db", ["psql", "-U", "me", "--", "-i"].map(str::to_owned).to_vec())
        );
        assert_eq!(parse(&["db", "--", "-x"]).words(), ["-x"]);
        assert!(Cli::try_parse_from(["smolvm", "exec", "db"]).is_err());
    }

    #[test]
    fn a_variable_without_a_value_is_passed_on_where_it_is_set() {
        let args = parse(&["-e", "A=1=2", "-e", "HERE", "-e", "NOT_HERE", "-e", "EMPTY=", "db", "env"]);
        let own = |name: &str| (name == "HERE").then(|| "yes".to_owned());
        let expected = [("A", "1=2"), ("EMPTY", ""), ("HERE", "yes")];
        assert_eq!(args.variables(&own), expected.map(|(name, value)| (name.to_owned(), value.to_owned())).into());
    }
}

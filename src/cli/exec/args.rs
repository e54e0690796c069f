//! What may be typed behind `exec` and `shell`.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;

use clap::Args;

use crate::cli::args::GlobalArgs;
use crate::cli::attendant::StreamArgs;
use crate::cli::variable::variable_bytes;

/// Options of `exec`.
#[derive(Debug, Clone, Args)]
pub(crate) struct ExecArgs {
    /// A variable for the command; without a value it is passed on; repeat for more
    #[arg(short = 'e', long = "env", value_name = "NAME[=VALUE]", value_parser = variable_bytes())]
    pub(crate) env: Vec<OsString>,
    /// Working folder of the command
    #[arg(short = 'w', long, value_name = "DIR")]
    pub(crate) workdir: Option<OsString>,
    /// User of the command: `name`, `uid`, `uid:gid` or `name:group`
    #[arg(short = 'u', long, value_name = "USER")]
    pub(crate) user: Option<String>,
    /// Do not wait for the command: it goes on in the machine, and `smolvm logs` shows what it writes
    #[arg(short = 'd', long, conflicts_with_all = ["interactive", "tty"])]
    pub(crate) detach: bool,
    #[command(flatten)]
    pub(crate) streams: StreamArgs,
    /// Machine that is up
    #[arg(value_name = "MACHINE")]
    pub(crate) machine: String,
    /// Program and its arguments
    #[arg(value_name = "CMD", trailing_var_arg = true, allow_hyphen_values = true, required = true)]
    pub(crate) command: Vec<OsString>,
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
    pub(crate) workdir: Option<OsString>,
    /// Machine that is up; may be left out where there is one
    #[arg(value_name = "MACHINE")]
    pub(crate) machine: Option<String>,
    #[command(flatten)]
    pub(crate) global: GlobalArgs,
}

impl ExecArgs {
    /// The words of the command; a sign that options are over is none of them.
    pub(super) fn words(&self) -> Vec<OsString> {
        self.command.strip_prefix(&[OsString::from("--")][..]).unwrap_or(&self.command).to_vec()
    }

    /// Variables for the command; one without a value is this process's own, where it has it.
    pub(super) fn variables(&self, own: &dyn Fn(&OsStr) -> Option<OsString>) -> BTreeMap<OsString, OsString> {
        let bytes = |bytes: &[u8]| OsStr::from_bytes(bytes).to_owned();
        let value = |entry: &OsString| {
            let all = entry.as_bytes();
            match all.iter().position(|byte| *byte == b'=') {
                Some(sign) => Some((bytes(&all[..sign]), bytes(&all[sign + 1..]))),
                None => own(entry).map(|value| (entry.clone(), value)),
            }
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
            ("db", ["psql", "-U", "me", "--", "-i"].map(OsString::from).to_vec())
        );
        assert_eq!(parse(&["db", "--", "-x"]).words(), ["-x"]);
        assert!(Cli::try_parse_from(["smolvm", "exec", "db"]).is_err());
    }

    #[test]
    fn a_variable_without_a_value_is_passed_on_where_it_is_set() {
        let args = parse(&["-e", "A=1=2", "-e", "HERE", "-e", "NOT_HERE", "-e", "EMPTY=", "db", "env"]);
        let own = |name: &OsStr| (name == "HERE").then(|| "yes".into());
        let expected = [("A", "1=2"), ("EMPTY", ""), ("HERE", "yes")];
        assert_eq!(args.variables(&own), expected.map(|(name, value)| (name.into(), value.into())).into());
    }

    #[test]
    fn what_a_command_gets_is_bytes() {
        let odd = OsStr::from_bytes(b"A=\xff");
        let words = ["smolvm", "exec", "-e"].map(OsStr::new).into_iter().chain([odd, OsStr::new("-w")]);
        let words = words.chain([OsStr::from_bytes(b"/\xfe"), OsStr::new("db"), odd]);
        let Verb::Exec(args) = Cli::try_parse_from(words).unwrap().verb else { panic!("it is exec") };
        assert_eq!((args.words(), args.workdir.as_deref()), (vec![odd.to_owned()], Some(OsStr::from_bytes(b"/\xfe"))));
        let value = OsStr::from_bytes(b"\xff").to_owned();
        assert_eq!(args.variables(&|_| None), [("A".into(), value)].into());
    }
}

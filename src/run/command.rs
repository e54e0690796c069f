//! A command as the agent starts it: what the file says, completed by what the image says. The same for steps, services,
//! their tests, and commands from outside.
//!
//! Deliberately not here: its number, its streams, and when it is started.

use std::collections::BTreeMap;
use std::ffi::OsString;

use super::input::StartFailure;
use crate::guest::{Command as GuestCommand, Exec};
use crate::plan::{Command, GuestPath, ImageDefaults};

/// What the file says of where a command runs, and as whom.
#[derive(Debug, Clone, Copy)]
pub(super) struct Place<'a> {
    pub(super) env: &'a BTreeMap<String, String>,
    /// `None` is the image's, else `/`.
    pub(super) working_dir: Option<&'a GuestPath>,
    /// `None` is the image's, else root.
    pub(super) user: Option<&'a str>,
}

/// A command as it is written; its script, where it is one, has this name.
pub(super) fn written(command: &Command, script: &str) -> GuestCommand {
    match command {
        Command::Script { text, shell } => {
            GuestCommand::Script { name: script.to_owned(), text: text.clone(), shell: shell.clone() }
        }
        Command::List(words) => list(words.clone()),
    }
}

/// The same, but a list of words goes behind the entrypoint of the image, and takes the place of the image's command.
///
/// # Errors
/// Where nothing comes of it.
pub(super) fn behind_entrypoint(
    command: &Command,
    script: &str,
    defaults: &ImageDefaults,
) -> Result<GuestCommand, StartFailure> {
    let Command::List(words) = command else { return Ok(written(command, script)) };
    let words = defaults.command(words).map_err(|error| StartFailure { exit_code: 125, cause: error.to_string() })?;
    Ok(list(words))
}

fn list(words: Vec<String>) -> GuestCommand {
    GuestCommand::List(words.into_iter().map(OsString::from).collect())
}

/// The command of this number, whose output goes on the output connection.
pub(super) fn complete(id: u64, command: GuestCommand, place: Place<'_>, defaults: &ImageDefaults) -> Exec {
    let working_dir = defaults.working_dir(place.working_dir);
    Exec {
        id,
        command,
        env: defaults.env(place.env).into_iter().map(|(name, value)| (name.into(), value.into())).collect(),
        is_working_dir_made: working_dir.as_ref().is_some_and(|folder| folder.is_made),
        working_dir: working_dir.map(|folder| folder.path.into()),
        user: defaults.user(place.user).to_owned(),
        streams: None,
    }
}

//! What an unknown key was probably meant to be.

use super::super::suggest::{is_certain, nearest};
use super::foreign::Foreign;
use super::keys::{KeyTable, places_of};

/// A guess, in words for the user.
#[derive(Debug)]
pub(super) struct Guess {
    /// The key that was meant.
    pub(super) ours: Option<&'static str>,
    /// Whether its value can stay as it is.
    pub(super) is_same_form: bool,
    /// Whether it may be renamed without asking.
    pub(super) is_certain: bool,
    pub(super) help: String,
}

/// What the value of a key is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Shape {
    Map,
    List,
    /// A map, or the list of compose, which is told.
    Variables,
    Scalar,
    /// Text or list.
    Command,
    /// Anything but nothing.
    Any,
}

/// Guesses: a word of another tool, a misspelt key, a misspelt word of another tool, a key of another place.
pub(super) fn guess(key: &str, table: &KeyTable) -> Guess {
    let known = || table.keys.iter().chain(table.later).copied();
    // Words are shared between places; where ours is no key here, the word says nothing.
    let foreign = || table.foreign.iter().filter(|word| word.help.is_some() || known().any(|ours| ours == word.ours));
    let folded = key.to_lowercase();
    if let Some(word) = foreign().find(|word| word.word == folded) {
        return of_foreign(word, word.is_certain, format!("smolvm calls it `{}`", word.ours));
    }
    if let Some(near) = nearest(key, known()) {
        let ours = known().find(|ours| *ours == near);
        let (is_certain, help) = (is_certain(key, known()), format!("did you mean `{near}`?"));
        return Guess { ours, is_same_form: true, is_certain, help };
    }
    let near = nearest(key, foreign().map(|word| word.word)).filter(|_| !key.starts_with(['-', '<']));
    if let Some(word) = near.and_then(|near| foreign().find(|word| word.word == near)) {
        return of_foreign(word, false, format!("did you mean `{}`?", word.ours));
    }
    let help = match places_of(key).first() {
        _ if key == "<<" => "to merge a map, write `<<` without quotes".to_owned(),
        _ if key.starts_with('-') => format!("an entry of a list has a space after the dash: `- {}`", &key[1..]),
        Some(place) => format!("`{key}` is a key of {place}: write it there"),
        None => {
            let keys: Vec<String> = table.keys.iter().map(|key| format!("`{key}`")).collect();
            format!("known keys here: {}; keys that begin with `x-` are ignored", keys.join(", "))
        }
    };
    Guess { ours: None, is_same_form: false, is_certain: false, help }
}

fn of_foreign(word: &Foreign, is_certain: bool, help: String) -> Guess {
    let help = word.help.map_or(help, str::to_owned);
    Guess { ours: Some(word.ours), is_same_form: word.is_same_form, is_certain, help }
}

/// The shape of a key's value; keys that are not run yet may have any, and are not read.
pub(super) fn shape(key: &str) -> Shape {
    match key {
        "env" => Shape::Variables,
        "machines" => Shape::Map,
        "mounts" | "steps" | "finally" | "needs" | "outputs" => Shape::List,
        "include" | "env_file" | "volumes" | "ports" | "links" | "depends_on" | "command" | "healthcheck"
        | "matrix" | "profiles" | "inputs" | "retry" | "network" => Shape::Any,
        "run" | "shell" => Shape::Command,
        _ => Shape::Scalar,
    }
}

#[cfg(test)]
mod tests {
    use super::super::keys::{FILE, FINALLY, MACHINE, MOUNT, STEP};
    use super::*;

    #[test]
    fn guesses_know_other_tools_misspellings_and_other_places() {
        for (key, table, ours) in [
            ("services", &FILE, Some("machines")),
            ("volumes", &MACHINE, Some("mounts")),
            ("imgae", &MACHINE, Some("image")),
            ("scirpt", &STEP, Some("run")),
            ("Timeout-Minutes", &STEP, Some("timeout")),
            ("read_only", &MOUNT, Some("readonly")),
            ("readOnly", &MOUNT, Some("readonly")),
            ("mountPath", &MOUNT, Some("target")),
            ("workdir", &MACHINE, Some("working_dir")),
            ("mem_limit", &MACHINE, Some("memory")),
            ("entrypoint", &MACHINE, Some("command")),
            ("runs-on", &MACHINE, Some("image")),
            ("jobs", &FILE, Some("steps")),
            ("tasks", &FILE, Some("steps")),
            ("vars", &FILE, Some("env")),
            ("cmds", &STEP, Some("run")),
            ("deps", &FINALLY, None),
            ("deps", &STEP, Some("needs")),
            ("sources", &STEP, Some("inputs")),
            ("generates", &STEP, Some("outputs")),
            ("uses", &STEP, Some("run")),
            ("stage", &STEP, Some("needs")),
            ("container", &STEP, Some("machine")),
            ("depends_on", &FINALLY, None),
            ("frobnicate", &STEP, None),
        ] {
            assert_eq!(guess(key, table).ours, ours, "{key}");
        }
        assert_eq!(guess("inputs", &FINALLY).help, "`inputs` is a key of a step: write it there");
        assert_eq!(guess("-run", &FILE).help, "an entry of a list has a space after the dash: `- run`");
    }

    #[test]
    fn only_what_means_the_same_is_renamed_without_asking() {
        let is_certain = |key: &str, table: &KeyTable| guess(key, table).is_certain;
        for (key, table) in [("services", &FILE), ("volumes", &MACHINE), ("memry", &MACHINE), ("script", &STEP)] {
            assert!(is_certain(key, table), "{key}");
        }
        for (key, table) in [("vars", &FILE), ("path", &MOUNT), ("runs-on", &STEP), ("scirpt", &STEP), ("ix", &STEP)] {
            assert!(!is_certain(key, table), "{key}");
        }
    }
}

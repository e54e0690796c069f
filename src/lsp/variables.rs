//! Variables in values: `$V` and `${V…}`, what they are set to and by whom.

use std::ops::Range;
use std::path::Path;

use crate::config::{self, Files};

/// The longest `.env` that is read here.
const ENV_MAX_BYTES: usize = 1 << 20;

/// Parts of names whose values nobody should see over a shoulder.
const SECRET: [&str; 9] = ["TOKEN", "SECRET", "PASS", "PWD", "KEY", "CREDENTIAL", "AUTH", "COOKIE", "PRIVATE"];

/// What a variable is set to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Known {
    pub(super) value: String,
    /// Where it comes from, in words.
    pub(super) origin: &'static str,
}

impl Known {
    /// The value for people; the value of a name that looks like a secret's is not shown, nor is the end of a long one.
    pub(super) fn shown(&self, name: &str) -> String {
        let folded = name.to_ascii_uppercase();
        if SECRET.iter().any(|part| folded.contains(part)) && folded != "PWD" {
            return "set; its value is not shown, since its name looks like that of a secret".to_owned();
        }
        let short: String = self.value.chars().filter(|c| !c.is_control()).take(200).collect();
        let end = if short.len() < self.value.len() { "…" } else { "" };
        if self.value.is_empty() { "set, and empty".to_owned() } else { format!("`{}{end}`", short.replace('`', "'")) }
    }
}

/// Variables of the environment and of the `.env` in a folder.
#[derive(Debug, Default)]
pub(super) struct Variables {
    /// By name.
    known: std::collections::BTreeMap<String, Known>,
}

impl Variables {
    /// Asks for all of them.
    pub(super) fn new(folder: &Path, files: &dyn Files) -> Self {
        let mut known = std::collections::BTreeMap::new();
        if let Ok(bytes) = files.read(&folder.join(".env"), ENV_MAX_BYTES) {
            for (name, value) in config::env_file_variables(&bytes) {
                known.insert(name, Known { value, origin: "from `.env`" });
            }
        }
        for name in files.variable_names() {
            if let Some(value) = files.variable(&name) {
                known.insert(name, Known { value, origin: "from the environment" });
            }
        }
        Self { known }
    }

    /// What is known of one.
    pub(super) fn get(&self, name: &str) -> Option<Known> {
        self.known.get(name).cloned()
    }

    /// All of them.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&String, &Known)> {
        self.known.iter()
    }
}

/// The name of the variable at an offset of a value.
pub(super) fn at(text: &str, value: &Range<usize>, offset: usize) -> Option<Range<usize>> {
    let is_part = |byte: &u8| byte.is_ascii_alphanumeric() || *byte == b'_';
    let bytes = text.as_bytes();
    let mut start = offset.min(value.end);
    // On the sign or the brace the name behind it is meant.
    while start < value.end && matches!(bytes[start], b'$' | b'{') {
        start += 1;
    }
    let mut end = start;
    while start > value.start && is_part(&bytes[start - 1]) {
        start -= 1;
    }
    while end < value.end && is_part(&bytes[end]) {
        end += 1;
    }
    let before = &text[value.start..start];
    let dollars = before.strip_suffix('{').unwrap_or(before);
    let count = dollars.len() - dollars.trim_end_matches('$').len();
    (start < end && count % 2 == 1 && !bytes[start].is_ascii_digit()).then_some(start..end)
}

/// The variable whose name is being written at the end of a text: where that name begins.
pub(super) fn unfinished(before: &str) -> Option<usize> {
    let is_part = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let start = before.trim_end_matches(is_part).len();
    let lead = &before[..start];
    let dollars = lead.strip_suffix('{').unwrap_or(lead);
    let count = dollars.len() - dollars.trim_end_matches('$').len();
    (count % 2 == 1).then_some(start)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_variable_under_the_cursor_is_found() {
        let text = "a: ${HOME:-x}/$B/$$C";
        let name = |needle: &str| at(text, &(3..text.len()), text.find(needle).unwrap()).map(|span| &text[span]);
        assert_eq!(name("OME"), Some("HOME"));
        assert_eq!(name("${"), Some("HOME"));
        assert_eq!(name("B"), Some("B"));
        assert_eq!(name("C"), None, "a dollar, not a variable");
        assert_eq!(name("x"), None);
    }

    #[test]
    fn a_name_that_is_being_written_is_found() {
        assert_eq!(unfinished("./${HO"), Some(4));
        assert_eq!(unfinished("$"), Some(1));
        assert_eq!(unfinished("$$"), None);
        assert_eq!(unfinished("${A}/x"), None);
    }

    #[test]
    fn values_of_secrets_are_not_shown() {
        let known = |value: &str| Known { value: value.to_owned(), origin: "" };
        assert_eq!(known("a`b\n").shown("A"), "`a'b…`");
        for name in ["GITHUB_TOKEN", "db_password", "AWS_SECRET_ACCESS_KEY"] {
            assert!(!known("hunter2").shown(name).contains("hunter2"), "{name}");
        }
        assert_eq!(known("/x").shown("PWD"), "`/x`");
        assert_eq!(known("").shown("A"), "set, and empty");
    }
}

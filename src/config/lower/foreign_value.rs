//! Unknown keys that only their value tells: lists of shell lines, `when: manual`, jobs beside `steps`.
//!
//! Words whose meaning does not hang on the value are in `foreign`.

use super::super::scalars::is_name;
use super::super::tree::{Content, Entry};
use super::keys::{FILE, FINALLY, KeyTable, STEP};
use super::reader::{Reader, quoted};

/// Keys whose list holds lines for a shell, where ours holds a program and its arguments.
const LINES: &[&str] = &["script", "cmds", "commands"];

impl Reader<'_> {
    /// What to write instead, where the value of an unknown key decides it.
    pub(super) fn foreign_value(&self, entry: &Entry, table: &KeyTable) -> Option<String> {
        let key = entry.key.to_lowercase();
        let content = &self.tree.node(self.tree.resolve(entry.value).0).content;
        let is_step = [STEP.place, FINALLY.place].contains(&table.place);
        match content {
            Content::List(items) if is_step && LINES.contains(&key.as_str()) => {
                let only = items.first().filter(|_| items.len() == 1).map(|item| self.tree.resolve(*item).0);
                match only.map(|item| &self.tree.node(item).content) {
                    Some(Content::Scalar(line)) if !line.text.contains('\n') => {
                        Some(format!("write `run: {}`", quoted(&line.text)))
                    }
                    _ => Some("write the lines below `run: |`, without dashes".to_owned()),
                }
            }
            Content::Scalar(word) if is_step && key == "when" => when(&word.text).map(str::to_owned),
            Content::Map(map) if table.place == FILE.place && super::guess::guess(&key, table).ours.is_none() => {
                let has = |words: &[&str]| map.entries.iter().any(|entry| words.contains(&entry.key.as_str()));
                if has(&["script", "steps", "stage", "run", "cmds", "commands", "extends"]) {
                    let id = Some(key.as_str()).filter(|key| is_name(key)).unwrap_or("NAME");
                    return Some(format!("write it as a step: `steps: [{{ id: {id}, run: … }}]`"));
                }
                has(&["image", "mounts", "volumes", "cpus", "memory"]).then(|| "write it below `machines:`".to_owned())
            }
            _ => None,
        }
    }
}

/// The words of GitLab for when a job runs.
fn when(word: &str) -> Option<&'static str> {
    match word {
        "always" | "on_failure" => Some("move the step to `finally:`, whose entries always run"),
        "on_success" => Some("take it out: a step runs when those that it needs have succeeded"),
        "manual" | "delayed" | "never" => {
            Some("write `profiles: [manual]`: the step then runs with `--profile manual` only")
        }
        _ => None,
    }
}

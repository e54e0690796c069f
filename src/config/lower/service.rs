//! The keys of a machine that make it a service, and what it waits for.
//!
//! Deliberately not here: whether what it waits for can come (`checks`).

use std::time::Duration;

use super::super::model::{Condition, Dependency, Machine, Restart, Spanned};
use super::super::tree::{Content, ScalarForm};
use super::fields::Fields;
use super::keys::DEPENDENCY;
use super::reader::{Reader, TextForm, Value, shown};
use crate::diag::{Code, Diagnostic, Severity};

/// Words of one of our values in other tools, and whether nothing else can be meant.
type Words<T> = [(&'static str, T, bool)];

const CONDITIONS: [Condition; 3] = [Condition::Started, Condition::Healthy, Condition::Completed];
const FOREIGN_CONDITIONS: &Words<Condition> = &[
    ("service_started", Condition::Started, true),
    ("service_healthy", Condition::Healthy, true),
    ("service_completed_successfully", Condition::Completed, true),
    ("running", Condition::Started, true),
    ("ready", Condition::Healthy, false),
    ("success", Condition::Completed, false),
    ("exited", Condition::Completed, false),
];

const RESTARTS: [Restart; 3] = [Restart::No, Restart::OnFailure, Restart::Always];
const FOREIGN_RESTARTS: &Words<Restart> = &[
    ("unless-stopped", Restart::Always, true),
    ("any", Restart::Always, true),
    ("true", Restart::Always, false),
    ("yes", Restart::Always, false),
    ("false", Restart::No, true),
    ("off", Restart::No, true),
    ("never", Restart::No, true),
    ("none", Restart::No, true),
];

impl Reader<'_> {
    /// Reads what makes a machine a service, and what it waits for.
    pub(super) fn service(&mut self, fields: &Fields, shell: Option<&Vec<String>>, machine: &mut Machine) {
        let service = &mut machine.service;
        service.command = fields.get("command").and_then(|value| self.command_of(value, "`command`", shell.cloned()));
        service.healthcheck = self.healthcheck(fields, shell, &machine.name.value);
        service.restart = fields.get("restart").and_then(|value| self.restart(value));
        service.stop_signal = fields.get("stop_signal").and_then(|value| self.signal(value));
        service.stop_grace = fields.get("stop_grace").and_then(|value| {
            let grace = self.duration(value, "`stop_grace`")?;
            Some(Spanned { value: grace, span: value.span })
        });
        let gaps = &mut machine.gaps.service;
        gaps.command = service.command.is_none() && fields.has("command");
        gaps.healthcheck = service.healthcheck.is_none() && fields.has("healthcheck");
        let is_restarted = service.restart.as_ref().is_some_and(|restart| restart.value != Restart::No);
        let said = [
            ("healthcheck", service.healthcheck.is_some()),
            ("restart", is_restarted),
            ("stop_signal", service.stop_signal.is_some()),
        ];
        let said: Vec<&str> = said.into_iter().filter(|(_, is_said)| *is_said).map(|(key, _)| key).collect();
        if !fields.has("command") {
            self.needs_command(fields, &said, &machine.name.value);
        }
        self.depends_on(fields, machine);
    }

    /// Tells of keys that mean nothing without `command`.
    fn needs_command(&mut self, fields: &Fields, keys: &[&str], machine: &str) {
        let Some(value) = keys.first().and_then(|key| fields.get(key)) else { return };
        let names: Vec<String> = keys.iter().map(|key| format!("`{key}`")).collect();
        let message = format!("machine `{machine}` has {} and no `command`", names.join(", "));
        let mut diagnostic = Diagnostic::new(Code(6), Severity::Error, message);
        for span in keys.iter().filter_map(|key| fields.key_span(key)) {
            diagnostic = diagnostic.label(span, "this is about a `command`");
        }
        if let Some(via) = value.via {
            diagnostic = diagnostic.label(via, "used here");
        }
        let help = format!(
            "write what it runs, as `command: [postgres]` (an image's own command is not started by itself), or take {} out",
            names.join(", ")
        );
        self.report(diagnostic.help(help));
    }

    fn restart(&mut self, value: Value) -> Option<Spanned<Restart>> {
        let text = self.text(value, "`restart`", TextForm::Loose)?;
        if let Some(restart) = RESTARTS.into_iter().find(|restart| restart.word() == text.value) {
            return Some(Spanned { value: restart, span: value.span });
        }
        if text.value.starts_with("on-failure:") {
            let message = format!("`restart` cannot be {}", shown(&text.value));
            let diagnostic = self.error(5, value, message, "attempts are not counted");
            let diagnostic = diagnostic.help("write `on-failure`, which starts it again each time that it fails");
            let diagnostic = self.replace(diagnostic, false, value, "on-failure".to_owned());
            self.report(diagnostic);
            return Some(Spanned { value: Restart::OnFailure, span: value.span });
        }
        self.foreign_word(value, &text.value, "`restart`", (&RESTARTS, FOREIGN_RESTARTS), Restart::word)
    }

    /// Tells of a word that is none of ours; read on as the one that was meant.
    fn foreign_word<T: Copy>(
        &mut self,
        value: Value,
        said: &str,
        what: &str,
        words: (&[T], &Words<T>),
        word: fn(T) -> &'static str,
    ) -> Option<Spanned<T>> {
        let folded = said.to_ascii_lowercase();
        let Some((_, ours, is_certain)) = words.1.iter().find(|(foreign, ..)| *foreign == folded) else {
            let known: Vec<&'static str> = words.0.iter().map(|ours| word(*ours)).collect();
            let meant = self.word(value, what, &known);
            return meant
                .and_then(|meant| words.0.iter().find(|ours| word(**ours) == meant))
                .map(|ours| Spanned { value: *ours, span: value.span });
        };
        let instead = word(*ours).to_owned();
        let message = format!("{what} cannot be {}", shown(said));
        let diagnostic = self.error(5, value, message, "not one of the words known here");
        let diagnostic = diagnostic.help(format!("write `{instead}`"));
        let diagnostic = self.replace(diagnostic, *is_certain, value, instead);
        self.report(diagnostic);
        Some(Spanned { value: *ours, span: value.span })
    }

    fn depends_on(&mut self, fields: &Fields, machine: &mut Machine) {
        let Some(value) = fields.get("depends_on") else {
            machine.gaps.service.depends_on = fields.has("depends_on");
            return;
        };
        let read = if let Content::Map(map) = self.content(value) {
            machine.gaps.service.depends_on |= map.is_incomplete;
            self.dependencies(value)
        } else {
            self.list(value, "`depends_on`").map(|items| items.into_iter().map(|item| self.dependency(item)).collect())
        };
        let Some(read) = read else {
            machine.gaps.service.depends_on = true;
            return;
        };
        for dependency in read {
            match dependency {
                Some(new) if !machine.depends_on.iter().any(|known| known.machine.value == new.machine.value) => {
                    machine.depends_on.push(new);
                }
                Some(_) => {}
                None => machine.gaps.service.depends_on = true,
            }
        }
    }

    /// An entry of the list.
    fn dependency(&mut self, item: Value) -> Option<Dependency> {
        if let Content::Map(map) = self.content(item) {
            let mut diagnostic = self.wrong_type(item, "an entry of `depends_on`", "the name of a machine");
            if let Some(entry) = map.entries.first() {
                diagnostic = diagnostic
                    .help(format!("write a map, without the dash: `{}: {{ condition: started }}`", entry.key));
            }
            self.report(diagnostic);
            return None;
        }
        let machine = self.text(item, "an entry of `depends_on`", TextForm::Strict)?;
        Some(Dependency { machine, condition: None })
    }

    /// The entries of the map. One whose condition cannot be read is kept with the default: its name counts.
    fn dependencies(&mut self, value: Value) -> Option<Vec<Option<Dependency>>> {
        let entries = self.entries(value, "`depends_on`")?;
        let mut read = Vec::new();
        for entry in entries {
            let held = self.value(entry.value, entry.key_span, value.via.or(entry.via));
            if self.tree.bare_names.contains(&held.id) {
                let machine = Spanned { value: entry.key, span: entry.key_span };
                read.push(Some(Dependency { machine, condition: None }));
                continue;
            }
            let condition = self.condition(held, &entry.key);
            let machine = Spanned { value: entry.key, span: entry.key_span };
            read.push(condition.ok().map(|condition| Dependency { machine, condition: Some(condition) }));
        }
        Some(read)
    }

    /// The state that an entry of the map asks for; an error where it could not be read, which was told.
    fn condition(&mut self, value: Value, machine: &str) -> Result<Spanned<Condition>, ()> {
        let what = "an entry of `depends_on`";
        if let Content::Scalar(scalar) = self.content(value) {
            let meant = meant_condition(&scalar.text);
            let word = meant.unwrap_or(Condition::Completed).word();
            let mut diagnostic = self.wrong_type(value, what, "a map");
            if scalar.form() == ScalarForm::Null {
                diagnostic = diagnostic.help(format!(
                    "write `{machine}: {{ condition: started }}`, or a list of names: `depends_on: [{machine}]`"
                ));
            } else {
                diagnostic = diagnostic.help(format!("write `{machine}: {{ condition: {word} }}`"));
                if meant.is_some() {
                    diagnostic = self.replace(diagnostic, true, value, format!("{{ condition: {word} }}"));
                }
            }
            self.report(diagnostic);
            return meant.map(|value_meant| Spanned { value: value_meant, span: value.span }).ok_or(());
        }
        let fields = self.fields(value, &DEPENDENCY).ok_or(())?;
        let help = "write `condition: healthy`, `started` or `completed`; a list of names waits for what fits each";
        self.missing(&fields, "condition", what, value.span, help);
        let value = fields.get("condition").ok_or(())?;
        let text = self.text(value, "`condition`", TextForm::Strict).ok_or(())?;
        if let Some(condition) = CONDITIONS.into_iter().find(|condition| condition.word() == text.value) {
            return Ok(Spanned { value: condition, span: value.span });
        }
        let words: (&[Condition], &Words<Condition>) = (&CONDITIONS, FOREIGN_CONDITIONS);
        self.foreign_word(value, &text.value, "`condition`", words, Condition::word).ok_or(())
    }

    /// A duration for which zero would mean "at once, always".
    pub(super) fn lasting(&mut self, fields: &Fields, key: &str, default: Duration) -> Duration {
        let Some(value) = fields.get(key) else { return default };
        let Some(duration) = self.duration(value, &format!("`{key}`")) else { return default };
        if !duration.is_zero() {
            return duration;
        }
        let (why, help) = match key {
            "timeout" => ("ends each test at once", "write `timeout: 5s`, or leave it out for 30s"),
            "interval" => ("tests without a pause", "write `interval: 1s`, or leave it out for 30s"),
            _ => ("tests without a pause", "write `start_interval: 1s`, or leave it out for 5s"),
        };
        let article = if key == "interval" { "an" } else { "a" };
        let diagnostic = self.error(506, value, format!("{article} `{key}` of zero {why}"), "zero");
        self.report(diagnostic.help(help));
        default
    }
}

fn meant_condition(said: &str) -> Option<Condition> {
    let ours = CONDITIONS.into_iter().find(|condition| condition.word() == said);
    let foreign = || FOREIGN_CONDITIONS.iter().find(|(word, _, is_certain)| *word == said && *is_certain);
    ours.or_else(|| foreign().map(|(_, condition, _)| *condition))
}

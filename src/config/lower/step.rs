//! One entry of `steps` or `finally`.

use super::super::model::{Chown, Command, GuestPath, Needs, Spanned, Step, StepGaps};
use super::super::scalars::{is_name, is_user, to_similar_name};
use super::super::tree::Content;
use super::expand::Machines;
use super::fields::Fields;
use super::keys::{FINALLY, STEP};
use super::reader::{Reader, TextForm, Value, shown};

/// Where an entry stands.
#[derive(Debug, Clone, Copy)]
pub(super) struct StepPlace {
    /// Its number from 1.
    pub(super) number: usize,
    pub(super) is_finally: bool,
    /// Number of the combination, where it runs in each machine of a matrix.
    pub(super) combination: Option<usize>,
}

impl Reader<'_> {
    /// Lowers a step; `None` where the entry is no map.
    pub(super) fn step(&mut self, value: Value, place: StepPlace, machines: &Machines) -> Option<Step> {
        if let Content::Scalar(scalar) = self.content(value)
            && !self.is_null(value)
        {
            let mut diagnostic = self.wrong_type(value, "a step", "a map");
            if !scalar.text.contains('\n') {
                diagnostic = diagnostic.help(format!("write `- run: {}`", scalar.text));
            }
            self.report(diagnostic);
            return None;
        }
        let table = if place.is_finally { &FINALLY } else { &STEP };
        let fields = self.fields(value, table)?;
        let mut gaps = StepGaps::default();
        let machine = self.step_machine(&fields, machines, &mut gaps);
        let shell = self
            .shell(&fields)
            .or_else(|| machines.find(&machine.value, place.combination).and_then(|lowered| lowered.shell.clone()));
        let command = fields.get("run").and_then(|value| self.command(value, shell));
        let what = if place.is_finally { "the entry of `finally`" } else { "the step" };
        self.missing(&fields, "run", what, value.span, "write `run:` with a script, or a program and its arguments");
        gaps.command = command.is_none();
        let needs = if place.is_finally { Needs::Explicit(Vec::new()) } else { self.needs(&fields, &mut gaps) };
        let id = self.step_id(&fields, place, &mut gaps);
        Some(Step {
            id,
            place: place.number,
            combination: None,
            title: fields
                .get("name")
                .and_then(|value| self.text(value, "`name`", TextForm::Loose))
                .map(|text| text.value),
            machine,
            command: command.unwrap_or(Spanned { value: Command::List(Vec::new()), span: value.span }),
            env: self.environment(&fields),
            working_dir: fields.get("working_dir").and_then(|value| self.guest_path(value, "`working_dir`")),
            user: fields.get("user").and_then(|value| self.user(value)),
            needs,
            timeout: fields.get("timeout").and_then(|value| self.timeout(value)),
            retry: self.retry(&fields),
            inputs: self.inputs(&fields),
            outputs: self.outputs(&fields),
            continue_on_error: fields
                .get("continue_on_error")
                .and_then(|value| self.boolean(value, "`continue_on_error`"))
                .is_some_and(|flag| flag.value),
            condition: self.when(&fields),
            profiles: self.profiles(&fields),
            chown: self.chown(&fields),
            span: value.span,
            gaps,
        })
    }

    fn step_id(&mut self, fields: &Fields, place: StepPlace, gaps: &mut StepGaps) -> Spanned<String> {
        let word = if place.is_finally { "finally" } else { "step" };
        let default = Spanned { value: format!("{word}-{}", place.number), span: fields.value.span };
        let Some(value) = fields.get("id") else { return default };
        let Some(text) = self.text(value, "`id`", TextForm::Strict) else {
            gaps.id = true;
            return default;
        };
        if !is_name(&text.value) {
            let diagnostic =
                self.error(5, value, format!("{} cannot be the id of a step", shown(&text.value)), NAME_FORM);
            self.report(match to_similar_name(&text.value) {
                Some(instead) => diagnostic.help(format!("write `{instead}`, and put free text in `name:`")),
                None => diagnostic.help("put free text in `name:`"),
            });
        }
        // What refers to a misspelt id means this step, so it is kept.
        text
    }

    fn step_machine(&mut self, fields: &Fields, machines: &Machines, gaps: &mut StepGaps) -> Spanned<String> {
        let Some(value) = fields.get("machine") else {
            gaps.machine = fields.has("machine");
            return Spanned { value: machines.only().unwrap_or_default().to_owned(), span: fields.value.span };
        };
        match self.text(value, "`machine`", TextForm::Strict) {
            Some(text) => text,
            None => {
                gaps.machine = true;
                Spanned { value: String::new(), span: value.span }
            }
        }
    }

    fn needs(&mut self, fields: &Fields, gaps: &mut StepGaps) -> Needs {
        let Some(value) = fields.get("needs") else {
            gaps.needs = fields.has("needs");
            return Needs::Above;
        };
        let Some(items) = self.list(value, "`needs`") else {
            gaps.needs = true;
            return Needs::Explicit(Vec::new());
        };
        let mut needs = Vec::new();
        for item in items {
            match self.text(item, "an entry of `needs`", TextForm::Strict) {
                Some(text) => needs.push(text),
                None => gaps.needs = true,
            }
        }
        Needs::Explicit(needs)
    }

    fn timeout(&mut self, value: Value) -> Option<std::time::Duration> {
        let timeout = self.duration(value, "`timeout`")?;
        if timeout.is_zero() {
            let diagnostic = self.error(506, value, "a `timeout` of zero ends the step at once", "zero");
            self.report(diagnostic.help("leave `timeout` out for no limit"));
            return None;
        }
        Some(timeout)
    }

    /// `true` for the invoking user, ids or names as for `owner`; `false` is nobody.
    fn chown(&mut self, fields: &Fields) -> Option<Spanned<Chown>> {
        let value = fields.get("chown")?;
        let text = self.text(value, "`chown`", TextForm::Loose)?;
        let chown = match text.value.as_str() {
            "false" => return None,
            "true" => Chown::Invoker,
            name if is_user(name) => Chown::Named(text.value),
            name => {
                let diagnostic = self.error(5, value, format!("{} cannot own files", shown(name)), "not an owner");
                self.report(diagnostic.help("write `true`, a name, or ids as `\"1000:1000\"`"));
                return None;
            }
        };
        Some(Spanned { value: chown, span: value.span })
    }

    fn outputs(&mut self, fields: &Fields) -> Vec<Spanned<GuestPath>> {
        let Some(value) = fields.get("outputs") else { return Vec::new() };
        let items = self.list(value, "`outputs`").unwrap_or_default();
        items.into_iter().filter_map(|item| self.guest_path(item, "an output")).collect()
    }
}

/// The rule of names, as a label.
pub(super) const NAME_FORM: &str =
    "a name is lower-case letters, digits, `-` and `_`, begins with a letter or digit, and has at most 63";

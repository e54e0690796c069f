//! The whole file.

use std::collections::BTreeMap;
use std::path::Path;

use super::super::model::{Locks, Project, ProjectGaps, Spanned, Step};
use super::super::scalars::{is_name, to_name, to_similar_name};
use super::super::tree::{Content, NodeId};
use super::expand::Machines;
use super::fields::Fields;
use super::keys::FILE;
use super::machine::LoweredMachine;
use super::matrix::Budget;
use super::reader::{Reader, TextForm, Value, quoted, shown};
use super::step::{NAME_FORM, StepPlace};
use crate::diag::{FileId, Span};

/// Lowers the root of all files together; `None` where it is no map.
pub(in crate::config) fn lower(
    reader: &mut Reader<'_>,
    root: Value,
    name: Option<String>,
    folder: &Path,
) -> Option<Project> {
    let fields = reader.fields(root, &FILE)?;
    let mut gaps = ProjectGaps::default();
    let env = reader.environment(&fields);
    let volumes = reader.volumes(&fields);
    // Files that were not read may bring machines and steps, and an unknown key may have been meant to.
    let is_partial = fields.is_incomplete || fields.is_meant("include");
    gaps.machines = is_partial || fields.is_shadowed("machines");
    gaps.steps = is_partial || fields.is_shadowed("steps") || (fields.has_riddle && fields.get("steps").is_none());
    gaps.volumes = is_partial || fields.is_shadowed("volumes") || volumes.is_none();
    let mut budget = Budget::new();
    let machines = Machines::new(reader.machines(&fields, &mut gaps, &mut budget));
    let steps = reader.steps(&fields, false, &machines, (&mut gaps, &mut budget));
    let finally = reader.steps(&fields, true, &machines, (&mut gaps, &mut budget));
    Some(Project {
        name: name.unwrap_or_else(|| default_name(folder)),
        folder: folder.to_path_buf(),
        origins: reader.origins.clone(),
        env,
        machines: machines.into_list().into_iter().map(|lowered| lowered.machine).collect(),
        steps,
        finally,
        volumes: volumes.unwrap_or_default(),
        owners: BTreeMap::new(),
        locks: Locks::default(),
        profiles: Vec::new(),
        gaps,
    })
}

fn default_name(folder: &Path) -> String {
    let folder = folder.file_name().map(|name| name.to_string_lossy().into_owned());
    folder.and_then(|name| to_name(&name)).unwrap_or_else(|| "project".to_owned())
}

impl Reader<'_> {
    /// The root of a file as a value: an empty one has the place of its first byte.
    pub(in crate::config) fn root(&self, root: NodeId, file: FileId) -> Value {
        self.value(root, Span { file, start: 0, end: 0 }, None)
    }

    /// The `name` that the root of one file says; `None` where it cannot be read.
    pub(in crate::config) fn project_name_of(&mut self, root: Value) -> Option<String> {
        let value = self.value_of(root, "name")?;
        let text = self.text(value, "`name`", TextForm::Strict)?;
        if !is_name(&text.value) {
            let diagnostic =
                self.error(5, value, format!("{} cannot be the name of a project", shown(&text.value)), NAME_FORM);
            self.report(match to_similar_name(&text.value) {
                Some(instead) => diagnostic.help(format!("write `{instead}`")),
                None => diagnostic,
            });
            return None;
        }
        Some(text.value)
    }

    fn machines(&mut self, fields: &Fields, gaps: &mut ProjectGaps, budget: &mut Budget) -> Vec<LoweredMachine> {
        let Some(value) = fields.get("machines") else {
            if !gaps.machines {
                let help = "declare one: `machines: { build: { image: host } }`";
                self.missing(fields, "machines", "the file", fields.value.span, help);
            }
            gaps.machines = true;
            return Vec::new();
        };
        let Some(entries) = self.entries(value, "`machines`") else {
            gaps.machines = true;
            return Vec::new();
        };
        let is_incomplete = matches!(self.content(value), Content::Map(map) if map.is_incomplete);
        gaps.machines |= is_incomplete;
        if entries.is_empty() && !gaps.machines {
            let diagnostic = self.error(6, value, "`machines` declares no machine", "at least one is required");
            self.report(diagnostic.help("declare one: `machines: { build: { image: host } }`"));
            gaps.machines = true;
        }
        let mut machines = Vec::new();
        for entry in entries {
            let via = value.via.or(entry.via);
            let key = Value { id: value.id, span: entry.key_span, via };
            self.check_name(key, &entry.key, "a machine");
            let name = Spanned { value: entry.key, span: entry.key_span };
            let value = self.value(entry.value, entry.key_span, via);
            machines.extend(self.machine_entry(name, value, budget));
        }
        machines
    }

    pub(super) fn check_name(&mut self, key: Value, name: &str, what: &str) {
        if is_name(name) {
            return;
        }
        let diagnostic = self.error(5, key, format!("{} cannot be the name of {what}", shown(name)), NAME_FORM);
        self.report(match to_similar_name(name) {
            Some(instead) => diagnostic.help(format!("write `{instead}`")),
            None => diagnostic,
        });
    }

    fn steps(
        &mut self,
        fields: &Fields,
        is_finally: bool,
        machines: &Machines,
        (gaps, budget): (&mut ProjectGaps, &mut Budget),
    ) -> Vec<Step> {
        let key = if is_finally { "finally" } else { "steps" };
        let Some(value) = fields.get(key) else {
            gaps.steps |= fields.has(key);
            return Vec::new();
        };
        let items = match self.content(value) {
            Content::Scalar(scalar) if !self.is_null(value) && !scalar.text.contains('\n') => {
                let diagnostic = self.wrong_type(value, &format!("`{key}`"), "a list of steps");
                self.report(diagnostic.help(format!("write `[{{ run: {} }}]`", quoted(&scalar.text))));
                None
            }
            Content::Map(_) => {
                let diagnostic = self.wrong_type(value, &format!("`{key}`"), "a list of steps");
                self.report(diagnostic.help("begin each step with `-`, and write its name as `id:`"));
                None
            }
            _ => self.list(value, &format!("`{key}`")),
        };
        let Some(items) = items else {
            gaps.steps = true;
            return Vec::new();
        };
        let mut steps = Vec::new();
        for (index, item) in items.into_iter().enumerate() {
            let place = StepPlace { number: index + 1, is_finally, combination: None };
            let lowered = self.step_entry(item, place, machines, budget);
            gaps.steps |= lowered.is_empty() || lowered.iter().any(|step| step.gaps.id);
            steps.extend(lowered);
        }
        steps
    }
}

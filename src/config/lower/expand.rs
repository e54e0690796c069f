//! One entry of `machines`, `steps` or `finally` may be several: one for each combination of a matrix.

use std::collections::HashMap;
use std::ops::Range;
use std::rc::Rc;

use super::super::model::{Spanned, Step};
use super::combined::{Part, Scope};
use super::keys::{FINALLY, MACHINE, STEP};
use super::machine::LoweredMachine;
use super::matrix::{Budget, Matrix};
use super::reader::{Reader, TextForm, Value};
use super::step::StepPlace;

/// The machines that steps may name.
pub(super) struct Machines {
    list: Vec<LoweredMachine>,
    by_name: HashMap<String, Range<usize>>,
    /// The declared name of the only machine.
    only: Option<String>,
    has_matrix: bool,
}

impl Machines {
    pub(super) fn new(list: Vec<LoweredMachine>) -> Self {
        let mut by_name: HashMap<String, Range<usize>> = HashMap::with_capacity(list.len());
        let mut declared = 0;
        for (index, lowered) in list.iter().enumerate() {
            let own = lowered.machine.name.value.clone();
            by_name.entry(own).or_insert(index..index + 1);
            let part = lowered.part.as_ref();
            declared += usize::from(part.is_none_or(|part| part.number == 0));
            if part.is_some() {
                by_name.entry(lowered.machine.declared_name().to_owned()).or_insert(index..index).end = index + 1;
            }
        }
        let only = list.first().filter(|_| declared == 1).map(|only| only.machine.declared_name().to_owned());
        let has_matrix = list.iter().any(|lowered| lowered.part.is_some() || lowered.has_unread_matrix);
        Self { list, by_name, only, has_matrix }
    }

    /// The only machine, for steps that name none.
    pub(super) fn only(&self) -> Option<&str> {
        self.only.as_deref()
    }

    /// The machine of this name; of a matrix that of a combination, the first one where none is given.
    pub(super) fn find(&self, name: &str, combination: Option<usize>) -> Option<&LoweredMachine> {
        let range = self.by_name.get(name)?;
        self.list.get(range.start + combination.unwrap_or(0))
    }

    pub(super) fn into_list(self) -> Vec<LoweredMachine> {
        self.list
    }
}

/// Where an entry of `steps` runs, as far as matrices go.
enum Target {
    /// In no matrix.
    Plain,
    /// In a machine that is not known, or whose matrix could not be read.
    Unknown,
    /// In one machine of a matrix, which it names.
    One(Part),
    /// In all machines of a matrix.
    Each(Rc<Matrix>),
}

impl Reader<'_> {
    /// Lowers an entry of `machines`.
    pub(super) fn machine_entry(
        &mut self,
        name: Spanned<String>,
        value: Value,
        budget: &mut Budget,
    ) -> Vec<LoweredMachine> {
        let fields = self.silently(|reader| reader.fields(value, &MACHINE)).filter(|fields| fields.has("matrix"));
        let Some(fields) = fields else { return vec![self.machine(name, value)] };
        let what = Spanned { value: format!("machine `{}`", name.value), span: name.span };
        let matrix = self.matrix(&fields, &name.value, budget);
        let matrix = matrix.filter(|matrix| self.afford(value, matrix.combinations.len(), &what, budget));
        let Some(matrix) = matrix.map(Rc::new) else {
            let mut lowered = self.scoped(Scope::Unknown, |reader| reader.machine(name, value));
            lowered.has_unread_matrix = true;
            lowered.machine.gaps.purpose = true;
            return vec![lowered];
        };
        self.in_each(&matrix, matrix.combinations.len(), |reader, number| {
            let own = Spanned { value: matrix.name(&name.value, number), span: name.span };
            let mut lowered = reader.machine(own, value);
            lowered.machine.combination = Some(matrix.combination(&name.value, number));
            for (variable, value) in &matrix.combinations[number].variables {
                lowered.machine.env.entry(variable.clone()).or_insert_with(|| value.clone());
            }
            lowered.part = Some(Part { matrix: Rc::clone(&matrix), number });
            lowered
        })
    }

    /// Lowers an entry of `steps` or `finally`; nothing where it is no map.
    pub(super) fn step_entry(
        &mut self,
        value: Value,
        place: StepPlace,
        machines: &Machines,
        budget: &mut Budget,
    ) -> Vec<Step> {
        match self.target(value, place, machines) {
            Target::Plain => self.step(value, place, machines).into_iter().collect(),
            Target::Unknown => {
                self.scoped(Scope::Unknown, |reader| reader.step(value, place, machines)).into_iter().collect()
            }
            Target::One(Part { matrix, number }) => {
                let scope = Scope::Of(&matrix.combinations[number].variables);
                self.scoped(scope, |reader| reader.step(value, place, machines)).into_iter().collect()
            }
            Target::Each(matrix) => self.steps_in_each(value, place, machines, &matrix, budget),
        }
    }

    fn target(&self, value: Value, place: StepPlace, machines: &Machines) -> Target {
        if !machines.has_matrix {
            return Target::Plain;
        }
        let table = if place.is_finally { &FINALLY } else { &STEP };
        let name = self.silently(|reader| {
            let fields = reader.fields(value, table)?;
            match fields.get("machine") {
                Some(value) => reader.text(value, "`machine`", TextForm::Strict).map(|text| text.value),
                None if fields.has("machine") => None,
                None => machines.only().map(str::to_owned),
            }
        });
        let Some((name, lowered)) = name.and_then(|name| Some((name.clone(), machines.find(&name, None)?))) else {
            return Target::Unknown;
        };
        match &lowered.part {
            Some(part) if name == lowered.machine.declared_name() => Target::Each(Rc::clone(&part.matrix)),
            Some(part) => Target::One(part.clone()),
            None if lowered.has_unread_matrix => Target::Unknown,
            None => Target::Plain,
        }
    }

    fn steps_in_each(
        &mut self,
        value: Value,
        place: StepPlace,
        machines: &Machines,
        matrix: &Matrix,
        budget: &mut Budget,
    ) -> Vec<Step> {
        let what = format!("{} {}", if place.is_finally { "entry of `finally`" } else { "step" }, place.number);
        let count = matrix.combinations.len();
        let is_afforded = self.afford_steps(value, count, &Spanned { value: what, span: value.span }, budget);
        // Past the limit the first one stands for all.
        let count = if is_afforded { count } else { 1 };
        let steps = self.in_each(matrix, count, |reader, number| {
            let mut step = reader.step(value, StepPlace { combination: Some(number), ..place }, machines)?;
            let machine = machines.find(&step.machine.value, Some(number))?;
            step.machine.value.clone_from(&machine.machine.name.value);
            step.combination = Some(matrix.combination(&step.id.value, number));
            step.id.value = matrix.name(&step.id.value, number);
            Some(step)
        });
        let steps: Vec<Step> = steps.into_iter().flatten().collect();
        let differing = steps.iter().find(|step| step.declared_id() != steps[0].declared_id());
        if let Some(step) = differing {
            let place = Value { span: step.id.span, ..value };
            let message = "`id` holds a variable of the matrix, and one id stands for all of its machines";
            let diagnostic = self.error(5, place, message, "this differs from machine to machine");
            let example = matrix.name("unit", 0);
            self.report(
                diagnostic
                    .help(format!("take `${{MATRIX_…}}` out: smolvm adds the combination itself, as in `{example}`")),
            );
        }
        steps
    }
}

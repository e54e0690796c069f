//! What a machine with a matrix, and its steps, are in each combination, and what is told of all of them.
//!
//! A value is read once for each combination, with its variables. A mistake that is there in all of them is told once;
//! one that comes of some values is told with these.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::rc::Rc;

use super::super::interpolate::{Lookup, Variables};
use super::matrix::Matrix;
use super::reader::Reader;
use crate::diag::{Code, Diagnostic, Diagnostics, Span};

/// So many values are pointed at.
const VALUES_MAX: usize = 3;

/// The combination that a machine is.
#[derive(Debug, Clone)]
pub(super) struct Part {
    pub(super) matrix: Rc<Matrix>,
    pub(super) number: usize,
}

/// What is known of `MATRIX_…` besides other variables.
pub(super) enum Scope<'a> {
    /// The variables of a combination.
    Of(&'a BTreeMap<String, String>),
    /// A matrix that could not be read, or that of a machine which is not known.
    Unknown,
}

/// Variables with those of a combination, which win.
struct Scoped<'a> {
    base: &'a dyn Variables,
    scope: Scope<'a>,
}

impl Variables for Scoped<'_> {
    fn lookup(&self, name: &str) -> Lookup {
        match &self.scope {
            Scope::Of(own) if own.contains_key(name) => Lookup::Set(own[name].clone()),
            Scope::Unknown if name.starts_with("MATRIX_") => Lookup::Unknown,
            _ => self.base.lookup(name),
        }
    }

    fn names(&self) -> Vec<String> {
        self.base.names().into_iter().chain(self.of_matrix()).collect()
    }

    fn of_matrix(&self) -> Vec<String> {
        match &self.scope {
            Scope::Of(own) => own.keys().cloned().collect(),
            Scope::Unknown => Vec::new(),
        }
    }
}

impl Reader<'_> {
    /// Reads with what is known of `MATRIX_…`.
    pub(super) fn scoped<T>(&mut self, scope: Scope<'_>, read: impl FnOnce(&mut Reader<'_>) -> T) -> T {
        let (read, remarks) = self.apart(scope, read);
        remarks.iter().for_each(|remark| self.out.push(remark.clone()));
        read
    }

    /// Reads something only to know what it says: nothing is told.
    pub(super) fn silently<T>(&self, read: impl FnOnce(&mut Reader<'_>) -> T) -> T {
        let mut out = Diagnostics::default();
        read(&mut Reader {
            tree: self.tree,
            variables: self.variables,
            files: self.files,
            mode: self.mode,
            origins: self.origins,
            out: &mut out,
            mistyped: HashMap::new(),
        })
    }

    fn apart<T>(&mut self, scope: Scope<'_>, read: impl FnOnce(&mut Reader<'_>) -> T) -> (T, Diagnostics) {
        let variables = Scoped { base: self.variables, scope };
        let mut out = Diagnostics::default();
        let mut inner = Reader {
            tree: self.tree,
            variables: &variables,
            files: self.files,
            mode: self.mode,
            origins: self.origins,
            out: &mut out,
            mistyped: std::mem::take(&mut self.mistyped),
        };
        let read = read(&mut inner);
        self.mistyped = inner.mistyped;
        (read, out)
    }

    /// Reads in each of the first `count` combinations of a matrix.
    pub(super) fn in_each<T>(
        &mut self,
        matrix: &Matrix,
        count: usize,
        mut read: impl FnMut(&mut Reader<'_>, usize) -> T,
    ) -> Vec<T> {
        let mut all = Vec::new();
        let mut remarks = Remarks::default();
        for (number, combined) in matrix.combinations.iter().take(count).enumerate() {
            let (one, told) = self.apart(Scope::Of(&combined.variables), |reader| read(reader, number));
            remarks.add(number, &told);
            all.push(one);
        }
        remarks.told(matrix, count).into_iter().for_each(|remark| self.out.push(remark));
        all
    }
}

/// A rule and places: which of several remarks with these it is in its combination.
type Kind = (Code, Vec<Span>, usize);

/// Remarks of several combinations, by what they are about.
#[derive(Default)]
struct Remarks {
    order: Vec<Kind>,
    by_kind: HashMap<Kind, Vec<(usize, Diagnostic)>>,
}

impl Remarks {
    fn add(&mut self, number: usize, told: &Diagnostics) {
        let mut met: HashMap<(Code, Vec<Span>), usize> = HashMap::new();
        for remark in told.iter() {
            let places: Vec<Span> = remark.labels.iter().map(|label| label.span).collect();
            let times = met.entry((remark.code, places.clone())).or_default();
            let kind = (remark.code, places, *times);
            *times += 1;
            let same = self.by_kind.entry(kind.clone()).or_default();
            if same.is_empty() {
                self.order.push(kind);
            }
            same.push((number, remark.clone()));
        }
    }

    /// One remark for each kind, with the values that it comes of.
    fn told(mut self, matrix: &Matrix, count: usize) -> Vec<Diagnostic> {
        let mut all = Vec::new();
        for kind in &self.order {
            let Some(same) = self.by_kind.remove(kind) else { continue };
            let numbers: Vec<usize> = same.iter().map(|(number, _)| *number).collect();
            let is_one_text = same.windows(2).all(|pair| pair[0].1 == pair[1].1);
            let Some((_, first)) = same.into_iter().next() else { continue };
            let is_everywhere = numbers.len() == count;
            all.push(match (is_everywhere, is_one_text) {
                (true, true) => first,
                _ => point_at_values(first, matrix, &numbers),
            });
        }
        all
    }
}

/// Says of which values of the matrix a remark comes.
fn point_at_values(mut remark: Diagnostic, matrix: &Matrix, numbers: &[usize]) -> Diagnostic {
    let used: Vec<BTreeSet<usize>> = (0..matrix.keys.len())
        .map(|key| numbers.iter().map(|number| matrix.combinations[*number].values[key]).collect())
        .collect();
    let is_product = used.iter().map(BTreeSet::len).product::<usize>() == numbers.len();
    let narrowed = used.iter().zip(&matrix.keys).filter(|(used, values)| used.len() < values.len());
    let places: Vec<Span> = narrowed.flat_map(|(used, values)| used.iter().map(|value| values[*value].span)).collect();
    if is_product && (1..=VALUES_MAX).contains(&places.len()) {
        for (index, place) in places.into_iter().enumerate() {
            remark = remark.label(place, if index == 0 { "with this value" } else { "and this one" });
        }
        return remark;
    }
    let (some, all) = (numbers.len(), matrix.combinations.len());
    remark.label(
        matrix.span,
        match all {
            1 => "with the values of this matrix".to_owned(),
            _ if some == all => format!("so in each of its {all} machines, each with its own values"),
            _ => format!("so in {some} of its {all} machines"),
        },
    )
}

//! What a machine or a step is of a matrix. Deliberately not here: how a matrix is read and named (`lower`).

use super::machine::Machine;
use super::step::Step;
use crate::diag::Span;

/// Bytes of a host name that smolvm makes: one label of a domain's name.
const HOSTNAME_MAX: usize = 63;

/// One of the combinations of a matrix, as a machine or a step has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Combination {
    /// The machine's name, or the step's id, as the file says it: `test` of `test[debian:12]`.
    pub declared: String,
    /// The combination as a file name: `MATRIX_ID`.
    pub id: String,
    /// Its number from 0; the last key varies fastest.
    pub number: usize,
    /// How many combinations there are.
    pub count: usize,
    /// Place of the key `matrix`.
    pub span: Span,
}

impl Machine {
    /// The name that the file says: that of all machines of a matrix.
    pub fn declared_name(&self) -> &str {
        self.combination.as_ref().map_or(&self.name.value, |combination| &combination.declared)
    }

    /// The host name inside: what `hostname` says, or the machine's name; in a matrix one that a host may have, as
    /// `test-debian-12`.
    pub fn hostname_or_default(&self) -> String {
        match (&self.hostname, &self.combination) {
            (Some(hostname), _) => hostname.clone(),
            (None, None) => self.name.value.clone(),
            (None, Some(combination)) => to_hostname(&format!("{}-{}", combination.declared, combination.id)),
        }
    }
}

/// Letters and digits, with single dashes between them.
fn to_hostname(text: &str) -> String {
    let parts = text.split(|letter: char| !letter.is_ascii_alphanumeric()).filter(|part| !part.is_empty());
    let mut name = parts.collect::<Vec<_>>().join("-");
    name.truncate(HOSTNAME_MAX);
    name.truncate(name.trim_end_matches('-').len());
    name
}

impl Step {
    /// The id that the file says: that of all steps which a step is in the machines of a matrix.
    pub fn declared_id(&self) -> &str {
        self.combination.as_ref().map_or(&self.id.value, |combination| &combination.declared)
    }
}

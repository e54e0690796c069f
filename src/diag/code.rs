//! The stable numbers of the rules.

use std::fmt;

/// Number of a rule; shown as `SMOL0101`. Once published it never changes its meaning.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Code(pub u16);

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SMOL{:04}", self.0)
    }
}

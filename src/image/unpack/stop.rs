//! Why reading stops, before it is known in which entry. Not here: the error that callers see.

use super::{EntryFault, UnpackError};

/// Why a layer is not read further.
#[derive(Debug)]
pub(super) enum Stop {
    /// The stream ends where more belongs.
    End,
    /// Something of the entry is wrong.
    Fault(EntryFault),
    /// What is wrong has nothing to do with the entry.
    Whole(UnpackError),
}

impl Stop {
    /// A value that makes no sense.
    pub(super) fn value(what: &'static str, value: &'static str) -> Self {
        Self::Fault(EntryFault::Value { what, value })
    }

    /// The error, now that the place is known.
    pub(super) fn at(self, place: String) -> UnpackError {
        match self {
            Self::End => UnpackError::Truncated { place },
            Self::Fault(fault) => UnpackError::Entry { place, fault },
            Self::Whole(error) => error,
        }
    }
}

impl From<EntryFault> for Stop {
    fn from(fault: EntryFault) -> Self {
        Self::Fault(fault)
    }
}

impl From<UnpackError> for Stop {
    fn from(error: UnpackError) -> Self {
        Self::Whole(error)
    }
}

//! What can be told of a pull, as data.

use std::time::Duration;

/// A fact and when it was known.
#[derive(Debug, Clone, PartialEq)]
pub struct TimedFact {
    /// Since the start of all pulls.
    pub at: Duration,
    /// What.
    pub fact: PullFact,
}

/// Something that became known of an image.
#[derive(Debug, Clone, PartialEq)]
pub enum PullFact {
    /// It is asked for. Comes first.
    Started {
        /// As it was asked for.
        image: String,
    },
    /// What takes long, in words.
    Words {
        /// Which image.
        image: String,
        /// The words.
        text: String,
    },
    /// How far one of its layers is.
    Layer {
        /// Which image.
        image: String,
        /// Digest of the layer as it is fetched.
        digest: String,
        /// How many layers the image has.
        layers: usize,
        /// What is done with it.
        step: LayerStep,
        /// Bytes behind in this step.
        done: u64,
        /// Bytes of the layer.
        total: u64,
    },
    /// Nothing more is told of it.
    Finished {
        /// Which image.
        image: String,
        /// What came of it.
        outcome: PullOutcome,
    },
}

/// What is done with a layer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LayerStep {
    /// Nothing yet.
    Waiting,
    /// It is on its way.
    Fetching,
    /// It is unpacked.
    Unpacking,
    /// It is here.
    Done,
}

/// What came of an image.
#[derive(Debug, Clone, PartialEq)]
pub enum PullOutcome {
    /// It is here. Which parts were fetched is known from its layers.
    Here {
        /// Its digest.
        digest: String,
        /// Whether the registry was asked what its name means now.
        is_asked: bool,
    },
    /// It is not.
    Failed {
        /// Why, in one line.
        cause: String,
    },
}

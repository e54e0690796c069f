//! One remark on a file, and the collection of all of them.

use super::code::Code;
use super::source::Span;

/// How much a remark weighs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Severity {
    /// The file cannot be run.
    Error,
    /// The file runs, but probably not as meant.
    Warning,
    /// Worth knowing.
    Note,
}

/// A place and what it is in the story.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Label {
    /// Where.
    pub span: Span,
    /// What this place is; may be empty.
    pub text: String,
}

/// A replacement of a range by a text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Edit {
    /// What is replaced.
    pub span: Span,
    /// By what.
    pub text: String,
}

/// A way to mend the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fix {
    /// Whether it may be applied without asking.
    pub is_safe: bool,
    /// Edits that belong together.
    pub edits: Vec<Edit>,
}

/// One remark.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Diagnostic {
    /// The rule.
    pub code: Code,
    /// Its weight here.
    pub severity: Severity,
    /// What is wrong, in the user's words: a lower-case fragment without period.
    pub message: String,
    /// Places; the first is the primary one. Empty where no file is at fault.
    pub labels: Vec<Label>,
    /// What to write instead.
    pub help: Option<String>,
    /// The same as an edit.
    pub fix: Option<Fix>,
}

impl Diagnostic {
    /// A remark without places yet.
    pub fn new(code: Code, severity: Severity, message: impl Into<String>) -> Self {
        Self { code, severity, message: message.into(), labels: Vec::new(), help: None, fix: None }
    }

    /// Adds a place; the first one added is the primary one.
    #[must_use]
    pub fn label(mut self, span: Span, text: impl Into<String>) -> Self {
        self.labels.push(Label { span, text: text.into() });
        self
    }

    /// Says what to write instead.
    #[must_use]
    pub fn help(mut self, text: impl Into<String>) -> Self {
        self.help = Some(text.into());
        self
    }

    /// Says the same as an edit.
    #[must_use]
    pub fn fix(mut self, is_safe: bool, edits: Vec<Edit>) -> Self {
        self.fix = Some(Fix { is_safe, edits });
        self
    }
}

/// All remarks of one check.
#[derive(Debug, Clone, Default)]
pub struct Diagnostics {
    list: Vec<Diagnostic>,
}

impl Diagnostics {
    /// Adds one.
    pub fn push(&mut self, diagnostic: Diagnostic) {
        self.list.push(diagnostic);
    }

    /// All of them, in the order of [`Diagnostics::sort`] once that was called.
    pub fn iter(&self) -> impl Iterator<Item = &Diagnostic> {
        self.list.iter()
    }

    /// How many have this severity.
    pub fn count(&self, severity: Severity) -> usize {
        self.list.iter().filter(|diagnostic| diagnostic.severity == severity).count()
    }

    /// Whether the file cannot be run.
    pub fn has_errors(&self) -> bool {
        self.count(Severity::Error) > 0
    }

    /// Sorts by place of the primary label, then code; those without place come first; exact repeats go.
    pub fn sort(&mut self) {
        self.list.sort_by_key(|diagnostic| (diagnostic.labels.first().map(|label| label.span), diagnostic.code));
        self.list.dedup();
    }
}

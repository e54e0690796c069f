//! One remark on a file, and the collection of all of them.

use std::fmt;

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

impl Severity {
    /// The word for it: `error`, `warning` or `note`.
    pub fn word(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warning => "warning",
            Self::Note => "note",
        }
    }
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
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
        Self { code, severity, message: shorten(message.into()), labels: Vec::new(), help: None, fix: None }
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

/// A message that quotes a whole script or a hostile name is cut in its middle: both ends say what it is about.
fn shorten(message: String) -> String {
    let count = message.chars().count();
    if count <= MESSAGE_MAX {
        return message;
    }
    let head: String = message.chars().take(MESSAGE_MAX / 2).collect();
    let tail: String = message.chars().skip(count - MESSAGE_MAX / 2 + 1).collect();
    format!("{head}…{tail}")
}

/// Characters of a message.
const MESSAGE_MAX: usize = 500;

/// Uses of one anchor that a remark shows; of more of them nobody reads.
const LABELS_MAX: usize = 20;

/// All remarks of one check.
#[derive(Debug, Clone, Default)]
pub struct Diagnostics {
    list: Vec<Diagnostic>,
    unchecked: Vec<String>,
}

impl Diagnostics {
    /// Adds one.
    pub fn push(&mut self, diagnostic: Diagnostic) {
        self.list.push(diagnostic);
    }

    /// Takes out what a rule said: whoever shows it knows better.
    pub fn forget(&mut self, code: Code) {
        self.list.retain(|diagnostic| diagnostic.code != code);
    }

    /// Adds all of them.
    pub fn extend(&mut self, diagnostics: impl IntoIterator<Item = Diagnostic>) {
        self.list.extend(diagnostics);
    }

    /// Says what could not be checked, without a mistake of the file: fits after "not checked: ".
    pub fn push_unchecked(&mut self, what: String) {
        self.unchecked.push(what);
    }

    /// What could not be checked.
    pub fn unchecked(&self) -> impl Iterator<Item = &str> {
        self.unchecked.iter().map(String::as_str)
    }

    /// All of them, in the order of [`Diagnostics::sort`] once that was called.
    pub fn iter(&self) -> impl Iterator<Item = &Diagnostic> {
        self.list.iter()
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.list.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// How many have this severity.
    pub fn count(&self, severity: Severity) -> usize {
        self.list.iter().filter(|diagnostic| diagnostic.severity == severity).count()
    }

    /// Whether the file cannot be run.
    pub fn has_errors(&self) -> bool {
        self.count(Severity::Error) > 0
    }

    /// Sorts by place of the primary label, then code; those without place come first. Repeats go: the same remark
    /// on the same place, found once for each use of an anchor, is one with the labels of
    /// all, at most twenty.
    pub fn sort(&mut self) {
        self.list.sort_by(|a, b| {
            let key = |one: &Diagnostic| (one.labels.first().map(|label| label.span), one.code);
            key(a).cmp(&key(b)).then_with(|| a.message.cmp(&b.message))
        });
        self.list.dedup_by(|repeat, kept| {
            let is_repeat = repeat.code == kept.code
                && repeat.message == kept.message
                && repeat.labels.first() == kept.labels.first();
            if is_repeat {
                for label in repeat.labels.drain(..) {
                    if kept.labels.len() < LABELS_MAX && !kept.labels.contains(&label) {
                        kept.labels.push(label);
                    }
                }
            }
            is_repeat
        });
    }
}

#[cfg(test)]
mod tests {
    use super::super::source::FileId;
    use super::*;

    fn span(start: usize) -> Span {
        Span { file: FileId(0), start, end: start + 1 }
    }

    #[test]
    fn long_messages_are_cut_in_their_middle() {
        let whole = format!("`{}` is no name", "é".repeat(5000));
        let message = Diagnostic::new(Code(5), Severity::Error, whole).message;
        assert_eq!(message.chars().count(), MESSAGE_MAX);
        assert!(message.starts_with("`éé") && message.contains("é…é") && message.ends_with("é` is no name"));
    }

    #[test]
    fn sort_orders_by_place_and_merges_repeats_with_their_labels() {
        let mut all = Diagnostics::default();
        let repeated = || Diagnostic::new(Code(4), Severity::Error, "wrong").label(span(5), "this");
        all.push(repeated().label(span(20), "used here"));
        all.push(Diagnostic::new(Code(3), Severity::Error, "first").label(span(1), ""));
        all.push(repeated().label(span(30), "used here"));
        all.push(Diagnostic::new(Code(10), Severity::Error, "no file"));
        all.sort();
        let order: Vec<(u16, usize)> = all.iter().map(|one| (one.code.0, one.labels.len())).collect();
        assert_eq!(order, [(10, 0), (3, 1), (4, 3)]);
    }
}

//! Colours as values: a text with or without its escape sequences.
//!
//! Deliberately not here: whether colours are wanted (`cli` asks the flags, the environment and the terminal).

/// Whether a stream takes colours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Style {
    is_colored: bool,
}

impl Style {
    /// No escape sequence at all.
    pub fn plain() -> Self {
        Self { is_colored: false }
    }

    /// Colours where `is_colored`.
    pub fn new(is_colored: bool) -> Self {
        Self { is_colored }
    }

    /// Whether escape sequences are written.
    pub fn is_colored(self) -> bool {
        self.is_colored
    }

    /// Something that failed.
    pub fn bad(self, text: &str) -> String {
        self.paint("1;31", text)
    }

    /// Something that passed.
    pub fn good(self, text: &str) -> String {
        self.paint("32", text)
    }

    /// Something to look at.
    pub fn warn(self, text: &str) -> String {
        self.paint("33", text)
    }

    /// Something that goes on.
    pub fn live(self, text: &str) -> String {
        self.paint("36", text)
    }

    /// Something that may be overlooked.
    pub fn dim(self, text: &str) -> String {
        self.paint("2", text)
    }

    /// Something that stands out.
    pub fn bold(self, text: &str) -> String {
        self.paint("1", text)
    }

    /// A colour that means nothing but itself.
    pub(super) fn code(self, code: &str, text: &str) -> String {
        self.paint(code, text)
    }

    fn paint(self, code: &str, text: &str) -> String {
        if self.is_colored { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
    }
}

//! From bytes to text that a YAML parser may see: size, encoding, byte order mark, control characters.

use crate::diag::{Code, Diagnostic, Diagnostics, FileId, Severity, Span};

/// The longest file that is read, in bytes.
pub(super) const FILE_MAX_BYTES: usize = 1 << 20;

/// So many control characters are told of; a file with more of them is not text at all.
const CONTROL_MAX_REPORTS: usize = 20;

/// A text without byte order mark, and where it begins in the file.
#[derive(Debug)]
pub(super) struct Text {
    /// The characters, with harmless ones in the place of forbidden ones (each of the same length).
    pub(super) text: String,
    /// Bytes of the file before `text`.
    pub(super) offset: usize,
    /// Whether forbidden characters were replaced, so that a syntax error may be their work.
    pub(super) is_patched: bool,
}

/// Reads bytes as UTF-8; `None` where they are not.
pub(super) fn read_text(file: FileId, bytes: &[u8], out: &mut Diagnostics) -> Option<Text> {
    let offset = if bytes.starts_with(b"\xEF\xBB\xBF") { 3 } else { 0 };
    let text = match std::str::from_utf8(&bytes[offset..]) {
        Ok(text) => text,
        Err(error) => {
            let start = offset + error.valid_up_to();
            let length = error.error_len().unwrap_or(bytes.len() - start).max(1);
            out.push(not_utf8(bytes, Span { file, start, end: (start + length).min(bytes.len()) }));
            return None;
        }
    };
    let mut patched = String::with_capacity(text.len());
    let mut reports = 0;
    for (at, character) in text.char_indices() {
        if !is_forbidden(character) {
            patched.push(character);
            continue;
        }
        let start = offset + at;
        reports += 1;
        if reports <= CONTROL_MAX_REPORTS {
            out.push(control_character(character, Span { file, start, end: start + character.len_utf8() }));
        }
        patched.extend(std::iter::repeat_n('x', character.len_utf8()));
    }
    Some(Text { text: patched, offset, is_patched: reports > 0 })
}

/// YAML 1.2.2, 5.1: `c-printable` and the byte order mark.
fn is_forbidden(character: char) -> bool {
    match character {
        '\t' | '\n' | '\r' | '\u{85}' => false,
        '\u{FFFE}' | '\u{FFFF}' => true,
        _ => character.is_control(),
    }
}

fn not_utf8(bytes: &[u8], span: Span) -> Diagnostic {
    let diagnostic = Diagnostic::new(Code(8), Severity::Error, "the file is not UTF-8");
    if bytes.starts_with(b"\xFF\xFE") || bytes.starts_with(b"\xFE\xFF") {
        return diagnostic.label(span, "this is a byte order mark of UTF-16").help("save the file as UTF-8");
    }
    let byte = bytes.get(span.start).copied().unwrap_or(0);
    diagnostic.label(span, format!("the byte 0x{byte:02X} does not belong here")).help("save the file as UTF-8")
}

fn control_character(character: char, span: Span) -> Diagnostic {
    let number = u32::from(character);
    let diagnostic = Diagnostic::new(
        Code(8),
        Severity::Error,
        format!("the control character U+{number:04X} is not allowed in YAML"),
    )
    .label(span, "here");
    if number < 0x100 {
        diagnostic.help(format!("take it out, or write `\\x{number:02X}` in double quotes"))
    } else {
        diagnostic.help(format!("take it out, or write `\\u{number:04X}` in double quotes"))
    }
}

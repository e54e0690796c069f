//! Applies the safe fixes of a text that do not touch one another.

use std::collections::BTreeMap;

use super::diagnostic::{Diagnostic, Diagnostics, Edit};
use super::source::FileId;

/// The text with the safe fixes of its diagnostics applied, and those diagnostics. A fix is applied as a whole or not
/// at all; one that touches an earlier one waits for the text that comes of it.
pub fn apply_safe<'d>(diagnostics: &'d Diagnostics, file: FileId, text: &[u8]) -> (Vec<u8>, Vec<&'d Diagnostic>) {
    let mut chosen: BTreeMap<usize, &Edit> = BTreeMap::new();
    let mut applied = Vec::new();
    for diagnostic in diagnostics.iter() {
        let Some(fix) = diagnostic.fix.as_ref().filter(|fix| fix.is_safe && !fix.edits.is_empty()) else { continue };
        let is_inside = |edit: &Edit| edit.span.file == file && edit.span.end <= text.len();
        if fix.edits.iter().all(|edit| is_inside(edit) && is_free(edit, &chosen)) {
            chosen.extend(fix.edits.iter().map(|edit| (edit.span.start, edit)));
            applied.push(diagnostic);
        }
    }
    let mut out = Vec::with_capacity(text.len());
    let mut rest = 0;
    for edit in chosen.into_values() {
        out.extend_from_slice(&text[rest..edit.span.start]);
        out.extend_from_slice(edit.text.as_bytes());
        rest = edit.span.end;
    }
    out.extend_from_slice(&text[rest..]);
    (out, applied)
}

/// Whether an edit overlaps none of the others, and stands at the place of none, where their order would count.
fn is_free(edit: &Edit, chosen: &BTreeMap<usize, &Edit>) -> bool {
    let (start, end) = (edit.span.start, edit.span.end);
    let before = chosen.range(..start).next_back();
    before.is_none_or(|(_, other)| other.span.end <= start) && chosen.range(start..end.max(start + 1)).next().is_none()
}

#[cfg(test)]
mod tests {
    use super::super::{Code, Severity, Span};
    use super::*;

    fn diagnostic(code: u16, is_safe: bool, edits: &[(usize, usize, &str)]) -> Diagnostic {
        let edit = |(start, end, text): &(usize, usize, &str)| Edit {
            span: Span { file: FileId(0), start: *start, end: *end },
            text: (*text).to_owned(),
        };
        Diagnostic::new(Code(code), Severity::Error, "wrong").fix(is_safe, edits.iter().map(edit).collect())
    }

    fn apply(all: Vec<Diagnostic>) -> (String, Vec<u16>) {
        let mut diagnostics = Diagnostics::default();
        all.into_iter().for_each(|one| diagnostics.push(one));
        let (text, applied) = apply_safe(&diagnostics, FileId(0), b"0123456789");
        (String::from_utf8(text).unwrap(), applied.iter().map(|one| one.code.0).collect())
    }

    #[test]
    fn safe_fixes_are_applied_as_a_whole_and_others_not_at_all() {
        let all = vec![
            diagnostic(1, true, &[(8, 9, "")]),
            diagnostic(2, true, &[(2, 3, "two"), (0, 0, "<")]),
            diagnostic(3, false, &[(5, 6, "five")]),
            diagnostic(4, true, &[]),
        ];
        assert_eq!(apply(all), ("<01two345679".to_owned(), vec![1, 2]));
    }

    #[test]
    fn fixes_that_touch_an_earlier_one_wait() {
        let all = vec![
            diagnostic(1, true, &[(2, 5, "x")]),
            diagnostic(2, true, &[(8, 9, "y"), (4, 6, "z")]),
            diagnostic(3, true, &[(5, 6, "w")]),
            diagnostic(4, true, &[(2, 2, "again")]),
            diagnostic(5, true, &[(9, 11, "outside")]),
        ];
        assert_eq!(apply(all), ("01xw6789".to_owned(), vec![1, 3]));
    }
}

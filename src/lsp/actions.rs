//! Code actions: the fixes of remarks, one by one, and all safe ones at once.

use std::collections::HashMap;

use lsp_types::{
    CodeAction, CodeActionKind, DocumentChanges, OneOf, OptionalVersionedTextDocumentIdentifier, Range,
    TextDocumentEdit, TextEdit, Uri, WorkspaceEdit,
};

use super::remarks::{self, Files};
use crate::diag::{Diagnostic, Fix};

/// The longest piece of a text that a title quotes.
const QUOTE_MAX: usize = 40;

/// Changes of texts, each of one document.
#[derive(Debug, Default)]
pub(super) struct Changes {
    documents: Vec<(Uri, Option<i32>, Vec<TextEdit>)>,
}

impl Changes {
    /// Adds an edit; `version` is the one that the document has, where it is open.
    pub(super) fn push(&mut self, uri: &Uri, version: Option<i32>, edit: TextEdit) {
        match self.documents.iter_mut().find(|(known, ..)| known == uri) {
            Some((.., edits)) => edits.push(edit),
            None => self.documents.push((uri.clone(), version, vec![edit])),
        }
    }

    /// In the form that the client takes: with the versions that are meant, or without.
    #[expect(clippy::mutable_key_type, reason = "the protocol's own type; nothing changes the keys")]
    pub(super) fn into_edit(self, is_versioned: bool) -> WorkspaceEdit {
        if !is_versioned {
            let changes: HashMap<Uri, Vec<TextEdit>> =
                self.documents.into_iter().map(|(uri, _, edits)| (uri, edits)).collect();
            return WorkspaceEdit { changes: Some(changes), ..WorkspaceEdit::default() };
        }
        let edits = self.documents.into_iter().map(|(uri, version, edits)| TextDocumentEdit {
            text_document: OptionalVersionedTextDocumentIdentifier { uri, version },
            edits: edits.into_iter().map(OneOf::Left).collect(),
        });
        let document_changes = Some(DocumentChanges::Edits(edits.collect()));
        WorkspaceEdit { document_changes, ..WorkspaceEdit::default() }
    }
}

/// What the client can show and take.
#[derive(Debug, Clone, Copy)]
pub(super) struct Taste {
    pub(super) is_versioned: bool,
    pub(super) has_related: bool,
}

/// The fixes of remarks that touch a range of a document.
pub(super) fn quick_fixes(
    diagnostics: &[Diagnostic],
    files: &Files,
    uri: &Uri,
    range: Range,
    version: &dyn Fn(&Uri) -> Option<i32>,
    taste: Taste,
) -> Vec<CodeAction> {
    let touches = |one: &&Diagnostic| {
        one.labels.first().is_some_and(|label| {
            let own = files.range(label.span);
            files.uri(label.span.file) == Some(uri) && own.start <= range.end && range.start <= own.end
        })
    };
    let fixed = diagnostics.iter().filter(touches).filter_map(|one| Some((one, one.fix.as_ref()?)));
    fixed
        .filter(|(_, fix)| !fix.edits.is_empty())
        .map(|(one, fix)| {
            let mut changes = Changes::default();
            for edit in &fix.edits {
                if let Some(uri) = files.uri(edit.span.file) {
                    let (range, new_text) = (files.range(edit.span), edit.text.clone());
                    changes.push(uri, version(uri), TextEdit { range, new_text });
                }
            }
            CodeAction {
                title: title(fix, files),
                kind: Some(CodeActionKind::QUICKFIX),
                diagnostics: Some(vec![remarks::convert(one, files, taste.has_related)]),
                edit: Some(changes.into_edit(taste.is_versioned)),
                is_preferred: Some(fix.is_safe),
                ..CodeAction::default()
            }
        })
        .collect()
}

/// What a fix does, in words.
fn title(fix: &Fix, files: &Files) -> String {
    let quote = |text: &str| {
        let line = text.trim().lines().next().unwrap_or_default();
        let short: String = line.chars().take(QUOTE_MAX).collect();
        let end = if short.len() < text.trim().len() { "…" } else { "" };
        format!("`{short}{end}`")
    };
    let [edit] = fix.edits.as_slice() else { return format!("Mend this in {} places", fix.edits.len()) };
    let written = files.written(edit.span);
    match (written.trim().is_empty(), edit.text.trim().is_empty()) {
        (true, _) => format!("Write {}", quote(&edit.text)),
        (false, true) => format!("Take out {}", quote(written)),
        (false, false) => format!("Replace {} with {}", quote(written), quote(&edit.text)),
    }
}

/// The one change that makes a text of another: what differs between their common ends.
pub(super) fn difference(before: &str, after: &str) -> (std::ops::Range<usize>, String) {
    let mut start = before.bytes().zip(after.bytes()).take_while(|(one, other)| one == other).count();
    while !before.is_char_boundary(start) || !after.is_char_boundary(start) {
        start -= 1;
    }
    let (rest_before, rest_after) = (&before[start..], &after[start..]);
    let mut end =
        rest_before.bytes().rev().zip(rest_after.bytes().rev()).take_while(|(one, other)| one == other).count();
    while !rest_before.is_char_boundary(rest_before.len() - end) || !rest_after.is_char_boundary(rest_after.len() - end)
    {
        end -= 1;
    }
    (start..before.len() - end, rest_after[..rest_after.len() - end].to_owned())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_difference_makes_one_text_of_the_other(before in "[abé\u{1F600}]{0,9}", after in "[abé\u{1F600}]{0,9}") {
            let (span, text) = difference(&before, &after);
            let mut made = before.clone();
            made.replace_range(span, &text);
            prop_assert_eq!(made, after);
        }
    }
}

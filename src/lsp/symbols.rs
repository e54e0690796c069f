//! The contents of a file: machines, steps, volumes.

use lsp_types::{DocumentSymbol, SymbolKind};

use super::names::{self, NameKind};
use super::outline::{NodeId, Outline};
use super::position::Positions;

/// The symbols of a text, as a tree.
pub(super) fn symbols(text: &str, outline: &Outline, positions: &Positions) -> Vec<DocumentSymbol> {
    let entries = outline.entries(outline.root).iter().filter(|entry| entry.has_colon && !entry.key.text.is_empty());
    entries
        .map(|entry| {
            let kind = match entry.key.text.as_str() {
                "machines" => Some((NameKind::Machine, SymbolKind::CLASS)),
                "volumes" => Some((NameKind::Volume, SymbolKind::OBJECT)),
                "steps" | "finally" => Some((NameKind::Step, SymbolKind::FUNCTION)),
                _ => None,
            };
            let children = kind.map(|(kind, symbol)| children(text, outline, positions, entry.value, (kind, symbol)));
            let end = outline.nodes[entry.value].span.end.max(entry.key.span.end);
            let span = entry.key.span.start..end;
            symbol(
                &entry.key.text,
                "",
                SymbolKind::NAMESPACE,
                (span, entry.key.span.clone()),
                (text, positions),
                children,
            )
        })
        .collect()
}

fn children(
    text: &str,
    outline: &Outline,
    positions: &Positions,
    value: NodeId,
    (kind, symbol_kind): (NameKind, SymbolKind),
) -> Vec<DocumentSymbol> {
    let named = outline.entries(value).iter().filter(|entry| !entry.key.text.is_empty() && entry.key.text != "<<");
    let mut out: Vec<DocumentSymbol> = named
        .map(|entry| {
            let end = outline.nodes[entry.value].span.end.max(entry.key.span.end);
            let spans = (entry.key.span.start..end, entry.key.span.clone());
            let detail = names::summary(outline, kind, entry.value);
            symbol(&entry.key.text, &detail, symbol_kind, spans, (text, positions), None)
        })
        .collect();
    for (place, item) in outline.items(value).iter().enumerate() {
        let span = outline.nodes[*item].span.clone();
        let own = outline.get(*item, "id").and_then(|id| Some((outline.text(id)?, outline.nodes[id].span.clone())));
        let unnamed = format!("{}. step", place + 1);
        let (name, selected) = own.filter(|(name, _)| !name.is_empty()).unwrap_or((&unnamed, span.start..span.start));
        let detail = names::summary(outline, kind, *item);
        out.push(symbol(name, &detail, symbol_kind, (span, selected), (text, positions), None));
    }
    out
}

fn symbol(
    name: &str,
    detail: &str,
    kind: SymbolKind,
    (span, selected): (std::ops::Range<usize>, std::ops::Range<usize>),
    (text, positions): (&str, &Positions),
    children: Option<Vec<DocumentSymbol>>,
) -> DocumentSymbol {
    #[expect(deprecated, reason = "the type has the field, and no way to be made without it")]
    DocumentSymbol {
        name: name.to_owned(),
        detail: (!detail.is_empty()).then(|| detail.to_owned()),
        kind,
        tags: None,
        deprecated: None,
        range: positions.range(text, span),
        selection_range: positions.range(text, selected),
        children,
    }
}

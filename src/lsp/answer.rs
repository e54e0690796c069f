//! Answers to single questions about documents.

use std::path::{Path, PathBuf};

use lsp_server::{ErrorCode, Request};
use lsp_types::{
    CodeAction, CodeActionKind, CodeActionParams, CompletionItem, CompletionItemKind, CompletionItemTag,
    CompletionParams, CompletionTextEdit, DocumentHighlight, DocumentHighlightParams, DocumentSymbolParams,
    Documentation, GotoDefinitionParams, HoverParams, MarkupContent, MarkupKind, ReferenceParams, RenameParams,
    TextDocumentPositionParams, TextEdit, Uri,
};
use serde_json::{Value, json};

use super::actions::{self, Changes};
use super::buffers::{Document, Texts, WithTexts};
use super::check::{Analysis, Root};
use super::completion::{self, Candidate, CandidateKind, World};
use super::names::{self, NameKind};
use super::navigate::{self, ProjectFile};
use super::outline::Outline;
use super::position::{Encoding, Positions};
use super::server::{Refusal, Server, from_params};
use super::variables::Variables;
use super::{hover, symbols, uri};
use crate::config::{self, Files};
use crate::diag::Rule;

/// What is longer is no project's file, and is not looked into.
const TEXT_MAX: usize = 1 << 20;

/// What the server can do.
pub(super) fn capabilities(encoding: Encoding) -> Value {
    json!({
        "capabilities": {
            "positionEncoding": encoding.kind(),
            "textDocumentSync": { "openClose": true, "change": 2, "save": { "includeText": false } },
            "hoverProvider": true,
            "completionProvider": { "triggerCharacters": [":", " ", "-", "{", "[", "$", "/", "*", ","] },
            "definitionProvider": true,
            "referencesProvider": true,
            "documentHighlightProvider": true,
            "renameProvider": { "prepareProvider": true },
            "documentSymbolProvider": true,
            "codeActionProvider": { "codeActionKinds": ["quickfix", "source.fixAll.smolvm"] }
        },
        "serverInfo": { "name": "smolvm", "version": env!("CARGO_PKG_VERSION") }
    })
}

/// The result of a request.
pub(super) fn answer(server: &mut Server, request: &Request, files: &dyn Files) -> Result<Value, Refusal> {
    let params = request.params.clone();
    match request.method.as_str() {
        "textDocument/hover" => {
            let params: HoverParams = from_params(params)?;
            Ok(hover_at(server, &params.text_document_position_params, files).unwrap_or_default())
        }
        "textDocument/completion" => {
            let params: CompletionParams = from_params(params)?;
            Ok(completion_at(server, &params.text_document_position, files).unwrap_or_else(|| json!([])))
        }
        "textDocument/definition" => {
            let params: GotoDefinitionParams = from_params(params)?;
            let Some(at) = At::new(server, &params.text_document_position_params) else { return Ok(Value::Null) };
            let texts = texts(server);
            let disk = WithTexts { files, texts: &texts };
            Ok(json!(navigate::definition(&at.files, at.offset, &disk)))
        }
        "textDocument/references" => {
            let params: ReferenceParams = from_params(params)?;
            let Some(at) = At::new(server, &params.text_document_position) else { return Ok(Value::Null) };
            Ok(json!(navigate::references(&at.files, at.offset, params.context.include_declaration)))
        }
        "textDocument/documentHighlight" => {
            let params: DocumentHighlightParams = from_params(params)?;
            Ok(highlights(server, &params.text_document_position_params))
        }
        "textDocument/prepareRename" => {
            let params: TextDocumentPositionParams = from_params(params)?;
            let at = At::new(server, &params);
            let range = at.and_then(|at| {
                let occurrence = at.renamed()?;
                let file = at.files.first()?;
                Some(file.positions.range(&file.text, occurrence.span))
            });
            Ok(json!(range))
        }
        "textDocument/rename" => rename(server, &from_params(params)?),
        "textDocument/documentSymbol" => {
            let params: DocumentSymbolParams = from_params(params)?;
            let Some(document) = document(server, &params.text_document.uri) else { return Ok(Value::Null) };
            Ok(json!(symbols::symbols(&document.text, &document.outline(), &document.positions)))
        }
        "textDocument/codeAction" => Ok(code_actions(server, &from_params(params)?, files)),
        method => Err(Refusal::new(ErrorCode::MethodNotFound, format!("`{method}` is not known"))),
    }
}

fn document<'s>(server: &'s Server, uri: &Uri) -> Option<&'s Document> {
    server.documents.get(uri.as_str()).filter(|document| document.text.len() <= TEXT_MAX)
}

fn texts(server: &Server) -> Texts {
    server.documents.values().filter_map(|one| Some((one.path.clone()?, one.text.clone()))).collect()
}

/// A project that reads a document.
fn analysis<'s>(server: &'s Server, document: &Document) -> Option<&'s Analysis> {
    let own = Root::Untitled(document.uri.as_str().to_owned());
    let reads = |one: &&Analysis| document.path.as_ref().is_some_and(|path| one.reads(path));
    server.analyses.get(&own).or_else(|| server.analyses.values().find(reads))
}

/// A place in a project: the files of the project, that of the place first.
struct At {
    offset: usize,
    /// The folder of the project's first file, where its `.env` is.
    root: PathBuf,
    files: Vec<ProjectFile>,
}

impl At {
    fn new(server: &Server, params: &TextDocumentPositionParams) -> Option<Self> {
        let document = document(server, &params.text_document.uri)?;
        let folder = |path: Option<&Path>| {
            path.and_then(|path| path.parent()).unwrap_or(&server.template.current_folder).to_path_buf()
        };
        let mut files = vec![ProjectFile {
            uri: document.uri.clone(),
            folder: folder(document.path.as_deref()),
            text: document.text.clone(),
            outline: document.outline(),
            positions: document.positions.clone(),
        }];
        let project = analysis(server, document);
        let root = folder(project.and_then(Analysis::root).or(document.path.as_deref()));
        let others = project.into_iter().flat_map(|analysis| analysis.others(document));
        for (path, text) in others {
            let open = server.documents.values().find(|one| one.path.as_ref() == Some(path));
            let text = open.map_or_else(|| text.into(), |open| open.text.clone());
            let Some(uri) = open.map(|open| open.uri.clone()).or_else(|| uri::of_path(path)) else { continue };
            files.push(ProjectFile {
                uri,
                folder: folder(Some(path)),
                outline: Outline::new(&text),
                positions: Positions::new(&text, server.encoding),
                text,
            });
        }
        Some(Self { root, offset: document.positions.offset(&document.text, params.position), files })
    }

    /// The name at the place, where it is declared by a text that can be changed.
    fn renamed(&self) -> Option<names::Occurrence> {
        let occurrence = self.files.first()?.occurrence(self.offset)?;
        let all = navigate::places(&self.files, &occurrence);
        all.iter().any(|(_, one)| one.declared.is_some()).then_some(occurrence)
    }

    /// What a declared name is, in Markdown.
    fn declared(&self, kind: NameKind, name: &str) -> Option<String> {
        let all = self.files.iter().find_map(|file| {
            let one = names::occurrences(&file.outline).into_iter();
            let node = one.filter(|one| one.kind == kind && one.name == name).find_map(|one| one.declared)?;
            Some(names::summary(&file.outline, kind, node))
        });
        let implied = || {
            self.files.iter().find_map(|file| {
                let steps = names::unnamed_steps(&file.outline).into_iter();
                let node =
                    steps.filter(|(own, _)| kind == NameKind::Step && own == name).map(|(_, node)| node).next()?;
                Some(names::summary(&file.outline, kind, node))
            })
        };
        Some(format!("{} `{name}`\n\n{}", names::word(kind), all.or_else(implied)?))
    }

    /// All names of the project.
    fn names(&self) -> Vec<(NameKind, String, String)> {
        let mut out: Vec<(NameKind, String, String)> = Vec::new();
        for file in &self.files {
            let declared = names::occurrences(&file.outline)
                .into_iter()
                .filter_map(|one| Some((one.kind, one.name, one.declared?)));
            let implied =
                names::unnamed_steps(&file.outline).into_iter().map(|(name, node)| (NameKind::Step, name, node));
            for (kind, name, node) in declared.chain(implied) {
                if !out.iter().any(|(known, own, _)| *known == kind && *own == name) {
                    let summary = names::summary(&file.outline, kind, node);
                    out.push((kind, name, summary));
                }
            }
        }
        out
    }
}

fn hover_at(server: &Server, params: &TextDocumentPositionParams, files: &dyn Files) -> Option<Value> {
    let at = At::new(server, params)?;
    let document = document(server, &params.text_document.uri)?;
    let (texts, file) = (texts(server), at.files.first()?);
    let disk = WithTexts { files, texts: &texts };
    let variables = || Variables::new(&at.root, &disk);
    let known = |name: &str| variables().get(name);
    let declared = |kind: NameKind, name: &str| at.declared(kind, name);
    let found = hover::hover(&file.text, &file.outline, at.offset, &declared, &known);
    let rules = rules_at(server, document, params);
    let range = found.as_ref().map(|found| file.positions.range(&file.text, found.span.clone()));
    let parts: Vec<String> = rules.into_iter().chain(found.map(|found| found.markdown)).collect();
    let value = (!parts.is_empty()).then(|| parts.join("\n\n---\n\n"))?;
    Some(json!({ "contents": MarkupContent { kind: MarkupKind::Markdown, value }, "range": range }))
}

/// The short texts of the rules that remarks at a place name.
fn rules_at(server: &Server, document: &Document, params: &TextDocumentPositionParams) -> Vec<String> {
    let Some(analysis) = analysis(server, document) else { return Vec::new() };
    let position = params.position;
    let is_here = |label: &crate::diag::Label| {
        let range = analysis.files.range(label.span);
        analysis.files.uri(label.span.file) == Some(&document.uri) && range.start <= position && position <= range.end
    };
    let here = analysis.diagnostics.iter().filter(|one| one.labels.first().is_some_and(is_here));
    let mut codes: Vec<crate::diag::Code> = here.map(|one| one.code).collect();
    codes.dedup();
    let rules = codes.into_iter().filter_map(Rule::find);
    rules
        .map(|rule| {
            let code = rule.code();
            format!("**{code}**: {}\n\n{}\n\n`smolvm explain {code}` tells more.", rule.title(), rule.summary())
        })
        .collect()
}

fn completion_at(server: &Server, params: &TextDocumentPositionParams, files: &dyn Files) -> Option<Value> {
    let at = At::new(server, params)?;
    let (texts, file) = (texts(server), at.files.first()?);
    let disk = WithTexts { files, texts: &texts };
    let variables = Variables::new(&at.root, &disk);
    let world = World { names: at.names(), variables: &variables, files: &disk, folder: &file.folder };
    let candidates = completion::complete(&file.text, at.offset, &world);
    let items = candidates.into_iter().enumerate().map(|(place, one)| item(one, place, &at, file));
    Some(json!({ "isIncomplete": false, "items": items.collect::<Vec<_>>() }))
}

fn item(candidate: Candidate, place: usize, at: &At, file: &ProjectFile) -> CompletionItem {
    let span = at.offset.saturating_sub(candidate.replaced)..(at.offset + candidate.swallowed).min(file.text.len());
    let kind = match candidate.kind {
        CandidateKind::Key => CompletionItemKind::PROPERTY,
        CandidateKind::Word => CompletionItemKind::ENUM_MEMBER,
        CandidateKind::Name(NameKind::Machine) => CompletionItemKind::CLASS,
        CandidateKind::Name(NameKind::Step) => CompletionItemKind::FUNCTION,
        CandidateKind::Name(_) => CompletionItemKind::REFERENCE,
        CandidateKind::Folder => CompletionItemKind::FOLDER,
        CandidateKind::File => CompletionItemKind::FILE,
        CandidateKind::Variable => CompletionItemKind::VARIABLE,
    };
    CompletionItem {
        kind: Some(kind),
        detail: (!candidate.detail.is_empty()).then_some(candidate.detail),
        documentation: candidate
            .documentation
            .map(|value| Documentation::MarkupContent(MarkupContent { kind: MarkupKind::Markdown, value })),
        sort_text: Some(format!("{}{place:05}", if candidate.is_likely { 0 } else { 1 })),
        filter_text: Some(candidate.label.clone()),
        text_edit: Some(CompletionTextEdit::Edit(TextEdit {
            range: file.positions.range(&file.text, span),
            new_text: candidate.text,
        })),
        tags: None::<Vec<CompletionItemTag>>,
        label: candidate.label,
        ..CompletionItem::default()
    }
}

fn highlights(server: &Server, params: &TextDocumentPositionParams) -> Value {
    let Some(at) = At::new(server, params) else { return Value::Null };
    let Some(file) = at.files.first() else { return Value::Null };
    let Some(wanted) = file.occurrence(at.offset) else { return Value::Null };
    let own = navigate::places(&at.files, &wanted).into_iter().filter(|(place, _)| *place == 0);
    let highlights: Vec<DocumentHighlight> = own
        .map(|(_, one)| DocumentHighlight { range: file.positions.range(&file.text, one.span), kind: None })
        .collect();
    json!(highlights)
}

fn rename(server: &Server, params: &RenameParams) -> Result<Value, Refusal> {
    let nothing = || Refusal::new(ErrorCode::RequestFailed, "nothing here has a name that can be changed");
    let at = At::new(server, &params.text_document_position).ok_or_else(nothing)?;
    let wanted = at.renamed().ok_or_else(nothing)?;
    let name = &params.new_name;
    let is_anchor = !name.is_empty() && name.chars().all(|c| c.is_alphanumeric() || matches!(c, '_' | '-'));
    if !(if wanted.kind == NameKind::Anchor { is_anchor } else { config::is_name(name) }) {
        let message = format!("`{name}` cannot be a name: lower-case letters, digits, `_` and `-`, at most 63");
        return Err(Refusal::new(ErrorCode::RequestFailed, message));
    }
    let mut changes = Changes::default();
    for (place, one) in navigate::places(&at.files, &wanted) {
        let file = &at.files[place];
        let version = server.documents.get(file.uri.as_str()).map(|open| open.version);
        let range = file.positions.range(&file.text, one.span);
        changes.push(&file.uri, version, TextEdit { range, new_text: name.clone() });
    }
    Ok(json!(changes.into_edit(server.taste.is_versioned)))
}

/// Fixes, of remarks on the texts as they are now.
fn code_actions(server: &mut Server, params: &CodeActionParams, files: &dyn Files) -> Value {
    let key = params.text_document.uri.as_str().to_owned();
    let is_wanted = |kind: &CodeActionKind| {
        let only = params.context.only.as_ref();
        only.is_none_or(|only| {
            only.iter().any(|wanted| format!("{}.", kind.as_str()).starts_with(&format!("{}.", wanted.as_str())))
        })
    };
    let Some(result) = server.job(&key, files).and_then(|job| job.run(&WithTexts { files, texts: &texts(server) }))
    else {
        return json!([]);
    };
    let documents: Vec<&Document> = server.documents.values().collect();
    let analysis = Analysis::new(result, &documents, server.encoding);
    let version = |uri: &Uri| server.documents.get(uri.as_str()).map(|open| open.version);
    let mut found: Vec<CodeAction> = Vec::new();
    if is_wanted(&CodeActionKind::QUICKFIX) {
        let uri = &params.text_document.uri;
        found = actions::quick_fixes(&analysis.diagnostics, &analysis.files, uri, params.range, &version, server.taste);
    }
    let kind = CodeActionKind::from("source.fixAll.smolvm");
    if is_wanted(&kind)
        && let Some(changes) = fix_all(server, &analysis, &key, files)
    {
        found.push(CodeAction {
            title: "Mend all that can be mended without asking".to_owned(),
            kind: Some(kind),
            edit: Some(changes.into_edit(server.taste.is_versioned)),
            ..CodeAction::default()
        });
    }
    json!(found)
}

/// What mending would change of a document.
fn fix_all(server: &Server, analysis: &Analysis, key: &str, files: &dyn Files) -> Option<Changes> {
    let document = server.documents.get(key)?;
    let texts = texts(server);
    let mended = config::mend(analysis.request.clone(), &WithTexts { files, texts: &texts });
    let own = document.load_path(&server.template.current_folder);
    let mended = mended.texts.into_iter().find(|text| text.path.as_ref() == Some(&own))?;
    let (before, after) = (String::from_utf8(mended.before).ok()?, String::from_utf8(mended.after).ok()?);
    if *before != *document.text {
        return None;
    }
    let (span, new_text) = actions::difference(&before, &after);
    let mut changes = Changes::default();
    let range = document.positions.range(&document.text, span);
    changes.push(&document.uri, Some(document.version), TextEdit { range, new_text });
    Some(changes)
}

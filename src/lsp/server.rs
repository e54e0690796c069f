//! The state of the server and the life of a session: what may be asked when, documents, checks and their remarks.
//!
//! ```text
//! new ─initialize─► running ─shutdown─► down ─exit─► end (0)
//!  └────────────────────┴────────exit, or the end of the stream────► end (1)
//! ```
//!
//! Answers to single questions are in `answer`.

use std::collections::{BTreeMap, BTreeSet};
use std::panic::{AssertUnwindSafe, catch_unwind};

use lsp_server::{ErrorCode, Message, Notification, Request, RequestId};
use lsp_types::{
    DidChangeTextDocumentParams, DidCloseTextDocumentParams, DidOpenTextDocumentParams, InitializeParams,
    PublishDiagnosticsParams, Uri,
};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::actions::Taste;
use super::answer;
use super::buffers::Document;
use super::check::{Analysis, CheckJob, CheckResult, Root};
use super::frame::Frame;
use super::position::Encoding;
use super::remarks::{self, ByDocument};
use crate::config::{Files, LoadRequest};

/// What becomes of the session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next {
    /// It goes on.
    Go,
    /// It ends.
    End {
        /// Whether the client had said so before.
        is_clean: bool,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    New,
    Running,
    Down,
}

/// Why a request has no result.
#[derive(Debug)]
pub(super) struct Refusal {
    pub(super) code: ErrorCode,
    pub(super) message: String,
}

impl Refusal {
    pub(super) fn new(code: ErrorCode, message: impl Into<String>) -> Self {
        Self { code, message: message.into() }
    }
}

/// A language server.
#[derive(Debug)]
pub struct Server {
    pub(super) template: LoadRequest,
    phase: Phase,
    pub(super) encoding: Encoding,
    pub(super) taste: Taste,
    has_watching: bool,
    editor: Option<u32>,
    /// Open documents by URI.
    pub(super) documents: BTreeMap<String, Document>,
    pub(super) analyses: BTreeMap<Root, Analysis>,
    /// Documents that are to be checked.
    dirty: BTreeSet<String>,
    /// What each project says of each document.
    said: BTreeMap<Root, ByDocument>,
}

impl Server {
    /// A server; `template` says what every check has in common: files of the command line, name, current folder.
    pub fn new(template: LoadRequest) -> Self {
        Self {
            template,
            phase: Phase::New,
            encoding: Encoding::Utf16,
            taste: Taste { is_versioned: false, has_related: false },
            has_watching: false,
            editor: None,
            documents: BTreeMap::new(),
            analyses: BTreeMap::new(),
            dirty: BTreeSet::new(),
            said: BTreeMap::new(),
        }
    }

    /// The process whose end ends the server, once it is known.
    pub fn editor(&self) -> Option<u32> {
        self.editor
    }

    /// Takes what has come since the last time, in its order; what is to be sent, and whether that is all.
    pub fn receive(&mut self, batch: Vec<Frame>, files: &dyn Files) -> (Vec<Value>, Next) {
        let canceled: Vec<RequestId> = batch.iter().filter_map(canceled).collect();
        let mut out = Vec::new();
        for frame in batch {
            match frame {
                Frame::Malformed { id, code, message } => out.push(refusal(id.as_ref(), &Refusal::new(code, message))),
                Frame::Message(Message::Request(request)) if canceled.contains(&request.id) => {
                    let canceled = Refusal::new(ErrorCode::RequestCanceled, "canceled by the client");
                    out.push(refusal(Some(&request.id), &canceled));
                }
                Frame::Message(Message::Request(request)) => {
                    let answer = catch_unwind(AssertUnwindSafe(|| self.request(&request, files)));
                    let answer = answer.unwrap_or_else(|_| {
                        Err(Refusal::new(
                            ErrorCode::InternalError,
                            "smolvm failed to answer; this is a mistake of smolvm",
                        ))
                    });
                    out.push(match answer {
                        Ok(result) => json!({ "jsonrpc": "2.0", "id": request.id, "result": result }),
                        Err(refused) => refusal(Some(&request.id), &refused),
                    });
                }
                Frame::Message(Message::Notification(notification)) => {
                    if notification.method == "exit" {
                        return (out, Next::End { is_clean: self.phase == Phase::Down });
                    }
                    if self.phase == Phase::Running {
                        out.extend(self.notification(notification));
                    }
                }
                // The one thing that is asked of the client is to tell of changed files; where it does not, saving helps.
                Frame::Message(Message::Response(_)) => {}
            }
        }
        (out, Next::Go)
    }

    fn request(&mut self, request: &Request, files: &dyn Files) -> Result<Value, Refusal> {
        match (self.phase, request.method.as_str()) {
            (Phase::New, "initialize") => self.initialize(request.params.clone()),
            (Phase::New, _) => Err(Refusal::new(ErrorCode::ServerNotInitialized, "`initialize` comes first")),
            (Phase::Down, _) => Err(Refusal::new(ErrorCode::InvalidRequest, "the server was shut down")),
            (Phase::Running, "initialize") => Err(Refusal::new(ErrorCode::InvalidRequest, "`initialize` came before")),
            (Phase::Running, "shutdown") => {
                self.phase = Phase::Down;
                self.dirty.clear();
                Ok(Value::Null)
            }
            (Phase::Running, _) => answer::answer(self, request, files),
        }
    }

    fn initialize(&mut self, params: Value) -> Result<Value, Refusal> {
        let params: InitializeParams = from_params(params)?;
        let capabilities = params.capabilities;
        let general = capabilities.general.unwrap_or_default();
        self.encoding = Encoding::choose(general.position_encodings.as_deref());
        let workspace = capabilities.workspace.unwrap_or_default();
        let document = capabilities.text_document.unwrap_or_default();
        self.taste = Taste {
            is_versioned: workspace.workspace_edit.and_then(|edit| edit.document_changes).unwrap_or_default(),
            has_related: document.publish_diagnostics.and_then(|of| of.related_information).unwrap_or_default(),
        };
        let watching = workspace.did_change_watched_files;
        self.has_watching = watching.and_then(|watching| watching.dynamic_registration).unwrap_or_default();
        self.editor = params.process_id;
        self.phase = Phase::Running;
        Ok(answer::capabilities(self.encoding))
    }

    fn notification(&mut self, notification: Notification) -> Vec<Value> {
        let Notification { method, params } = notification;
        match method.as_str() {
            "initialized" if self.has_watching => vec![watch()],
            "textDocument/didOpen" => {
                if let Ok(DidOpenTextDocumentParams { text_document: it }) = from_params(params) {
                    let key = it.uri.as_str().to_owned();
                    let document = Document::new(it.uri, it.version, it.text, self.encoding);
                    self.documents.insert(key.clone(), document);
                    self.touch(&key);
                }
                Vec::new()
            }
            "textDocument/didChange" => {
                if let Ok(DidChangeTextDocumentParams { text_document, content_changes }) = from_params(params) {
                    let key = text_document.uri.as_str().to_owned();
                    if let Some(document) = self.documents.get_mut(&key) {
                        document.change(content_changes, text_document.version, self.encoding);
                        self.touch(&key);
                    }
                }
                Vec::new()
            }
            "textDocument/didClose" => match from_params(params) {
                Ok(DidCloseTextDocumentParams { text_document }) => self.close(text_document.uri.as_str()),
                Err(_) => Vec::new(),
            },
            // What is on the disk is asked again.
            "textDocument/didSave" | "workspace/didChangeWatchedFiles" | "workspace/didChangeConfiguration" => {
                self.dirty.extend(self.documents.keys().cloned());
                Vec::new()
            }
            _ => Vec::new(),
        }
    }

    /// Marks a document, and those that are checked together with it.
    fn touch(&mut self, key: &str) {
        self.dirty.insert(key.to_owned());
        let Some(path) = self.documents.get(key).and_then(|document| document.path.clone()) else { return };
        for analysis in self.analyses.values().filter(|analysis| analysis.reads(&path)) {
            let together =
                self.documents.iter().filter(|(_, one)| one.path.as_ref().is_some_and(|path| analysis.reads(path)));
            self.dirty.extend(together.map(|(key, _)| key.clone()));
        }
    }

    /// Forgets a document, and the projects of which none is open any more.
    fn close(&mut self, key: &str) -> Vec<Value> {
        self.touch(key);
        self.dirty.remove(key);
        self.documents.remove(key);
        let is_open = |root: &Root, analysis: &Analysis| match root {
            Root::Untitled(uri) => self.documents.contains_key(uri),
            _ => self.documents.values().any(|one| one.path.as_ref().is_some_and(|path| analysis.reads(path))),
        };
        let gone: Vec<Root> =
            self.analyses.iter().filter(|(root, one)| !is_open(root, one)).map(|(root, _)| root.clone()).collect();
        gone.into_iter().flat_map(|root| self.forget(&root)).collect()
    }

    fn forget(&mut self, root: &Root) -> Vec<Value> {
        self.analyses.remove(root);
        self.say(root.clone(), ByDocument::new())
    }

    /// Whether a document is to be checked.
    pub fn is_dirty(&self) -> bool {
        !self.dirty.is_empty()
    }

    /// The next check, of documents as they are now.
    pub fn take_job(&mut self, files: &dyn Files) -> Option<CheckJob> {
        let key = self.dirty.pop_first()?;
        self.job(&key, files)
    }

    pub(super) fn job(&self, key: &str, files: &dyn Files) -> Option<CheckJob> {
        let document = self.documents.get(key)?;
        let reads = |analysis: &Analysis| document.path.as_ref().is_some_and(|path| analysis.reads(path));
        // Its own project is asked for last: it may be a part of another one.
        let own = document.path.clone().map(Root::File);
        let others = self.analyses.iter().filter(|(root, one)| Some(*root) != own.as_ref() && reads(one));
        let known = others.map(|(root, _)| root.clone()).collect();
        let documents: Vec<&Document> = self.documents.values().collect();
        Some(CheckJob::new(document, known, &self.template, &documents, files))
    }

    /// Takes what a check found; what is to be sent.
    pub fn absorb(&mut self, result: CheckResult) -> Vec<Value> {
        let root = result.root.clone();
        let documents: Vec<&Document> = self.documents.values().collect();
        let analysis = Analysis::new(result, &documents, self.encoding);
        let is_current = |one: &Document| {
            let path = one.load_path(&self.template.current_folder);
            analysis.reads(&path) && analysis.versions.get(&path) == Some(&one.version)
        };
        // Documents of the same project need no check of their own.
        let done: Vec<String> =
            self.documents.iter().filter(|(_, one)| is_current(one)).map(|(key, _)| key.clone()).collect();
        let is_part = |other: &Root| matches!(other, Root::File(path) if *other != root && analysis.reads(path));
        let parts: Vec<Root> = self.analyses.keys().filter(|other| is_part(other)).cloned().collect();
        for key in done {
            self.dirty.remove(&key);
        }
        let said = remarks::by_document(&analysis.diagnostics, &analysis.files, self.taste.has_related);
        self.analyses.insert(root.clone(), analysis);
        // A file that turned out to be a part of this project is checked with it from now on.
        let mut out: Vec<Value> = parts.iter().flat_map(|part| self.forget(part)).collect();
        out.extend(self.say(root, said));
        out
    }

    /// Sends what changed of what is said of documents.
    fn say(&mut self, root: Root, said: ByDocument) -> Vec<Value> {
        let before =
            if said.is_empty() { self.said.remove(&root) } else { self.said.insert(root.clone(), said.clone()) };
        let before = before.unwrap_or_default();
        let touched: BTreeSet<&String> = before.keys().chain(said.keys()).collect();
        let changed = touched.into_iter().filter(|uri| before.get(*uri) != said.get(*uri));
        changed.filter_map(|uri| self.publication(uri)).collect()
    }

    fn publication(&self, uri: &str) -> Option<Value> {
        let mut diagnostics = Vec::new();
        for one in self.said.values().filter_map(|said| said.get(uri)).flatten() {
            if !diagnostics.contains(one) {
                diagnostics.push(one.clone());
            }
        }
        let version = self.documents.get(uri).map(|document| document.version);
        let params = PublishDiagnosticsParams { uri: uri.parse::<Uri>().ok()?, diagnostics, version };
        let method = "textDocument/publishDiagnostics";
        Some(json!({ "jsonrpc": "2.0", "method": method, "params": params }))
    }
}

/// The id that a notification cancels.
fn canceled(frame: &Frame) -> Option<RequestId> {
    match frame {
        Frame::Message(Message::Notification(Notification { method, params })) if method == "$/cancelRequest" => {
            serde_json::from_value(params.get("id")?.clone()).ok()
        }
        _ => None,
    }
}

fn refusal(id: Option<&RequestId>, refusal: &Refusal) -> Value {
    json!({ "jsonrpc": "2.0", "id": id, "error": { "code": refusal.code as i32, "message": refusal.message } })
}

/// The request to be told when files change.
fn watch() -> Value {
    let watchers: Vec<Value> = ["**/*.{yaml,yml}", "**/*.env", "**/.env", "**/smolvm.lock"]
        .iter()
        .map(|glob| json!({ "globPattern": glob }))
        .collect();
    let method = "workspace/didChangeWatchedFiles";
    let registration = json!({ "id": "smolvm-files", "method": method, "registerOptions": { "watchers": watchers } });
    json!({
        "jsonrpc": "2.0", "id": "smolvm-register", "method": "client/registerCapability",
        "params": { "registrations": [registration] }
    })
}

/// Reads the parameters of a message.
pub(super) fn from_params<T: DeserializeOwned>(params: Value) -> Result<T, Refusal> {
    serde_json::from_value(params).map_err(|error| Refusal::new(ErrorCode::InvalidParams, error.to_string()))
}

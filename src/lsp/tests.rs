//! Tests of the room as a whole: a client that sends messages and reads what comes back, and checks in between.

mod completing;
mod hostile;
mod session;

use std::path::PathBuf;

use lsp_server::{Message, Notification, Request};
use serde_json::{Value, json};

use super::{Frame, Next, Server};
use crate::config::{LoadRequest, MemoryFiles};

/// The project's file in these tests.
const ROOT: &str = "file:///project/smolvm.yaml";

/// A client and its server.
struct Session {
    server: Server,
    files: MemoryFiles,
    next: i32,
    /// Remarks by URI, as they were sent last.
    remarks: std::collections::BTreeMap<String, Vec<Value>>,
}

impl Session {
    /// A session that has begun, with these capabilities of the client.
    fn with(files: MemoryFiles, capabilities: Value) -> Self {
        let template = LoadRequest { current_folder: PathBuf::from("/project"), ..LoadRequest::default() };
        let mut new = Self { server: Server::new(template), files, next: 0, remarks: Default::default() };
        new.ask("initialize", json!({ "processId": null, "rootUri": null, "capabilities": capabilities }));
        new.tell("initialized", json!({}));
        new
    }

    fn new(files: MemoryFiles) -> Self {
        let capabilities = json!({
            "workspace": { "workspaceEdit": { "documentChanges": true } },
            "textDocument": { "publishDiagnostics": { "relatedInformation": true } }
        });
        Self::with(files, capabilities)
    }

    /// A session with one open document.
    fn open(text: &str) -> Self {
        let mut new = Self::new(MemoryFiles::new().folder("/project/src"));
        new.open_as(ROOT, text);
        new
    }

    fn open_as(&mut self, uri: &str, text: &str) {
        let document = json!({ "uri": uri, "languageId": "yaml", "version": 1, "text": text });
        self.tell("textDocument/didOpen", json!({ "textDocument": document }));
        self.check();
    }

    fn hear(&mut self, said: Vec<Value>) -> Option<Value> {
        let mut answer = None;
        for message in said {
            if message["method"] == "textDocument/publishDiagnostics" {
                let params = &message["params"];
                let uri = params["uri"].as_str().unwrap().to_owned();
                self.remarks.insert(uri, params["diagnostics"].as_array().unwrap().clone());
            } else if message.get("id").is_some() && message.get("method").is_none() {
                answer = Some(message);
            }
        }
        answer
    }

    /// Sends a request; the whole answer.
    fn request(&mut self, method: &str, params: Value) -> Value {
        self.next += 1;
        let request = Request { id: self.next.into(), method: method.to_owned(), params };
        let (said, _) = self.server.receive(vec![Frame::Message(Message::Request(request))], &self.files.clone());
        self.hear(said).expect("every request has an answer")
    }

    /// Sends a request; its result.
    fn ask(&mut self, method: &str, params: Value) -> Value {
        let answer = self.request(method, params);
        assert!(answer.get("error").is_none(), "{answer}");
        answer["result"].clone()
    }

    fn tell(&mut self, method: &str, params: Value) -> Next {
        let notification = Notification { method: method.to_owned(), params };
        let frame = Frame::Message(Message::Notification(notification));
        let (said, next) = self.server.receive(vec![frame], &self.files.clone());
        self.hear(said);
        next
    }

    /// Makes all checks that wait.
    fn check(&mut self) {
        let files = self.files.clone();
        while let Some(job) = self.server.take_job(&files) {
            if let Some(result) = job.run(&files) {
                let said = self.server.absorb(result);
                self.hear(said);
            }
        }
    }

    /// Codes of the remarks on a document.
    fn codes(&self, uri: &str) -> Vec<&str> {
        let remarks = self.remarks.get(uri).map_or(&[][..], Vec::as_slice);
        remarks.iter().map(|remark| remark["code"].as_str().unwrap()).collect()
    }

    /// The parameters of a question about the first place of a needle in a text, moved by some characters.
    fn at(&self, text: &str, needle: &str, moved: u32) -> Value {
        let offset = text.find(needle).expect("the needle is in the text");
        let before = &text[..offset];
        let line = before.matches('\n').count();
        let column = before.rsplit('\n').next().unwrap_or_default().encode_utf16().count() + moved as usize;
        json!({ "textDocument": { "uri": ROOT }, "position": { "line": line, "character": column } })
    }
}

//! A language server that runs as a child: requests, documents and the remarks on them, over its standard streams.
//!
//! Deliberately not here: which server it is, and what is expected of it.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::Duration;

use serde_json::{Value, json};

/// The longest time that an answer may take, on a host that does other things too.
const PATIENCE: Duration = Duration::from_secs(120);

/// A server, and what it said of each document.
pub(crate) struct LanguageServer {
    child: Child,
    input: ChildStdin,
    messages: Receiver<Value>,
    settings: Value,
    requests: u64,
    remarks: BTreeMap<String, Vec<Value>>,
    has_asked_settings: bool,
}

impl LanguageServer {
    /// Starts a server and tells it who asks; `settings` answer what it asks of its configuration, by section.
    pub(crate) fn start(command: &mut Command, settings: Value) -> Self {
        let piped = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = piped.spawn().unwrap_or_else(|error| panic!("{command:?} does not start: {error}"));
        let input = child.stdin.take().unwrap();
        let mut output = BufReader::new(child.stdout.take().unwrap());
        let (sender, messages) = channel();
        thread::spawn(move || {
            while let Some(message) = read_message(&mut output) {
                if sender.send(message).is_err() {
                    break;
                }
            }
        });
        let remarks = BTreeMap::new();
        let mut server = Self { child, input, messages, settings, requests: 0, remarks, has_asked_settings: false };
        server.request(
            "initialize",
            &json!({
                "processId": null,
                "rootUri": null,
                "capabilities": {
                    "textDocument": {
                        "hover": { "contentFormat": ["markdown"] },
                        "completion": { "completionItem": { "snippetSupport": true } }
                    },
                    "workspace": { "configuration": true }
                }
            }),
        );
        server.notify("initialized", &json!({}));
        server
    }

    /// Waits until the server has read its settings.
    pub(crate) fn wait_for_settings(&mut self) {
        while !self.has_asked_settings {
            self.receive();
        }
    }

    /// Sends a request and gives its result.
    pub(crate) fn request(&mut self, method: &str, params: &Value) -> Value {
        self.requests += 1;
        let id = self.requests;
        self.send(&json!({ "jsonrpc": "2.0", "id": id, "method": method, "params": params }));
        loop {
            let answer = self.receive();
            if answer["id"] == json!(id) && answer.get("method").is_none() {
                assert!(answer["error"].is_null(), "{method}: {}", answer["error"]);
                return answer["result"].clone();
            }
        }
    }

    /// Says something that has no answer.
    pub(crate) fn notify(&mut self, method: &str, params: &Value) {
        self.send(&json!({ "jsonrpc": "2.0", "method": method, "params": params }));
    }

    /// Opens a document and gives the remarks on it.
    pub(crate) fn open(&mut self, uri: &str, text: &str) -> Vec<Value> {
        let document = json!({ "uri": uri, "languageId": "yaml", "version": 1, "text": text });
        self.notify("textDocument/didOpen", &json!({ "textDocument": document }));
        while !self.remarks.contains_key(uri) {
            self.receive();
        }
        self.remarks[uri].clone()
    }

    /// What is shown for the place; line and column count from 0.
    pub(crate) fn hover(&mut self, uri: &str, line: usize, column: usize) -> String {
        let shown = self.request("textDocument/hover", &at(uri, line, column));
        shown["contents"]["value"].as_str().unwrap_or_default().to_owned()
    }

    /// The words that are offered at the place; line and column count from 0.
    pub(crate) fn complete(&mut self, uri: &str, line: usize, column: usize) -> Vec<String> {
        let offered = self.request("textDocument/completion", &at(uri, line, column));
        let items = offered.get("items").unwrap_or(&offered).as_array().cloned().unwrap_or_default();
        items.iter().filter_map(|item| item["label"].as_str().map(str::to_owned)).collect()
    }

    fn send(&mut self, message: &Value) {
        let body = message.to_string();
        write!(self.input, "Content-Length: {}\r\n\r\n{body}", body.len()).unwrap();
        self.input.flush().unwrap();
    }

    /// The next message, when what the server asks in it has been answered.
    fn receive(&mut self) -> Value {
        let message = self.messages.recv_timeout(PATIENCE).expect("the server answers");
        match (message["method"].as_str(), message.get("id")) {
            (Some("textDocument/publishDiagnostics"), _) => {
                let params = &message["params"];
                let remarks = params["diagnostics"].as_array().cloned().unwrap_or_default();
                self.remarks.insert(params["uri"].as_str().unwrap_or_default().to_owned(), remarks);
            }
            (Some(method), Some(id)) => {
                let mut result = Value::Null;
                if method == "workspace/configuration" {
                    let items = message["params"]["items"].as_array().cloned().unwrap_or_default();
                    let section = |item: &Value| self.settings[item["section"].as_str().unwrap_or_default()].clone();
                    result = items.iter().map(section).collect();
                    self.has_asked_settings = true;
                }
                self.send(&json!({ "jsonrpc": "2.0", "id": id, "result": result }));
            }
            _ => {}
        }
        message
    }
}

impl Drop for LanguageServer {
    fn drop(&mut self) {
        // One that has ended by itself needs no killing.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn at(uri: &str, line: usize, column: usize) -> Value {
    json!({ "textDocument": { "uri": uri }, "position": { "line": line, "character": column } })
}

/// One message: headers, an empty line, and as many bytes as they say.
fn read_message(output: &mut BufReader<ChildStdout>) -> Option<Value> {
    let mut length = 0;
    loop {
        let mut line = String::new();
        if output.read_line(&mut line).ok()? == 0 {
            return None;
        }
        match line.trim_end() {
            "" => break,
            header => {
                if let Some(number) = header.to_lowercase().strip_prefix("content-length:") {
                    length = number.trim().parse().ok()?;
                }
            }
        }
    }
    let mut body = vec![0; length];
    output.read_exact(&mut body).ok()?;
    serde_json::from_slice(&body).ok()
}

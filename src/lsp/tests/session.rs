//! The life of a session, remarks, hover, places, symbols, fixes.

use serde_json::{Value, json};

use super::super::{Frame, Next, Server};
use super::{MemoryFiles, ROOT, Session};

const TWICE: &str =
    "# \u{1F600}\r\nmachines:\r\n  build:\r\n    mounts: [ ./src:/a, ./src:/a/ ]\r\nsteps: [{ run: x }]\r\n";

#[test]
fn a_session_begins_and_ends_as_the_protocol_says() {
    let template = crate::config::LoadRequest::default();
    let mut session =
        Session { server: Server::new(template), files: MemoryFiles::new(), next: 0, remarks: Default::default() };
    assert_eq!(session.request("textDocument/hover", json!({}))["error"]["code"], -32002);
    assert_eq!(session.tell("textDocument/didOpen", json!({ "wrong": true })), Next::Go);
    let offer = json!({ "general": { "positionEncodings": ["utf-16", "utf-8"] } });
    let result = session.ask("initialize", json!({ "processId": 7, "rootUri": null, "capabilities": offer }));
    assert_eq!(result["capabilities"]["positionEncoding"], "utf-8");
    assert_eq!(session.server.editor(), Some(7));
    assert_eq!(session.request("initialize", json!({ "capabilities": {} }))["error"]["code"], -32600);
    assert_eq!(session.request("smolvm/none", json!({}))["error"]["code"], -32601);
    assert_eq!(session.request("textDocument/hover", json!({ "textDocument": 3 }))["error"]["code"], -32602);
    assert_eq!(session.tell("smolvm/none", json!(null)), Next::Go);
    assert_eq!(session.ask("shutdown", json!(null)), Value::Null);
    assert_eq!(session.request("textDocument/hover", json!({}))["error"]["code"], -32600);
    assert_eq!(session.tell("exit", json!(null)), Next::End { is_clean: true });
    assert_eq!(Session::open("a: 1").tell("exit", json!(null)), Next::End { is_clean: false });
}

#[test]
fn a_request_that_is_canceled_before_its_turn_is_not_answered() {
    use lsp_server::{Message, Notification, Request};
    let mut session = Session::open("machines: {}\n");
    let request = Request { id: 77.into(), method: "shutdown".to_owned(), params: Value::Null };
    let cancel = Notification { method: "$/cancelRequest".to_owned(), params: json!({ "id": 77 }) };
    let batch = vec![Frame::Message(Message::Request(request)), Frame::Message(Message::Notification(cancel))];
    let (said, _) = session.server.receive(batch, &session.files.clone());
    assert_eq!(said[0]["error"]["code"], -32800);
    assert_eq!(
        session.ask("textDocument/hover", session.at("machines: {}\n", "machines", 1))["range"]["start"]["line"],
        0
    );
}

#[test]
fn remarks_have_place_code_help_and_related_places() {
    let session = Session::open(TWICE);
    assert_eq!(session.codes(ROOT), ["SMOL0101"]);
    let remark = &session.remarks[ROOT][0];
    assert_eq!(remark["range"]["start"], json!({ "line": 3, "character": 30 }));
    assert_eq!(remark["severity"], 1);
    assert_eq!(remark["source"], "smolvm");
    assert!(remark["message"].as_str().unwrap().contains("help: "), "{remark}");
    let related = &remark["relatedInformation"][0];
    assert_eq!(related["location"]["uri"], ROOT);
    assert_eq!(related["location"]["range"]["start"], json!({ "line": 3, "character": 20 }));
}

#[test]
fn remarks_follow_the_text_and_go_with_the_document() {
    let mut session = Session::open("machines: { a: { imgae: host } }\nsteps: [{ run: x }]\n");
    assert_eq!(session.codes(ROOT), ["SMOL0003"]);
    let range = json!({ "start": { "line": 0, "character": 17 }, "end": { "line": 0, "character": 22 } });
    let change = json!({
        "textDocument": { "uri": ROOT, "version": 2 },
        "contentChanges": [{ "range": range, "text": "image" }, { "text": "machines: { a: }\nsteps: [{ run: x }]\n" }]
    });
    session.tell("textDocument/didChange", change);
    session.check();
    assert_eq!(session.codes(ROOT), [""; 0]);
    let change = json!({ "textDocument": { "uri": ROOT, "version": 3 }, "contentChanges": [{ "text": "[" }] });
    session.tell("textDocument/didChange", change);
    session.check();
    assert_eq!(session.codes(ROOT), ["SMOL0001"]);
    session.tell("textDocument/didClose", json!({ "textDocument": { "uri": ROOT } }));
    assert_eq!(session.codes(ROOT), [""; 0]);
    assert!(!session.server.is_dirty());
}

#[test]
fn env_files_have_remarks_of_their_own_also_while_they_are_open() {
    let files = MemoryFiles::new().file("/project/.env", "A=1\n???\n");
    let mut session = Session::new(files);
    session.open_as(ROOT, "machines: { a: }\nsteps: [{ run: x }]\n");
    let env = "file:///project/.env";
    assert_eq!(session.codes(env), ["SMOL0304"]);
    assert_eq!(session.codes(ROOT), [""; 0]);
    session.open_as(env, "A=1\n");
    session.tell("textDocument/didSave", json!({ "textDocument": { "uri": env } }));
    session.check();
    assert_eq!(session.codes(env), [""; 0], "{:?}", session.remarks);
}

#[test]
fn what_is_on_the_disk_is_asked_again_when_something_was_saved() {
    let mut session = Session::new(MemoryFiles::new());
    session.open_as(ROOT, "machines: { a: { mounts: [./src:/a] } }\nsteps: [{ run: x }]\n");
    assert_eq!(session.codes(ROOT), ["SMOL0109"]);
    session.files = MemoryFiles::new().folder("/project/src");
    session.tell("workspace/didChangeWatchedFiles", json!({ "changes": [] }));
    session.check();
    assert_eq!(session.codes(ROOT), [""; 0]);
}

#[test]
fn documents_of_any_name_are_checked_and_parts_are_not_told_what_they_lack() {
    let mut session = Session::new(MemoryFiles::new());
    session.open_as("untitled:Untitled-1", "machines: { a: { imgae: host } }\nsteps: [{ run: x }]\n");
    assert_eq!(session.codes("untitled:Untitled-1"), ["SMOL0003"]);
    session.open_as("file:///other%20place/%C3%A9.yaml", "steps: [{ run: x, machine: gone, timout: 1s }]\n");
    assert_eq!(session.codes("file:///other%20place/%C3%A9.yaml"), ["SMOL0003"]);
    session.open_as("file:///other/smolvm.yaml", "steps: [{ run: x }]\n");
    assert_eq!(session.codes("file:///other/smolvm.yaml"), ["SMOL0006"]);
}

#[test]
fn clients_without_related_places_read_them_in_the_message() {
    let mut session = Session::with(MemoryFiles::new().folder("/project/src"), json!({}));
    session.open_as(ROOT, TWICE);
    let remark = &session.remarks[ROOT][0];
    assert_eq!(remark.get("relatedInformation"), None);
    assert!(remark["message"].as_str().unwrap().contains("\nline 4: "), "{remark}");
}

fn hover(session: &mut Session, text: &str, needle: &str) -> String {
    let params = session.at(text, needle, 1);
    session.ask("textDocument/hover", params)["contents"]["value"].as_str().unwrap_or_default().to_owned()
}

#[test]
fn hover_tells_keys_names_variables_sizes_and_rules() {
    let text = "machines:\n  build: { image: host, memory: 2GiB, hostname: \"h-${NAME}\" }\n  x: { hostname: \"${MY_TOKEN}${NONE:-a}\" }\n\
        steps:\n  - { id: one, machine: build, run: make, timeout: 90s }\n  - { run: b, machine: build, needs: [one], uint: 3 }\n";
    let files = MemoryFiles::new().variable("NAME", "ada").variable("MY_TOKEN", "hunter2");
    let mut session = Session::new(files);
    session.open_as(ROOT, text);
    let mut told = |needle: &str| hover(&mut session, text, needle);
    assert!(told("memory").contains("**memory**") && told("memory").contains("`1GiB`"));
    assert!(told("2GiB").contains("2048 MiB"), "{}", told("2GiB"));
    assert!(told("90s").contains("1m30s"));
    assert!(told("build: {").starts_with("machine `build`\n\nimage `host`"), "{}", told("build: {"));
    assert!(told("build, run").starts_with("machine `build`"));
    assert!(told("one]").starts_with("step `one`") && told("one]").contains("run `make`"), "{}", told("one]"));
    assert!(told("NAME}").contains("`ada`") && told("NAME}").contains("environment"));
    assert!(told("MY_TOKEN").contains("not shown") && !told("MY_TOKEN").contains("hunter2"));
    assert!(told("NONE").contains("not set"));
    assert!(told("uint").contains("**SMOL0003**") && told("uint").contains("smolvm explain SMOL0003"));
    assert!(told("run: make").ends_with(&told("make")), "a command has the meaning of its key");
}

#[test]
fn names_lead_to_where_they_are_declared_and_back() {
    let text = "x-r: &rust { cpus: 2 }\nmachines:\n  build: *rust\nsteps:\n  - { id: one, machine: build, run: x }\n  - { run: y, machine: build, needs: [one] }\n";
    let mut session = Session::new(MemoryFiles::new().file("/project/.env", "A=1\nB=2\n").file("/project/tool", ""));
    session.open_as(ROOT, text);
    let start = |value: &Value| value[0]["range"]["start"].clone();
    for (needle, line, column) in [("build, run", 2, 2), ("one]", 4, 10), ("rust\nsteps", 0, 6)] {
        let found = session.ask("textDocument/definition", session.at(text, needle, 1));
        assert_eq!(start(&found), json!({ "line": line, "character": column }), "{needle}");
    }
    let mut params = session.at(text, "build:", 1);
    params["context"] = json!({ "includeDeclaration": true });
    assert_eq!(session.ask("textDocument/references", params).as_array().unwrap().len(), 3);
    assert_eq!(
        session.ask("textDocument/documentHighlight", session.at(text, "build:", 1)).as_array().unwrap().len(),
        3
    );
    let mut params = session.at(text, "one,", 1);
    params["newName"] = json!("first");
    let edit = session.ask("textDocument/rename", params.clone());
    assert_eq!(edit["documentChanges"][0]["textDocument"]["version"], 1);
    assert_eq!(edit["documentChanges"][0]["edits"].as_array().unwrap().len(), 2);
    params["newName"] = json!("No Name");
    assert_eq!(session.request("textDocument/rename", params)["error"]["code"], -32803);
    let other = "machines: { a: { env: { X: \"${B}\" }, mounts: [ ./tool:/t ] } }\n";
    session.tell(
        "textDocument/didChange",
        json!({ "textDocument": { "uri": ROOT, "version": 2 }, "contentChanges": [{ "text": other }] }),
    );
    let found = session.ask("textDocument/definition", session.at(other, "B}", 0));
    assert_eq!(
        (&found[0]["uri"], start(&found)),
        (&json!("file:///project/.env"), json!({ "line": 1, "character": 0 }))
    );
    assert_eq!(session.ask("textDocument/definition", session.at(other, "tool", 0))[0]["uri"], "file:///project/tool");
}

#[test]
fn the_contents_of_a_file_are_a_tree() {
    let text = "machines:\n  build: { image: host }\nsteps:\n  - { id: one, run: x }\n  - run: y\nbroken\n";
    let mut session = Session::open(text);
    let symbols = session.ask("textDocument/documentSymbol", json!({ "textDocument": { "uri": ROOT } }));
    let names = |list: &Value| -> Vec<String> {
        list.as_array().unwrap().iter().map(|one| one["name"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(names(&symbols), ["machines", "steps"]);
    assert_eq!(names(&symbols[0]["children"]), ["build"]);
    assert_eq!(names(&symbols[1]["children"]), ["one", "2. step"]);
}

fn actions(session: &mut Session, only: Value) -> Value {
    let range = json!({ "start": { "line": 0, "character": 0 }, "end": { "line": 9, "character": 0 } });
    let context = json!({ "diagnostics": [], "only": only });
    session
        .ask("textDocument/codeAction", json!({ "textDocument": { "uri": ROOT }, "range": range, "context": context }))
}

#[test]
fn fixes_are_offered_one_by_one_and_all_at_once() {
    let mut session = Session::open("services: { a: { memry: 512m } }\nsteps: [{ run: x }]\n");
    let found = actions(&mut session, json!(["quickfix"]));
    let first = &found[0];
    assert_eq!(first["title"], "Replace `services` with `machines`");
    assert_eq!(first["isPreferred"], true);
    assert_eq!(first["edit"]["documentChanges"][0]["textDocument"], json!({ "uri": ROOT, "version": 1 }));
    assert_eq!(first["diagnostics"][0]["code"], "SMOL0003");
    let all = actions(&mut session, json!(["source.fixAll"]));
    let edits = all[0]["edit"]["documentChanges"][0]["edits"].as_array().unwrap().clone();
    assert_eq!(edits.len(), 1, "{all}");
    assert!(edits[0]["newText"].as_str().unwrap().contains("machines: { a: { memory"), "{all}");
    assert_eq!(actions(&mut session, json!(["refactor"])), json!([]));
    assert_eq!(actions(&mut session, Value::Null).as_array().unwrap().len(), found.as_array().unwrap().len() + 1);
}

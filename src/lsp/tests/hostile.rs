//! Any text, any place, any message: nothing panics, and every question has an answer.

use proptest::prelude::*;
use serde_json::json;

use super::super::Frame;
use super::super::frame::read_frame;
use super::super::outline::{Kind, Outline};
use super::super::position::{Encoding, Positions};
use super::{ROOT, Session};

/// Much of the language, to be broken.
const WHOLE: &str = "\u{feff}name: acme # größe\r\nenv: { CI: \"${CI:-false}\" }\nx-rust: &rust\n  image: host\n  cpus: 2\n\
    machines:\n  build:\n    <<: *rust\n    mounts:\n      - ./src:/code:ro\n      - { source: ./out, target: /output, \
    create: true }\n    depends_on: { db: { condition: healthy } }\n  db: *rust\nsteps:\n  - id: compile\n    machine: build\n    \
    run: |\n      make \u{1F600}\n    timeout: 10m\n  - machine: db\n    needs: [compile]\n    run: ['a', \"b\\n\"]\n";

/// Pieces that break things.
const PIECES: &str = "[\\-:{}\\[\\]&*!|>'\"#,$\\\\ \n\r\tabé\u{1F600}\u{F8F5}]{0,8}";

fn questions(session: &mut Session, line: u32, character: u32) {
    let params = json!({ "textDocument": { "uri": ROOT }, "position": { "line": line, "character": character },
        "context": { "includeDeclaration": true }, "newName": "new" });
    for method in ["hover", "completion", "definition", "references", "documentHighlight", "prepareRename", "rename"] {
        let answer = session.request(&format!("textDocument/{method}"), params.clone());
        assert_ne!(answer["error"]["code"], -32603, "{method}: {answer}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn edits_at_random_and_questions_anywhere_never_panic(
        edits in proptest::collection::vec((0u32..28, 0u32..40, 0u32..3, 0u32..9, PIECES), 1..6),
        line in 0u32..28, character in 0u32..40,
    ) {
        let mut session = Session::open(WHOLE);
        for (version, (line, character, lines, width, text)) in (2..).zip(edits) {
            let range = json!({
                "start": { "line": line, "character": character },
                "end": { "line": line + lines, "character": character + width }
            });
            let change = json!({ "textDocument": { "uri": ROOT, "version": version },
                "contentChanges": [{ "range": range, "text": text }] });
            session.tell("textDocument/didChange", change);
            questions(&mut session, line, character);
        }
        session.check();
        questions(&mut session, line, character);
        let document = json!({ "textDocument": { "uri": ROOT } });
        prop_assert!(session.request("textDocument/documentSymbol", document).get("error").is_none());
        let range = json!({ "start": { "line": 0, "character": 0 }, "end": { "line": 40, "character": 0 } });
        let params = json!({ "textDocument": { "uri": ROOT }, "range": range, "context": { "diagnostics": [] } });
        prop_assert!(session.request("textDocument/codeAction", params).get("error").is_none());
    }

    #[test]
    fn an_outline_of_any_text_has_places_inside_it(text in "([a-c:#\\-{}\\[\\],&*!|>'\"$ \n\t\\\\é\r]|: |- |\n  ){0,60}") {
        let outline = Outline::new(&text);
        for node in &outline.nodes {
            prop_assert!(text.get(node.span.clone()).is_some(), "{:?} of {:?}", node.span, text);
            if let Kind::Map(entries) = &node.kind {
                for entry in entries {
                    prop_assert_eq!(text.get(entry.key.span.clone()), Some(entry.key.text.as_str()));
                }
            }
        }
        for (offset, _) in text.char_indices() {
            outline.at(offset);
        }
    }

    #[test]
    fn bytes_that_are_no_messages_are_read_to_their_end(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let mut reader = &bytes[..];
        while let Ok(Some(_)) = read_frame(&mut reader) {}
    }

    #[test]
    fn messages_with_any_parameters_are_answered(method in "[a-zA-Z/$]{0,24}", number in any::<i64>(), text in ".{0,20}") {
        let mut session = Session::open("machines: {}\n");
        let params = json!({ "textDocument": { "uri": text, "version": number }, "position": number, "contentChanges": [text] });
        for method in [method.as_str(), "textDocument/didChange", "textDocument/didOpen", "textDocument/didClose"] {
            session.tell(method, params.clone());
        }
        for method in [method.as_str(), "textDocument/hover", "textDocument/codeAction", "initialize"] {
            prop_assert_ne!(session.request(method, params.clone())["error"]["code"].as_i64(), Some(-32603));
        }
    }
}

#[test]
fn deep_and_wide_texts_are_outlined_in_time() {
    let wide = "- a: [b, {c: d}]\n".repeat(20_000);
    for text in ["[".repeat(200_000), "- ".repeat(100_000), "{a: ".repeat(50_000), "\"".repeat(100_000), wide] {
        let outline = Outline::new(&text);
        assert!(!outline.nodes.is_empty());
        Positions::new(&text, Encoding::Utf16);
    }
}

#[test]
fn a_malformed_message_is_answered_without_an_id() {
    let mut session = Session::open("a: 1");
    let mut bytes: &[u8] = b"Content-Length: 3\r\n\r\n{x}";
    let frame: Frame = read_frame(&mut bytes).unwrap().unwrap();
    let (said, _) = session.server.receive(vec![frame], &session.files.clone());
    assert_eq!((said[0]["id"].is_null(), &said[0]["error"]["code"]), (true, &json!(-32700)));
}

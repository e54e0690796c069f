//! Plain data as YAML and JSON, its keys in order.

use serde::ser::{Serialize, SerializeMap, SerializeSeq, Serializer};

use super::tree::{ScalarForm, plain_form};

/// What a file can hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Node {
    Text(String),
    Number(u64),
    Flag(bool),
    List(Vec<Node>),
    Map(Vec<(String, Node)>),
}

impl Serialize for Node {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Text(text) => serializer.serialize_str(text),
            Self::Number(number) => serializer.serialize_u64(*number),
            Self::Flag(flag) => serializer.serialize_bool(*flag),
            Self::List(items) => {
                let mut list = serializer.serialize_seq(Some(items.len()))?;
                items.iter().try_for_each(|item| list.serialize_element(item))?;
                list.end()
            }
            Self::Map(entries) => {
                let mut map = serializer.serialize_map(Some(entries.len()))?;
                entries.iter().try_for_each(|(key, value)| map.serialize_entry(key, value))?;
                map.end()
            }
        }
    }
}

/// Indented JSON and a line end.
pub(super) fn render_json(node: &Node) -> String {
    let mut text = serde_json::to_string_pretty(node).expect("texts, numbers and lists always serialize");
    text.push('\n');
    text
}

/// YAML in blocks.
pub(super) fn render_yaml(node: &Node) -> String {
    let mut out = String::new();
    block(node, 0, &mut out);
    out
}

/// Writes lists and maps from the start of a line, others to its end.
fn block(node: &Node, indent: usize, out: &mut String) {
    match node {
        Node::Map(entries) if !entries.is_empty() => {
            for (place, (key, value)) in entries.iter().enumerate() {
                if place > 0 {
                    out.push_str(&" ".repeat(indent));
                }
                out.push_str(&scalar(key));
                out.push(':');
                nested(value, indent, out);
            }
        }
        Node::List(items) if !items.is_empty() => {
            for (place, item) in items.iter().enumerate() {
                if place > 0 {
                    out.push_str(&" ".repeat(indent));
                }
                out.push_str("- ");
                block(item, indent + 2, out);
            }
        }
        Node::Map(_) => out.push_str("{}\n"),
        Node::List(_) => out.push_str("[]\n"),
        Node::Text(text) => match literal(text, indent) {
            Some(literal) => out.push_str(&literal),
            None => out.push_str(&format!("{}\n", scalar(text))),
        },
        Node::Number(number) => out.push_str(&format!("{number}\n")),
        Node::Flag(flag) => out.push_str(&format!("{flag}\n")),
    }
}

/// What follows the colon of a key.
fn nested(value: &Node, indent: usize, out: &mut String) {
    let is_block = match value {
        Node::Map(entries) => !entries.is_empty(),
        Node::List(items) => items.iter().any(|item| !matches!(item, Node::Text(text) if !text.contains('\n'))),
        _ => false,
    };
    if is_block {
        out.push('\n');
        out.push_str(&" ".repeat(indent + 2));
        block(value, indent + 2, out);
        return;
    }
    out.push(' ');
    match value {
        Node::List(items) => {
            let words = items.iter().map(|item| if let Node::Text(text) = item { scalar(text) } else { String::new() });
            out.push_str(&format!("[{}]\n", words.collect::<Vec<_>>().join(", ")));
        }
        // The lines of a literal stand below their key.
        other => block(other, indent + 2, out),
    }
}

/// A text of several lines below `|`, where its lines come back as they are.
fn literal(text: &str, indent: usize) -> Option<String> {
    let body = text.strip_suffix('\n').unwrap_or(text);
    let is_plain = text.contains('\n')
        && !body.is_empty()
        && !body.starts_with([' ', '\n', '\t'])
        && !body.ends_with('\n')
        && body.chars().all(|c| c == '\n' || c == '\t' || is_printable(c));
    if !is_plain {
        return None;
    }
    let mut out = if body.len() == text.len() { "|-\n".to_owned() } else { "|\n".to_owned() };
    for line in body.split('\n') {
        if !line.is_empty() {
            out.push_str(&" ".repeat(indent));
            out.push_str(line);
        }
        out.push('\n');
    }
    Some(out)
}

/// A text on one line: plain where it comes back as it is, also within `[ ]`, else in double quotes.
fn scalar(text: &str) -> String {
    // Other readers take these for booleans.
    let is_old_boolean = matches!(text.to_ascii_lowercase().as_str(), "y" | "n" | "yes" | "no" | "on" | "off");
    let is_text = plain_form(text) == ScalarForm::Text && !is_old_boolean;
    let is_start = text.starts_with(|c: char| c.is_alphanumeric() || matches!(c, '/' | '.' | '_' | '$'));
    let is_safe = |c: char| c.is_alphanumeric() || "/._-+=@$() ~^;<>".contains(c);
    if is_text && is_start && !text.ends_with(' ') && text.chars().all(is_safe) {
        return text.to_owned();
    }
    let mut quoted = String::from("\"");
    for character in text.chars() {
        match character {
            '"' | '\\' => quoted.extend(['\\', character]),
            '\n' => quoted.push_str("\\n"),
            '\t' => quoted.push_str("\\t"),
            _ if is_printable(character) => quoted.push(character),
            _ => quoted.push_str(&escape(character)),
        }
    }
    quoted.push('"');
    quoted
}

fn escape(character: char) -> String {
    match u32::from(character) {
        code @ ..=0xFFFF => format!("\\u{code:04X}"),
        code => format!("\\U{code:08X}"),
    }
}

fn is_printable(character: char) -> bool {
    !character.is_control() && !matches!(character, '\u{2028}' | '\u{2029}' | '\u{FEFF}' | '\u{85}')
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn text(text: &str) -> Node {
        Node::Text(text.to_owned())
    }

    #[test]
    fn blocks_are_indented_and_short_lists_stand_on_one_line() {
        let step = Node::Map(vec![
            ("id".to_owned(), text("a")),
            ("run".to_owned(), text("make\n\n  install\n")),
            ("needs".to_owned(), Node::List(Vec::new())),
            ("shell".to_owned(), Node::List(vec![text("bash"), text("1.5"), text("a: b")])),
        ]);
        let file = Node::Map(vec![
            ("env".to_owned(), Node::Map(vec![("CI".to_owned(), text("true")), ("E".to_owned(), text(""))])),
            ("steps".to_owned(), Node::List(vec![step.clone(), step])),
            ("cpus".to_owned(), Node::Number(2)),
        ]);
        let item =
            "id: a\n    run: |\n      make\n\n        install\n    needs: []\n    shell: [bash, \"1.5\", \"a: b\"]\n";
        assert_eq!(
            render_yaml(&file),
            format!("env:\n  CI: \"true\"\n  E: \"\"\nsteps:\n  - {item}  - {item}cpus: 2\n")
        );
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_again(texts in proptest::collection::vec("([a-z#:|>\\-'\"\\\\ \t\n${}\\[\\],&*!%@`é\u{85}\u{1}~]|true|null|1){0,8}", 1..4)) {
            let nodes: Vec<Node> = texts.iter().map(|one| text(one)).collect();
            let map = Node::Map(vec![
                ("flow".to_owned(), Node::List(nodes.clone())),
                ("map".to_owned(), Node::Map(texts.iter().enumerate().map(|(at, one)| (format!("k{at}"), text(one))).collect())),
            ]);
            let yaml = render_yaml(&map);
            let read: serde_json::Value = serde_yaml::from_str(&yaml).map_err(|error| TestCaseError::fail(format!("{error}\n{yaml}")))?;
            prop_assert_eq!(read, serde_json::to_value(&map).unwrap(), "{}", yaml);
        }
    }
}

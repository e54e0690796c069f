//! Hashes of what is resolved: whether a project, or one of its machines, is still what it was.
//!
//! The order of keys does not count, that of lists does. Deliberately not here: what is resolved (`resolved`), and
//! contents of images and of files.

use sha2::{Digest, Sha256};

use super::model::Project;
use super::resolved::file;
use super::written::{Node, render_json};

/// Hashes as hexadecimal digits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hashes {
    /// Of all that `smolvm config` prints.
    pub project: String,
    /// Of each machine, with the environment of the file; by name, in the order of the file.
    pub machines: Vec<(String, String)>,
}

/// The hashes of a project.
pub fn resolved_hashes(project: &Project) -> Hashes {
    let whole = file(project);
    let of = |key: &str| match &whole {
        Node::Map(entries) => entries.iter().find(|(name, _)| name == key).map(|(_, node)| node.clone()),
        _ => None,
    };
    let env = of("env");
    let machine = |node: Node| {
        let env = env.clone().map(|env| ("env".to_owned(), env));
        hash(Node::Map(env.into_iter().chain([("machine".to_owned(), node)]).collect()))
    };
    let machines = match of("machines") {
        Some(Node::Map(machines)) => machines.into_iter().map(|(name, node)| (name, machine(node))).collect(),
        _ => Vec::new(),
    };
    Hashes { project: hash(whole), machines }
}

fn hash(node: Node) -> String {
    let digest = Sha256::digest(render_json(&sorted(node)));
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn sorted(node: Node) -> Node {
    match node {
        Node::Map(entries) => {
            let mut entries: Vec<(String, Node)> =
                entries.into_iter().map(|(key, value)| (key, sorted(value))).collect();
            entries.sort_by(|one, other| one.0.cmp(&other.0));
            Node::Map(entries)
        }
        Node::List(items) => Node::List(items.into_iter().map(sorted).collect()),
        other => other,
    }
}

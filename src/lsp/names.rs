//! Names that a file declares and uses: machines, steps, volumes and anchors.

use std::ops::Range;

use super::outline::{Kind, NodeId, Outline, Step};
use super::shape;

/// What a name is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum NameKind {
    Machine,
    Step,
    Volume,
    /// It counts in its own file only, from its place on.
    Anchor,
}

/// A name at a place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Occurrence {
    pub(super) kind: NameKind,
    pub(super) name: String,
    pub(super) span: Range<usize>,
    /// The node that is declared; none where the name is used.
    pub(super) declared: Option<NodeId>,
}

/// What a value is, beyond its form.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Meaning {
    /// The name of something declared elsewhere.
    Name(NameKind),
    /// `MACHINE:PORT`.
    Link,
    /// `SOURCE:TARGET[:MODE]`.
    ShortMount,
    /// A path on the host.
    HostPath,
    /// An image or kernel, which may be a path.
    Image,
    /// A script or command, in which nothing is replaced.
    Command,
    /// The name that a step gives itself.
    StepId,
    Other,
}

/// The steps of a way as words; `#` for a place in a list.
pub(super) fn words(path: &[Step]) -> Vec<&str> {
    let word = |step: &'_ Step| if let Step::Key(_) = step { None } else { Some("#") };
    path.iter()
        .map(|step| match (word(step), step) {
            (None, Step::Key(key)) => key.as_str(),
            _ => "#",
        })
        .collect()
}

/// What the value at the end of a way is; `is_volume` tells whether the mount that holds it says so.
pub(super) fn meaning(path: &[Step], is_volume: bool) -> Meaning {
    match words(path).as_slice() {
        ["steps" | "finally", "#", "machine"] | ["machines", _, "depends_on", "#"] => Meaning::Name(NameKind::Machine),
        ["steps", "#", "needs", "#"] => Meaning::Name(NameKind::Step),
        ["steps" | "finally", "#", "id"] => Meaning::StepId,
        ["machines", _, "links", "#"] => Meaning::Link,
        ["machines", _, "mounts", "#"] => Meaning::ShortMount,
        ["machines", _, "mounts", "#", "source"] if is_volume => Meaning::Name(NameKind::Volume),
        ["machines", _, "mounts", "#", "source"] | ["machines", _, "modules"] | ["include", "#"] => Meaning::HostPath,
        [.., "env_file", "#"] | [.., "env_file", "#", "path"] => Meaning::HostPath,
        ["machines", _, "image" | "kernel"] => Meaning::Image,
        ["steps" | "finally", "#", "run"] | ["machines", _, "command"] | ["machines", _, "healthcheck", "test"] => {
            Meaning::Command
        }
        ["steps" | "finally", "#", "run", "#"]
        | ["machines", _, "command", "#"]
        | ["machines", _, "healthcheck", "test", "#"] => Meaning::Command,
        _ => Meaning::Other,
    }
}

/// What the value of a node is.
pub(super) fn meaning_of(outline: &Outline, id: NodeId) -> Meaning {
    let (path, nodes) = shape::seen(outline, id);
    let mount = nodes.get(nodes.len().wrapping_sub(2));
    let is_volume = mount.and_then(|mount| outline.text(outline.get(*mount, "type")?)) == Some("volume");
    meaning(&path, is_volume)
}

/// All names of a file.
pub(super) fn occurrences(outline: &Outline) -> Vec<Occurrence> {
    let mut out = Vec::new();
    for key in ["machines", "volumes"] {
        let kind = if key == "machines" { NameKind::Machine } else { NameKind::Volume };
        let Some(map) = outline.get(outline.root, key) else { continue };
        for entry in outline.entries(outline.resolve(map)).iter().filter(|entry| is_declared(&entry.key.text)) {
            let (name, span) = (entry.key.text.clone(), entry.key.span.clone());
            out.push(Occurrence { kind, name, span, declared: Some(entry.value) });
        }
    }
    for (id, node) in outline.nodes.iter().enumerate() {
        if let Some(anchor) = &node.anchor {
            let (name, span) = (anchor.text.clone(), anchor.span.clone());
            out.push(Occurrence { kind: NameKind::Anchor, name, span, declared: Some(id) });
        }
        match &node.kind {
            Kind::Alias(word) => out.push(Occurrence {
                kind: NameKind::Anchor,
                name: word.text.clone(),
                span: word.span.clone(),
                declared: None,
            }),
            Kind::Scalar { text, inner, is_block: false } => out.extend(named(outline, id, text, inner)),
            Kind::Map(entries) => {
                if let ["machines", _, "depends_on"] = words(&shape::seen(outline, id).0).as_slice() {
                    out.extend(entries.iter().map(|entry| Occurrence {
                        kind: NameKind::Machine,
                        name: entry.key.text.clone(),
                        span: entry.key.span.clone(),
                        declared: None,
                    }));
                }
            }
            _ => {}
        }
    }
    out.retain(|occurrence| !occurrence.name.is_empty());
    out
}

fn is_declared(key: &str) -> bool {
    !key.starts_with("x-") && key != "<<"
}

/// The name that a scalar is, or begins with.
fn named(outline: &Outline, id: NodeId, text: &str, inner: &Range<usize>) -> Option<Occurrence> {
    let (kind, length, declared) = match meaning_of(outline, id) {
        Meaning::Name(kind) => (kind, text.len(), None),
        Meaning::Link => (NameKind::Machine, text.find(':').unwrap_or(text.len()), None),
        Meaning::ShortMount if !text.starts_with(['.', '/', '~', '$']) => {
            (NameKind::Volume, text.find(':').unwrap_or(text.len()), None)
        }
        Meaning::StepId => (NameKind::Step, text.len(), outline.nodes[id].parent.map(|(step, _)| step)),
        _ => return None,
    };
    let span = inner.start..inner.start + length;
    Some(Occurrence { kind, name: text[..length].to_owned(), span, declared })
}

/// Steps that have no id of their own: the name that they have all the same, and their node.
pub(super) fn unnamed_steps(outline: &Outline) -> Vec<(String, NodeId)> {
    let Some(steps) = outline.get(outline.root, "steps") else { return Vec::new() };
    let items = outline.items(steps).iter().enumerate();
    let unnamed = items.filter(|(_, step)| outline.get(**step, "id").is_none());
    unnamed.map(|(place, step)| (format!("step-{}", place + 1), *step)).collect()
}

/// What a declared thing is, in one line.
pub(super) fn summary(outline: &Outline, kind: NameKind, node: NodeId) -> String {
    let node = outline.resolve(node);
    let text = |key: &str| outline.get(node, key).and_then(|value| outline.text(value));
    let mut facts = Vec::new();
    let mut fact = |key: &str| facts.extend(text(key).map(|value| format!("{key} `{}`", first_line(value))));
    match kind {
        NameKind::Machine => ["image", "cpus", "memory", "user", "command"].into_iter().for_each(&mut fact),
        NameKind::Step => ["name", "machine", "run", "timeout"].into_iter().for_each(&mut fact),
        NameKind::Volume => fact("size"),
        NameKind::Anchor => {}
    }
    let mounts = outline.get(node, "mounts").map_or(0, |mounts| outline.items(mounts).len());
    if kind == NameKind::Machine && mounts > 0 {
        facts.push(format!("{mounts} mount{}", if mounts == 1 { "" } else { "s" }));
    }
    facts.join(", ")
}

/// The first line that says something; of a text below `|` the line after that.
fn first_line(text: &str) -> String {
    let is_content = |line: &&str| !line.is_empty() && !matches!(line.trim_end_matches(['-', '+']), "|" | ">");
    text.lines().map(str::trim).find(is_content).unwrap_or_default().chars().take(80).collect()
}

/// The kind in words.
pub(super) fn word(kind: NameKind) -> &'static str {
    match kind {
        NameKind::Machine => "machine",
        NameKind::Step => "step",
        NameKind::Volume => "volume",
        NameKind::Anchor => "anchor",
    }
}

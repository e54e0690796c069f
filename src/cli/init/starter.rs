//! The text of a first file: head, one machine, steps, each line that is not plain with a comment.

use super::kinds::{Part, Step, parts};
use super::look::{Folder, GUEST_PATH};

/// A first file.
pub(super) struct Starter {
    pub(super) text: String,
    /// What it is for, for people.
    pub(super) what: String,
    /// What the user should know before the first run.
    pub(super) remarks: Vec<String>,
}

/// Where this project, or one like it, keeps the schema.
const SCHEMAS: [&str; 2] = ["smolvm.schema.json", "schema/smolvm.schema.json"];

/// Column of comments beside mounts.
const COMMENTS: usize = 72;

/// Writes the file for a folder.
pub(super) fn write(folder: &Folder<'_>) -> Starter {
    let parts = parts(folder);
    let titles: Vec<&str> = parts.iter().map(|part| part.title).collect();
    let what = match titles.split_last() {
        None => "no kind of project that it knows: a machine and a step to begin with".to_owned(),
        Some((last, [])) => (*last).to_owned(),
        Some((last, before)) => format!("{} and {last}", before.join(", ")),
    };
    let mut text = head(folder);
    text.push_str(&machine(folder, &parts));
    text.push_str("\nsteps:\n");
    let mut steps: Vec<&Step> = parts.iter().flat_map(|part| &part.steps).collect();
    let first = first_step();
    if steps.is_empty() {
        steps.push(&first);
    }
    steps.into_iter().for_each(|one| text.push_str(&step(one)));
    let mut remarks: Vec<String> = Vec::new();
    for remark in parts.into_iter().flat_map(|part| part.remarks) {
        if !remarks.contains(&remark) {
            remarks.push(remark);
        }
    }
    Starter { text, what, remarks }
}

fn head(folder: &Folder<'_>) -> String {
    let schema = SCHEMAS.into_iter().find(|name| folder.has_file(name));
    let schema = match schema {
        Some(name) => format!("# yaml-language-server: $schema=./{name}\n"),
        None => String::new(),
    };
    let editor = match schema.is_empty() {
        true => "# `smolvm schema` prints what an editor needs to complete and check it.\n",
        false => "",
    };
    format!(
        "{schema}# What `smolvm up` runs: a machine, folders of this computer in it, and steps from top to bottom.\n\
         # `smolvm check` tells mistakes, `smolvm plan` shows what will happen.\n{editor}\n"
    )
}

fn machine(folder: &Folder<'_>, parts: &[Part]) -> String {
    let mut text =
        "machines:\n  build:\n    image: host         # this computer's own root, read-only, without homes and \
                    what is private\n"
            .to_owned();
    if parts.iter().any(|part| part.is_large) && folder.has_memory(4096) {
        text.push_str("    memory: 2GiB\n");
    }
    text.push_str(
        "    network: none       # the default: nothing is fetched, nothing leaves\n    working_dir: /code\n",
    );
    let mut env: Vec<(&str, String)> = Vec::new();
    let path: Vec<&str> = parts.iter().flat_map(|part| &part.path).map(String::as_str).collect();
    if !path.is_empty() {
        env.push(("PATH", format!("{}:{GUEST_PATH}", path.join(":"))));
    }
    env.extend(parts.iter().flat_map(|part| &part.env).map(|(name, value)| (*name, value.clone())));
    if !env.is_empty() {
        text.push_str("    env:\n");
        env.iter().for_each(|(name, value)| text.push_str(&format!("      {name}: {value}\n")));
    }
    text.push_str("    mounts:\n");
    let out = out_folder(folder);
    let code = if parts.iter().any(|part| part.writes_in_place) {
        ("{ type: overlay, source: ., target: /code }".to_owned(), "this folder: steps may write, it never changes")
    } else {
        (".:/code:ro".to_owned(), "this folder, which no step can change")
    };
    let output =
        (format!("{{ source: ./{out}, target: /out, create: true }}"), "what is made here is yours, on this computer");
    for (mount, why) in [&code, &output].into_iter().chain(parts.iter().flat_map(|part| &part.mounts)) {
        let line = format!("      - {mount}");
        text.push_str(&format!("{line:COMMENTS$} # {why}\n"));
    }
    text
}

/// A name for the folder of outputs that no file has.
fn out_folder(folder: &Folder<'_>) -> &'static str {
    ["out", "smolvm-out"].into_iter().find(|name| !folder.has_file(name)).unwrap_or("smolvm-outputs")
}

fn first_step() -> Step {
    Step {
        id: "hello".to_owned(),
        comment: Some("write what is to run".to_owned()),
        run: "ls -l /code > /out/files.txt".to_owned(),
        output: Some("/out/files.txt"),
    }
}

fn step(step: &Step) -> String {
    let comment = step.comment.as_ref().map_or_else(String::new, |words| format!("  # {words}\n"));
    let output = step.output.map_or_else(String::new, |path| format!("    outputs: [{path}]\n"));
    format!("{comment}  - id: {}\n    run: {}\n{output}", step.id, step.run)
}

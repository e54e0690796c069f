//! `inputs` that cannot be read, or match nothing (0504).

use std::collections::HashMap;
use std::path::Path;

use super::sources::nearest_path;
use super::world::World;
use crate::config::files::FileKind;
use crate::config::inputs::{Found, Pattern, parse_pattern};
use crate::config::model::Input;
use crate::diag::{Code, Diagnostic, Diagnostics, Severity};

/// So many names are looked at for all patterns of a file: past that the rule is silent rather than slow.
const NAMES_MAX: usize = 20_000;

/// Checks the inputs of every step; a pattern that several steps have is looked for once.
pub(super) fn check_inputs(world: &World<'_>, out: &mut Diagnostics) {
    let mut budget = NAMES_MAX;
    let mut known: HashMap<(&Path, &str), Found> = HashMap::new();
    for input in world.project.steps.iter().flat_map(|step| &step.inputs) {
        let pattern = match parse_pattern(&input.pattern) {
            Ok(pattern) if pattern.is_taking_back => continue,
            Ok(pattern) => pattern,
            Err((mistake, help)) => {
                out.push(unreadable(input, mistake, help));
                continue;
            }
        };
        let key = (input.folder.as_path(), input.pattern.as_str());
        let found = *known.entry(key).or_insert_with(|| pattern.find(&input.folder, world.files, &mut budget));
        if found == Found::Nothing {
            out.push(nothing(world, input, &pattern));
        }
    }
}

fn unreadable(input: &Input, mistake: &str, help: String) -> Diagnostic {
    let shown = if input.pattern.is_empty() { "an empty text".to_owned() } else { format!("`{}`", input.pattern) };
    Diagnostic::new(Code(504), Severity::Error, format!("{shown} cannot be read as a pattern of `inputs`: {mistake}"))
        .label(input.span, "no pattern")
        .help(help)
}

fn nothing(world: &World<'_>, input: &Input, pattern: &Pattern) -> Diagnostic {
    let message = format!("`{}` matches no file: nothing that changes there would run this step again", input.pattern);
    let part = pattern.named().or_else(|| pattern.start()).map(|part| input.folder.join(part));
    let missing = part.filter(|part| world.files.link_metadata(part).is_err());
    let near = missing.and_then(|part| nearest_path(world, input.span, &part, &[FileKind::File, FileKind::Folder]));
    let help = match near {
        Some(near) => format!("did you mean `{}`?", near.trim_start_matches("./")),
        None if input.pattern.starts_with('/') => {
            "patterns start at the folder of this file, with or without `/`; what lies elsewhere is no input".to_owned()
        }
        None => "patterns start at the folder of this file, as `src/**`; take it out if it is not needed".to_owned(),
    };
    Diagnostic::new(Code(504), Severity::Warning, message).label(input.span, "matches nothing").help(help)
}

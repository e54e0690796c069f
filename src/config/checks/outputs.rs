//! Rules about where results land: outputs outside every mount or in a read-only one (0501), outputs that stay in the
//! machine (0502), and a working folder that cannot come to be (0503).
//!
//! The innermost mount decides, links of the guest followed. Of a glob, the part before its first wildcard is judged.

use super::places::Places;
use super::world::World;
use crate::config::files::FileError;
use crate::config::model::{GuestPath, Machine, Mount, Spanned, Step, Workspace};
use crate::diag::{Code, Diagnostic, Diagnostics, Severity};

/// A step with the machine it runs in.
struct Site<'a> {
    step: &'a Step,
    machine: &'a Machine,
    places: &'a Places,
}

/// Checks outputs and working folders of every step.
pub(super) fn check_outputs(world: &World<'_>, out: &mut Diagnostics) {
    for step in world.project.steps.iter().chain(&world.project.finally) {
        let Some((machine, places)) = world.machine(&step.machine.value) else { continue };
        let site = Site { step, machine, places };
        for output in &step.outputs {
            if let Some(found) = check_output(world, &site, output) {
                out.push(found);
            }
        }
        if let Some(found) = step
            .working_dir
            .as_ref()
            .or(machine.working_dir.as_ref())
            .and_then(|folder| check_working_folder(world, &site, folder))
        {
            out.push(found);
        }
    }
}

fn check_output(world: &World<'_>, site: &Site<'_>, output: &Spanned<GuestPath>) -> Option<Diagnostic> {
    let (real, innermost) = locate(world, site, output)?;
    match innermost.map(|index| &site.machine.mounts[index]) {
        _ if site.machine.gaps.mounts => None,
        // A folder may have been meant (0203).
        Some(mount) if mount.volume().is_some_and(|name| !world.is_volume_known(&name.value)) => None,
        Some(mount) if mount.is_readonly() => Some(in_readonly(site, output, mount)),
        Some(mount) if !mount.is_writable_bind() => Some(kept_in_machine(site, output, mount)),
        Some(_) => None,
        None => Some(outside(site, output, &real)),
    }
}

/// Where the literal part of an output leads, and the mount in which it lies.
fn locate(world: &World<'_>, site: &Site<'_>, output: &Spanned<GuestPath>) -> Option<(GuestPath, Option<usize>)> {
    let (literal, has_wildcard) = literal_part(output.value.as_str());
    let literal = GuestPath::parse(literal)?;
    let real = site.places.resolve(&literal, site.machine, world);
    let innermost = match site.places.innermost(&real) {
        None if has_wildcard => reachable_mount(site, output.value.as_str()),
        found => found,
    };
    Some((real, innermost))
}

/// The mount in which each output of a step lies; those that lie in none are another rule's matter.
pub(super) fn mounts_of_outputs<'a>(world: &World<'a>, step: &'a Step) -> Vec<(&'a Spanned<GuestPath>, &'a Mount)> {
    let Some((machine, places)) = world.machine(&step.machine.value) else { return Vec::new() };
    let site = Site { step, machine, places };
    let mount = |output: &'a Spanned<GuestPath>| {
        let (_, innermost) = locate(world, &site, output)?;
        Some((output, &machine.mounts[innermost?]))
    };
    step.outputs.iter().filter_map(mount).collect()
}

/// The part of a pattern before the first name with a wildcard, and whether there is such a name.
fn literal_part(pattern: &str) -> (&str, bool) {
    match pattern.find(['*', '?', '[', '{']) {
        None => (pattern, false),
        Some(wildcard) => match pattern[..wildcard].rfind('/') {
            Some(0) | None => ("/", true),
            Some(slash) => (&pattern[..slash], true),
        },
    }
}

/// A mount whose target a pattern may match, for patterns that begin outside every mount; a writable one if any.
fn reachable_mount(site: &Site<'_>, pattern: &str) -> Option<usize> {
    let mounts = site.machine.mounts.iter().enumerate();
    let matching = mounts.filter(|(index, _)| may_reach(pattern, site.places.target(*index).as_str()));
    matching.min_by_key(|(_, mount)| !mount.is_writable_bind()).map(|(index, _)| index)
}

/// Whether a pattern may match something at or below a path, name by name.
fn may_reach(pattern: &str, path: &str) -> bool {
    let mut patterns = pattern.split('/');
    for name in path.split('/') {
        match patterns.next() {
            Some("**") => return true,
            Some(pattern) if may_match(pattern, name) => {}
            _ => return false,
        }
    }
    true
}

/// Whether a pattern of one name may match a name: what stands before the first wildcard and after the last counts.
fn may_match(pattern: &str, name: &str) -> bool {
    let Some(first) = pattern.find(['*', '?', '[', '{']) else { return pattern == name };
    let last = pattern.rfind(['*', '?', ']', '}']).map_or(pattern.len(), |at| at + 1);
    name.starts_with(&pattern[..first]) && name.ends_with(&pattern[last..])
}

/// A place below a writable mount for this output.
fn suggestion(site: &Site<'_>, output: &Spanned<GuestPath>) -> Option<String> {
    let writable = site.machine.mounts.iter().find(|mount| mount.is_writable_bind())?;
    let name = output.value.as_str().rsplit('/').next().unwrap_or_default();
    Some(format!("{}/{name}", writable.target.value.as_str().trim_end_matches('/')))
}

/// A mount for outputs, of its own for each machine of a matrix.
fn new_mount(machine: &Machine, target: &str) -> String {
    let source = if machine.combination.is_some() { "\"./output/${MATRIX_ID}\"" } else { "./output" };
    format!("`{{ source: {source}, target: {target}, create: true }}`")
}

fn outside(site: &Site<'_>, output: &Spanned<GuestPath>, real: &GuestPath) -> Diagnostic {
    let shown = output.value.as_str();
    let (step, machine) = (&site.step.id.value, &site.machine.name.value);
    let workspace = GuestPath::parse("/workspace");
    let is_workspace = workspace.is_some_and(|workspace| real.is_at_or_below(&workspace))
        && site.machine.workspace != Workspace::Absent;
    let (code, message, label) = if is_workspace {
        let message =
            format!("output `{shown}` of step `{step}` lies in the workspace of machine `{machine}`, not in a mount");
        (502, message, "this stays in the machine and never reaches the host")
    } else {
        let message = format!("output `{shown}` of step `{step}` lies outside every mount of machine `{machine}`");
        (501, message, "this would be gone with the machine")
    };
    let help = match suggestion(site, output) {
        Some(place) => format!("write it below a writable mount: `{place}`"),
        None => {
            let folder = if is_workspace { "/workspace" } else { "/output" };
            format!("give machine `{machine}` a writable mount:\n{}", new_mount(site.machine, folder))
        }
    };
    Diagnostic::new(Code(code), Severity::Error, message).label(output.span, label).help(help)
}

/// In a mount that the guest may write, and whose host folder, if any, never changes.
fn kept_in_machine(site: &Site<'_>, output: &Spanned<GuestPath>, mount: &Mount) -> Diagnostic {
    let (shown, target) = (output.value.as_str(), mount.target.value.as_str());
    let kind = mount.kind_word();
    let message = format!("output `{shown}` of step `{}` lies in the {kind} mount `{target}`", site.step.id.value);
    let help = match suggestion(site, output) {
        Some(place) => format!("write it below a writable mount of a host folder: `{place}`"),
        None => {
            let machine = site.machine;
            format!("give machine `{}` a writable mount:\n{}", machine.name.value, new_mount(machine, "/output"))
        }
    };
    Diagnostic::new(Code(502), Severity::Error, message)
        .label(output.span, "this stays in the machine and never reaches the host")
        .label(mount.target.span, format!("`type: {kind}` is here"))
        .help(help)
}

fn in_readonly(site: &Site<'_>, output: &Spanned<GuestPath>, mount: &Mount) -> Diagnostic {
    let (shown, target) = (output.value.as_str(), mount.target.value.as_str());
    let message = format!("output `{shown}` of step `{}` lies in the read-only mount `{target}`", site.step.id.value);
    let help = match suggestion(site, output) {
        Some(place) => format!("write it below a writable mount: `{place}`"),
        None => format!("make the mount of `{target}` writable, or add a writable one for outputs"),
    };
    Diagnostic::new(Code(501), Severity::Error, message)
        .label(output.span, "the step cannot write here")
        .label(mount.target.span, "mounted read-only here")
        .help(help)
}

fn check_working_folder(world: &World<'_>, site: &Site<'_>, folder: &Spanned<GuestPath>) -> Option<Diagnostic> {
    let real = site.places.resolve(&folder.value, site.machine, world);
    let mount = &site.machine.mounts[site.places.innermost(&real)?];
    let host_path = site.places.host_path(&real, site.machine)?;
    let has_source = world.source(mount).is_some_and(|source| source.metadata.is_ok());
    if !mount.is_readonly() || !has_source || world.files.metadata(&host_path) != Err(FileError::Missing) {
        return None;
    }
    let shown = folder.value.as_str();
    let message = format!("working_dir `{shown}` lies in a read-only mount in which it does not exist");
    Some(
        Diagnostic::new(Code(503), Severity::Warning, message)
            .label(folder.span, format!("`{}` is not there", world.show(&host_path)))
            .label(mount.target.span, "mounted read-only here")
            .help(format!("make `{}` on the host, or choose a folder that is there", world.show(&host_path))),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_literal_part_ends_before_the_first_wildcard() {
        assert_eq!(literal_part("/output/app"), ("/output/app", false));
        assert_eq!(literal_part("/output/*.o"), ("/output", true));
        assert_eq!(literal_part("/out*/x"), ("/", true));
        assert_eq!(literal_part("/a/b/c[0-9]/d"), ("/a/b", true));
    }

    #[test]
    fn a_pattern_may_reach_into_a_mount() {
        assert!(may_reach("/out*/x", "/output"));
        assert!(may_reach("/**/x", "/a/b"));
        assert!(may_reach("/*/b/x", "/a/b"));
        assert!(!may_reach("/out*", "/code"));
        assert!(!may_reach("/*.d", "/code"));
        assert!(!may_reach("/*", "/a/b"));
    }
}

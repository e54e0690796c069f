//! Rules about one mount point: what it would hide (0103), what it may disturb (0104), its length (0113), `/workspace`
//! taken by a mount (0114), and two mounts at one place (0101).
//!
//! What cannot be a target at all (0102) never becomes a [`GuestPath`]; `lower` says so.

use std::collections::HashMap;

use super::hidden;
use super::mend::remove_repeat;
use super::places::Places;
use super::sources::is_socket_name;
use super::system::{self, Verdict};
use super::world::World;
use crate::config::model::{GuestPath, Machine, Mount, MountKind, Workspace};
use crate::diag::{Code, Diagnostic, Diagnostics, Severity};

/// Linux, PATH_MAX without the NUL.
const TARGET_MAX_BYTES: usize = 4095;
/// Linux, NAME_MAX.
const NAME_MAX_BYTES: usize = 255;

/// Checks every mount point of every machine.
pub(super) fn check_targets(world: &World<'_>, out: &mut Diagnostics) {
    for (machine, places) in world.machines() {
        let mut doubles: HashMap<usize, usize> = HashMap::new();
        for (index, mount) in machine.mounts.iter().enumerate() {
            check_length(mount, out);
            check_same_target(world, machine, places, index, &mut doubles, out);
            check_system_place(world, machine, places, index, out);
            let has_workspace = machine.workspace != Workspace::Absent;
            if has_workspace
                && places.target(index).as_str() == "/workspace"
                && places.at(places.target(index)) == Some(index)
            {
                out.push(workspace_note(machine, mount));
            }
        }
    }
}

fn check_length(mount: &Mount, out: &mut Diagnostics) {
    let target = mount.target.value.as_str();
    let problem = if target.len() > TARGET_MAX_BYTES {
        format!("the target is {} bytes long, the limit is {TARGET_MAX_BYTES}", target.len())
    } else if let Some(name) = target.split('/').find(|name| name.len() > NAME_MAX_BYTES) {
        format!("a name in the target is {} bytes long, the limit is {NAME_MAX_BYTES}", name.len())
    } else {
        return;
    };
    out.push(
        Diagnostic::new(Code(113), Severity::Error, problem)
            .label(mount.target.span, "no guest can have this path")
            .help("choose a shorter target, such as `/data`"),
    );
}

/// `doubles` counts, for the first mount at a place, the later ones that were already told of.
fn check_same_target(
    world: &World<'_>,
    machine: &Machine,
    places: &Places,
    index: usize,
    doubles: &mut HashMap<usize, usize>,
    out: &mut Diagnostics,
) {
    let Some(first) = places.at(places.target(index)).filter(|first| *first != index) else { return };
    let told = doubles.entry(first).or_default();
    *told += 1;
    let rank = if *told == 1 { "this one comes second" } else { "this one comes later" };
    let (earlier, later) = super::in_order(world, (&machine.mounts[first], first), (&machine.mounts[index], index));
    let (name, real) = (&machine.name.value, places.target(index).as_str());
    let message = if earlier.target.value == later.target.value {
        format!("two mounts of machine `{name}` have the target `{}`", later.target.value.as_str())
    } else {
        format!(
            "two mounts of machine `{name}` have the same place in it: `{}` and `{}` are both `{real}`",
            earlier.target.value.as_str(),
            later.target.value.as_str(),
        )
    };
    let text = |mount: &Mount, plain: &str| {
        if mount.target.value.as_str() == real || earlier.target.value == later.target.value {
            plain.to_owned()
        } else {
            format!("{plain}: links of the guest make it `{real}`")
        }
    };
    let diagnostic = Diagnostic::new(Code(101), Severity::Error, message)
        .label(later.target.span, text(later, rank))
        .label(earlier.target.span, text(earlier, "the first is here"))
        .help("give one of them another target, or remove it");
    out.push(match remove_repeat(world, earlier, later) {
        Some(edits) => diagnostic.fix(true, edits),
        None => diagnostic,
    });
}

fn check_system_place(world: &World<'_>, machine: &Machine, places: &Places, index: usize, out: &mut Diagnostics) {
    let mount = &machine.mounts[index];
    let (written, real) = (&mount.target.value, places.target(index));
    let reached = if written == real { String::new() } else { format!(" (here `{}`)", real.as_str()) };
    let label = |code, severity, message, label: String| {
        Diagnostic::new(Code(code), severity, message).label(mount.target.span, label)
    };
    match judge_mount(world, machine, places, index) {
        Verdict::Needed(why) => {
            let message =
                format!("a mount at `{}`{reached} would take away what the guest needs: {why}", written.as_str());
            let diagnostic = label(103, Severity::Error, message, "this place belongs to the system".to_owned());
            let instead = suggest_instead(mount, written);
            out.push(diagnostic.help(format!("mount it elsewhere, for example at `{instead}`")));
        }
        Verdict::Disturbs(what) => {
            let message = format!("the target `{}`{reached} {what}", written.as_str());
            let hidden = hidden::find(world, machine, places, index).map(|found| hidden::hides(&found));
            let unknown = || "what the image has here may be hidden, or may expect to own this place".to_owned();
            let diagnostic = label(104, Severity::Warning, message, hidden.unwrap_or_else(unknown));
            let instead = suggest_target(mount, written);
            out.push(diagnostic.help(format!("a place of its own is safe, for example `{instead}`")));
        }
        Verdict::Silent(_) => {}
    }
}

/// What is said of a mount's place: silent also where the mount itself is one that disturbs nothing.
pub(super) fn judge_mount(world: &World<'_>, machine: &Machine, places: &Places, index: usize) -> Verdict {
    let mount = &machine.mounts[index];
    let (written, real) = (&mount.target.value, places.target(index));
    if real.as_str() == "/dev/shm" && matches!(mount.kind, MountKind::Tmpfs { .. }) {
        return Verdict::Silent(false);
    }
    let verdict = judge_in(world, machine, real);
    if !matches!(verdict, Verdict::Disturbs(_)) {
        return verdict;
    }
    // What is missing (0109) may have been meant to be a file.
    let is_missing = world.source(mount).is_some_and(|source| source.metadata.is_err()) && !mount.create;
    let is_settings_file = real.as_str().starts_with("/etc/") && (mount.is_file() || is_missing);
    let is_nested = places.above(real).is_some();
    // A socket is told to be left out (0109).
    let is_socket = mount.source().is_some_and(|source| is_socket_name(source.value.as_path()));
    if is_socket || is_settings_file || is_nested || system::judge(written) == Verdict::Silent(true) {
        return Verdict::Silent(true);
    }
    verdict
}

/// As [`system::judge`], with what the image itself says: where its system really lies, and whose homes it has.
fn judge_in(world: &World<'_>, machine: &Machine, real: &GuestPath) -> Verdict {
    let verdict = system::judge(real);
    if !matches!(verdict, Verdict::Silent(_)) {
        return verdict;
    }
    let guest = world.guest(&machine.image.value);
    for (place, name) in guest.moved(world.files) {
        if place.is_at_or_below(real) {
            return Verdict::Needed(format!("`{name}` of the image leads to `{}`", place.as_str()).into());
        }
        if real.is_at_or_below(place) {
            let place = place.as_str();
            return Verdict::Disturbs(format!("lies in `{place}`, to which `{name}` of the image leads"));
        }
    }
    if verdict == Verdict::Silent(true) {
        return verdict;
    }
    let mut homes = guest.homes(world.files).iter();
    let found = homes.find(|home| home.path.is_at_or_below(real) || real.is_at_or_below(&home.path));
    found.map_or(verdict, |home| {
        let what = if home.path.is_at_or_below(real) { "hides" } else { "lies in" };
        Verdict::Disturbs(format!("{what} the home of `{}`", home.user))
    })
}

/// For a file, a place in the folder that was named; else a top-level one.
fn suggest_instead(mount: &Mount, written: &GuestPath) -> String {
    let is_folder_of_system = matches!(system::judge(written), Verdict::Needed(_));
    let name = source_name(mount).filter(|_| mount.is_file() && is_folder_of_system);
    let inside = name.and_then(|name| GuestPath::parse(&format!("{}/{name}", written.as_str())));
    let inside = inside.filter(|path| !matches!(system::judge(path), Verdict::Needed(_)));
    inside.map_or_else(|| suggest_target(mount, written), |path| path.as_str().to_owned())
}

fn source_name(mount: &Mount) -> Option<&str> {
    mount.source()?.value.file_name()?.to_str()
}

/// A top-level place named as the target, else as the source, else `/data`.
pub(super) fn suggest_target(mount: &Mount, written: &GuestPath) -> String {
    let from_target = written.as_str().rsplit('/').next().map(str::to_owned);
    let from_source = source_name(mount).map(str::to_owned);
    [from_target, from_source]
        .into_iter()
        .flatten()
        .filter(|name| !name.is_empty() && !name.starts_with('.') && !name.contains([':', ' ']))
        .filter_map(|name| GuestPath::parse(&format!("/{name}")))
        .find(|path| path != written && matches!(system::judge(path), Verdict::Silent(_)))
        .map_or_else(|| "/data".to_owned(), |path| path.as_str().to_owned())
}

fn workspace_note(machine: &Machine, mount: &Mount) -> Diagnostic {
    let diagnostic = Diagnostic::new(
        Code(114),
        Severity::Note,
        format!("this mount takes the place of `/workspace` in machine `{}`", machine.name.value),
    )
    .label(mount.target.span, "the machine's own `/workspace` is not there");
    let diagnostic = match &machine.workspace {
        Workspace::Size(size) => diagnostic.label(size.span, "so this size means nothing"),
        Workspace::Default | Workspace::Absent => diagnostic,
    };
    diagnostic.help("to have both, give the mount another target, such as `/code`")
}

//! Sources that give more than was meant: the root, homes, credentials, what links lead out to (0110), and smolvm's
//! own state and cache (0111).

use std::cell::RefCell;
use std::collections::HashMap;
use std::path::{Component, Path, PathBuf};

use super::world::{Sourced, World, real_path};
use crate::diag::{Code, Diagnostic, Diagnostics, Severity};

/// Names that hold credentials wherever they are.
const CREDENTIALS: &[&str] = &[".ssh", ".gnupg", ".aws", ".kube", ".netrc", ".docker/config.json"];

/// Folders of this computer and user, without links.
pub(super) struct Wide {
    homes: Vec<PathBuf>,
    own: Vec<PathBuf>,
    project: PathBuf,
    /// What was found in the folders that were looked at.
    credentials: RefCell<HashMap<PathBuf, Option<&'static str>>>,
}

impl Wide {
    /// Looks up homes, smolvm's own folders and the project's.
    pub(super) fn new(world: &World<'_>) -> Self {
        let real = |path: &Path| real_path(path, world.files);
        let mut homes = vec![PathBuf::from("/home"), PathBuf::from("/root")];
        homes.extend(world.files.invoker().home);
        Self {
            homes: homes.iter().map(|home| real(home)).filter(|home| home != Path::new("/")).collect(),
            own: world.files.own_folders().iter().map(|folder| real(folder)).collect(),
            project: real(&world.project.folder),
            credentials: RefCell::default(),
        }
    }

    /// What no rights and no `create: true` would mend: the whole root, writable, and smolvm's own folders, which need
    /// not be there yet.
    pub(super) fn refuse(&self, world: &World<'_>, mount: &Sourced<'_>) -> Option<Diagnostic> {
        let real = mount.found.real.as_path();
        let shown = || world.show_source(mount.source);
        if real == Path::new("/") {
            return mount.is_written().then(|| whole_root(mount, &shown()));
        }
        let own = self.own.iter().find(|own| real.starts_with(own) || own.starts_with(real));
        own.filter(|_| !self.is_home(real)).map(|own| own_folder(mount, &shown(), real, own))
    }

    /// Checks a source that exists, or can be made, and is not refused.
    pub(super) fn check(&self, world: &World<'_>, mount: &Sourced<'_>, out: &mut Diagnostics) {
        let real = mount.found.real.as_path();
        let shown = || world.show_source(mount.source);
        if real == Path::new("/") {
            out.push(whole_root(mount, &shown()));
        } else if self.is_home(real) {
            out.push(home(mount, &shown()));
        } else if let Some(name) = self.credentials_in(world, real) {
            out.push(credentials(mount, &shown(), name));
        } else if self.leads_out(world, mount, real) {
            out.push(led_out(mount, &shown(), real));
        }
    }

    /// As [`find_credentials`], asked once for a folder however often it is mounted.
    fn credentials_in(&self, world: &World<'_>, real: &Path) -> Option<&'static str> {
        if let Some(known) = self.credentials.borrow().get(real) {
            return *known;
        }
        let found = find_credentials(world, real);
        self.credentials.borrow_mut().insert(real.to_path_buf(), found);
        found
    }

    fn is_home(&self, real: &Path) -> bool {
        self.homes.iter().any(|home| home == real) || real.parent() == self.homes.first().map(PathBuf::as_path)
    }

    /// The folder of the file that names a source, without links: an included one may lie outside the project.
    fn folder_of(&self, world: &World<'_>, mount: &Sourced<'_>) -> PathBuf {
        real_path(world.project.origins.folder(mount.source.span.file), world.files)
    }

    fn leads_out(&self, world: &World<'_>, mount: &Sourced<'_>, real: &Path) -> bool {
        let written = mount.source.value.strip_prefix(world.project.origins.folder(mount.source.span.file));
        // `..` says openly that it leads out.
        let is_inside = written.is_ok_and(|rest| !rest.components().any(|part| part == Component::ParentDir));
        is_inside && !real.starts_with(&self.project) && !real.starts_with(self.folder_of(world, mount))
    }
}

fn find_credentials(world: &World<'_>, real: &Path) -> Option<&'static str> {
    if real.ends_with(".docker") && world.files.first_of(real, &["config.json"]).is_some() {
        return Some("config.json");
    }
    let own = CREDENTIALS.iter().copied().find(|name| real.ends_with(name));
    own.or_else(|| world.files.first_of(real, CREDENTIALS).map(|found| CREDENTIALS[found]))
}

fn warn(mount: &Sourced<'_>, message: String, label: &str, help: impl Into<String>) -> Diagnostic {
    Diagnostic::new(Code(110), Severity::Warning, message).label(mount.source.span, label).help(help)
}

fn whole_root(mount: &Sourced<'_>, shown: &str) -> Diagnostic {
    let help = "name the folder that the steps need, such as `./src`";
    if !mount.is_written() {
        let message =
            format!("source `{shown}` is the whole file system of this computer: the guest can read all of it");
        return warn(mount, message, "with every secret that you can read", help);
    }
    let message =
        format!("source `{shown}` is the whole file system of this computer, and the guest could write to it");
    Diagnostic::new(Code(110), Severity::Error, message)
        .label(mount.source.span, "a mistake in a step could destroy this computer")
        .help(help)
}

fn home(mount: &Sourced<'_>, shown: &str) -> Diagnostic {
    let what =
        if shown == "/home" { "holds every home: the guest gets their" } else { "is a home: the guest gets its" };
    warn(
        mount,
        format!("source `{shown}` {what} keys, settings and history"),
        "more than a pipeline needs",
        "name the folder that the steps need, such as `./src`",
    )
}

fn credentials(mount: &Sourced<'_>, shown: &str, name: &str) -> Diagnostic {
    if shown.ends_with(name) {
        let message = format!("source `{shown}` holds credentials: the guest can read them");
        return warn(mount, message, "credentials", "leave this mount out, or name a folder without them");
    }
    warn(
        mount,
        format!("source `{shown}` holds credentials: the guest can read `{name}` in it"),
        &format!("`{name}` is in this folder"),
        "mount a folder that does not hold them, or move them elsewhere",
    )
}

fn led_out(mount: &Sourced<'_>, shown: &str, real: &Path) -> Diagnostic {
    let real = real.display();
    warn(
        mount,
        format!("source `{shown}` leads out of the project: through links it is `{real}`"),
        "looks as if it were in the project",
        format!("where this is meant, say so: `source: {real}`"),
    )
}

fn own_folder(mount: &Sourced<'_>, shown: &str, real: &Path, own: &Path) -> Diagnostic {
    let own_shown = own.display();
    let relation = if real == own {
        "is smolvm's own folder".to_owned()
    } else if real.starts_with(own) {
        format!("lies in smolvm's own folder `{own_shown}`")
    } else {
        format!("holds smolvm's own folder `{own_shown}`")
    };
    let message = format!("source `{shown}` {relation}: a guest must not reach it");
    Diagnostic::new(Code(111), Severity::Error, message)
        .label(mount.source.span, "images, logs and locks of every project are there")
        .help("name a folder of the project instead")
}

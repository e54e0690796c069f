//! What is looked at for a first file: the folder, the programs of this computer, and where those lie that a machine
//! with `image: host` does not see.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};

use crate::plan::HostFacts;

/// Where a guest looks for programs when nothing else is said.
pub(super) const GUEST_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Places of this computer that machines see, and where programs of an own folder are.
const SEEN: [&str; 2] = ["/usr", "/opt"];

/// The longest file that is read for what it says of the project.
const TEXT_MAX_BYTES: u64 = 1 << 20;

/// A folder, and the computer that it lies on.
pub(super) struct Folder<'f> {
    folder: &'f Path,
    home: Option<PathBuf>,
    memory_mib: u64,
    variable: &'f dyn Fn(&str) -> Option<OsString>,
}

/// Where a program is.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Program {
    /// Where machines with `image: host` see it.
    Seen,
    /// In a home, which they do not see: the folder that holds its `bin`, with `~` for the home.
    InHome(String),
    /// Where they see it, in a folder in which they do not look.
    Aside(String),
    /// Nowhere that is looked at.
    Nowhere,
}

impl<'f> Folder<'f> {
    /// A folder on this computer.
    pub(super) fn new(folder: &'f Path, facts: &HostFacts, variable: &'f dyn Fn(&str) -> Option<OsString>) -> Self {
        Self { folder, home: facts.invoker.home.clone(), memory_mib: facts.memory_mib, variable }
    }

    /// Whether the folder holds something of this name.
    pub(super) fn has(&self, name: &str) -> bool {
        self.folder.join(name).exists()
    }

    /// Whether the folder holds something of this name that is not a folder.
    pub(super) fn has_file(&self, name: &str) -> bool {
        self.has(name) && !self.folder.join(name).is_dir()
    }

    /// The text of a file, empty where there is none that can be read.
    pub(super) fn text(&self, name: &str) -> String {
        let path = self.folder.join(name);
        let is_short = fs::metadata(&path).is_ok_and(|data| data.is_file() && data.len() <= TEXT_MAX_BYTES);
        if is_short { fs::read_to_string(path).unwrap_or_default() } else { String::new() }
    }

    /// A tool's own folder: what its variable names, else a folder of the home, with `~`; if it is there.
    pub(super) fn own_folder(&self, variable: &str, in_home: &str) -> Option<String> {
        let home = self.home.as_ref();
        let (path, shown) = match (self.variable)(variable).and_then(|path| path.into_string().ok()) {
            Some(path) if home.is_none_or(|home| Path::new(&path) != home.join(in_home)) => {
                (PathBuf::from(&path), path)
            }
            _ => (home?.join(in_home), format!("~/{in_home}")),
        };
        Some(shown).filter(|shown| path.is_dir() && is_plain(shown.trim_start_matches('~')))
    }

    /// Whether what [`Folder::own_folder`] named holds a folder of this name.
    pub(super) fn holds(&self, own: &str, name: &str) -> bool {
        let own = match (own.strip_prefix("~/"), &self.home) {
            (Some(rest), Some(home)) => home.join(rest),
            _ => PathBuf::from(own),
        };
        own.join(name).is_dir()
    }

    /// Whether this computer has room for a machine with more than the usual memory.
    pub(super) fn has_memory(&self, mib: u64) -> bool {
        self.memory_mib >= mib
    }

    /// Where a program is.
    pub(super) fn program(&self, name: &str) -> Program {
        if GUEST_PATH.split(':').any(|folder| is_program(&Path::new(folder).join(name))) {
            return Program::Seen;
        }
        let path = (self.variable)("PATH").unwrap_or_default();
        let found = std::env::split_paths(&path).find(|folder| is_program(&folder.join(name)));
        let Some((folder, home)) = found.zip(self.home.as_deref()) else { return Program::Nowhere };
        let is_seen = SEEN.iter().any(|place| folder.starts_with(place));
        if let Some(folder) = folder.to_str().filter(|text| is_seen && is_plain(text)) {
            return Program::Aside(folder.to_owned());
        }
        let above = folder.parent().filter(|_| folder.ends_with("bin"));
        let below = above.and_then(|above| above.strip_prefix(home).ok()).and_then(Path::to_str);
        match below {
            // Beside `~/.local/bin` lie keys and data of other programs.
            Some(below) if !["", ".local"].contains(&below) && is_plain(below) => Program::InHome(format!("~/{below}")),
            _ => Program::Nowhere,
        }
    }
}

/// Whether a path can stand in a mount and a variable as it is.
fn is_plain(path: &str) -> bool {
    path.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"/._-".contains(&byte))
}

fn is_program(path: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt;
    fs::metadata(path).is_ok_and(|data| data.is_file() && data.permissions().mode() & 0o111 != 0)
}

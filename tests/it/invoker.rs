//! Who runs smolvm in a test: this process's user, an ordinary user, or root through `sudo`.

use std::os::unix::fs::{PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use tempfile::TempDir;

use crate::support::Case;

/// Id of the ordinary user and of the user behind `sudo`; it has no account and no groups.
pub(crate) const ORDINARY: u32 = 12345;

/// Who runs smolvm.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Invoker {
    /// The user of the tests.
    Own,
    /// A user without privileges.
    Ordinary,
    /// Root, called by the ordinary user through `sudo`.
    Sudo,
}

/// Whether the tests may become others.
pub(crate) fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

impl Invoker {
    /// Those that these tests can be; says who is left out and why.
    pub(crate) fn all() -> Vec<Self> {
        if is_root() {
            return vec![Self::Own, Self::Ordinary, Self::Sudo];
        }
        use std::io::Write;
        let _ = writeln!(std::io::stderr(), "skipped for other users: only root can become them");
        vec![Self::Own]
    }

    /// Whose the files are that a guest makes in a mount.
    pub(crate) fn owner(self) -> (u32, u32) {
        match self {
            Self::Own => (rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw()),
            Self::Ordinary | Self::Sudo => (ORDINARY, ORDINARY),
        }
    }

    /// The folder of a case with what this user needs beside it.
    pub(crate) fn stage(self, case: Case) -> Stage {
        let Self::Ordinary = self else {
            if self == Self::Sudo {
                give(&case.project());
                let folder = case.project().parent().unwrap().to_owned();
                open(&folder);
                // The state is theirs, as in their home.
                std::fs::create_dir(folder.join("state")).unwrap();
                give(&folder.join("state"));
            }
            return Stage { case, invoker: self, user: None };
        };
        let folder = TempDir::with_prefix("smolvm-user-").unwrap();
        open(folder.path());
        let program = folder.path().join("smolvm");
        std::fs::copy(env!("CARGO_BIN_EXE_smolvm"), &program).unwrap();
        std::fs::set_permissions(&program, PermissionsExt::from_mode(0o755)).unwrap();
        for name in ["home", "state", "config", "cache"] {
            std::fs::create_dir(folder.path().join(name)).unwrap();
        }
        copy_cache(&folder.path().join("cache"));
        for name in ["home", "state", "config", "cache"] {
            give(&folder.path().join(name));
        }
        give(&case.project());
        open(case.project().parent().unwrap());
        Stage { case, invoker: self, user: Some(folder) }
    }
}

/// A case and the user who runs it.
pub(crate) struct Stage {
    case: Case,
    invoker: Invoker,
    user: Option<TempDir>,
}

impl Stage {
    /// Folder of the project.
    pub(crate) fn project(&self) -> PathBuf {
        self.case.project()
    }

    /// The command, ready to be started.
    pub(crate) fn command(&self) -> Command {
        let mut like = self.case.command();
        let Some(folder) = &self.user else {
            if self.invoker == Invoker::Sudo {
                for name in ["SUDO_UID", "SUDO_GID"] {
                    like.env(name, ORDINARY.to_string());
                }
            }
            return like;
        };
        let path = |name: &str| folder.path().join(name);
        let mut command = Command::new(path("smolvm"));
        command.args(like.get_args()).current_dir(like.get_current_dir().unwrap());
        for (name, value) in like.get_envs() {
            match value {
                Some(value) => command.env(name, value),
                None => command.env_remove(name),
            };
        }
        command.env("HOME", path("home")).env("XDG_CACHE_HOME", path("cache"));
        command.env("XDG_STATE_HOME", path("state")).env("XDG_CONFIG_HOME", path("config"));
        // Without supplementary groups: those of root go with its id.
        command.uid(ORDINARY).gid(ORDINARY);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }
}

/// Lets others in.
fn open(folder: &Path) {
    std::fs::set_permissions(folder, PermissionsExt::from_mode(0o755)).unwrap();
}

/// Gives a folder and all in it to the ordinary user.
fn give(path: &Path) {
    std::os::unix::fs::lchown(path, Some(ORDINARY), Some(ORDINARY)).unwrap();
    if path.is_dir() && !path.is_symlink() {
        for entry in std::fs::read_dir(path).unwrap() {
            give(&entry.unwrap().path());
        }
    }
    let _ = chown(path, Some(ORDINARY), Some(ORDINARY));
}

/// The kernels that this user has already, so that the other need not download one. Times are kept: the cache goes by
/// them.
fn copy_cache(to: &Path) {
    let home = || std::env::var_os("HOME").map(|home| Path::new(&home).join(".cache"));
    let Some(cache) = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from).or_else(home) else { return };
    if cache.join("smolvm").is_dir() {
        let copied = Command::new("cp").arg("-a").arg(cache.join("smolvm")).arg(to).status().unwrap();
        assert!(copied.success());
    }
}

//! Where the socket of a project is, and the note in the project's state that leads to it.
//!
//! ```text
//! $XDG_RUNTIME_DIR/smolvm/<project>-<hash>.sock     or, where there is none or its path is too long,
//! <temporary folder>/smolvm-<random>/control.sock   in a fresh folder, removed at the end
//! $XDG_STATE_HOME/smolvm/<project>-<hash>/control   says which, who listens, and in which version
//! ```
//!
//! All of it is made with the rights of the user whose machines these are, in folders that only they can enter.

use std::fs::{self, DirBuilder, File};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::error::ControlError;
use super::message::PROGRAM;
use crate::run::ProjectState;
use crate::sys::identity::Actor;

/// The longest path of a socket (`sun_path` with its zero byte).
const SOCKET_PATH_MAX: usize = 107;

/// The longest note that is read, in bytes.
const NOTE_MAX: u64 = 16 << 10;

/// Tries for a folder that nobody has.
const TRIES: u32 = 16;

/// What leads to a socket.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Note {
    /// The socket.
    pub socket: PathBuf,
    /// Who listens.
    pub pid: u32,
    /// Its version.
    pub version: String,
    /// Name of the project.
    #[serde(default)]
    pub project: String,
    /// Its folder.
    #[serde(default)]
    pub folder: PathBuf,
}

/// A socket that listens. Dropped, it is removed with its note; the project's lock must be held until then.
#[derive(Debug)]
pub struct Bound {
    listener: Option<UnixListener>,
    state: ProjectState,
    note: Note,
}

impl Bound {
    /// Makes the socket of a project, below the runtime folder where there is one. The project's lock must be held.
    ///
    /// # Errors
    /// Where it cannot be made, or the folder for it is somebody else's.
    pub fn open(state: &ProjectState, runtime: Option<&Path>) -> Result<Self, ControlError> {
        if let Some(left) = Note::read(state) {
            left.clear(state);
        }
        let name = state.folder().file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        let known = runtime.map(|runtime| runtime.join("smolvm")).filter(|folder| {
            folder.join(socket_name(&name)).as_os_str().len() <= SOCKET_PATH_MAX && is_usable(folder, state.actor())
        });
        let socket = match known {
            Some(folder) => folder.join(socket_name(&name)),
            None => fresh_folder(state.actor())?.join("control.sock"),
        };
        let (project, folder) = state.owner().unwrap_or(("", Path::new("")));
        let note = Note {
            socket,
            pid: std::process::id(),
            version: PROGRAM.to_owned(),
            project: project.to_owned(),
            folder: folder.to_owned(),
        };
        let failed = |source| ControlError::Place { what: "listen on", path: note.socket.clone(), source };
        let listener = state.actor().act(|| listen(&note.socket)).map_err(failed)?;
        let bound = Self { listener: Some(listener), state: state.clone(), note };
        bound.write_note()?;
        Ok(bound)
    }

    /// The listener, once.
    pub(super) fn take_listener(&mut self) -> Option<UnixListener> {
        self.listener.take()
    }

    /// The user beside root who is served.
    pub(super) fn owner(&self) -> u32 {
        uid_of(self.state.actor())
    }

    fn write_note(&self) -> Result<(), ControlError> {
        let path = note_path(&self.state);
        let failed = |source| ControlError::Place { what: "write", path: path.clone(), source };
        let bytes = serde_json::to_vec(&self.note).map_err(|error| failed(error.into()))?;
        let new = path.with_extension("new");
        let write = || {
            let mut file = File::options().write(true).create(true).truncate(true).mode(0o600).open(&new)?;
            file.write_all(&bytes)?;
            fs::rename(&new, &path)
        };
        self.state.actor().act(write).map_err(failed)
    }
}

impl Drop for Bound {
    fn drop(&mut self) {
        self.note.clear(&self.state);
    }
}

impl Note {
    /// The note of a project, where there is one.
    pub(super) fn read(state: &ProjectState) -> Option<Self> {
        let path = note_path(state);
        let read = || {
            let flags = i32::try_from(rustix::fs::OFlags::NOFOLLOW.bits()).unwrap_or_default();
            let file = File::options().read(true).custom_flags(flags).open(&path)?;
            let mut bytes = Vec::new();
            file.take(NOTE_MAX).read_to_end(&mut bytes)?;
            Ok(bytes)
        };
        serde_json::from_slice(&state.actor().act(read).ok()?).ok()
    }

    /// Removes the socket, its folder where nothing else is in it, and the note. The project's lock must be held.
    pub fn clear(&self, state: &ProjectState) {
        let path = note_path(state);
        let remove = || {
            // Each may be gone already.
            let _ = fs::remove_file(&self.socket);
            // Where other projects have sockets in it, it stays.
            if let Some(folder) = self.socket.parent() {
                let _ = fs::remove_dir(folder);
            }
            fs::remove_file(&path)
        };
        let _ = state.actor().act(remove);
    }
}

/// User with whose rights the state is used.
pub(super) fn uid_of(actor: &Actor) -> u32 {
    match actor {
        Actor::Own => rustix::process::geteuid().as_raw(),
        Actor::User { uid, .. } => *uid,
    }
}

fn note_path(state: &ProjectState) -> PathBuf {
    state.folder().join("control")
}

fn socket_name(project: &str) -> String {
    format!("{project}.sock")
}

fn listen(socket: &Path) -> io::Result<UnixListener> {
    // A killed run may have left it; the lock is ours, so nobody listens.
    match fs::remove_file(socket) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    // The last other socket may take the folder with it at any moment.
    let mut bound = UnixListener::bind(socket);
    for _ in 0..TRIES {
        match (&bound, socket.parent()) {
            (Err(error), Some(folder)) if error.kind() == io::ErrorKind::NotFound => {
                let _ = DirBuilder::new().mode(0o700).create(folder);
                bound = UnixListener::bind(socket);
            }
            _ => break,
        }
    }
    let listener = bound?;
    fs::set_permissions(socket, fs::Permissions::from_mode(0o600))?;
    Ok(listener)
}

/// Makes a folder where it is missing, and says whether it is ours alone.
fn is_usable(folder: &Path, actor: &Actor) -> bool {
    let made = actor.act(|| match DirBuilder::new().mode(0o700).create(folder) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(error),
        _ => check_private(folder, uid_of(actor)),
    });
    made.is_ok()
}

/// Whether nobody but this user can change what is in a folder.
pub(super) fn check_private(folder: &Path, uid: u32) -> io::Result<()> {
    let found = fs::symlink_metadata(folder)?;
    if found.is_dir() && found.uid() == uid && found.mode() & 0o077 == 0 {
        return Ok(());
    }
    Err(io::Error::new(io::ErrorKind::PermissionDenied, "it belongs to another user, or others may enter it"))
}

fn fresh_folder(actor: &Actor) -> Result<PathBuf, ControlError> {
    let base = std::env::temp_dir();
    let make = || {
        for _ in 0..TRIES {
            let mut random = [0_u8; 8];
            rustix::rand::getrandom(&mut random[..], rustix::rand::GetRandomFlags::empty())?;
            let folder = base.join(format!("smolvm-{:016x}", u64::from_le_bytes(random)));
            match DirBuilder::new().mode(0o700).create(&folder) {
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                made => return made.map(|()| folder),
            }
        }
        Err(io::ErrorKind::AlreadyExists.into())
    };
    actor.act(make).map_err(|source| ControlError::Place { what: "make a folder in", path: base.clone(), source })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn state(home: &Path) -> ProjectState {
        ProjectState::locate(home, Actor::Own, "acme", Path::new("/code/acme"))
    }

    #[test]
    fn a_socket_lies_below_the_runtime_folder_and_goes_with_its_note() {
        let home = tempfile::tempdir().unwrap();
        let (state, runtime) = (state(home.path()), home.path().join("run"));
        let _lock = state.lock("smolvm up", false).unwrap();
        fs::create_dir(&runtime).unwrap();
        let bound = Bound::open(&state, Some(&runtime)).unwrap();
        let note = Note::read(&state).unwrap();
        assert_eq!(note, bound.note);
        assert!(note.socket.starts_with(runtime.join("smolvm")));
        assert_eq!(fs::metadata(&note.socket).unwrap().mode() & 0o777, 0o600);
        drop(bound);
        assert_eq!(fs::read_dir(&runtime).unwrap().count(), 0);
        assert!(Note::read(&state).is_none());
    }

    #[test]
    fn without_a_runtime_folder_or_with_one_that_others_may_enter_a_fresh_folder_is_made_and_removed() {
        let home = tempfile::tempdir().unwrap();
        let state = state(home.path());
        let _lock = state.lock("smolvm up", false).unwrap();
        let open = home.path().join("run");
        fs::create_dir_all(open.join("smolvm")).unwrap();
        fs::set_permissions(open.join("smolvm"), fs::Permissions::from_mode(0o755)).unwrap();
        let long = home.path().join("x".repeat(100));
        fs::create_dir(&long).unwrap();
        for runtime in [None, Some(open.as_path()), Some(long.as_path())] {
            let bound = Bound::open(&state, runtime).unwrap();
            let folder = bound.note.socket.parent().unwrap().to_owned();
            check_private(&folder, uid_of(&Actor::Own)).unwrap();
            assert!(folder.starts_with(std::env::temp_dir()) && !folder.starts_with(home.path()));
            drop(bound);
            assert!(!folder.exists());
        }
    }
}

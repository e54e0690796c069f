//! What a project keeps between runs: a folder of its own, one lock, the logs of the last runs.
//!
//! ```text
//! $XDG_STATE_HOME/smolvm/<name>-<hash of folder>/
//!     lock                      held while an `up` runs; says who holds it
//!     runs/<run id>/running     there while the run is going on
//!                  /events.jsonl, <step>.log, <machine>.service, <machine>.console
//!                  /previous         the run in whose machines this one goes on, where there is one
//!                  /output.index     in which order and when the bytes of the three came
//! ```
//!
//! Where the state home is, `cli` decides. Deliberately not here: what the files of a run say.

use std::fs::{self, DirBuilder, File};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use super::lock::{self, Holder, LockError, ProjectLock};
use super::log_index::LogSource;
use crate::event::{OutputOf, Stream};
use crate::sys::identity::Actor;

/// How many runs are kept, the new one among them.
const KEPT_RUNS: usize = 20;

/// Marks a run that has not ended.
const RUNNING: &str = "running";

/// Names the run in whose machines this one goes on.
const PREVIOUS: &str = "previous";

/// Longest id of a run.
const ID_MAX: usize = 64;

/// Why the state of a project cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("cannot {what} `{path}`")]
pub struct StateError {
    /// What was tried.
    pub what: &'static str,
    /// On which path.
    pub path: PathBuf,
    /// Why.
    pub source: io::Error,
}

/// The folder of one project.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProjectState {
    folder: PathBuf,
    actor: Actor,
    /// Whose it is; not known of one that was found by looking.
    owner: Option<(String, PathBuf)>,
}

impl ProjectState {
    /// Where the state of a project is, below the state home (`$XDG_STATE_HOME`), and with whose rights it is used.
    pub fn locate(state_home: &Path, actor: Actor, project: &str, project_folder: &Path) -> Self {
        let digest = Sha256::digest(project_folder.as_os_str().as_bytes());
        let hash: String = digest.iter().take(6).map(|byte| format!("{byte:02x}")).collect();
        let folder = state_home.join("smolvm").join(format!("{project}-{hash}"));
        Self { folder, actor, owner: Some((project.to_owned(), project_folder.to_owned())) }
    }

    /// All that there are below the state home, sorted.
    ///
    /// # Errors
    /// Where the folder cannot be read; that it is missing is not an error.
    pub fn all(state_home: &Path, actor: &Actor) -> Result<Vec<Self>, StateError> {
        let path = state_home.join("smolvm");
        let read = || match fs::read_dir(&path) {
            Ok(entries) => entries.map(|entry| Ok(entry?.path())).collect::<io::Result<Vec<_>>>(),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
            Err(error) => Err(error),
        };
        let mut folders = actor.act(read).map_err(|source| StateError { what: "read", path: path.clone(), source })?;
        folders.sort();
        Ok(folders.into_iter().map(|folder| Self { folder, actor: actor.clone(), owner: None }).collect())
    }

    /// Name and folder of the project, where they are known.
    pub fn owner(&self) -> Option<(&str, &Path)> {
        self.owner.as_ref().map(|(name, folder)| (name.as_str(), folder.as_path()))
    }

    /// The folder.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// With whose rights it is used.
    pub fn actor(&self) -> &Actor {
        &self.actor
    }

    /// Takes the lock of the project. With `wait` it blocks until the lock is free, whatever signals come.
    ///
    /// # Errors
    /// [`LockError::Held`] where another process holds it and `wait` is not set.
    pub fn lock(&self, command: &str, wait: bool) -> Result<ProjectLock, LockError> {
        let made = self.actor.act(|| create_private(&self.folder));
        made.map_err(|source| LockError::Unusable { path: self.folder.clone(), source })?;
        lock::take(&self.folder.join("lock"), &self.actor, command, wait)
    }

    /// Who holds the lock, or held it last and is still there. Nothing is locked for that.
    pub fn holder(&self) -> Option<Holder> {
        lock::holder(&self.folder.join("lock"), &self.actor)
    }

    /// Makes the folder of a new run, removes the oldest ones, and says in words what an earlier run that was killed
    /// left behind. The lock must be held.
    ///
    /// # Errors
    /// Where the folders cannot be made or read.
    pub fn begin_run(&self, _lock: &ProjectLock) -> Result<(RunFolder, Vec<String>), StateError> {
        let begun = self.actor.act(|| Ok(self.begin()));
        begun.unwrap_or_else(|source| Err(StateError { what: "use", path: self.folder.clone(), source }))
    }

    fn begin(&self) -> Result<(RunFolder, Vec<String>), StateError> {
        let runs = self.folder.join("runs");
        create_private(&runs).map_err(|source| StateError { what: "create", path: runs.clone(), source })?;
        let earlier = self.runs()?;
        let remarks = earlier.iter().filter_map(RunFolder::clear_marker).collect();
        make_room(&earlier)?;
        Ok((create_run(&runs, &self.actor)?, remarks))
    }

    /// Makes the folder of a run that goes on in the machines of another one, which ends with that. One of the two is
    /// marked at any moment, so that who reads along does not take the turn for the end. The lock must be held.
    ///
    /// # Errors
    /// Where the folders cannot be made or read.
    pub fn begin_next_run(&self, _lock: &ProjectLock, previous: &RunFolder) -> Result<RunFolder, StateError> {
        let begun = self.actor.act(|| {
            Ok(self.runs().and_then(|earlier| make_room(&earlier)).and_then(|()| {
                let run = create_run(&self.folder.join("runs"), &self.actor)?;
                // Without it the logs begin with this run.
                let _ = fs::write(run.path.join(PREVIOUS), &previous.id);
                // A mark that stays is taken off as that of a run that was killed.
                let _ = fs::remove_file(previous.path.join(RUNNING));
                Ok(run)
            }))
        });
        begun.unwrap_or_else(|source| Err(StateError { what: "use", path: self.folder.clone(), source }))
    }

    /// Says in words what runs that were killed left behind, and takes their marks off. The lock must be held.
    ///
    /// # Errors
    /// Where the folder of the runs cannot be read.
    pub fn clear_killed(&self, _lock: &ProjectLock) -> Result<Vec<String>, StateError> {
        let cleared =
            self.actor.act(|| Ok(self.runs().map(|runs| runs.iter().filter_map(RunFolder::clear_marker).collect())));
        cleared.unwrap_or_else(|source| Err(StateError { what: "use", path: self.folder.clone(), source }))
    }

    /// The runs that are kept, the oldest first.
    ///
    /// # Errors
    /// Where the folder cannot be read; none at all is not an error.
    pub fn runs(&self) -> Result<Vec<RunFolder>, StateError> {
        let runs = self.folder.join("runs");
        let failed = |source| StateError { what: "read", path: runs.clone(), source };
        let entries = match fs::read_dir(&runs) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(failed(error)),
        };
        let mut found = Vec::new();
        for entry in entries {
            let entry = entry.map_err(failed)?;
            if let Ok(id) = entry.file_name().into_string() {
                found.push(RunFolder { id, path: entry.path(), actor: self.actor.clone() });
            }
        }
        found.sort_by(|a, b| a.id.cmp(&b.id));
        Ok(found)
    }
}

/// The folder of one run; its name is the id of the run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunFolder {
    id: String,
    path: PathBuf,
    actor: Actor,
}

impl RunFolder {
    /// One that is only named, for tests.
    #[cfg(test)]
    pub(super) fn fake(id: &str, path: &Path) -> Self {
        Self { id: id.to_owned(), path: path.to_owned(), actor: Actor::Own }
    }

    /// Id of the run: the time of its start, so that ids sort by it.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// The folder.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Where the events are recorded, one JSON object a line.
    pub fn events(&self) -> PathBuf {
        self.path.join("events.jsonl")
    }

    /// Where the output of a step goes, both streams as they came.
    pub fn step_log(&self, step: &str) -> PathBuf {
        self.path.join(format!("{}.log", file_name(step)))
    }

    /// Where the output of a machine's service goes, both streams as they came.
    pub fn service_log(&self, machine: &str) -> PathBuf {
        self.path.join(format!("{}.service", file_name(machine)))
    }

    /// Where what comes from there goes.
    pub fn log(&self, source: &LogSource) -> PathBuf {
        match &source.of {
            OutputOf::Step(step) => self.step_log(step),
            OutputOf::Machine(machine) if source.stream == Stream::Console => self.console(machine),
            OutputOf::Machine(machine) => self.service_log(machine),
        }
    }

    /// The id of the run in whose machines this one went on, where there is one.
    pub fn previous(&self) -> Option<String> {
        let text = self.actor.act(|| fs::read_to_string(self.path.join(PREVIOUS))).ok()?;
        (text.len() <= ID_MAX).then_some(text)
    }

    /// Where it is noted in which order it came.
    pub fn log_index(&self) -> PathBuf {
        self.path.join("output.index")
    }

    /// Opens one of these files to be read.
    ///
    /// # Errors
    /// Where it cannot be opened.
    pub fn open(&self, path: &Path) -> io::Result<File> {
        self.actor.act(|| File::open(path))
    }

    /// Does something with the rights of who owns it.
    pub(super) fn acting<T: Send>(&self, act: impl FnOnce() -> io::Result<T> + Send) -> io::Result<T> {
        self.actor.act(act)
    }

    /// Whether it was not told that the run has ended.
    pub fn is_marked(&self) -> bool {
        self.actor.act(|| Ok(self.path.join(RUNNING).exists())).unwrap_or(false)
    }

    /// Where the console of a machine goes.
    pub fn console(&self, machine: &str) -> PathBuf {
        self.path.join(format!("{}.console", file_name(machine)))
    }

    /// Makes one of these files, empty.
    ///
    /// # Errors
    /// Where it cannot be made.
    pub fn create(&self, path: &Path) -> io::Result<File> {
        self.actor.act(|| File::create(path))
    }

    /// Says that the run has ended, so that the next one does not take it for killed.
    ///
    /// # Errors
    /// Where the mark cannot be removed.
    pub fn finish(&self) -> Result<(), StateError> {
        let path = self.path.join(RUNNING);
        self.actor.act(|| fs::remove_file(&path)).map_err(|source| StateError { what: "remove", path, source })
    }

    /// Takes the mark off a run that did not end, and says so.
    fn clear_marker(&self) -> Option<String> {
        let marker = self.path.join(RUNNING);
        if !marker.exists() {
            return None;
        }
        // The lock is ours, so the process that made the mark is gone, and its machines with it.
        let removed = fs::remove_file(&marker);
        let outcome = if removed.is_ok() { "cleared what it left" } else { "could not clear what it left" };
        Some(format!(
            "run `{}` was killed before its end; {outcome}, its logs are in `{}`",
            self.id,
            self.path.display()
        ))
    }
}

/// A name of a machine or a step as a file name that no other name has: `unit.debian:12` for `unit[debian:12]`. A name that holds more than a
/// file name should, as the slashes of an image do, is told apart by a hash.
pub fn file_name(name: &str) -> String {
    let is_plain = |letter: char| letter.is_ascii_alphanumeric() || "._-:,@=+".contains(letter);
    let short = name.strip_suffix(']').map_or_else(|| name.to_owned(), |start| start.replacen('[', ".", 1));
    if short.chars().all(is_plain) {
        return short;
    }
    let kept: String = short.chars().map(|letter| if is_plain(letter) { letter } else { '-' }).collect();
    let digest = Sha256::digest(name.as_bytes());
    format!("{kept}-{}", digest[..4].iter().map(|byte| format!("{byte:02x}")).collect::<String>())
}

fn create_run(runs: &Path, actor: &Actor) -> Result<RunFolder, StateError> {
    let time = jiff::Timestamp::now().strftime("%Y%m%dT%H%M%S%3fZ").to_string();
    let mut id = time.clone();
    for number in 1_u32.. {
        let path = runs.join(&id);
        match DirBuilder::new().mode(0o700).create(&path) {
            Ok(()) => {
                let folder = RunFolder { id, path, actor: actor.clone() };
                let marker = folder.path.join(RUNNING);
                File::create(&marker).map_err(|source| StateError { what: "create", path: marker, source })?;
                return Ok(folder);
            }
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => id = format!("{time}-{number:03}"),
            Err(source) => return Err(StateError { what: "create", path, source }),
        }
    }
    unreachable!("some number is free")
}

/// Removes the oldest runs, so that there is room for one more.
fn make_room(runs: &[RunFolder]) -> Result<(), StateError> {
    let surplus = (runs.len() + 1).saturating_sub(KEPT_RUNS);
    for old in runs.iter().take(surplus) {
        let path = old.path.clone();
        fs::remove_dir_all(&old.path).map_err(|source| StateError { what: "remove", path, source })?;
    }
    Ok(())
}

/// Makes a folder and its parents, readable by nobody else.
fn create_private(folder: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(folder)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{MetadataExt, PermissionsExt};

    use super::*;

    fn state(home: &tempfile::TempDir) -> ProjectState {
        ProjectState::locate(home.path(), Actor::Own, "acme", Path::new("/code/acme"))
    }

    #[test]
    fn two_folders_of_the_same_name_have_two_states() {
        let home = Path::new("/state");
        let one = ProjectState::locate(home, Actor::Own, "acme", Path::new("/a/acme"));
        let other = ProjectState::locate(home, Actor::Own, "acme", Path::new("/b/acme"));
        assert_ne!(one, other);
        assert!(one.folder().starts_with("/state/smolvm"));
    }

    #[test]
    fn a_second_holder_learns_who_holds_the_lock() {
        let home = tempfile::tempdir().unwrap();
        let _held = state(&home).lock("smolvm up", false).unwrap();
        let Err(LockError::Held { holder, .. }) = state(&home).lock("smolvm up unit", false) else {
            panic!("the lock was taken twice");
        };
        assert_eq!((holder.pid, holder.command.as_str()), (std::process::id(), "smolvm up"));
    }

    #[test]
    fn a_lock_that_was_released_is_free() {
        let home = tempfile::tempdir().unwrap();
        drop(state(&home).lock("smolvm up", false).unwrap());
        state(&home).lock("smolvm up", true).unwrap();
    }

    #[test]
    fn a_waiting_holder_gets_the_lock_when_it_is_released() {
        let home = tempfile::tempdir().unwrap();
        let held = state(&home).lock("smolvm up", false).unwrap();
        let waiting = state(&home);
        let waiter = std::thread::spawn(move || waiting.lock("smolvm up unit", true).map(|_| ()));
        drop(held);
        waiter.join().unwrap().unwrap();
    }

    #[test]
    fn a_killed_run_is_named_once_by_the_next_one() {
        let home = tempfile::tempdir().unwrap();
        let lock = state(&home).lock("smolvm up", false).unwrap();
        let (killed, remarks) = state(&home).begin_run(&lock).unwrap();
        assert_eq!(remarks, Vec::<String>::new());
        let (ended, remarks) = state(&home).begin_run(&lock).unwrap();
        assert_eq!(remarks.len(), 1);
        assert!(remarks[0].starts_with(&format!("run `{}` was killed", killed.id())), "{remarks:?}");
        ended.finish().unwrap();
        assert_eq!(state(&home).begin_run(&lock).unwrap().1, Vec::<String>::new());
    }

    #[test]
    fn a_run_that_goes_on_in_the_machines_of_another_takes_its_mark() {
        let home = tempfile::tempdir().unwrap();
        let lock = state(&home).lock("smolvm up -d", false).unwrap();
        let (first, _) = state(&home).begin_run(&lock).unwrap();
        let second = state(&home).begin_next_run(&lock, &first).unwrap();
        assert_eq!((second.previous().as_deref(), first.previous()), (Some(first.id()), None));
        assert_eq!((first.is_marked(), second.is_marked()), (false, true));
    }

    #[test]
    fn the_last_twenty_runs_are_kept() {
        let home = tempfile::tempdir().unwrap();
        let lock = state(&home).lock("smolvm up", false).unwrap();
        let ids: Vec<String> = (0..25)
            .map(|_| {
                let (folder, _) = state(&home).begin_run(&lock).unwrap();
                folder.finish().unwrap();
                folder.id().to_owned()
            })
            .collect();
        let mut newest = ids[5..].to_vec();
        newest.sort();
        let kept: Vec<String> = state(&home).runs().unwrap().into_iter().map(|run| run.id).collect();
        assert_eq!(kept, newest);
    }

    #[test]
    fn the_state_of_another_user_is_theirs_and_leads_root_nowhere() {
        if !rustix::process::geteuid().is_root() {
            return;
        }
        let base = tempfile::tempdir().unwrap();
        let (home, others) = (base.path().join("home"), base.path().join("others"));
        for folder in [base.path(), &home, &others] {
            let _ = fs::create_dir(folder);
            fs::set_permissions(folder, fs::Permissions::from_mode(0o755)).unwrap();
        }
        std::os::unix::fs::chown(&home, Some(1234), Some(1234)).unwrap();
        let actor = Actor::User { uid: 1234, gid: 1234, groups: Vec::new() };
        let state = ProjectState::locate(&home, actor, "acme", Path::new("/code/acme"));
        let lock = state.lock("smolvm up", false).unwrap();
        let (run, _) = state.begin_run(&lock).unwrap();
        drop(run.create(&run.step_log("one")).unwrap());
        for path in [state.folder(), &state.folder().join("lock"), run.path(), &run.step_log("one")] {
            assert_eq!(fs::symlink_metadata(path).unwrap().uid(), 1234, "{}", path.display());
        }
        // A link that its owner lays where a file of ours will be, to where only root may write.
        std::os::unix::fs::symlink(others.join("made"), run.step_log("two")).unwrap();
        assert_eq!(run.create(&run.step_log("two")).unwrap_err().kind(), io::ErrorKind::PermissionDenied);
        run.finish().unwrap();
        fs::rename(home.join("smolvm"), home.join("old")).unwrap();
        std::os::unix::fs::symlink(&others, home.join("smolvm")).unwrap();
        assert!(matches!(state.lock("smolvm up", false), Err(LockError::Unusable { .. })));
        assert_eq!(fs::read_dir(&others).unwrap().count(), 0);
    }

    #[test]
    fn names_of_logs_stay_in_the_folder_of_the_run() {
        let folder = RunFolder::fake("1", Path::new("/runs/1"));
        assert_eq!(folder.step_log("unit[debian:12]"), Path::new("/runs/1/unit.debian:12.log"));
        assert_eq!(folder.step_log("unit[debian:12/../x]"), Path::new("/runs/1/unit.debian:12-..-x-7fb1aa40.log"));
        assert_ne!(folder.step_log("unit[a/b]"), folder.step_log("unit[a-b]"));
    }
}

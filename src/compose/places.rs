//! The folders that smolvm writes outside the project: state and cache.
//!
//! Under `sudo` the state is that of the user who called it, so that a project has one lock however it is started. It is
//! used with that user's rights only: links of theirs lead root nowhere, and they own what is left. The cache is then
//! root's own: what it holds is believed.

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use etcetera::BaseStrategy;

use crate::host;
use crate::plan::Invoker;
use crate::sys::identity::Actor;

/// Home of root where the caller's cannot be used.
const ROOT_HOME: &str = "/root";

/// Where state and cache go.
#[derive(Debug, PartialEq, Eq)]
pub struct Places {
    /// `$XDG_STATE_HOME`; what is smolvm's is below it.
    pub state_home: PathBuf,
    /// With whose rights the state is used.
    pub state_actor: Actor,
    /// Where sockets go, as used with the rights of the state: `$XDG_RUNTIME_DIR`, where there is one.
    pub runtime: Option<PathBuf>,
    /// smolvm's own folder below `$XDG_CACHE_HOME`.
    pub cache: PathBuf,
}

impl Places {
    /// Finds them; nothing is made yet.
    ///
    /// # Errors
    /// Where the user has no home.
    pub fn find() -> Result<Self, PlacesError> {
        let invoker = host::facts().invoker;
        let (state_home, cache) = own(&invoker)?;
        let (state_home, state_actor) = state(&invoker, state_home, named("XDG_STATE_HOME"));
        let runtime = runtime(&state_actor, named("XDG_RUNTIME_DIR"));
        Ok(Self { state_home, state_actor, runtime, cache: cache.join("smolvm") })
    }
}

/// The homes of state and cache of the user that this process is.
fn own(invoker: &Invoker) -> Result<(PathBuf, PathBuf), PlacesError> {
    let folders = match etcetera::base_strategy::Xdg::new() {
        Ok(folders) => folders,
        Err(error) => {
            let named = named("XDG_STATE_HOME").zip(named("XDG_CACHE_HOME"));
            return named.ok_or(PlacesError(error));
        }
    };
    let state_home = folders.state_dir().unwrap_or_else(|| folders.home_dir().join(".local/state"));
    let cache_home = folders.cache_dir();
    if !is_foreign(invoker, folders.home_dir()) {
        return Ok((state_home, cache_home));
    }
    // A `sudo` that keeps the caller's `HOME`.
    let below = |folder: PathBuf, name: &str| match folder.starts_with(folders.home_dir()) {
        true => Path::new(ROOT_HOME).join(name),
        false => folder,
    };
    Ok((below(state_home, ".local/state"), below(cache_home, ".cache")))
}

/// Where the state is and with whose rights it is used: under `sudo` the calling user's, where they have a home.
fn state(invoker: &Invoker, own: PathBuf, named: Option<PathBuf>) -> (PathBuf, Actor) {
    if !invoker.is_process_root || invoker.uid == 0 {
        return (own, Actor::Own);
    }
    let theirs = named.or_else(|| Some(invoker.home.as_ref()?.join(".local/state")));
    match theirs {
        Some(theirs) => {
            let Invoker { uid, gid, groups, .. } = invoker;
            (theirs, Actor::User { uid: *uid, gid: *gid, groups: groups.clone() })
        }
        None => (own, Actor::Own),
    }
}

/// The folder for sockets of the user with whose rights the state is used; that of somebody else is none.
fn runtime(actor: &Actor, named: Option<PathBuf>) -> Option<PathBuf> {
    let uid = match actor {
        Actor::Own => rustix::process::geteuid().as_raw(),
        Actor::User { uid, .. } => *uid,
    };
    let usual = || PathBuf::from(format!("/run/user/{uid}"));
    let is_theirs = |folder: &PathBuf| folder.metadata().is_ok_and(|found| found.is_dir() && found.uid() == uid);
    named.into_iter().chain([usual()]).find(is_theirs)
}

/// Why there is no place for state and cache: neither HOME, nor XDG_STATE_HOME and XDG_CACHE_HOME say where.
#[derive(Debug, thiserror::Error)]
#[error("this user has no home folder for smolvm's state and cache")]
pub struct PlacesError(#[source] etcetera::HomeDirError);

/// The folder that a variable names.
fn named(variable: &str) -> Option<PathBuf> {
    std::env::var_os(variable).map(PathBuf::from).filter(|path| path.is_absolute())
}

/// Whether we are root on behalf of somebody whose home this is.
fn is_foreign(invoker: &Invoker, home: &Path) -> bool {
    invoker.is_process_root && invoker.uid != 0 && home.metadata().is_ok_and(|metadata| metadata.uid() != 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn under_sudo_the_state_is_the_callers_and_used_with_their_rights() {
        let mut invoker = Invoker {
            uid: 1000,
            gid: 100,
            groups: vec![100],
            name: None,
            home: Some("/home/ada".into()),
            is_process_root: true,
        };
        let own = || PathBuf::from("/root/.local/state");
        let actor = Actor::User { uid: 1000, gid: 100, groups: vec![100] };
        assert_eq!(state(&invoker, own(), None), ("/home/ada/.local/state".into(), actor.clone()));
        assert_eq!(state(&invoker, own(), Some("/s".into())), ("/s".into(), actor));
        invoker.home = None;
        assert_eq!(state(&invoker, own(), None), (own(), Actor::Own));
        invoker.uid = 0;
        assert_eq!(state(&invoker, own(), Some("/s".into())), (own(), Actor::Own));
    }
}

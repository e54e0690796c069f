//! The folders that smolvm writes outside the project: state and cache.
//!
//! Under a `sudo` that keeps the caller's `HOME` they are root's own: in a folder of the caller's, root could be led
//! astray by links, and would leave what the caller cannot remove.

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use etcetera::BaseStrategy;

use super::exit::{Class, Failure};
use crate::host;

/// Home of root where the caller's cannot be used.
const ROOT_HOME: &str = "/root";

/// Where state and cache go.
#[derive(Debug)]
pub(crate) struct Places {
    /// `$XDG_STATE_HOME`; what is smolvm's is below it.
    pub(crate) state_home: PathBuf,
    /// smolvm's own folder below `$XDG_CACHE_HOME`.
    pub(crate) cache: PathBuf,
}

impl Places {
    /// Finds them; nothing is made yet.
    pub(crate) fn find() -> Result<Self, Failure> {
        let folders = match etcetera::base_strategy::Xdg::new() {
            Ok(folders) => folders,
            Err(error) => {
                let named = named("XDG_STATE_HOME").zip(named("XDG_CACHE_HOME"));
                let places = named.map(|(state_home, cache)| Self { state_home, cache: cache.join("smolvm") });
                return places.ok_or_else(|| {
                    Failure::new(Class::World, PlacesError(error))
                        .help("set HOME, or XDG_STATE_HOME and XDG_CACHE_HOME")
                });
            }
        };
        let state_home = folders.state_dir().unwrap_or_else(|| folders.home_dir().join(".local/state"));
        let cache_home = folders.cache_dir();
        if is_foreign(folders.home_dir()) {
            let below = |folder: &Path, name: &str| {
                if folder.starts_with(folders.home_dir()) {
                    Path::new(ROOT_HOME).join(name)
                } else {
                    folder.to_path_buf()
                }
            };
            let (state_home, cache_home) = (below(&state_home, ".local/state"), below(&cache_home, ".cache"));
            return Ok(Self { state_home, cache: cache_home.join("smolvm") });
        }
        Ok(Self { state_home, cache: cache_home.join("smolvm") })
    }
}

/// Why there is no place for state and cache.
#[derive(Debug, thiserror::Error)]
#[error("this user has no home folder for smolvm's state and cache")]
struct PlacesError(#[source] etcetera::HomeDirError);

/// The folder that a variable names.
fn named(variable: &str) -> Option<PathBuf> {
    std::env::var_os(variable).map(PathBuf::from).filter(|path| path.is_absolute())
}

/// Whether we are root on behalf of somebody whose home this is.
fn is_foreign(home: &Path) -> bool {
    let invoker = host::facts().invoker;
    invoker.is_process_root && invoker.uid != 0 && home.metadata().is_ok_and(|metadata| metadata.uid() != 0)
}

//! The folders of the invoking user's that smolvm writes.

use std::path::PathBuf;

use etcetera::BaseStrategy;

use super::exit::{Class, Failure};

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
        let folders = etcetera::base_strategy::Xdg::new().map_err(|error| {
            Failure::new(Class::World, error).help("set HOME, or XDG_STATE_HOME and XDG_CACHE_HOME")
        })?;
        let state_home = folders.state_dir().unwrap_or_else(|| folders.home_dir().join(".local/state"));
        Ok(Self { state_home, cache: folders.cache_dir().join("smolvm") })
    }
}

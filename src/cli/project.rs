//! The project that a verb looks at without running it: its name and folder, and so where its state is.
//!
//! Mistakes in the file are not told: what runs may be older than they are. Deliberately not here: what is found in the
//! state (`run`), who holds its machines (`control`).

use super::exit::{Class, Failure};
use super::load;
use super::places::Places;
use super::settings::Settings;
use crate::config::{Mode, Project};
use crate::run::ProjectState;

/// A project by its file, and where its state is.
#[derive(Debug)]
pub(crate) struct KnownProject {
    /// As far as the file can be understood.
    pub(crate) project: Project,
    /// Its state.
    pub(crate) state: ProjectState,
}

/// Why a project cannot be looked at.
#[derive(Debug, thiserror::Error)]
#[error("the project's file cannot be understood")]
struct NotUnderstood;

impl KnownProject {
    /// Finds what the settings name, or the project of the current folder.
    pub(crate) fn find(settings: &Settings) -> Result<Self, Failure> {
        let loaded = load::load(settings, Mode::Check)?;
        let project = loaded
            .project
            .ok_or_else(|| Failure::new(Class::File, NotUnderstood).help("`smolvm check` says what is wrong in it"))?;
        let places = Places::find()?;
        let state =
            ProjectState::locate(&places.state_home, places.state_actor.clone(), &project.name, &project.folder);
        Ok(Self { project, state })
    }
}

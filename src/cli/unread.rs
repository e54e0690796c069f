//! Projects that are known by their machines alone: their file is gone or cannot be understood, and what runs must still be
//! looked at and ended.
//!
//! Deliberately not here: projects whose machines are down.

use std::path::Path;

use super::exit::{Class, Failure};
use super::load::{self, Whereabouts};
use super::settings::Settings;
use crate::compose::Places;
use crate::config::{self, Project};
use crate::control::{Client, Found};
use crate::host::HostFiles;
use crate::run::ProjectState;

/// A project of which the file is not known, and where its state is.
type Unread = (Project, ProjectState);

/// Why none can be taken.
#[derive(Debug, thiserror::Error)]
#[error("several projects whose machines are up could be meant: {0}")]
struct Several(String);

/// The project whose machines are up where the file should be, or that has the name that is given.
pub(super) fn find(settings: &Settings, places: &Places) -> Result<Option<Unread>, Failure> {
    let named = named(settings, places)?;
    let place = load::whereabouts(settings);
    let is_at = |folder: &Path| match &place {
        Some(Whereabouts::Here(here)) => here == folder,
        Some(Whereabouts::NotFrom(start)) => start.starts_with(folder),
        None => false,
    };
    // The innermost folder counts, as it does for files.
    let depth = |client: &Client| is_at(client.project().1).then(|| client.project().1.components().count());
    let deepest = named.iter().filter_map(|(_, client)| depth(client)).max();
    match deepest {
        Some(deepest) => only(named.into_iter().filter(|(_, client)| depth(client) == Some(deepest)).collect()),
        None if settings.project_name.is_some() => only(named),
        None => Ok(None),
    }
}

/// The project that has the name that is given, where nobody holds the one that is meant by folder and name, and the other's
/// folder has no file any more.
pub(super) fn gone(settings: &Settings, places: &Places, meant: &ProjectState) -> Result<Option<Unread>, Failure> {
    if settings.project_name.is_none() || matches!(Client::find(meant), Ok(Found::Held(_))) {
        return Ok(None);
    }
    let has_file = |folder: &Path| {
        config::find(folder, &HostFiles::new()).is_some_and(|path| path.parent().is_some_and(|parent| parent == folder))
    };
    only(named(settings, places)?.into_iter().filter(|(_, client)| !has_file(client.project().1)).collect())
}

/// Whose machines are up, by the name that is given, or all.
fn named(settings: &Settings, places: &Places) -> Result<Vec<(ProjectState, Client)>, Failure> {
    let mut all =
        Client::all(&places.state_home, &places.state_actor).map_err(|error| Failure::new(Class::World, error))?;
    if let Some(name) = &settings.project_name {
        all.retain(|(_, client)| client.project().0 == name);
    }
    Ok(all)
}

fn only(found: Vec<(ProjectState, Client)>) -> Result<Option<Unread>, Failure> {
    match &found[..] {
        [] => Ok(None),
        [(state, client)] => {
            let (name, folder) = client.project();
            Ok(Some((Project::unread(name, folder.to_owned()), state.clone())))
        }
        several => {
            let words = several.iter().map(|(_, client)| {
                let (name, folder) = client.project();
                format!("`{name}` in `{}`", folder.display())
            });
            let words: Vec<String> = words.collect();
            Err(Failure::new(Class::Selection, Several(words.join(", ")))
                .help("name one by `-p NAME`, from its folder; `smolvm ls` lists them"))
        }
    }
}

//! From the files that were named (or found) to a checked project.
//!
//! Deliberately not here: reading them (`config`), what becomes of the remarks (each verb).

use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::exit::{Class, Failure};
use super::known_images::KnownImages;
use super::known_machines::KnownMachines;
use super::settings::Settings;
use crate::config::model::EVERY_PROFILE;
use crate::config::{self, FileRequest, LoadRequest, Loaded, Mode, Project};
use crate::host::HostFiles;

/// The longest text that is taken from standard input, in bytes: one more than a file may have, so that a longer one
/// is still told as such.
const STDIN_MAX_BYTES: u64 = (1 << 20) + 1;

/// Why no file can be loaded.
#[derive(Debug, thiserror::Error)]
enum LoadError {
    #[error("there is no `smolvm.yaml` in `{folder}` or above it")]
    NotFound { folder: PathBuf },
    #[error("the current folder cannot be used")]
    CurrentFolder(#[source] std::io::Error),
    #[error("standard input cannot be read")]
    Stdin(#[source] std::io::Error),
    #[error("`-f -` needs `--project-directory`")]
    StdinWithoutFolder,
    #[error("`-f -` is given twice")]
    StdinTwice,
    #[error("standard input belongs to the editor: `lsp` takes no `-f -`")]
    StdinForEditor,
    #[error("`--project-directory {}` is not a folder", folder.display())]
    NotFolder { folder: PathBuf },
    #[error("`--project-directory` goes with `-f -` only: paths of a file start at the folder that holds it")]
    FolderOfFile,
    #[error("{} cannot be the name of a project", shown(name))]
    Name { name: String },
    #[error("no machine and no step belongs to the profile `{name}`")]
    Profile { name: String },
}

/// Loads what the settings name, or the file that is found from the current folder upwards.
pub(crate) fn load(settings: &Settings, mode: Mode) -> Result<Loaded, Failure> {
    load_locked(settings, mode, false)
}

/// As [`load`]; with `is_locked` the images must be those of the lock file.
pub(crate) fn load_locked(settings: &Settings, mode: Mode, is_locked: bool) -> Result<Loaded, Failure> {
    let request = LoadRequest { is_locked, ..request(settings, mode)? };
    let host = HostFiles::new().with_images(Arc::new(KnownImages::default())).with_held(Arc::new(KnownMachines));
    let loaded = config::load(request, &host);
    match &loaded.project {
        Some(project) if settings.are_profiles_named && !loaded.diagnostics.has_errors() => {
            known_profiles(project, &settings.profiles)?;
        }
        _ => {}
    }
    Ok(loaded)
}

/// Whether each profile of the command line is one of the project's.
fn known_profiles(project: &Project, asked: &[String]) -> Result<(), Failure> {
    let known = project.known_profiles();
    let is_known = |name: &String| *name == EVERY_PROFILE || known.contains(&name.as_str());
    let Some(name) = asked.iter().find(|name| !is_known(name)) else { return Ok(()) };
    let failure = usage(LoadError::Profile { name: name.clone() });
    Err(match config::nearest(name, known.iter().copied()) {
        Some(near) => failure.help(format!("did you mean `{near}`?")),
        None if known.is_empty() => failure.help("the file has no `profiles`"),
        None => failure.help(format!(
            "the file has {}",
            known.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
        )),
    })
}

/// Where the file of a project is, or would be looked for from.
#[derive(Debug)]
pub(crate) enum Whereabouts {
    /// In this folder.
    Here(PathBuf),
    /// Neither in this folder nor above it.
    NotFrom(PathBuf),
}

/// Finds the folder of the project without reading its file; none where there is no current folder, or the text comes by a pipe.
pub(crate) fn whereabouts(settings: &Settings) -> Option<Whereabouts> {
    let current_folder = std::env::current_dir().ok();
    match settings.files.first() {
        Some(file) if file.as_os_str() == "-" => None,
        Some(file) => {
            let FileRequest::Path(path) = named(file, &current_folder?) else { return None };
            path.parent().map(|folder| Whereabouts::Here(folder.to_owned()))
        }
        None => Some(match config::find(&current_folder.clone()?, &HostFiles::new()) {
            Some(path) => Whereabouts::Here(path.parent()?.to_owned()),
            None => Whereabouts::NotFrom(current_folder?),
        }),
    }
}

/// What a check of options has in common with others; it has no file yet.
pub(crate) fn for_options(settings: &Settings) -> Result<LoadRequest, Failure> {
    template(settings, Mode::Run)
}

/// What is to be loaded, standard input read.
pub(crate) fn request(settings: &Settings, mode: Mode) -> Result<LoadRequest, Failure> {
    let mut request = template(settings, mode)?;
    request.files = requests(settings, &request.current_folder)?;
    Ok(request)
}

/// What every check for an editor has in common; its files are those that are named, and may be none.
pub(crate) fn for_editor(settings: &Settings) -> Result<LoadRequest, Failure> {
    let mut request = template(settings, Mode::Check)?;
    if settings.files.iter().any(|file| file.as_os_str() == "-") {
        return Err(usage(LoadError::StdinForEditor));
    }
    request.files = settings.files.iter().map(|file| named(file, &request.current_folder)).collect();
    Ok(request)
}

/// A request without files.
fn template(settings: &Settings, mode: Mode) -> Result<LoadRequest, Failure> {
    let current_folder =
        std::env::current_dir().map_err(|error| Failure::new(Class::World, LoadError::CurrentFolder(error)))?;
    if let Some(name) = settings.project_name.as_ref().filter(|name| !config::is_name(name)) {
        return Err(usage(LoadError::Name { name: name.clone() })
            .help("write lower-case letters, digits, `-` and `_`, as `-p my-project`"));
    }
    let name = settings.project_name.clone();
    let profiles = settings.profiles.clone();
    let env_files = settings.env_files.iter().map(|file| current_folder.join(file)).collect();
    Ok(LoadRequest { env_files, current_folder, mode, name, profiles, ..LoadRequest::default() })
}

fn usage(error: LoadError) -> Failure {
    Failure::new(Class::Usage, error)
}

fn requests(settings: &Settings, current_folder: &Path) -> Result<Vec<FileRequest>, Failure> {
    let project_directory = project_directory(settings, current_folder)?;
    if settings.files.is_empty() {
        let start = project_directory.as_deref().unwrap_or(current_folder);
        let found = config::find(start, &HostFiles::new()).ok_or_else(|| {
            Failure::new(Class::File, LoadError::NotFound { folder: start.to_path_buf() })
                .help("`smolvm init` writes one, `-f FILE` names another")
        })?;
        return Ok(vec![FileRequest::Path(found)]);
    }
    let count = settings.files.iter().filter(|file| file.as_os_str() == "-").count();
    match (count, project_directory) {
        (0, None) => Ok(settings.files.iter().map(|file| named(file, current_folder)).collect()),
        (0, Some(_)) => Err(usage(LoadError::FolderOfFile)),
        (1, Some(folder)) => {
            let stdin = FileRequest::Stdin { bytes: read_stdin()?, folder };
            let request = |file: &PathBuf| match file.as_os_str() == "-" {
                true => stdin.clone(),
                false => named(file, current_folder),
            };
            Ok(settings.files.iter().map(request).collect())
        }
        (1, None) => Err(usage(LoadError::StdinWithoutFolder).help("say where relative paths of the file start")),
        _ => Err(usage(LoadError::StdinTwice)),
    }
}

/// `--project-directory`, without links, so that one folder is one project however it is named.
fn project_directory(settings: &Settings, current_folder: &Path) -> Result<Option<PathBuf>, Failure> {
    let Some(named) = &settings.project_directory else { return Ok(None) };
    match current_folder.join(named).canonicalize() {
        Ok(folder) if folder.is_dir() => Ok(Some(folder)),
        _ => Err(usage(LoadError::NotFolder { folder: named.clone() })),
    }
}

/// A file by its name, its folder without links and `..`; whether it is there is told later.
fn named(file: &Path, current_folder: &Path) -> FileRequest {
    let path = current_folder.join(file);
    let known = path.parent().zip(path.file_name());
    let clean = known.and_then(|(folder, name)| Some(folder.canonicalize().ok()?.join(name)));
    FileRequest::Path(clean.unwrap_or(path))
}

fn read_stdin() -> Result<Vec<u8>, Failure> {
    let mut bytes = Vec::new();
    let read = std::io::stdin().lock().take(STDIN_MAX_BYTES).read_to_end(&mut bytes);
    read.map_err(|error| Failure::new(Class::World, LoadError::Stdin(error)))?;
    Ok(bytes)
}

fn shown(name: &str) -> String {
    if name.is_empty() { "an empty text".to_owned() } else { format!("`{name}`") }
}

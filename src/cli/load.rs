//! From the files that were named (or found) to a checked project.
//!
//! Deliberately not here: reading them (`config`), what becomes of the remarks (each verb).

use std::io::Read;
use std::path::{Path, PathBuf};

use super::exit::{Class, Failure};
use super::settings::Settings;
use crate::config::{self, FileRequest, LoadRequest, Loaded, Mode};
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
    #[error("`--project-directory {folder}` is not a folder")]
    NotFolder { folder: PathBuf },
}

/// Loads what the settings name, or the file that is found from the current folder upwards.
pub(crate) fn load(settings: &Settings, mode: Mode) -> Result<Loaded, Failure> {
    let current_folder =
        std::env::current_dir().map_err(|error| Failure::new(Class::World, LoadError::CurrentFolder(error)))?;
    let files = requests(settings, &current_folder)?;
    let request = LoadRequest { files, current_folder, mode, name: settings.project_name.clone() };
    Ok(config::load(request, &HostFiles::new()))
}

fn requests(settings: &Settings, current_folder: &Path) -> Result<Vec<FileRequest>, Failure> {
    if settings.files.is_empty() {
        let start = settings.project_directory.as_ref().map(|folder| current_folder.join(folder));
        let start = start.as_deref().unwrap_or(current_folder);
        let found = config::find(start, &HostFiles::new()).ok_or_else(|| {
            Failure::new(Class::File, LoadError::NotFound { folder: start.to_path_buf() })
                .help("write one (the README begins with an example), or name another with `-f FILE`")
        })?;
        return Ok(vec![FileRequest::Path(found)]);
    }
    let usage = |error| Failure::new(Class::Usage, error);
    if settings.files.iter().filter(|file| file.as_os_str() == "-").count() > 1 {
        return Err(usage(LoadError::StdinTwice));
    }
    let mut requests = Vec::new();
    for file in &settings.files {
        if file.as_os_str() != "-" {
            requests.push(FileRequest::Path(current_folder.join(file)));
            continue;
        }
        let Some(folder) = &settings.project_directory else {
            return Err(usage(LoadError::StdinWithoutFolder).help("say where relative paths of the file start"));
        };
        let folder = current_folder.join(folder);
        if !folder.is_dir() {
            return Err(usage(LoadError::NotFolder { folder }));
        }
        let mut bytes = Vec::new();
        let read = std::io::stdin().lock().take(STDIN_MAX_BYTES).read_to_end(&mut bytes);
        read.map_err(|error| Failure::new(Class::World, LoadError::Stdin(error)))?;
        requests.push(FileRequest::Stdin { bytes, folder });
    }
    Ok(requests)
}

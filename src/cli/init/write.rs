//! Writes the file, where there is none: as a whole or not at all.
//!
//! Deliberately not here: what is written.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::fchown;
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, RenameFlags, renameat_with};

use super::super::args::InitArgs;
use super::super::exit::{Class, ExitCode, Failure};
use super::super::printer::Printer;
use super::super::settings::Settings;
use super::look::Folder;
use super::starter;
use crate::host;
use crate::plan::Invoker;

/// The names under which a project file is found.
const NAMES: [&str; 2] = ["smolvm.yaml", "smolvm.yml"];

/// Why nothing is written.
#[derive(Debug, thiserror::Error)]
enum InitError {
    #[error("`init` writes `smolvm.yaml`, and `-f` names another file")]
    Named,
    #[error("`{folder}` is not a folder")]
    NotFolder { folder: PathBuf },
    #[error("`{file}` is there already, and is left as it is")]
    IsThere { file: PathBuf },
    #[error("cannot write `{file}`")]
    Write { file: PathBuf, source: io::Error },
}

/// Writes the file.
pub(crate) fn run(args: &InitArgs, settings: &Settings, printer: &Printer) -> Result<ExitCode, Failure> {
    if !settings.files.is_empty() {
        return Err(Failure::new(Class::Usage, InitError::Named).help("leave `-f` out, or rename the file afterwards"));
    }
    let folder = args.folder.clone().unwrap_or_else(|| PathBuf::from("."));
    let Some(whole) = folder.canonicalize().ok().filter(|folder| folder.is_dir()) else {
        return Err(Failure::new(Class::Usage, InitError::NotFolder { folder }).help("make it first, or name another"));
    };
    // The current folder is not named.
    let named = folder.strip_prefix(".").unwrap_or(&folder);
    if let Some(file) = NAMES.map(|name| named.join(name)).into_iter().find(|file| is_there(file)) {
        return Err(is_there_already(file));
    }
    let facts = host::facts();
    let found = Folder::new(&whole, &facts, &|name| std::env::var_os(name));
    let starter = starter::write(&found);
    let file = named.join(NAMES[0]);
    match put(&file, &starter.text, &facts.invoker) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => return Err(is_there_already(file)),
        Err(source) => return Err(Failure::new(Class::World, InitError::Write { file, source })),
        Ok(()) => {}
    }
    printer.note(&format!("wrote `{}` for {}\n", file.display(), starter.what));
    for remark in &starter.remarks {
        printer.note(&format!("note: {remark}\n"));
    }
    printer.note("read it, then run `smolvm up`\n");
    Ok(ExitCode::Passed)
}

/// Also where it is a link that leads nowhere.
fn is_there(file: &Path) -> bool {
    fs::symlink_metadata(file).is_ok()
}

fn is_there_already(file: PathBuf) -> Failure {
    Failure::new(Class::File, InitError::IsThere { file })
        .help("`smolvm check` says whether it is right; to begin anew, move it away first")
}

/// Writes a file as a whole or not at all, and never over another; it is the invoking user's.
fn put(file: &Path, text: &str, invoker: &Invoker) -> io::Result<()> {
    let new = file.with_file_name(format!(".smolvm.yaml.{}", std::process::id()));
    let result = fill(&new, text, invoker).and_then(|()| {
        match renameat_with(CWD, &new, CWD, file, RenameFlags::NOREPLACE) {
            // Some file systems cannot promise it; there the name is taken first.
            Err(rustix::io::Errno::INVAL) => {
                OpenOptions::new().write(true).create_new(true).open(file).map(drop)?;
                fs::rename(&new, file)
            }
            result => Ok(result?),
        }
    });
    if result.is_err() {
        // What cannot be removed either is left: the first error is told.
        let _ = fs::remove_file(&new);
    }
    result
}

fn fill(new: &Path, text: &str, invoker: &Invoker) -> io::Result<()> {
    let mut file: File = OpenOptions::new().write(true).create_new(true).open(new)?;
    if invoker.is_process_root {
        fchown(&file, Some(invoker.uid), Some(invoker.gid))?;
    }
    file.write_all(text.as_bytes())?;
    file.sync_all()
}

//! `smolvm check --fix`: writes what `config` mended, and says what it was.
//!
//! A text from standard input goes to standard output, mended or not. A file is replaced as a whole or not at all, and
//! keeps its owner and mode; a link to it stays one. A file with several names, or with attributes that a new one would
//! not have, is written in its place.

use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, fchown};
use std::path::{Path, PathBuf};

use super::args::{CheckArgs, CheckFormat};
use super::exit::{Class, Failure};
use super::load;
use super::printer::Printer;
use super::settings::Settings;
use crate::config::{self, FileRequest, Fixed, Loaded, MendedText, Mode};
use crate::host::HostFiles;

/// Why a file is not mended.
#[derive(Debug, thiserror::Error)]
enum FixError {
    #[error("`--fix` with `-f -` prints the file, and `--format` would print there too")]
    TwoTexts,
    #[error("`{path}` was changed by someone else while it was checked")]
    Changed { path: PathBuf },
    #[error("cannot write `{path}`")]
    Write { path: PathBuf, source: io::Error },
}

/// Mends the files that the settings name, and those that they include; what is left to say of it.
pub(crate) fn run(args: &CheckArgs, settings: &Settings, printer: &Printer) -> Result<Loaded, Failure> {
    if settings.files.iter().any(|file| file.as_os_str() == "-") && args.format != CheckFormat::Full {
        return Err(Failure::new(Class::Usage, FixError::TwoTexts).help("leave `--format` out"));
    }
    let mut request = load::request(settings, Mode::Check)?;
    request.is_locked = args.locked;
    let stdin = request.files.iter().find_map(|file| match file {
        FileRequest::Stdin { bytes, .. } => Some(bytes.clone()),
        FileRequest::Path(_) | FileRequest::Given { .. } => None,
    });
    let mended = config::mend(request, &HostFiles::new());
    write_all(&mended.texts).map_err(|error| Failure::new(Class::World, error))?;
    if let Some(bytes) = stdin {
        let text = mended.texts.iter().find(|text| text.path.is_none());
        printer.bytes(text.map_or(bytes.as_slice(), |text| &text.after))?;
    }
    printer.note(&words(&mended.fixed));
    Ok(mended.loaded)
}

/// Writes all files, or none of them where one was changed by someone else.
fn write_all(texts: &[MendedText]) -> Result<(), FixError> {
    let files: Vec<(&Path, &MendedText)> =
        texts.iter().filter_map(|text| Some((text.path.as_deref()?, text))).collect();
    for (path, text) in &files {
        let now = fs::read(path).map_err(|source| FixError::Write { path: path.to_path_buf(), source })?;
        if now != text.before {
            return Err(FixError::Changed { path: path.to_path_buf() });
        }
    }
    files.into_iter().try_for_each(|(path, text)| write(path, &text.before, &text.after))
}

/// A line a mistake, and how many there were.
fn words(fixed: &[Fixed]) -> String {
    let mut out = String::new();
    for Fixed { diagnostic, file: name, line, column } in fixed {
        out.push_str(&format!("{name}:{line}:{column}: fixed[{}]: {}\n", diagnostic.code, diagnostic.message));
    }
    match fixed.len() {
        0 => {}
        1 => out.push_str("1 mistake fixed\n"),
        count => out.push_str(&format!("{count} mistakes fixed\n")),
    }
    out
}

/// Writes a file whose text is still `before`.
fn write(path: &Path, before: &[u8], after: &[u8]) -> Result<(), FixError> {
    let fail = |source| FixError::Write { path: path.to_path_buf(), source };
    let real = path.canonicalize().map_err(fail)?;
    // Without the right to write it, a file is not replaced by another one either.
    let file = OpenOptions::new().write(true).open(&real).map_err(fail)?;
    if fs::read(&real).map_err(fail)? != before {
        return Err(FixError::Changed { path: path.to_path_buf() });
    }
    let metadata = file.metadata().map_err(fail)?;
    let is_plain = metadata.nlink() == 1 && !has_attributes(&file);
    match if is_plain { replace(&real, &metadata, after) } else { Ok(false) } {
        Ok(true) => Ok(()),
        Ok(false) => write_in_place(file, after).map_err(fail),
        Err(error) => Err(fail(error)),
    }
}

/// Puts a new file in the place of one; `false` where it could not be made the same but for its text.
fn replace(real: &Path, metadata: &fs::Metadata, text: &[u8]) -> io::Result<bool> {
    let (Some(folder), Some(name)) = (real.parent(), real.file_name()) else { return Ok(false) };
    let mut own = OsString::from(".");
    own.push(name);
    own.push(format!(".{}", std::process::id()));
    let new = folder.join(own);
    let file = match OpenOptions::new().write(true).create_new(true).mode(0o600).open(&new) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => return Ok(false),
        Err(error) => return Err(error),
    };
    let result = fill(&file, metadata, text).and_then(|is_same| {
        if is_same {
            fs::rename(&new, real)?;
        }
        Ok(is_same)
    });
    if !matches!(result, Ok(true)) {
        // What cannot be removed either is left: the first error is told.
        let _ = fs::remove_file(&new);
    }
    result
}

fn fill(mut file: &File, like: &fs::Metadata, text: &[u8]) -> io::Result<bool> {
    let own = file.metadata()?;
    if (own.uid(), own.gid()) != (like.uid(), like.gid()) && fchown(file, Some(like.uid()), Some(like.gid())).is_err() {
        return Ok(false);
    }
    file.write_all(text)?;
    file.set_permissions(like.permissions())?;
    file.sync_all()?;
    Ok(true)
}

fn write_in_place(mut file: File, text: &[u8]) -> io::Result<()> {
    file.write_all(text)?;
    file.set_len(text.len() as u64)?;
    file.sync_all()
}

/// Whether a file has attributes beside its mode: lists of rights, labels, a user's own.
fn has_attributes(file: &File) -> bool {
    let mut names = [0u8; 4096];
    match rustix::fs::flistxattr(file, &mut names[..]) {
        // A new file in the same folder gets the same label.
        Ok(length) => names[..length].split(|byte| *byte == 0).any(|name| !matches!(name, b"" | b"security.selinux")),
        Err(error) => error == rustix::io::Errno::RANGE,
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::*;

    fn folder() -> tempfile::TempDir {
        tempfile::tempdir().unwrap()
    }

    fn names(folder: &Path) -> Vec<String> {
        let names = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
        let mut names: Vec<String> = names.collect();
        names.sort();
        names
    }

    #[test]
    fn a_file_is_replaced_and_keeps_its_mode_and_the_link_to_it() {
        let folder = folder();
        let (real, link) = (folder.path().join("real.yaml"), folder.path().join("smolvm.yaml"));
        fs::write(&real, "old").unwrap();
        fs::set_permissions(&real, fs::Permissions::from_mode(0o640)).unwrap();
        symlink("real.yaml", &link).unwrap();
        let inode = fs::metadata(&real).unwrap().ino();
        write(&link, b"old", b"new").unwrap();
        assert_eq!(fs::read_to_string(&real).unwrap(), "new");
        let metadata = fs::metadata(&real).unwrap();
        assert_eq!((metadata.mode() & 0o7777, metadata.ino() != inode), (0o640, true));
        assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
        assert_eq!(names(folder.path()), ["real.yaml", "smolvm.yaml"], "nothing is left beside it");
    }

    #[test]
    fn a_file_with_two_names_keeps_both() {
        let folder = folder();
        let (one, two) = (folder.path().join("one"), folder.path().join("two"));
        fs::write(&one, "old text").unwrap();
        fs::hard_link(&one, &two).unwrap();
        write(&one, b"old text", b"new").unwrap();
        assert_eq!(fs::read_to_string(&two).unwrap(), "new");
        assert_eq!(fs::metadata(&two).unwrap().nlink(), 2);
    }

    #[test]
    fn a_file_that_changed_meanwhile_is_left_alone() {
        let folder = folder();
        let path = folder.path().join("smolvm.yaml");
        fs::write(&path, "theirs").unwrap();
        assert!(matches!(write(&path, b"old", b"new"), Err(FixError::Changed { .. })));
        assert_eq!(fs::read_to_string(&path).unwrap(), "theirs");
    }
}

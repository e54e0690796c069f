//! Files of an image by name, from a folder or a tar. A tar is looked through once; its files are then read where they lie.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Take};
use std::path::{Component, Path, PathBuf};

use rustix::fs::{Mode, OFlags, ResolveFlags, openat2};

use super::SourceError;

/// Members of a tar; an image has a few hundred.
const MEMBERS_MAX: usize = 100_000;
/// Bytes of all names of a tar.
const NAMES_MAX: usize = 16 << 20;
/// Links that are followed for one name.
const LINKS_MAX: usize = 8;

/// Where files of an image lie.
#[derive(Debug)]
pub(super) struct Container {
    path: PathBuf,
    form: Form,
}

#[derive(Debug)]
enum Form {
    Folder(File),
    Tar { members: HashMap<String, Member> },
}

#[derive(Debug, Clone)]
enum Member {
    File { offset: u64, size: u64 },
    Link(String),
}

/// A file of an image, open at its start.
#[derive(Debug)]
pub(super) struct Part {
    file: Take<File>,
    /// Where it begins in what is read.
    start: u64,
    /// Bytes of it.
    pub(super) size: u64,
}

impl Part {
    /// Goes to a place in it.
    pub(super) fn seek(&mut self, offset: u64) -> io::Result<()> {
        self.file.get_mut().seek(SeekFrom::Start(self.start + offset))?;
        self.file.set_limit(self.size.saturating_sub(offset));
        Ok(())
    }
}

impl Read for Part {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.file.read(buffer)
    }
}

impl Container {
    /// Opens a folder, or a tar and looks through it.
    pub(super) fn open(path: &Path) -> Result<Self, SourceError> {
        let read = |source| SourceError::Read { path: path.to_owned(), source };
        let file = File::open(path).map_err(read)?;
        let facts = file.metadata().map_err(read)?;
        let form = if facts.is_dir() {
            Form::Folder(file)
        } else if facts.is_file() {
            let members = members(path, &file)?;
            Form::Tar { members }
        } else {
            return Err(SourceError::form(path, "is neither a folder nor a file"));
        };
        Ok(Self { path: path.to_owned(), form })
    }

    /// Opens a file of it.
    pub(super) fn part(&self, name: &str) -> Result<Option<Part>, SourceError> {
        let read = |source| SourceError::Read { path: self.path.join(name), source };
        let mut name = inside(name).ok_or_else(|| self.outside(name))?;
        let members = match &self.form {
            Form::Folder(folder) => return self.part_of_folder(folder, &name),
            Form::Tar { members } => members,
        };
        for _ in 0..LINKS_MAX {
            match members.get(&name) {
                None => return Ok(None),
                Some(Member::Link(target)) => name.clone_from(target),
                Some(Member::File { offset, size }) => {
                    // Opened anew, so that it has a position of its own.
                    let file = File::open(&self.path).map_err(read)?;
                    let mut part = Part { file: file.take(*size), start: *offset, size: *size };
                    part.seek(0).map_err(read)?;
                    return Ok(Some(part));
                }
            }
        }
        Err(SourceError::form(&self.path, format!("has a link `{name}` that leads to no end")))
    }

    fn part_of_folder(&self, folder: &File, name: &str) -> Result<Option<Part>, SourceError> {
        let read = |source| SourceError::Read { path: self.path.join(name), source };
        let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK;
        let file =
            match openat2(folder, name, flags, Mode::empty(), ResolveFlags::BENEATH | ResolveFlags::NO_MAGICLINKS) {
                Ok(file) => File::from(file),
                Err(rustix::io::Errno::NOENT) => return Ok(None),
                Err(rustix::io::Errno::XDEV) => return Err(self.outside(name)),
                Err(error) => return Err(read(error.into())),
            };
        let facts = file.metadata().map_err(read)?;
        if !facts.is_file() {
            return Err(SourceError::form(&self.path, format!("has `{name}`, which is no file")));
        }
        Ok(Some(Part { file: file.take(facts.len()), start: 0, size: facts.len() }))
    }

    /// A whole file of it, of at most so many bytes.
    pub(super) fn read(&self, name: &str, limit: u64) -> Result<Option<Vec<u8>>, SourceError> {
        let Some(mut part) = self.part(name)? else { return Ok(None) };
        if part.size > limit {
            return Err(SourceError::form(&self.path, format!("has `{name}` of more than {limit} bytes")));
        }
        let mut bytes = Vec::new();
        let read = part.read_to_end(&mut bytes);
        read.map_err(|source| SourceError::Read { path: self.path.join(name), source })?;
        if bytes.len() as u64 != part.size {
            return Err(SourceError::form(&self.path, format!("ends in the midst of `{name}`")));
        }
        Ok(Some(bytes))
    }

    fn outside(&self, name: &str) -> SourceError {
        SourceError::form(&self.path, format!("has `{}`, which leads out of it", shown(name)))
    }
}

/// A text of someone else, fit for a message.
pub(super) fn shown(text: &str) -> String {
    text.chars().take(200).map(|letter| if letter.is_control() { '?' } else { letter }).collect()
}

/// A path without `.` and with `..` resolved; none where it leads out.
fn inside(name: &str) -> Option<String> {
    let mut parts: Vec<&str> = Vec::new();
    for component in Path::new(name).components() {
        match component {
            Component::CurDir => {}
            Component::Normal(part) => parts.push(part.to_str()?),
            Component::ParentDir => drop(parts.pop()?),
            Component::RootDir | Component::Prefix(_) => return None,
        }
    }
    Some(parts.join("/"))
}

/// Looks through a tar.
fn members(path: &Path, file: &File) -> Result<HashMap<String, Member>, SourceError> {
    let read = |source| SourceError::Read { path: path.to_owned(), source };
    let outside = |name: &str| SourceError::form(path, format!("has `{}`, which leads out of it", shown(name)));
    let length = file.metadata().map_err(read)?.len();
    let mut archive = tar::Archive::new(file);
    let mut members = HashMap::new();
    let mut names = 0;
    for entry in archive.entries_with_seek().map_err(read)? {
        let entry = entry.map_err(read)?;
        let bytes = entry.path_bytes();
        let Ok(written) = std::str::from_utf8(&bytes) else { continue };
        let name = inside(written).ok_or_else(|| outside(written))?;
        names += name.len();
        if members.len() >= MEMBERS_MAX || names > NAMES_MAX {
            return Err(SourceError::form(path, "has more files than any image"));
        }
        let kind = entry.header().entry_type();
        let target = || {
            let bytes = entry.link_name_bytes().unwrap_or_default();
            String::from_utf8_lossy(&bytes).into_owned()
        };
        let member = if kind.is_file() || kind.is_contiguous() {
            let (offset, size) = (entry.raw_file_position(), entry.size());
            if offset.checked_add(size).is_none_or(|end| end > length) {
                return Err(SourceError::form(path, format!("ends in the midst of `{}`", shown(written))));
            }
            Member::File { offset, size }
        } else if kind.is_symlink() {
            let target = target();
            let beside = Path::new(&name).parent().unwrap_or(Path::new("")).join(&target);
            Member::Link(beside.to_str().and_then(inside).ok_or_else(|| outside(&target))?)
        } else if kind.is_hard_link() {
            let target = target();
            Member::Link(inside(&target).ok_or_else(|| outside(&target))?)
        } else {
            continue;
        };
        members.insert(name, member);
    }
    Ok(members)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn container(entries: &[(&str, tar::EntryType, &str)]) -> (tempfile::TempDir, Result<Container, SourceError>) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.tar");
        let mut builder = tar::Builder::new(File::create(&path).unwrap());
        for (name, kind, content) in entries {
            let mut header = tar::Header::new_gnu();
            header.set_entry_type(*kind);
            header.as_gnu_mut().unwrap().name[..name.len()].copy_from_slice(name.as_bytes());
            if *kind == tar::EntryType::Regular {
                header.set_size(content.len() as u64);
                header.set_cksum();
                builder.append(&header, content.as_bytes()).unwrap();
            } else {
                header.set_link_name_literal(content).unwrap();
                header.set_size(0);
                header.set_cksum();
                builder.append(&header, io::empty()).unwrap();
            }
        }
        builder.into_inner().unwrap();
        let container = Container::open(&path);
        (folder, container)
    }

    #[test]
    fn files_are_found_by_name_and_through_links_that_stay_inside() {
        use tar::EntryType::{Link, Regular, Symlink};
        let (_folder, container) = container(&[
            ("./a/layer.tar", Regular, "one"),
            ("b/layer.tar", Symlink, "../a/layer.tar"),
            ("c", Link, "b/layer.tar"),
            ("round", Symlink, "round"),
        ]);
        let container = container.unwrap();
        for name in ["a/layer.tar", "./b/layer.tar", "c", "x/../c"] {
            assert_eq!(container.read(name, 3).unwrap().as_deref(), Some(&b"one"[..]), "{name}");
        }
        assert!(container.read("none", 3).unwrap().is_none());
        assert!(container.read("c", 2).is_err() && container.read("round", 9).is_err());
        assert!(container.read("../c", 9).is_err() && container.read("/c", 9).is_err());
    }

    #[test]
    fn names_and_links_that_lead_out_are_refused() {
        use tar::EntryType::{Link, Regular, Symlink};
        for entry in [
            ("../x", Regular, ""),
            ("/etc/passwd", Regular, ""),
            ("a/../../x", Regular, ""),
            ("x", Symlink, "/etc/passwd"),
            ("x", Symlink, "../y"),
            ("x", Link, "../y"),
        ] {
            let (_folder, container) = container(&[entry]);
            let error = container.unwrap_err().to_string();
            assert!(error.ends_with("which leads out of it"), "{error}");
        }
    }

    #[test]
    fn a_link_of_a_folder_leads_nowhere_outside() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("image")).unwrap();
        std::fs::write(folder.path().join("secret"), "x").unwrap();
        std::os::unix::fs::symlink("../secret", folder.path().join("image/out")).unwrap();
        std::fs::write(folder.path().join("image/file"), "y").unwrap();
        std::os::unix::fs::symlink("file", folder.path().join("image/link")).unwrap();
        let container = Container::open(&folder.path().join("image")).unwrap();
        assert!(container.read("out", 9).is_err());
        assert_eq!(container.read("link", 9).unwrap().as_deref(), Some(&b"y"[..]));
    }
}

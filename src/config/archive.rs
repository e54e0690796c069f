//! What a path holds that an image may come from: told by names and the first bytes, nothing is unpacked.
//!
//! Deliberately not here: whether a file asks for that (`checks`), reading an image.

use std::path::Path;

use super::files::{FileError, FileKind, Files};

/// What is at a path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Contents {
    /// A folder with `oci-layout` and `index.json`: images in the form of the OCI.
    Layout,
    /// A folder with one of them.
    HalfLayout,
    /// A folder with `manifest.json` and no `oci-layout`: what `docker save` writes, unpacked.
    DockerFolder,
    /// Another folder.
    Folder,
    /// A tar with these forms in it; none where it has no file that tells.
    Tar {
        /// It has `oci-layout` and `index.json`.
        is_layout: bool,
        /// It has `manifest.json`.
        is_docker: bool,
    },
    /// A tar that ends in the midst of a member, before any file that tells.
    CutTar,
    /// A file that is packed once more, and the program that unpacks it.
    Packed(&'static str),
    /// A file of another kind, a device, a pipe.
    Other,
}

/// Bytes of a header of a tar, and of the blocks that all is counted in.
const BLOCK: u64 = 512;
/// After so many members without a name that tells, none is expected.
const MEMBERS_MAX: usize = 4096;
/// What a packed file begins with.
const PACKED: [(&[u8], &str); 4] = [
    (&[0x1f, 0x8b], "gunzip"),
    (&[0x28, 0xb5, 0x2f, 0xfd], "unzstd"),
    (&[0xfd, b'7', b'z', b'X', b'Z', 0], "unxz"),
    (b"BZh", "bunzip2"),
];

/// Looks at a path.
///
/// # Errors
/// What the system said, where it is not there or cannot be read.
pub(super) fn look(path: &Path, files: &dyn Files) -> Result<Contents, FileError> {
    let found = files.metadata(path)?;
    let has = |name: &str| files.metadata(&path.join(name)).is_ok_and(|found| found.kind == FileKind::File);
    match found.kind {
        FileKind::Folder => Ok(match (has("oci-layout"), has("index.json")) {
            (true, true) => Contents::Layout,
            (false, false) if has("manifest.json") => Contents::DockerFolder,
            (false, false) => Contents::Folder,
            _ => Contents::HalfLayout,
        }),
        FileKind::File => look_into(path, found.length, files),
        FileKind::Link | FileKind::Other => Ok(Contents::Other),
    }
}

fn look_into(path: &Path, length: u64, files: &dyn Files) -> Result<Contents, FileError> {
    let start = files.read_range(path, 0, 512)?;
    if let Some((_, program)) = PACKED.iter().find(|(magic, _)| start.starts_with(magic)) {
        return Ok(Contents::Packed(program));
    }
    if !is_header(&start) {
        return Ok(Contents::Other);
    }
    let (mut has_layout, mut has_index, mut is_docker) = (false, false, false);
    let (mut at, mut is_cut) = (0, false);
    for _ in 0..MEMBERS_MAX {
        let header = files.read_range(path, at, 512)?;
        let Some(member) = Member::read(&header) else {
            is_cut = header.len() < 512;
            break;
        };
        match member.name.trim_start_matches("./") {
            "oci-layout" => has_layout = true,
            "index.json" => has_index = true,
            "manifest.json" => is_docker = true,
            _ => {}
        }
        let after = member.size.div_ceil(BLOCK).checked_add(1).and_then(|blocks| blocks.checked_mul(BLOCK));
        match after.and_then(|length| at.checked_add(length)) {
            Some(next) if next < length && !(has_layout && has_index && is_docker) => at = next,
            next => {
                is_cut = next.is_none_or(|next| next > length);
                break;
            }
        }
    }
    if is_cut && !is_docker && !(has_layout && has_index) {
        return Ok(Contents::CutTar);
    }
    Ok(Contents::Tar { is_layout: has_layout && has_index, is_docker })
}

/// One member of a tar.
struct Member {
    name: String,
    size: u64,
}

impl Member {
    /// Reads a header (POSIX.1-1988, 10.1.1); none where there is none.
    fn read(header: &[u8]) -> Option<Self> {
        if !is_header(header) {
            return None;
        }
        let name = &header[..100];
        let length = name.iter().position(|byte| *byte == 0).unwrap_or(name.len());
        Some(Self { name: String::from_utf8_lossy(&name[..length]).into_owned(), size: number(&header[124..136])? })
    }
}

/// A number in octal digits, or of GNU in base 256.
fn number(field: &[u8]) -> Option<u64> {
    if field.first()? & 0x80 != 0 {
        let low = &field[field.len().checked_sub(8)?..];
        return Some(u64::from_be_bytes(low.try_into().ok()?));
    }
    let text = std::str::from_utf8(field).ok()?;
    let digits = text.trim_matches(['\0', ' ']);
    if digits.is_empty() { Some(0) } else { u64::from_str_radix(digits, 8).ok() }
}

/// Whether the sum of a header is right: blanks stand for the sum itself.
fn is_header(header: &[u8]) -> bool {
    if header.len() < 512 || header[0] == 0 {
        return false;
    }
    let sum: u64 = header[..148].iter().chain(&header[156..512]).map(|byte| u64::from(*byte)).sum();
    number(&header[148..156]) == Some(sum + 8 * u64::from(b' '))
}

/// The prefix of `image:` with which a path can be used.
pub(super) fn prefix_of(contents: &Contents) -> Option<&'static str> {
    match contents {
        Contents::Layout | Contents::Tar { is_layout: true, is_docker: false } => Some("oci:"),
        Contents::Tar { is_docker: true, .. } => Some("docker-archive:"),
        Contents::Folder => Some("dir:"),
        Contents::HalfLayout
        | Contents::DockerFolder
        | Contents::Tar { .. }
        | Contents::CutTar
        | Contents::Packed(_)
        | Contents::Other => None,
    }
}

#[cfg(test)]
mod tests {
    use super::super::MemoryFiles;
    use super::*;

    #[test]
    fn folders_are_told_apart_by_the_names_in_them() {
        let files = MemoryFiles::new()
            .file("/layout/oci-layout", "{}")
            .file("/layout/index.json", "{}")
            .file("/half/index.json", "{}")
            .file("/saved/manifest.json", "[]")
            .folder("/root/etc")
            .folder("/odd/oci-layout");
        let look = |path: &str| look(Path::new(path), &files);
        assert_eq!(look("/layout"), Ok(Contents::Layout));
        assert_eq!(look("/half"), Ok(Contents::HalfLayout));
        assert_eq!(look("/saved"), Ok(Contents::DockerFolder));
        assert_eq!([look("/root"), look("/odd")], [Ok(Contents::Folder), Ok(Contents::Folder)]);
        assert_eq!(look("/none"), Err(FileError::Missing));
    }

    #[test]
    fn files_are_told_apart_by_what_is_in_them() {
        let tar = MemoryFiles::tar;
        let files = MemoryFiles::new()
            .file("/oci.tar", tar(&[("blobs/", 0), ("./oci-layout", 30), ("index.json", 2000)]))
            .file("/docker.tar", tar(&[("a/layer.tar", 5000), ("manifest.json", 2), ("repositories", 2)]))
            .file("/both.tar", tar(&[("oci-layout", 1), ("index.json", 1), ("manifest.json", 1)]))
            .file("/root.tar", tar(&[("etc/", 0), ("etc/passwd", 700)]))
            .file("/half.tar", tar(&[("oci-layout", 1)]))
            .file("/cut.tar", tar(&[("manifest.json", 1 << 30)])[..512].to_vec())
            .file("/cut-before.tar", tar(&[("blobs/a", 5000), ("index.json", 2)])[..4000].to_vec())
            .file("/packed", [0x1f, 0x8b, 8, 0])
            .file("/text", "x".repeat(600))
            .file("/empty", "");
        let look = |path: &str| look(Path::new(path), &files).expect("it is there");
        let tar = |is_layout, is_docker| Contents::Tar { is_layout, is_docker };
        assert_eq!(look("/oci.tar"), tar(true, false));
        assert_eq!(look("/docker.tar"), tar(false, true));
        assert_eq!(look("/both.tar"), tar(true, true));
        assert_eq!([look("/root.tar"), look("/half.tar")], [tar(false, false), tar(false, false)]);
        assert_eq!(look("/cut.tar"), tar(false, true));
        assert_eq!(look("/cut-before.tar"), Contents::CutTar);
        assert_eq!(look("/packed"), Contents::Packed("gunzip"));
        assert_eq!([look("/text"), look("/empty")], [Contents::Other, Contents::Other]);
    }

    #[test]
    fn a_header_whose_sum_is_wrong_is_none() {
        let mut tar = MemoryFiles::tar(&[("manifest.json", 0)]);
        assert!(is_header(&tar[..512]));
        tar[0] = b'n';
        assert!(!is_header(&tar[..512]));
    }
}

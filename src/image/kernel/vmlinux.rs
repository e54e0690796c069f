//! From a kernel file to the file that an engine boots: the vmlinux inside a bzImage, extracted once.
//!
//! A vmlinux with a PVH entry skips the kernel's own decompression, which is a third of a boot under emulation.
//! Where it cannot be had (a compression that is not known here, a kernel without PVH) the bzImage is booted itself.

use std::fs::{self, File};
use std::io::{self, Read, Seek, Write};
use std::path::{Path, PathBuf};

use super::super::cache::{Cache, sha256};
use super::super::decompress::decompress;
use super::KernelError;
use super::bzimage::BzImage;
use super::elf;
use super::stored::mark_used;

/// Largest bzImage that is read.
const BZIMAGE_MAX: u64 = 256 << 20;
/// Largest vmlinux that is extracted.
const VMLINUX_MAX: u64 = 1 << 30;
/// What a vmlinux says of itself, before its version.
const BANNER: &[u8] = b"Linux version ";

/// What is known of a kernel file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Inspected {
    /// What `uname -r` will say.
    pub(super) version: String,
    /// What an engine boots.
    pub(super) boot_file: PathBuf,
}

/// Looks into a kernel file, extracting its vmlinux into the cache; the second time the answer comes from there.
pub(super) fn inspect(path: &Path, cache: &Cache) -> Result<Inspected, KernelError> {
    let path = fs::canonicalize(path).map_err(|source| KernelError::io("find kernel", path, source))?;
    let question = format!("boot {}", path.display());
    if let Some(answer) = cache.recall(&question)
        && let Some((version, boot_file)) = answer.split_once(' ')
    {
        let boot_file = PathBuf::from(boot_file);
        if boot_file.starts_with(cache.path("")) {
            mark_used(&boot_file);
        }
        return Ok(Inspected { version: version.to_owned(), boot_file });
    }
    let found = look(&path, cache)?;
    let answer = format!("{} {}", found.version, found.boot_file.display());
    // Without a memory the next run looks again: slower, not wrong.
    let _ = cache.remember(&question, &answer, &[path, found.boot_file.clone()]);
    Ok(found)
}

/// What a kernel that gets another place soon says it is; nothing is remembered of this one.
pub(super) fn version_of(path: &Path, cache: &Cache) -> Result<String, KernelError> {
    look(path, cache).map(|found| found.version)
}

fn look(path: &Path, cache: &Cache) -> Result<Inspected, KernelError> {
    let read = |source| KernelError::io("read kernel", path, source);
    let mut file = File::open(path).map_err(read)?;
    let mut start = [0; 0x400];
    let length = read_up_to(&mut file, &mut start).map_err(read)?;
    if elf::is_elf(&start[..length]) {
        if !elf::has_pvh_entry(&file).map_err(read)? {
            return Err(KernelError::NoPvhEntry { path: path.to_owned() });
        }
        let version = banner_version(&mut file).map_err(read)?;
        let version = version.ok_or_else(|| KernelError::NotAKernel { path: path.to_owned() })?;
        return Ok(Inspected { version, boot_file: path.to_owned() });
    }
    let is_bzimage = BzImage::parse(&start[..length]).is_some();
    if !is_bzimage || file.metadata().map_err(read)?.len() > BZIMAGE_MAX {
        return Err(KernelError::NotAKernel { path: path.to_owned() });
    }
    let bytes = fs::read(path).map_err(read)?;
    let image = BzImage::parse(&bytes).ok_or_else(|| KernelError::NotAKernel { path: path.to_owned() })?;
    let version = image.version().ok_or_else(|| KernelError::NotAKernel { path: path.to_owned() })?.to_owned();
    let boot_file = extract(&image, &sha256(&[&bytes]), cache)
        .map_err(|source| KernelError::io("write the kernel's cache below", cache.path(""), source))?
        .unwrap_or_else(|| path.to_owned());
    Ok(Inspected { version, boot_file })
}

/// The vmlinux inside, if it can be booted by PVH.
fn extract(image: &BzImage<'_>, digest: &str, cache: &Cache) -> io::Result<Option<PathBuf>> {
    let name = format!("vmlinux-{digest}");
    let ready = cache.path(&name);
    if ready.exists() {
        return Ok(Some(ready));
    }
    for payload in image.payloads() {
        let made = cache.publish_file::<(), ExtractError>(&name, |file| {
            let mut out = Counted { file, failed: false };
            let unpacked = decompress(payload, VMLINUX_MAX, &mut out);
            match unpacked {
                Err(error) if out.failed => return Err(ExtractError::World(error)),
                Err(_) => return Err(ExtractError::Unusable),
                Ok(_) => {}
            }
            if elf::has_pvh_entry(file)? { Ok(()) } else { Err(ExtractError::Unusable) }
        });
        match made {
            Ok((path, ())) => return Ok(Some(path)),
            Err(ExtractError::Unusable) => {}
            Err(ExtractError::World(error)) => return Err(error),
        }
    }
    Ok(None)
}

/// A payload may be unusable, which is no failure; a full disk is one.
enum ExtractError {
    Unusable,
    World(io::Error),
}

impl From<io::Error> for ExtractError {
    fn from(error: io::Error) -> Self {
        ExtractError::World(error)
    }
}

/// A writer that remembers whether it was the one that failed.
struct Counted<'a> {
    file: &'a mut File,
    failed: bool,
}

impl Write for Counted<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.file.write(bytes).inspect_err(|error| self.failed = error.kind() != io::ErrorKind::Interrupted)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

/// The word behind the first `Linux version ` of a vmlinux, read in pieces.
fn banner_version(file: &mut File) -> io::Result<Option<String>> {
    const PIECE: usize = 1 << 20;
    const KEEP: usize = 256;
    file.rewind()?;
    let mut piece = vec![0; PIECE];
    let mut kept = 0;
    loop {
        let length = kept + read_up_to(file, &mut piece[kept..])?;
        let bytes = &piece[..length];
        if let Some(version) = find_version(bytes) {
            return Ok(Some(version));
        }
        if length < PIECE {
            return Ok(None);
        }
        piece.copy_within(length - KEEP.., 0);
        kept = KEEP;
    }
}

/// The banner's first word; a format string (`Linux version %s`) is not it.
fn find_version(bytes: &[u8]) -> Option<String> {
    let mut starts = bytes.windows(BANNER.len()).enumerate().filter(|(_, window)| *window == BANNER);
    starts.find_map(|(at, _)| {
        let text = &bytes[at + BANNER.len()..];
        let end = text.iter().position(|byte| *byte == b' ')?;
        let version = std::str::from_utf8(&text[..end]).ok()?;
        let is_version = version.starts_with(|first: char| first.is_ascii_digit()) && version.len() < 128;
        (is_version && version.chars().all(|c| c.is_ascii_graphic())).then(|| version.to_owned())
    })
}

fn read_up_to(file: &mut File, buffer: &mut [u8]) -> io::Result<usize> {
    let mut length = 0;
    while length < buffer.len() {
        match file.read(&mut buffer[length..]) {
            Ok(0) => break,
            Ok(count) => length += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(length)
}

#[cfg(test)]
mod tests {
    use super::super::super::decompress::tests::forms;
    use super::super::bzimage::tests::bzimage;
    use super::super::elf::tests::vmlinux;
    use super::*;

    fn inspect_bytes(bytes: &[u8]) -> (tempfile::TempDir, Result<Inspected, KernelError>) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("kernel");
        fs::write(&path, bytes).unwrap();
        let cache = Cache::open(folder.path()).unwrap();
        let first = inspect(&path, &cache);
        if let Ok(first) = &first {
            assert_eq!(&inspect(&path, &cache).unwrap(), first, "the second answer comes from the cache");
        }
        (folder, first)
    }

    #[test]
    fn vmlinux_is_extracted_from_each_compression() {
        for (kind, payload) in forms(&vmlinux(18)) {
            for is_told in [true, false] {
                let (_folder, found) = inspect_bytes(&bzimage(&payload, is_told));
                let found = found.unwrap();
                assert_eq!(found.version, "9.8.7-made");
                assert_eq!(fs::read(&found.boot_file).unwrap(), vmlinux(18), "{kind:?}");
            }
        }
    }

    #[test]
    fn bzimage_is_booted_itself_where_nothing_usable_is_inside() {
        let (_, no_pvh) = forms(&vmlinux(3)).remove(0);
        for payload in [b"BZh9 not known".to_vec(), no_pvh, b"\x1f\x8b\x08 broken".to_vec()] {
            let (folder, found) = inspect_bytes(&bzimage(&payload, true));
            let expected = fs::canonicalize(folder.path().join("kernel")).unwrap();
            assert_eq!(found.unwrap().boot_file, expected);
        }
    }

    #[test]
    fn vmlinux_serves_as_it_is_when_it_has_an_entry() {
        let (folder, found) = inspect_bytes(&vmlinux(18));
        let expected = fs::canonicalize(folder.path().join("kernel")).unwrap();
        assert_eq!(found.unwrap(), Inspected { version: "9.8.7-made".to_owned(), boot_file: expected });
        let (_folder, found) = inspect_bytes(&vmlinux(3));
        assert!(matches!(found, Err(KernelError::NoPvhEntry { .. })));
    }

    #[test]
    fn other_files_are_named_as_no_kernel() {
        let (_folder, found) = inspect_bytes(b"just text");
        assert!(matches!(found, Err(KernelError::NotAKernel { .. })));
    }

    #[test]
    fn banner_is_found_across_pieces() {
        let mut bytes = vec![0; (1 << 20) - 10];
        bytes.extend(b"Linux version %s\0Linux version 1.2.3-x (a)");
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(&bytes).unwrap();
        assert_eq!(banner_version(&mut file).unwrap().as_deref(), Some("1.2.3-x"));
    }
}

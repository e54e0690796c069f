//! A kernel out of an image: found in its tree, copied into the cache, where it is like any other.
//!
//! The tree is whatever a registry gave: names and sizes are limited, and only regular files and folders are copied.
//! Deliberately not here: how the image comes (`images`), where in it a kernel may be ([`super::place`]).

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use super::super::cache::{self, Cache};
use super::super::request::ReadyImage;
use super::super::waiter::Waiter;
use super::KernelError;
use super::place;
use super::resolve::{BUSY, Kernel, finish};
use super::stored::{self, Contents};
use super::vmlinux::version_of;
use crate::rootfs::{Extent, InodeKind, RootTree, is_name};

/// Largest kernel, in bytes.
const KERNEL_MAX: u64 = 1 << 30;
/// All modules of a kernel, in bytes.
const MODULES_MAX: u64 = 4 << 30;
/// All files and folders of a kernel's modules; distributions have about 7000.
const ENTRIES_MAX: usize = 100_000;
/// Folders in each other below that of the modules.
const DEPTH_MAX: usize = 32;
/// Bytes that are copied at once.
const CHUNK: usize = 1 << 20;
/// The kernel in its folder of the cache.
const IMAGE_FILE: &str = "boot/vmlinuz";

/// The kernel that an image holds, copied into the cache unless it is there; `name` is the image's, for people. The
/// second value says whether it is new.
///
/// # Errors
/// Where the image holds no kernel, or one that cannot be used, and where the cache cannot be written.
pub fn of_image(
    image: &ReadyImage,
    name: &str,
    modules: Option<&Path>,
    cache: &Path,
    waiter: &mut dyn Waiter,
) -> Result<(Kernel, bool), KernelError> {
    let cache = Cache::open(cache).map_err(|source| KernelError::io("make cache folder", cache, source))?;
    cache.sweep();
    let folder_name = format!("{}{}", stored::IMAGE, image.digest.hex());
    let folder = cache.path(&folder_name);
    let mut is_new = false;
    if stored::files_in(&folder).is_none() {
        let failed = |source| KernelError::io("lock cache folder", cache.path(""), source);
        let mut lock = cache.lock_file().map_err(failed)?;
        let Some(_guard) = cache::hold(&mut lock, BUSY, waiter).map_err(failed)? else {
            return Err(KernelError::NotWanted);
        };
        if stored::files_in(&folder).is_none() {
            waiter.tell(&format!("taking the kernel out of image `{name}`"));
            let scratch = cache.scratch().map_err(|source| KernelError::io("write below", cache.path(""), source))?;
            let made = scratch.path().join("made");
            Copier::open(image, name, waiter)?.copy(&made, &cache)?;
            cache
                .publish_folder(&made, &folder_name)
                .map_err(|source| KernelError::io("write below", cache.path(""), source))?;
            is_new = true;
        }
    }
    stored::mark_folder(&folder);
    let files = stored::files_in(&folder)
        .ok_or_else(|| KernelError::io("find kernel", &folder, io::ErrorKind::NotFound.into()))?;
    Ok((finish(&files, modules, &cache)?, is_new))
}

/// Copies out of one image.
struct Copier<'a> {
    name: &'a str,
    tree: RootTree,
    packs: Vec<File>,
    waiter: &'a mut dyn Waiter,
}

/// What may still be copied.
struct Room {
    bytes: u64,
    entries: usize,
}

impl<'a> Copier<'a> {
    fn open(image: &ReadyImage, name: &'a str, waiter: &'a mut dyn Waiter) -> Result<Self, KernelError> {
        let read = |path: &Path, source| KernelError::io("read the store's", path, source);
        let bytes = fs::read(&image.tree).map_err(|source| read(&image.tree, source))?;
        let tree = RootTree::decode(&bytes, &image.pack_lengths)
            .map_err(|source| read(&image.tree, io::Error::new(io::ErrorKind::InvalidData, source)))?;
        let open = |path: &PathBuf| File::open(path).map_err(|source| read(path, source));
        let packs = image.packs.iter().map(open).collect::<Result<_, _>>()?;
        Ok(Self { name, tree, packs, waiter })
    }

    /// Makes the folder of a kernel of the cache.
    fn copy(mut self, made: &Path, cache: &Cache) -> Result<(), KernelError> {
        let found = place::kernel(&self.tree)
            .ok_or_else(|| KernelError::NotInImage { image: self.name.to_owned(), looked: place::LOOKED.join(", ") })?;
        let kernel_file = made.join(IMAGE_FILE);
        fs::create_dir_all(made.join("boot")).map_err(|source| KernelError::io("make folder", made, source))?;
        let mut room = Room { bytes: KERNEL_MAX, entries: 1 };
        self.file(found.inode, &kernel_file, &found.path, &mut room)?;
        let version = version_of(&kernel_file, cache).map_err(|error| match error {
            KernelError::NotAKernel { .. } => self.unusable(&found.path, "it is neither a bzImage nor a vmlinux"),
            KernelError::NoPvhEntry { .. } => {
                self.unusable(&found.path, "it has no PVH entry (CONFIG_PVH), so it cannot be booted as it is")
            }
            error => error,
        })?;
        // The version is what the kernel says of itself, and becomes the name of a folder.
        if !is_name(version.as_bytes()) || version.chars().any(char::is_control) {
            return Err(self.unusable(&found.path, "its version is no name of a folder"));
        }
        let mut modules = None;
        if let Some((path, folder)) = place::modules(&self.tree, &version) {
            let to = Path::new("lib/modules").join(&version);
            fs::create_dir_all(made.join("lib/modules"))
                .map_err(|source| KernelError::io("make folder", made, source))?;
            let mut room = Room { bytes: MODULES_MAX, entries: ENTRIES_MAX };
            self.folder((folder, 0), &made.join(&to), &path, &mut room)?;
            modules = Some(to);
        }
        let origin = format!("image {}", self.name);
        Contents { image: PathBuf::from(IMAGE_FILE), modules, origin, version: Some(version) }
            .write(made)
            .map_err(|source| KernelError::io("write below", made, source))
    }

    /// Copies a folder at this depth and what is below; links and devices are left out.
    fn folder(
        &mut self,
        (inode, depth): (u32, usize),
        to: &Path,
        path: &str,
        room: &mut Room,
    ) -> Result<(), KernelError> {
        if depth > DEPTH_MAX {
            return Err(self.unusable(path, "its folders are too deep"));
        }
        fs::create_dir(to).map_err(|source| KernelError::io("make folder", to, source))?;
        for (name, child) in self.tree.entries(inode).to_vec() {
            if !is_name(&name) {
                return Err(self.unusable(path, "a name in it is none"));
            }
            room.entries = room.entries.checked_sub(1).ok_or_else(|| self.unusable(path, "it has too many files"))?;
            let (to, path) = (to.join(OsStr::from_bytes(&name)), format!("{path}/{}", String::from_utf8_lossy(&name)));
            match self.tree.inode(child).map(|inode| &inode.kind) {
                Some(InodeKind::Folder { .. }) => self.folder((child, depth + 1), &to, &path, room)?,
                Some(InodeKind::File { .. }) => self.file(child, &to, &path, room)?,
                _ => {}
            }
        }
        Ok(())
    }

    fn file(&self, inode: u32, to: &Path, path: &str, room: &mut Room) -> Result<(), KernelError> {
        if self.waiter.has_left() {
            return Err(KernelError::NotWanted);
        }
        let Some(InodeKind::File { size, extents }) = self.tree.inode(inode).map(|inode| &inode.kind) else {
            return Err(self.unusable(path, "it is no regular file"));
        };
        room.bytes = room.bytes.checked_sub(*size).ok_or_else(|| self.unusable(path, "it is too large"))?;
        self.bytes(*size, extents, to).map_err(|source| KernelError::io("write below", to, source))
    }

    fn bytes(&self, size: u64, extents: &[Extent], to: &Path) -> io::Result<()> {
        let file = File::options().create_new(true).write(true).open(to)?;
        file.set_len(size)?;
        let mut buffer = vec![0; CHUNK];
        for extent in extents {
            let pack = usize::try_from(extent.pack).ok().and_then(|pack| self.packs.get(pack));
            let pack = pack.ok_or(io::ErrorKind::InvalidData)?;
            let mut done = 0;
            while done < extent.length {
                let left = usize::try_from(extent.length - done).unwrap_or(CHUNK).min(CHUNK);
                pack.read_exact_at(&mut buffer[..left], extent.pack_offset + done)?;
                file.write_all_at(&buffer[..left], extent.file_offset + done)?;
                done += left as u64;
            }
        }
        Ok(())
    }

    fn unusable(&self, path: &str, why: &'static str) -> KernelError {
        KernelError::UnusableInImage { image: self.name.to_owned(), path: path.to_owned(), why }
    }
}

#[cfg(test)]
mod tests;

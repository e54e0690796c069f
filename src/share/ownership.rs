//! The ownership pass: gives files of a share to a user of the host, while a hostile guest may still move them about.
//!
//! ```text
//! folder ─name─► descriptor (no link, no other mount) ─► what is it? ─► set-id bits off, owner changed, by descriptor
//! ```
//!
//! A name is used once, to open it; every question and every change goes by the descriptor that this gave. Links
//! are not followed but given themselves, other file systems below the share are left alone, and so is what has more
//! than one name: the others may lie where the guest never was. While an entry is looked at, the guest's own requests
//! for and against names wait, so that it cannot take the name away by which the file is its own. Runs in the confined
//! server, for which there is nothing outside the share. Which names are wanted is in [`wanted`].

mod wanted;

use std::ffi::{CStr, CString};
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::{Arc, PoisonError};

use rustix::fs::{
    AtFlags, Dir, FileType, Gid, Mode, OFlags, ResolveFlags, Statx, Uid, chmodat, chownat, openat, openat2, readlinkat,
};
use rustix::io::Errno;

use super::changes::mode_of;
use super::nodes::FileKey;
use super::recorder::{Mark, Marks, RECORDED_MAX};
use super::single::{LINKS_MAX, plain_name};
use super::tree::{Tree, fd_name, key_of, stat_fd, stat_name};
use super::wire::{Given, Outputs};
use wanted::{Pattern, Wanted, literal};

/// Deepest folder below a share that is entered; each on the way holds a descriptor.
const DEPTH_MAX: usize = 1000;

/// Most entries that one pass looks at: a guest that makes them as fast as they are read must not hold it for ever.
const ENTRIES_MAX: u64 = 20_000_000;

/// Entries between two calls of the caller's tick.
const TICK_ENTRIES: u64 = 128;

const SET_ID_BITS: u32 = libc::S_ISUID | libc::S_ISGID;

/// To whom.
#[derive(Debug, Clone, Copy)]
pub(super) struct NewOwner {
    pub(super) uid: u32,
    pub(super) gid: u32,
}

/// Where a pass may change something, and for whom.
#[derive(Debug, Clone, Copy)]
pub(super) struct Scope<'a> {
    pub(super) tree: &'a Tree,
    /// Of the tree, only the file that has this name in its root.
    pub(super) only: Option<&'a CStr>,
    pub(super) owner: NewOwner,
}

impl Scope<'_> {
    /// Gives what these patterns match, and all below it.
    ///
    /// # Errors
    /// What `tick` gives, which is called now and then and so ends the pass.
    pub(super) fn give_outputs(self, outputs: &Outputs, tick: &mut dyn FnMut() -> io::Result<()>) -> io::Result<Given> {
        let patterns: Vec<Pattern<'_>> = outputs.patterns.iter().map(|pattern| Pattern::parse(pattern)).collect();
        let here = Wanted::of(&patterns).below_path(&outputs.target);
        let mut pass = Pass::new(self.tree, self.owner, None, tick);
        match self.file_names()? {
            None if here.is_nothing() => {}
            None => pass.walk(here)?,
            Some(names) if here.is_complete() => pass.walk(Wanted::of(&names_only(&names)))?,
            Some(_) => {}
        }
        Ok(pass.given)
    }

    /// Gives the files that were recorded, and nothing else.
    ///
    /// # Errors
    /// As [`Scope::give_outputs`].
    pub(super) fn give_recorded(self, marks: &Marks, tick: &mut dyn FnMut() -> io::Result<()>) -> io::Result<Given> {
        let mut pass = Pass::new(self.tree, self.owner, Some(marks), tick);
        if marks.is_over {
            pass.fail(|| format!("it made or changed more than {RECORDED_MAX} files; declare `outputs`"));
        } else if !marks.is_empty() {
            match self.file_names()? {
                None => pass.walk(Wanted::All)?,
                Some(names) => pass.walk(Wanted::of(&names_only(&names)))?,
            }
        }
        Ok(pass.given)
    }

    /// The names of the one file that is served: its own, and where that is a link, those that it leads to.
    fn file_names(self) -> io::Result<Option<Vec<Vec<u8>>>> {
        let Some(only) = self.only else { return Ok(None) };
        let mut names = vec![only.to_owned()];
        while names.len() <= LINKS_MAX
            && let Some(last) = names.last()
            && let Ok(target) = readlinkat(&*self.tree.root, last, Vec::new())
            && let Ok(next) = plain_name(target.into_bytes())
        {
            names.push(next);
        }
        Ok(Some(names.iter().map(|name| literal(name.to_bytes())).collect()))
    }
}

fn names_only(names: &[Vec<u8>]) -> Vec<Pattern<'_>> {
    names.iter().map(|name| Pattern::of_name(name)).collect()
}

struct Pass<'a> {
    tree: &'a Tree,
    owner: NewOwner,
    /// Of what is wanted, only these.
    only: Option<&'a Marks>,
    tick: &'a mut dyn FnMut() -> io::Result<()>,
    given: Given,
    entries: u64,
}

/// A folder that is being gone through.
struct Level<'p> {
    names: Names,
    wanted: Wanted<'p>,
}

enum Names {
    /// All that are in it.
    Listed(Dir),
    /// These, whatever else is in it.
    Known(OwnedFd, std::vec::IntoIter<CString>),
}

impl Names {
    fn next(&mut self) -> Option<io::Result<CString>> {
        match self {
            Self::Known(_, names) => names.next().map(Ok),
            Self::Listed(folder) => loop {
                match folder.next()? {
                    Ok(entry) if matches!(entry.file_name().to_bytes(), b"." | b"..") => {}
                    Ok(entry) => return Some(Ok(entry.file_name().to_owned())),
                    Err(error) => return Some(Err(error.into())),
                }
            },
        }
    }

    fn folder(&self) -> io::Result<BorrowedFd<'_>> {
        match self {
            Self::Known(folder, _) => Ok(folder.as_fd()),
            Self::Listed(folder) => Ok(folder.fd()?),
        }
    }

    /// Opens a name for questions only. `None` where it is gone, or is where another file system begins.
    fn open(&self, name: &CStr) -> io::Result<Option<OwnedFd>> {
        let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_XDEV;
        let resolve = resolve | ResolveFlags::NO_MAGICLINKS;
        match openat2(self.folder()?, name, flags, Mode::empty(), resolve) {
            Ok(fd) => Ok(Some(fd)),
            Err(Errno::NOENT | Errno::NOTDIR | Errno::XDEV | Errno::NAMETOOLONG) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }
}

impl<'a> Pass<'a> {
    fn new(
        tree: &'a Tree,
        owner: NewOwner,
        only: Option<&'a Marks>,
        tick: &'a mut dyn FnMut() -> io::Result<()>,
    ) -> Self {
        Self { tree, owner, only, tick, given: Given::default(), entries: 0 }
    }

    /// Goes on with the rest, and says at the end what could not be done.
    fn fail(&mut self, failure: impl FnOnce() -> String) {
        self.given.failure.get_or_insert_with(failure);
    }

    fn walk<'p>(&mut self, wanted: Wanted<'p>) -> io::Result<()> {
        let root = Arc::clone(&self.tree.root);
        let mut open: Vec<Level<'p>> = Vec::new();
        open.extend(self.visit(&*root, None, c".", wanted));
        while let Some(level) = open.last_mut() {
            let name = match level.names.next() {
                Some(Ok(name)) => name,
                Some(Err(error)) => {
                    self.fail(|| format!("cannot list a folder: {error}"));
                    open.pop();
                    continue;
                }
                None => {
                    open.pop();
                    continue;
                }
            };
            self.entries += 1;
            if self.entries.is_multiple_of(TICK_ENTRIES) {
                (self.tick)()?;
            }
            if self.entries > ENTRIES_MAX {
                self.fail(|| format!("there are more than {ENTRIES_MAX} entries"));
                return Ok(());
            }
            let wanted = level.wanted.below(&name);
            if wanted.is_nothing() {
                continue;
            }
            let deeper = self.enter(&level.names, &name, wanted);
            if deeper.is_some() && open.len() >= DEPTH_MAX {
                self.fail(|| format!("folders are nested more than {DEPTH_MAX} deep"));
            } else {
                open.extend(deeper);
            }
        }
        Ok(())
    }

    /// Looks at one name of a folder.
    fn enter<'p>(&mut self, names: &Names, name: &CStr, wanted: Wanted<'p>) -> Option<Level<'p>> {
        let tree = self.tree;
        let _naming = tree.naming.write().unwrap_or_else(PoisonError::into_inner);
        match names.open(name) {
            Ok(Some(fd)) => self.visit(&fd, Some(names), name, wanted),
            Ok(None) => None,
            Err(error) => {
                self.fail(|| format!("cannot open `{}`: {error}", name.to_string_lossy()));
                None
            }
        }
    }

    /// Gives what was opened, where it is wanted, and enters it, where something in it may be.
    fn visit<'p>(
        &mut self,
        fd: impl AsFd,
        names: Option<&Names>,
        name: &CStr,
        wanted: Wanted<'p>,
    ) -> Option<Level<'p>> {
        self.try_visit(fd, names, name, wanted).unwrap_or_else(|error| {
            let NewOwner { uid, gid } = self.owner;
            self.fail(|| format!("cannot give `{}` to {uid}:{gid}: {error}", name.to_string_lossy()));
            None
        })
    }

    fn try_visit<'p>(
        &mut self,
        fd: impl AsFd,
        names: Option<&Names>,
        name: &CStr,
        wanted: Wanted<'p>,
    ) -> io::Result<Option<Level<'p>>> {
        let stat = stat_fd(&fd)?;
        let key = key_of(&stat);
        let FileKey { device, mount, .. } = self.tree.root_key;
        // A volume of its own below the share need not be a mount.
        if (key.device, key.mount) != (device, mount) {
            return Ok(None);
        }
        if wanted.is_complete() && self.only.is_none_or(|marks| marks.has(Mark::of(&key))) {
            // The host may have taken the name away since it was opened.
            let is_here = match names {
                Some(names) if kind_of(&stat) != FileType::Directory => {
                    stat_name(names.folder()?, name).is_ok_and(|named| key_of(&named) == key)
                }
                _ => true,
            };
            if is_here {
                self.give(&fd, &stat)?;
            }
        }
        if kind_of(&stat) != FileType::Directory {
            return Ok(None);
        }
        // A server of one file may not list its folder.
        if let Some(names) = wanted.names() {
            let names = Names::Known(fd.as_fd().try_clone_to_owned()?, names.into_iter());
            return Ok(Some(Level { names, wanted }));
        }
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        match openat(&fd, c".", flags, Mode::empty()) {
            Ok(folder) => Ok(Some(Level { names: Names::Listed(Dir::new(folder)?), wanted })),
            Err(Errno::NOENT) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    fn give(&mut self, fd: impl AsFd, stat: &Statx) -> io::Result<()> {
        let kind = kind_of(stat);
        if kind != FileType::Directory && stat.stx_nlink > 1 {
            self.given.linked += 1;
            return Ok(());
        }
        let NewOwner { uid, gid } = self.owner;
        let mode = u32::from(stat.stx_mode) & 0o7777;
        let has_set_id = kind != FileType::Symlink && mode & SET_ID_BITS != 0;
        let is_theirs = (stat.stx_uid, stat.stx_gid) == (uid, gid);
        if has_set_id {
            // Before the change of owner: never for a moment do the bits lend the new owner's id.
            clear_set_id(&self.tree.settings.own_fds, &fd, mode)?;
        }
        if !is_theirs {
            let (uid, gid) = (Uid::from_raw(uid), Gid::from_raw(gid));
            chownat(&fd, c"", Some(uid), Some(gid), AtFlags::EMPTY_PATH)?;
        }
        self.given.changed += u64::from(has_set_id || !is_theirs);
        Ok(())
    }
}

fn clear_set_id(own_fds: &File, fd: impl AsFd, mode: u32) -> io::Result<()> {
    Ok(chmodat(own_fds, fd_name(&fd.as_fd()), mode_of(mode & !SET_ID_BITS), AtFlags::empty())?)
}

fn kind_of(stat: &Statx) -> FileType {
    FileType::from_raw_mode(u32::from(stat.stx_mode))
}

#[cfg(test)]
mod tests;

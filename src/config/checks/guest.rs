//! What an image has, as a guest sees it, where the image is at hand: links, homes, what a folder holds.
//!
//! At hand are `host`, `dir:`, and what [`Files::image_root`] knows, a folder or data. Everything is looked up once an image, whatever
//! machines use it. Deliberately not here: mounts, and any diagnostic.

use std::cell::{Cell, OnceCell, RefCell};
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::Arc;

use super::world::Link;
use crate::config::alias;
use crate::config::files::{FileError, FileKind, Files, FolderContents};
use crate::config::image_root::{ImageNode, ImageRoot};
use crate::config::model::{GuestPath, Image};

/// Places on this computer that `image: host` shows empty; nothing below them is in a guest.
const HIDDEN_ON_HOST: [&str; 11] =
    ["/home", "/root", "/tmp", "/var/tmp", "/run", "/mnt", "/media", "/srv", "/proc", "/sys", "/dev"];

/// Folders that the guest needs under these names, wherever links of the image put them.
const SYSTEM_NAMES: [&str; 8] = ["/usr", "/bin", "/sbin", "/lib", "/lib64", "/usr/bin", "/usr/lib", "/etc"];

/// The users who have homes: root, and people. What lies between are services.
const PEOPLE: std::ops::Range<u32> = 1000..65534;
/// More of an image's `/etc/passwd` than this is not read.
const ACCOUNTS_MAX_BYTES: usize = 1 << 20;

/// So many homes of an image are known; every mount is compared with each.
const HOMES_MAX: usize = 100;

/// So many files are counted in one folder.
pub(super) const COUNT_MAX: usize = 1_000;

/// A home of a user of the image.
#[derive(Debug)]
pub(super) struct Home {
    pub(super) path: GuestPath,
    pub(super) user: String,
}

/// Where an image is.
#[derive(Debug)]
enum Root {
    /// In a folder of this computer.
    Folder(PathBuf),
    /// Among what was brought here.
    Data(Arc<dyn ImageRoot>),
}

/// One image.
#[derive(Debug)]
pub(super) struct Guest {
    /// Nothing where it is not at hand.
    root: Option<Root>,
    is_host: bool,
    links: RefCell<HashMap<String, Link>>,
    homes: OnceCell<Vec<Home>>,
    moved: OnceCell<Vec<(GuestPath, &'static str)>>,
    contents: RefCell<HashMap<GuestPath, Option<Rc<FolderContents>>>>,
}

impl Guest {
    /// Finds out whether an image is at hand; `lock` is the digest that the lock file gives.
    pub(super) fn new(image: &Image, lock: Option<&str>, files: &dyn Files) -> Self {
        let root = match image {
            Image::Host => Some(Root::Folder(PathBuf::from("/"))),
            Image::Dir(root) => {
                let is_folder = files.metadata(root).is_ok_and(|found| found.kind == FileKind::Folder);
                is_folder.then(|| Root::Folder(root.clone()))
            }
            image => files.image_root(image, lock).map(Root::Data),
        };
        Self {
            root,
            is_host: *image == Image::Host,
            links: RefCell::default(),
            homes: OnceCell::new(),
            moved: OnceCell::new(),
            contents: RefCell::default(),
        }
    }

    /// Whether anything is known of it.
    pub(super) fn is_at_hand(&self) -> bool {
        self.root.is_some()
    }

    /// What is at a path whose parents are free of links.
    pub(super) fn link(&self, path: &str, files: &dyn Files) -> Link {
        let Some(root) = &self.root else { return alias::assumed_link(path).map_or(Link::No, Link::To) };
        if self.is_host && is_hidden(path) {
            return Link::Absent;
        }
        if let Some(known) = self.links.borrow().get(path) {
            return known.clone();
        }
        let link = match root {
            Root::Folder(root) => self.link_in(&root.join(path.trim_start_matches('/')), files),
            Root::Data(root) => match root.at(path) {
                Some(ImageNode::Link(target)) => Link::To(target),
                Some(_) => Link::No,
                None => Link::Absent,
            },
        };
        self.links.borrow_mut().insert(path.to_owned(), link.clone());
        link
    }

    fn link_in(&self, at: &Path, files: &dyn Files) -> Link {
        match files.link_metadata(at) {
            Ok(found) if found.kind == FileKind::Link => {
                let target = files.read_link(at).ok().and_then(|target| target.to_str().map(str::to_owned));
                target.map_or(Link::No, Link::To)
            }
            Ok(found) if self.is_host && !found.is_public => Link::Absent,
            Ok(_) => Link::No,
            Err(FileError::Missing) => Link::Absent,
            // What the invoking user may not look at is not in the guest.
            Err(_) if self.is_host => Link::Absent,
            Err(_) => Link::No,
        }
    }

    /// Where a path leads by the links of the image alone.
    pub(super) fn follow(&self, path: &GuestPath, files: &dyn Files) -> GuestPath {
        let (mut absent, mut last) = (false, String::new());
        alias::follow(path, &mut |at| {
            absent &= at.strip_prefix(&last).is_some_and(|rest| rest.starts_with('/'));
            at.clone_into(&mut last);
            if absent {
                return None;
            }
            match self.link(at, files) {
                Link::To(target) => Some(target),
                Link::No => None,
                Link::Absent => {
                    absent = true;
                    None
                }
            }
        })
    }

    /// Where a path without links is that the guest sees.
    fn behind(&self, path: &GuestPath, files: &dyn Files) -> Option<Behind<'_>> {
        let text = path.as_str();
        if self.is_host && (HIDDEN_ON_HOST.contains(&text) || is_hidden(text)) {
            return None;
        }
        // Every folder on the way must be there for the guest.
        let ends = text.match_indices('/').map(|(at, _)| at).skip(1).chain([text.len()]);
        if ends.into_iter().any(|end| matches!(self.link(&text[..end], files), Link::Absent)) {
            return None;
        }
        Some(match self.root.as_ref()? {
            Root::Folder(root) => Behind::Folder(root.join(text.trim_start_matches('/'))),
            Root::Data(root) => Behind::Data(&**root),
        })
    }

    fn is_folder(&self, path: &GuestPath, files: &dyn Files) -> bool {
        match self.behind(path, files) {
            Some(Behind::Folder(at)) => files.link_metadata(&at).is_ok_and(|found| found.kind == FileKind::Folder),
            Some(Behind::Data(root)) => root.at(path.as_str()) == Some(ImageNode::Folder),
            None => false,
        }
    }

    fn read(&self, path: &GuestPath, files: &dyn Files) -> Option<Vec<u8>> {
        match self.behind(path, files)? {
            Behind::Folder(at) => files.read(&at, ACCOUNTS_MAX_BYTES).ok(),
            Behind::Data(root) => root.read(path.as_str(), ACCOUNTS_MAX_BYTES),
        }
    }

    /// Homes of root and of people that are in the image.
    pub(super) fn homes(&self, files: &dyn Files) -> &[Home] {
        self.homes.get_or_init(|| self.read_homes(files))
    }

    fn read_homes(&self, files: &dyn Files) -> Vec<Home> {
        let passwd = GuestPath::parse("/etc/passwd").map(|path| self.follow(&path, files));
        let text = passwd.and_then(|path| self.read(&path, files)).unwrap_or_default();
        let text = String::from_utf8_lossy(&text);
        let homes = text.lines().filter_map(|line| {
            let fields: Vec<&str> = line.split(':').collect();
            let uid: u32 = fields.get(2)?.parse().ok()?;
            let home = GuestPath::parse(fields.get(5)?)?;
            let is_home = (uid == 0 || PEOPLE.contains(&uid)) && home.as_str() != "/";
            is_home.then(|| Home { path: self.follow(&home, files), user: fields[0].to_owned() })
        });
        homes.filter(|home| self.is_folder(&home.path, files)).take(HOMES_MAX).collect()
    }

    /// Folders outside the usual places to which names of the system lead, and the name of each.
    pub(super) fn moved(&self, files: &dyn Files) -> &[(GuestPath, &'static str)] {
        self.moved.get_or_init(|| {
            let names = SYSTEM_NAMES.into_iter().filter(|_| self.is_at_hand());
            let led = names.filter_map(|name| Some((self.follow(&GuestPath::parse(name)?, files), name)));
            let is_usual = |path: &GuestPath| {
                let usual = SYSTEM_NAMES.into_iter().filter_map(GuestPath::parse);
                path.as_str() == "/" || usual.into_iter().any(|place| path.is_at_or_below(&place))
            };
            led.filter(|(path, _)| !is_usual(path)).collect()
        })
    }

    /// What a folder holds in the guest, where it holds anything; `budget` is what may still be looked at.
    pub(super) fn contents(
        &self,
        path: &GuestPath,
        files: &dyn Files,
        budget: &Cell<usize>,
    ) -> Option<Rc<FolderContents>> {
        if let Some(known) = self.contents.borrow().get(path) {
            return known.clone();
        }
        let looked = self.behind(path, files).and_then(|behind| {
            let limit = COUNT_MAX.min(budget.get());
            let found = match behind {
                Behind::Folder(folder) => files.contents(&folder, limit, self.is_host).ok()?,
                Behind::Data(root) => root.contents(path.as_str(), limit)?,
            };
            budget.set(budget.get().saturating_sub(found.looked_at));
            (found.entries > 0).then(|| Rc::new(found))
        });
        self.contents.borrow_mut().insert(path.clone(), looked.clone());
        looked
    }
}

/// Where a path of an image is.
enum Behind<'a> {
    /// At this path of this computer.
    Folder(PathBuf),
    /// At the same path of this image.
    Data(&'a dyn ImageRoot),
}

/// Whether a path lies below a place that `image: host` hides.
fn is_hidden(path: &str) -> bool {
    HIDDEN_ON_HOST.iter().any(|place| path.strip_prefix(place).is_some_and(|rest| rest.starts_with('/')))
}

#[cfg(test)]
mod tests;

//! Ways to folders, through links of the image, never out of it: `/` of a link is the image's root, and `..` of the root is
//! the root.

use super::super::tree::Name;
use super::error::MergeCause;
use super::nodes::{Nodes, ROOT, What};

/// Links that one path may lead through, as many as Linux allows.
const MAX_LINKS: u32 = 40;

impl<'a> Nodes<'a> {
    /// The folder at a path; what is missing is made, and files of lower layers give way.
    pub(super) fn make_folders(&mut self, path: &'a [Name]) -> Result<usize, MergeCause> {
        let mut way = Way::new(path);
        while let Some(name) = way.next() {
            let child = self.child(way.here, name);
            match child.map(|child| (child, &self.node(child).what)) {
                Some((child, What::Folder(_))) => way.here = child,
                Some((_, What::Link { target })) => way.follow(target, &mut self.budget)?,
                Some(_) if self.is_own(way.here, name) => return Err(MergeCause::NotAFolder),
                _ => {
                    let made = self.add_folder(way.here, None)?;
                    self.put(way.here, name, made);
                    way.here = made;
                }
            }
            way.go_up(self);
        }
        Ok(way.here)
    }

    /// The folder at a path, where there is one.
    pub(super) fn find_folder(&mut self, path: &'a [Name]) -> Result<Option<usize>, MergeCause> {
        let mut way = Way::new(path);
        while let Some(name) = way.next() {
            let child = self.child(way.here, name);
            match child.map(|child| (child, &self.node(child).what)) {
                Some((child, What::Folder(_))) => way.here = child,
                Some((_, What::Link { target })) => way.follow(target, &mut self.budget)?,
                _ => return Ok(None),
            }
            way.go_up(self);
        }
        Ok(Some(way.here))
    }
}

/// A path that is being walked.
struct Way<'a> {
    here: usize,
    path: std::slice::Iter<'a, Name>,
    /// Names of links that come before the rest of the path, the next one last.
    ahead: Vec<&'a [u8]>,
    links: u32,
}

impl<'a> Way<'a> {
    fn new(path: &'a [Name]) -> Self {
        Self { here: ROOT, path: path.iter(), ahead: Vec::new(), links: 0 }
    }

    /// The next name; never `.` or `..`, since [`Way::go_up`] comes between.
    fn next(&mut self) -> Option<&'a [u8]> {
        self.ahead.pop().or_else(|| self.path.next().map(Vec::as_slice))
    }

    /// Goes on with what a link says.
    fn follow(&mut self, target: &'a [u8], budget: &mut usize) -> Result<(), MergeCause> {
        let names = || target.split(|byte| *byte == b'/').filter(|name| !name.is_empty());
        self.links += 1;
        *budget = budget.checked_sub(1 + names().count()).ok_or(MergeCause::Links)?;
        if self.links > MAX_LINKS {
            return Err(MergeCause::Links);
        }
        if target.starts_with(b"/") {
            self.here = ROOT;
        }
        self.ahead.extend(names().rev());
        Ok(())
    }

    /// Takes the steps ahead that need no look at a name.
    fn go_up(&mut self, nodes: &Nodes<'_>) {
        while let Some(name) = self.ahead.last().copied().filter(|name| matches!(*name, b"." | b"..")) {
            if name == b".." {
                self.here = nodes.folder(self.here).map_or(ROOT, |folder| folder.parent);
            }
            self.ahead.pop();
        }
    }
}

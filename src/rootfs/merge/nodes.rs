//! The tree while it is being made: what is where, and which layer put it there. Not here: ways through links.

use std::collections::BTreeMap;

use super::super::tree::Attributes;
use super::error::MergeCause;

/// The root's node.
pub(super) const ROOT: usize = 0;
/// Folders in each other.
pub(in crate::rootfs) const MAX_DEPTH: u32 = 4096;

/// What a node is; everything long is borrowed from the layers.
#[derive(Debug)]
pub(super) enum What<'a> {
    Folder(Folder<'a>),
    File { size: u64, extents: &'a [(u64, u64, u64)], pack: u32 },
    Link { target: &'a [u8] },
    CharDevice { number: (u32, u32) },
    BlockDevice { number: (u32, u32) },
    Fifo,
}

/// A folder. Layers are counted from 1, so that 0 is none.
#[derive(Debug)]
pub(super) struct Folder<'a> {
    pub(super) parent: usize,
    pub(super) entries: BTreeMap<&'a [u8], Slot>,
    depth: u32,
    /// The last layer that put something in it or below it.
    touched: u32,
    /// The last layer that left nothing of those before in it and below it.
    cleaned: u32,
}

/// A name in a folder.
#[derive(Debug, Clone, Copy)]
pub(super) struct Slot {
    pub(super) node: usize,
    /// The layer that gave the name.
    layer: u32,
}

/// An inode to be.
#[derive(Debug)]
pub(super) struct Node<'a> {
    pub(super) what: What<'a>,
    /// None: a folder that no entry declares.
    pub(super) attributes: Option<&'a Attributes>,
}

/// All nodes, also those that lost their last name: nothing leads to them.
#[derive(Debug)]
pub(super) struct Nodes<'a> {
    all: Vec<Node<'a>>,
    layer: u32,
    /// Names of links that may still be gone over.
    pub(super) budget: usize,
}

impl<'a> Nodes<'a> {
    pub(super) fn new(entries: usize) -> Self {
        let root = Folder { parent: ROOT, entries: BTreeMap::new(), depth: 0, touched: 0, cleaned: 0 };
        Self {
            all: vec![Node { what: What::Folder(root), attributes: None }],
            layer: 0,
            budget: 10_000_000_usize.saturating_add(entries.saturating_mul(64)),
        }
    }

    pub(super) fn begin_layer(&mut self) {
        self.layer += 1;
    }

    /// Number of the pack of the layer that is being applied.
    pub(super) fn pack(&self) -> u32 {
        self.layer - 1
    }

    pub(super) fn node(&self, number: usize) -> &Node<'a> {
        &self.all[number]
    }

    /// One more than the greatest number.
    pub(super) fn count(&self) -> usize {
        self.all.len()
    }

    pub(super) fn folder(&self, number: usize) -> Option<&Folder<'a>> {
        match &self.all[number].what {
            What::Folder(folder) => Some(folder),
            _ => None,
        }
    }

    fn folder_mut(&mut self, number: usize) -> Option<&mut Folder<'a>> {
        match &mut self.all[number].what {
            What::Folder(folder) => Some(folder),
            _ => None,
        }
    }

    pub(super) fn is_folder(&self, number: usize) -> bool {
        self.folder(number).is_some()
    }

    pub(super) fn child(&self, folder: usize, name: &[u8]) -> Option<usize> {
        self.folder(folder)?.entries.get(name).map(|slot| slot.node)
    }

    /// Whether this layer gave the name.
    pub(super) fn is_own(&self, folder: usize, name: &[u8]) -> bool {
        let slot = self.folder(folder).and_then(|folder| folder.entries.get(name));
        slot.is_some_and(|slot| slot.layer == self.layer)
    }

    /// A node that has no name yet.
    pub(super) fn add(&mut self, what: What<'a>, attributes: Option<&'a Attributes>) -> Result<usize, MergeCause> {
        let number = self.all.len();
        if u32::try_from(number).is_err() {
            return Err(MergeCause::Many);
        }
        self.all.push(Node { what, attributes });
        Ok(number)
    }

    /// A folder that has no name yet.
    pub(super) fn add_folder(
        &mut self,
        parent: usize,
        attributes: Option<&'a Attributes>,
    ) -> Result<usize, MergeCause> {
        let depth = self.folder(parent).map_or(0, |folder| folder.depth) + 1;
        if depth > MAX_DEPTH {
            return Err(MergeCause::Deep);
        }
        let layer = self.layer;
        let folder = Folder { parent, entries: BTreeMap::new(), depth, touched: layer, cleaned: layer };
        self.add(What::Folder(folder), attributes)
    }

    /// Gives a node a name; what had it before loses it, a folder with all that is in it.
    pub(super) fn put(&mut self, parent: usize, name: &'a [u8], node: usize) {
        let layer = self.layer;
        if let Some(folder) = self.folder_mut(parent) {
            folder.entries.insert(name, Slot { node, layer });
        }
        self.touch(parent);
    }

    /// A name that was there is one of this layer from now on.
    pub(super) fn claim(&mut self, parent: usize, name: &[u8]) {
        let layer = self.layer;
        if let Some(slot) = self.folder_mut(parent).and_then(|folder| folder.entries.get_mut(name)) {
            slot.layer = layer;
        }
        self.touch(parent);
    }

    /// This layer says what a folder is like.
    pub(super) fn declare(&mut self, number: usize, attributes: &'a Attributes) {
        self.all[number].attributes = Some(attributes);
    }

    /// Every folder on the way up holds something of this layer.
    fn touch(&mut self, mut number: usize) {
        let layer = self.layer;
        while let Some(folder) = self.folder_mut(number)
            && folder.touched != layer
        {
            folder.touched = layer;
            number = folder.parent;
        }
    }

    /// Nothing that lower layers put into a folder is left in it, at any depth. Each folder is gone through once a layer,
    /// however often it is asked for: what comes into it later comes from this layer.
    pub(super) fn hide_lower(&mut self, number: usize) {
        let layer = self.layer;
        let mut ahead = vec![number];
        while let Some(number) = ahead.pop() {
            let Some(folder) = self.folder_mut(number).filter(|folder| folder.cleaned != layer) else { continue };
            folder.cleaned = layer;
            let mut entries = std::mem::take(&mut folder.entries);
            entries.retain(|_, slot| self.keep(slot));
            ahead.extend(entries.values().map(|slot| slot.node).filter(|node| self.is_folder(*node)));
            if let Some(folder) = self.folder_mut(number) {
                folder.entries = entries;
            }
        }
    }

    /// What lower layers have under a name is not there any more.
    pub(super) fn hide_lower_name(&mut self, parent: usize, name: &[u8]) {
        let Some(mut slot) = self.folder(parent).and_then(|folder| folder.entries.get(name)).copied() else { return };
        let is_kept = self.keep(&mut slot);
        if is_kept && self.is_folder(slot.node) {
            self.hide_lower(slot.node);
        }
        if let Some(folder) = self.folder_mut(parent) {
            match folder.entries.get_mut(name) {
                Some(place) if is_kept => *place = slot,
                _ => drop(folder.entries.remove(name)),
            }
        }
    }

    /// Whether a name stays when lower layers' are hidden: it is this layer's, or leads to what is. A lower folder that stays
    /// for what is in it is one that nobody declared.
    fn keep(&mut self, slot: &mut Slot) -> bool {
        let layer = self.layer;
        if slot.layer == layer {
            return true;
        }
        match self.folder_mut(slot.node) {
            Some(folder) if folder.touched == layer => {
                slot.layer = layer;
                self.all[slot.node].attributes = None;
                true
            }
            _ => false,
        }
    }
}

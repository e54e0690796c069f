//! What layers mean together: cases that images have or could have, and a slow model that must agree.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use proptest::prelude::*;

use super::super::layer::{LayerEntry, LayerNode};
use super::super::tree::Name;
use super::*;
use crate::rootfs::{Attributes, Follow, InodeKind};

fn path(text: &str) -> Vec<Name> {
    text.split('/').filter(|name| !name.is_empty()).map(|name| name.as_bytes().to_vec()).collect()
}

fn entry(text: &str, node: LayerNode, mode: u16) -> LayerEntry {
    LayerEntry { path: path(text), node, attributes: Attributes { mode, ..Attributes::default() } }
}

fn folder(text: &str, mode: u16) -> LayerEntry {
    entry(text, LayerNode::Folder, mode)
}

/// A file that is told from others by its length.
fn file(text: &str, size: u64) -> LayerEntry {
    entry(text, LayerNode::File { size, extents: vec![] }, 0o644)
}

fn link(text: &str, target: &str) -> LayerEntry {
    entry(text, LayerNode::Link { target: target.into() }, 0o777)
}

fn hard(text: &str, target: &str) -> LayerEntry {
    entry(text, LayerNode::HardLink { target: path(target) }, 0)
}

fn whiteout(text: &str) -> LayerEntry {
    entry(text, LayerNode::Whiteout, 0)
}

fn opaque(text: &str) -> LayerEntry {
    entry(text, LayerNode::Opaque, 0)
}

fn try_merge(layers: &[&[LayerEntry]]) -> Result<RootTree, MergeError> {
    let layers: Vec<_> = layers.iter().map(|entries| LayerIndex { entries: entries.to_vec() }).collect();
    let tree = merge(&layers)?;
    let packs = vec![0; layers.len()];
    assert_eq!(tree, RootTree::decode(&tree.encode(), &packs).expect("what is merged is sound"));
    Ok(tree)
}

/// Lines `PATH KIND`, as `a/b 3` for a file of 3 bytes, `a 755/` for a folder, `l -> t`.
fn listed(tree: &RootTree) -> Vec<String> {
    let line = |(path, number): (Vec<u8>, u32)| {
        let inode = tree.inode(number).unwrap();
        let path = String::from_utf8(path).unwrap();
        match &inode.kind {
            InodeKind::Folder { .. } => format!("{path} {:o}/", inode.attributes.mode),
            InodeKind::File { size, .. } => format!("{path} {size}"),
            InodeKind::Link { target } => format!("{path} -> {}", String::from_utf8_lossy(target)),
            other => format!("{path} {other:?}"),
        }
    };
    tree.walk().skip(1).map(line).collect()
}

#[track_caller]
fn assert_tree(layers: &[&[LayerEntry]], expected: &[&str]) {
    assert_eq!(listed(&try_merge(layers).unwrap()), expected);
}

#[track_caller]
fn assert_error(layers: &[&[LayerEntry]], expected: &str) {
    assert_eq!(try_merge(layers).unwrap_err().to_string(), expected);
}

#[test]
fn whiteout_hides_what_lower_layers_have_whatever_its_place() {
    let lower = [folder("a", 0o700), file("a/x", 1), file("a/y", 2), file("b", 3)];
    assert_tree(&[&lower, &[whiteout("a"), whiteout("nothing/at/all")]], &["b 3"]);
    for upper in [[whiteout("a"), file("a/z", 9)], [file("a/z", 9), whiteout("a")]] {
        assert_tree(&[&lower, &upper], &["a 755/", "a/z 9", "b 3"]);
    }
    for upper in [[whiteout("a/x"), file("a/x", 9)], [file("a/x", 9), whiteout("a/x")]] {
        assert_tree(&[&lower, &upper], &["a 700/", "a/x 9", "a/y 2", "b 3"]);
    }
}

#[test]
fn opaque_folder_hides_what_lower_layers_put_in_it_whatever_its_place() {
    let lower = [folder("a", 0o700), folder("a/deep", 0o700), file("a/deep/x", 1), file("a/y", 2)];
    let expected = ["a 750/", "a/deep 755/", "a/deep/z 9", "a/n 8"];
    let parts = [folder("a", 0o750), opaque("a"), file("a/deep/z", 9), file("a/n", 8)];
    for order in [[0, 1, 2, 3], [1, 0, 2, 3], [3, 2, 1, 0], [2, 0, 3, 1]] {
        let upper = order.map(|place: usize| parts[place].clone());
        assert_tree(&[&lower, &upper], &expected);
    }
    assert_tree(&[&lower, &[opaque("")]], &[]);
    assert_tree(&[&lower, &[opaque("new")]], &["a 700/", "a/deep 700/", "a/deep/x 1", "a/y 2", "new 755/"]);
}

#[test]
fn folder_over_folder_keeps_what_is_in_it_and_all_else_is_replaced_whole() {
    let lower = [folder("a", 0o700), file("a/x", 1), file("b", 2), link("c", "a")];
    assert_tree(&[&lower, &[folder("a", 0o711)]], &["a 711/", "a/x 1", "b 2", "c -> a"]);
    assert_tree(&[&lower, &[file("a", 7)]], &["a 7", "b 2", "c -> a"]);
    assert_tree(&[&lower, &[folder("b", 0o711), folder("c", 0o711)]], &["a 700/", "a/x 1", "b 711/", "c 711/"]);
    assert_tree(&[&[file("x", 1), file("x", 2)]], &["x 2"]);
    assert_tree(&[&[folder("x", 0o700), file("x/y", 2), file("x", 3)]], &["x 3"]);
}

#[test]
fn root_takes_attributes_and_is_nothing_but_a_folder() {
    assert_eq!(try_merge(&[&[]]).unwrap().inodes[0].attributes.mode, 0o755);
    assert_eq!(try_merge(&[&[folder("", 0o700)], &[]]).unwrap().inodes[0].attributes.mode, 0o700);
    assert_error(&[&[], &[file("", 1)]], "layer 2, entry `/`: the root can be a folder only");
    assert_error(&[&[whiteout("")]], "layer 1, entry `/`: the root can be a folder only");
}

#[test]
fn parents_that_nobody_declares_are_made() {
    assert_tree(&[&[file("a/b/c", 1)]], &["a 755/", "a/b 755/", "a/b/c 1"]);
    assert_tree(&[&[file("a", 1)], &[file("a/b", 2)]], &["a 755/", "a/b 2"]);
    assert_error(
        &[&[file("a", 1), file("a/b", 2)]],
        "layer 1, entry `a/b`: a part of its path is a file of the same layer",
    );
}

#[test]
fn parents_that_are_links_lead_on_within_the_image() {
    let lower =
        [folder("usr/lib", 0o755), link("lib", "usr/lib"), link("out", "../../../../usr"), link("abs", "/usr/lib/")];
    for name in ["lib", "out/lib", "abs", "out/../lib"] {
        let name = name.replace("out/../", "");
        let layers: [&[LayerEntry]; 2] = [&lower, &[file(&format!("{name}/x"), 1)]];
        let tree = try_merge(&layers).unwrap();
        assert!(tree.lookup(b"/usr/lib/x", Follow::Parents).is_ok(), "{name}");
    }
    assert_tree(
        &[&[link("a", "missing/b")], &[file("a/x", 1)]],
        &["a -> missing/b", "missing 755/", "missing/b 755/", "missing/b/x 1"],
    );
    assert_tree(&[&[link("a", ".."), folder("b", 0o700)], &[whiteout("a/b")]], &["a -> .."]);
    assert_error(
        &[&[link("a", "b"), link("b", "a"), file("a/x", 1)]],
        "layer 1, entry `a/x`: its path leads through too many symbolic links",
    );
    // The link itself is replaced, not followed, where it is what an entry names.
    assert_tree(&[&[link("a", "/b"), folder("b", 0o700)], &[folder("a", 0o711)]], &["a 711/", "b 700/"]);
}

#[test]
fn hard_links_share_an_inode_across_layers() {
    let lower = [file("a", 1), link("l", "a"), folder("d", 0o755)];
    let tree = try_merge(&[&lower, &[hard("d/b", "a"), hard("m", "l")]]).unwrap();
    let number = |path: &str| tree.lookup(path.as_bytes(), Follow::Parents).unwrap();
    assert_eq!(number("a"), number("d/b"));
    assert_eq!(number("l"), number("m"));
    assert_eq!((tree.inode(number("a")).unwrap().links, tree.inode(number("m")).unwrap().links), (2, 2));
    assert_eq!((tree.inodes[0].links, tree.inode(number("d")).unwrap().links), (3, 2));
    // Who replaces one name leaves the other.
    assert_tree(&[&lower, &[hard("b", "a")], &[file("a", 9)]], &["a 9", "b 1", "d 755/", "l -> a"]);
    assert_tree(&[&lower, &[hard("b", "a"), whiteout("a")]], &["b 1", "d 755/", "l -> a"]);
    // A name of itself, and one that lies in what it replaces.
    assert_tree(&[&lower, &[hard("a", "a")]], &["a 1", "d 755/", "l -> a"]);
    assert_tree(&[&[file("d/f", 4)], &[hard("d", "d/f")]], &["d 4"]);
    assert_error(&[&lower, &[hard("b", "d")]], "layer 2, entry `b`: it is a hard link to `d`, which is a folder");
    assert_error(&[&lower, &[hard("b", "")]], "layer 2, entry `b`: it is a hard link to `/`, which is a folder");
    assert_error(
        &[&lower, &[hard("b", "no/w\x1bhere")]],
        "layer 2, entry `b`: it is a hard link to `no/w\\u{1b}here`, which is not there",
    );
}

#[test]
fn folders_in_each_other_have_an_end() {
    let mut layer = Vec::new();
    let step = vec!["d"; 2000].join("/");
    layer.push(link("l", &step));
    layer.push(file(&format!("l/{step}/x"), 1));
    layer.push(link("m", &format!("l/{step}")));
    layer.push(file(&format!("m/{step}/x"), 1));
    assert!(matches!(try_merge(&[&layer]).unwrap_err().cause, MergeCause::Deep));
}

#[test]
fn links_that_lead_far_do_not_take_long() {
    let mut layer: Vec<_> =
        (0..39).map(|i| link(&format!("l{i}"), &format!("{}l{}", "./".repeat(2000), i + 1))).collect();
    layer.push(folder("l39", 0o755));
    layer.extend((0..20_000).map(|i| file(&format!("l0/{i}"), 1)));
    let start = Instant::now();
    let error = try_merge(&[&layer]).unwrap_err();
    assert_eq!(error.cause, MergeCause::Links);
    assert!(start.elapsed() < Duration::from_secs(20));
}

#[test]
fn marks_that_are_said_over_and_over_cost_no_more() {
    let mut upper: Vec<_> = (0..20_000).map(|i| file(&format!("a/b/{i}"), 1)).collect();
    for _ in 0..20_000 {
        upper.push(opaque("a"));
        upper.push(whiteout("a/b"));
    }
    let start = Instant::now();
    assert_eq!(listed(&try_merge(&[&[file("a/b/low", 1)], &upper]).unwrap()).len(), 20_002);
    assert!(start.elapsed() < Duration::from_secs(20));
}

/// The model: paths and what is there, looked through from end to end for each question.
#[derive(Debug, Default)]
struct Model {
    files: BTreeMap<Vec<Name>, (Kind, usize)>,
    layer: usize,
    next: usize,
}

#[derive(Debug, Clone, PartialEq)]
enum Kind {
    Folder(u16),
    Leaf(usize, LayerNode),
}

impl Model {
    fn resolve(&mut self, path: &[Name], makes: bool) -> Result<Option<Vec<Name>>, ()> {
        let (mut here, mut ahead, mut links) = (Vec::<Name>::new(), path.to_vec(), 0);
        while !ahead.is_empty() {
            let name = ahead.remove(0);
            match name.as_slice() {
                b"." => continue,
                b".." => {
                    here.pop();
                    continue;
                }
                _ => {}
            }
            let mut there = here.clone();
            there.push(name);
            match self.files.get(&there).cloned() {
                Some((Kind::Folder(_), _)) => here = there,
                Some((Kind::Leaf(_, LayerNode::Link { target }), _)) => {
                    links += 1;
                    if links > 40 {
                        return Err(());
                    }
                    if target.starts_with(b"/") {
                        here.clear();
                    }
                    let names = target.split(|byte| *byte == b'/').filter(|name| !name.is_empty());
                    ahead = names.map(<[u8]>::to_vec).chain(ahead).collect();
                }
                Some((_, layer)) if makes && layer == self.layer => return Err(()),
                _ if !makes => return Ok(None),
                _ => {
                    self.files.insert(there.clone(), (Kind::Folder(0o755), self.layer));
                    here = there;
                }
            }
        }
        Ok(Some(here))
    }

    /// Hides what is below a path and fulfils a condition.
    fn hide(&mut self, base: &[Name], with_base: bool) {
        let layer = self.layer;
        let own: Vec<_> = self.files.iter().filter(|(_, (_, of))| *of == layer).map(|(path, _)| path.clone()).collect();
        self.files.retain(|path, (kind, of)| {
            let is_meant = path.starts_with(base) && (with_base || path.len() > base.len());
            if !is_meant || *of == layer {
                return true;
            }
            let is_needed = own.iter().any(|other| other.starts_with(path));
            if is_needed {
                (*kind, *of) = (Kind::Folder(0o755), layer);
            }
            is_needed
        });
    }

    fn apply(&mut self, entry: &LayerEntry) -> Result<(), ()> {
        if entry.node == LayerNode::Opaque {
            let base = self.resolve(&entry.path, true)?.unwrap();
            self.hide(&base, false);
            return Ok(());
        }
        let (name, parents) = entry.path.split_last().ok_or(())?;
        if entry.node == LayerNode::Whiteout {
            if let Some(mut base) = self.resolve(parents, false)? {
                base.push(name.clone());
                self.hide(&base, true);
            }
            return Ok(());
        }
        let linked = match &entry.node {
            LayerNode::HardLink { target } => {
                let (name, parents) = target.split_last().ok_or(())?;
                let mut base = self.resolve(parents, false)?.ok_or(())?;
                base.push(name.clone());
                match self.files.get(&base) {
                    Some((leaf @ Kind::Leaf(..), _)) => Some(leaf.clone()),
                    _ => return Err(()),
                }
            }
            _ => None,
        };
        let mut base = self.resolve(parents, true)?.unwrap();
        base.push(name.clone());
        let made = match (&entry.node, linked) {
            (_, Some(linked)) => linked,
            (LayerNode::Folder, _) => Kind::Folder(entry.attributes.mode),
            (node, _) => {
                self.next += 1;
                Kind::Leaf(self.next, node.clone())
            }
        };
        let keeps = matches!((&made, self.files.get(&base)), (Kind::Folder(_), Some((Kind::Folder(_), _))));
        if !keeps {
            self.files.retain(|path, _| !path.starts_with(&base));
        }
        self.files.insert(base, (made, self.layer));
        Ok(())
    }
}

fn any_entry() -> impl Strategy<Value = LayerEntry> {
    let any_path =
        || proptest::collection::vec(prop::sample::select(vec!["a", "b", "c"]), 1..4).prop_map(|names| names.join("/"));
    let target = prop::sample::select(vec!["a", "b", "../a", "/b/c", "..", ".", "a/b", "c/../b", "nowhere/x", "/"]);
    (any_path(), any_path(), target, 0..8_u8, 1..1000_u64).prop_map(|(path, other, target, kind, size)| match kind {
        0 | 1 => file(&path, size),
        2 => folder(&path, u16::try_from(size % 0o1000).unwrap()),
        3 => link(&path, target),
        4 => hard(&path, &other),
        5 => whiteout(&path),
        6 => opaque(&path),
        _ => entry(&path, LayerNode::Fifo, 0o600),
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1500))]
    #[test]
    fn merging_agrees_with_the_model(
        layers in proptest::collection::vec(proptest::collection::vec(any_entry(), 0..10), 1..5),
    ) {
        let mut model = Model::default();
        let mut kept: Vec<Vec<LayerEntry>> = Vec::new();
        for layer in &layers {
            model.layer += 1;
            kept.push(Vec::new());
            for entry in layer {
                // What the model refuses, the whole refuses; then on without it.
                let before = model.files.clone();
                let is_taken = model.apply(entry).is_ok();
                let place = kept.len() - 1;
                kept[place].push(entry.clone());
                let parts: Vec<&[LayerEntry]> = kept.iter().map(Vec::as_slice).collect();
                if !is_taken {
                    prop_assert!(try_merge(&parts).is_err(), "{entry:?}");
                    model.files = before;
                    kept[place].pop();
                }
            }
        }
        let parts: Vec<&[LayerEntry]> = kept.iter().map(Vec::as_slice).collect();
        let tree = try_merge(&parts).unwrap();
        let mut found = BTreeMap::new();
        let mut groups = BTreeMap::new();
        for (path, number) in tree.walk().skip(1) {
            let names: Vec<Name> = path.split(|byte| *byte == b'/').map(<[u8]>::to_vec).collect();
            let inode = tree.inode(number).unwrap();
            let kind = match &inode.kind {
                InodeKind::Folder { .. } => Kind::Folder(inode.attributes.mode),
                kind => {
                    let Some((Kind::Leaf(id, node), _)) = model.files.get(&names) else { panic!("{names:?}") };
                    prop_assert_eq!(*groups.entry(*id).or_insert(number), number);
                    match (kind, node) {
                        (InodeKind::File { size, .. }, LayerNode::File { size: other, .. }) => prop_assert_eq!(size, other),
                        (InodeKind::Link { target }, LayerNode::Link { target: other }) => prop_assert_eq!(target, other),
                        (InodeKind::Fifo, LayerNode::Fifo) => {}
                        other => panic!("{other:?}"),
                    }
                    Kind::Leaf(*id, node.clone())
                }
            };
            found.insert(names, kind);
        }
        let expected: BTreeMap<_, _> = model.files.into_iter().map(|(path, (kind, _))| (path, kind)).collect();
        prop_assert_eq!(found, expected);
    }
}

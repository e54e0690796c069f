//! As whom a server acts on the host, and the id maps of its namespace that make it so.
//!
//! User 0 of the namespace is the owner of the share. The capabilities that it has there reach only files whose
//! ids are mapped: an ordinary user's own. Root's namespace maps every id to itself, so that root keeps its reach
//! over other users' files and loses what lies beyond files.

use std::collections::BTreeSet;

use crate::sys::namespace::{IdExtent, IdMaps, holds_id};

use super::spec::{Makers, Rights, ShareSpec, ShareTree};

/// The user and the group that own nothing.
const NOBODY: u32 = 65_534;

/// Group maps are written in one call of less than a page; what is left out keeps its rights but is not overridden.
const MAPPED_GROUPS_MAX: usize = 100;

/// Who starts the server.
#[derive(Debug)]
pub(super) struct Starter {
    /// Its effective user id.
    pub(super) uid: u32,
    /// Its effective group id.
    pub(super) gid: u32,
    /// Its supplementary groups.
    pub(super) groups: Vec<u32>,
    /// The user ids of its namespace.
    pub(super) uids: Vec<IdExtent>,
    /// The group ids of its namespace.
    pub(super) gids: Vec<IdExtent>,
}

/// As whom a server runs.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Identity {
    /// Supplementary groups to take on before the namespaces are made; `None` leaves them as they are.
    pub(super) groups: Option<Vec<u32>>,
    /// Id maps of its namespace.
    pub(super) maps: IdMaps,
}

/// Decides as whom a tree is served. An error is for people.
pub(super) fn choose_identity(spec: &ShareSpec, starter: &Starter) -> Result<Identity, String> {
    let ShareSpec { tree, rights, makers, .. } = spec;
    if *makers == Makers::Guest && (starter.uid != 0 || rights.uid != 0) {
        return Err("only root can make files with the ids of a guest".to_owned());
    }
    if starter.uid != 0 {
        return if rights.uid == starter.uid { Ok(own(starter)) } else { Err(foreign(rights)) };
    }
    let nobody = Rights { uid: NOBODY, gid: NOBODY, groups: Vec::new() };
    let knows_nobody = holds_id(&starter.uids, NOBODY) && holds_id(&starter.gids, NOBODY);
    let is_nobodys = matches!(tree, ShareTree::HostRoot | ShareTree::Image { .. });
    let rights = if is_nobodys && knows_nobody { &nobody } else { rights };
    let groups = has_other_groups(rights, starter).then(|| rights.groups.clone());
    if rights.uid == 0 {
        let maps = IdMaps { uids: starter.uids.clone(), gids: starter.gids.clone(), is_setgroups_denied: false };
        return Ok(Identity { groups, maps });
    }
    let one = |outside| IdExtent { inside: 0, outside, count: 1 };
    let mut gids = vec![one(rights.gid)];
    for (inside, group) in (1..).zip(rights.groups.iter().take(MAPPED_GROUPS_MAX)) {
        if gids.iter().all(|extent| extent.outside != *group) {
            gids.push(IdExtent { inside, outside: *group, count: 1 });
        }
    }
    let maps = IdMaps { uids: vec![one(rights.uid)], gids, is_setgroups_denied: false };
    Ok(Identity { groups, maps })
}

/// Root of a container may not be allowed to change its groups, and need not where it has the right ones.
fn has_other_groups(rights: &Rights, starter: &Starter) -> bool {
    let all = |gid: u32, groups: &[u32]| -> BTreeSet<u32> { groups.iter().copied().chain([gid]).collect() };
    rights.gid != starter.gid || all(rights.gid, &rights.groups) != all(starter.gid, &starter.groups)
}

fn own(starter: &Starter) -> Identity {
    let one = |outside| vec![IdExtent { inside: 0, outside, count: 1 }];
    let maps = IdMaps { uids: one(starter.uid), gids: one(starter.gid), is_setgroups_denied: true };
    Identity { groups: None, maps }
}

fn foreign(rights: &Rights) -> String {
    format!("only root can serve files with the rights of user {}", rights.uid)
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::super::spec::ShareCache;
    use super::*;

    fn all_ids() -> Vec<IdExtent> {
        vec![IdExtent { inside: 0, outside: 0, count: u32::MAX }]
    }

    fn starter(uid: u32) -> Starter {
        Starter { uid, gid: uid, groups: vec![uid], uids: all_ids(), gids: all_ids() }
    }

    fn rights(uid: u32) -> Rights {
        Rights { uid, gid: uid, groups: vec![uid, 27] }
    }

    fn choose(tree: &ShareTree, rights: &Rights, starter: &Starter) -> Result<Identity, String> {
        let (tree, rights) = (tree.clone(), rights.clone());
        choose_identity(&ShareSpec { tag: "share0".to_owned(), tree, rights, makers: Makers::Owner }, starter)
    }

    #[test]
    fn ids_of_a_guest_need_root_on_both_sides() {
        let all = |uid: u32, starter: &Starter| {
            let spec =
                ShareSpec { tag: "share0".to_owned(), tree: folder(), rights: rights(uid), makers: Makers::Guest };
            choose_identity(&spec, starter)
        };
        assert_eq!(all(0, &starter(0)).unwrap().maps.uids, all_ids());
        assert!(all(1000, &starter(1000)).is_err() && all(1000, &starter(0)).is_err());
    }

    fn folder() -> ShareTree {
        ShareTree::Folder { path: PathBuf::from("/x"), is_read_only: false, cache: ShareCache::Auto }
    }

    #[test]
    fn ordinary_user_is_root_of_a_namespace_with_only_itself() {
        let identity = choose(&folder(), &rights(1000), &starter(1000)).unwrap();
        assert_eq!(identity.groups, None);
        assert_eq!(identity.maps.uids, [IdExtent { inside: 0, outside: 1000, count: 1 }]);
        assert!(identity.maps.is_setgroups_denied);
        assert!(choose(&folder(), &rights(0), &starter(1000)).is_err());
    }

    #[test]
    fn sudo_serves_with_the_users_ids_and_groups() {
        let identity = choose(&folder(), &rights(1000), &starter(0)).unwrap();
        assert_eq!(identity.groups, Some(vec![1000, 27]));
        let gid = |inside, outside| IdExtent { inside, outside, count: 1 };
        assert_eq!(identity.maps.gids, [gid(0, 1000), gid(2, 27)]);
    }

    #[test]
    fn root_keeps_all_ids_and_changes_groups_only_to_others() {
        let identity = choose(&folder(), &rights(0), &starter(0)).unwrap();
        assert_eq!(identity.maps.uids, all_ids());
        assert_eq!(identity.groups, Some(vec![0, 27]));
        let same = Starter { groups: vec![27], ..starter(0) };
        assert_eq!(choose(&folder(), &rights(0), &same).unwrap().groups, None);
    }

    #[test]
    fn host_root_is_served_as_nobody_without_groups() {
        let identity = choose(&ShareTree::HostRoot, &rights(1000), &starter(0)).unwrap();
        assert_eq!(identity.groups, Some(vec![]));
        assert_eq!(identity.maps.uids, [IdExtent { inside: 0, outside: NOBODY, count: 1 }]);
        let own = choose(&ShareTree::HostRoot, &rights(1000), &starter(1000)).unwrap();
        assert_eq!(own.maps.uids, [IdExtent { inside: 0, outside: 1000, count: 1 }]);
    }
}

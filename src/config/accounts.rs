//! Users and groups of this host by name: what `owner: www-data` means, from `/etc/passwd` and `/etc/group`.
//!
//! As for `chown`, a name that is written in digits is looked for as a name first. An account that only a name service
//! knows has to be written as ids. Deliberately not here: the users of a guest, which are the image's.

use std::collections::BTreeMap;
use std::path::Path;

use super::files::Files;
use super::model::{Chown, MountKind, Owner, Project};

/// More than any file of accounts that people keep.
const ACCOUNTS_MAX_BYTES: usize = 16 << 20;

/// Ids of this host.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct HostIds {
    /// User id.
    pub uid: u32,
    /// Group id.
    pub gid: u32,
    /// Supplementary groups: those of a user that was named; none where only ids were written.
    pub groups: Vec<u32>,
}

/// A name that this host does not know.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum UnknownName {
    /// Of a user.
    User(String),
    /// Of a group.
    Group(String),
}

/// The accounts of this host.
#[derive(Debug, Clone, Default)]
pub(super) struct Accounts {
    users: Vec<User>,
    groups: Vec<Group>,
}

#[derive(Debug, Clone)]
struct User {
    name: String,
    uid: u32,
    gid: u32,
}

#[derive(Debug, Clone)]
struct Group {
    name: String,
    gid: u32,
    members: Vec<String>,
}

impl Accounts {
    /// Reads both files; lines that cannot be read are no accounts.
    pub(super) fn read(files: &dyn Files) -> Self {
        let lines = |path: &str| {
            let bytes = files.read(Path::new(path), ACCOUNTS_MAX_BYTES).unwrap_or_default();
            let text = String::from_utf8_lossy(&bytes).into_owned();
            text.lines().map(|line| line.split(':').map(str::to_owned).collect()).collect::<Vec<Vec<String>>>()
        };
        let user = |fields: Vec<String>| {
            let (uid, gid) = (fields.get(2)?.parse().ok()?, fields.get(3)?.parse().ok()?);
            Some(User { name: fields.into_iter().next()?, uid, gid })
        };
        let group = |fields: Vec<String>| {
            let gid = fields.get(2)?.parse().ok()?;
            let members = fields.get(3)?.split(',').filter(|name| !name.is_empty()).map(str::to_owned).collect();
            Some(Group { name: fields.into_iter().next()?, gid, members })
        };
        Self {
            users: lines("/etc/passwd").into_iter().filter_map(user).collect(),
            groups: lines("/etc/group").into_iter().filter_map(group).collect(),
        }
    }

    /// What `user`, `uid`, `user:group` and their mixtures mean. Without a group it is the user's own, and for a number
    /// that no account has, the group of the same number.
    pub(super) fn resolve(&self, owner: &str) -> Result<HostIds, UnknownName> {
        let (user, group) = owner.split_once(':').map_or((owner, None), |(user, group)| (user, Some(group)));
        let named = self.users.iter().find(|known| known.name == user);
        let (uid, own_gid) = match (named, user.parse::<u32>()) {
            (Some(named), _) => (named.uid, named.gid),
            (None, Ok(uid)) => (uid, self.users.iter().find(|known| known.uid == uid).map_or(uid, |known| known.gid)),
            (None, Err(_)) => return Err(UnknownName::User(user.to_owned())),
        };
        let gid = match group {
            None => own_gid,
            Some(group) => {
                let named = self.groups.iter().find(|known| known.name == group).map(|known| known.gid);
                let number = || group.parse().map_err(|_| UnknownName::Group(group.to_owned()));
                named.map_or_else(number, Ok)?
            }
        };
        let groups = named.map_or_else(Vec::new, |named| {
            let is_member = |group: &&Group| group.members.contains(&named.name);
            let mut groups: Vec<u32> =
                self.groups.iter().filter(is_member).map(|group| group.gid).chain([named.gid]).collect();
            groups.sort_unstable();
            groups.dedup();
            groups
        });
        Ok(HostIds { uid, gid, groups })
    }

    /// Names of users.
    pub(super) fn user_names(&self) -> impl Iterator<Item = &str> {
        self.users.iter().map(|user| user.name.as_str())
    }

    /// Names of groups.
    pub(super) fn group_names(&self) -> impl Iterator<Item = &str> {
        self.groups.iter().map(|group| group.name.as_str())
    }
}

/// The ids of every owner that the project names and this host knows, by what was written.
pub(super) fn resolve_owners(project: &Project, files: &dyn Files) -> BTreeMap<String, HostIds> {
    let mounts = project.machines.iter().flat_map(|machine| &machine.mounts);
    let owners = mounts.filter_map(|mount| match &mount.kind {
        MountKind::Bind { owner, .. } => match &owner.value {
            Owner::Named(name) => Some(name),
            Owner::Invoker | Owner::Guest => None,
        },
        _ => None,
    });
    let chowns = project.steps.iter().chain(&project.finally).filter_map(|step| match &step.chown.as_ref()?.value {
        Chown::Named(name) => Some(name),
        Chown::Invoker => None,
    });
    let names: Vec<&String> = owners.chain(chowns).collect();
    if names.is_empty() {
        return BTreeMap::new();
    }
    let accounts = Accounts::read(files);
    names.into_iter().filter_map(|name| Some((name.clone(), accounts.resolve(name).ok()?))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::MemoryFiles;

    #[test]
    fn owners_mean_what_they_mean_to_chown() {
        let files = MemoryFiles::new()
            .file("/etc/passwd", "ada:x:1000:100::/:/bin/sh\nbroken\nwww-data:x:33:33::/:\n4242:x:7:8::/:\n")
            .file("/etc/group", "users:x:100:\nwww-data:x:33:\nkvm:x:104:ada,bob\nbroken\n");
        let accounts = Accounts::read(&files);
        let ids = |uid, gid, groups: &[u32]| Ok(HostIds { uid, gid, groups: groups.to_vec() });
        let user = |name: &str| Err(UnknownName::User(name.to_owned()));
        for (owner, expected) in [
            ("ada", ids(1000, 100, &[100, 104])),
            ("ada:www-data", ids(1000, 33, &[100, 104])),
            ("ada:5", ids(1000, 5, &[100, 104])),
            ("1000", ids(1000, 100, &[])),
            ("1000:kvm", ids(1000, 104, &[])),
            ("0:0", ids(0, 0, &[])),
            ("555", ids(555, 555, &[])),
            ("4242", ids(7, 8, &[8])),
            ("eve", user("eve")),
            ("eve:eve", user("eve")),
            ("ada:eve", Err(UnknownName::Group("eve".to_owned()))),
        ] {
            assert_eq!(accounts.resolve(owner), expected, "{owner}");
        }
    }

    #[test]
    fn without_files_of_accounts_there_are_only_numbers() {
        let accounts = Accounts::read(&MemoryFiles::new());
        assert!(accounts.resolve("root").is_err());
        assert_eq!(accounts.resolve("0"), Ok(HostIds { uid: 0, gid: 0, groups: Vec::new() }));
    }
}

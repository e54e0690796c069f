//! Users of this computer: ids, groups and home, from the kernel for oneself, else from `/etc/passwd` and `/etc/group`.
//!
//! Accounts that only a name service knows have their ids and nothing more.

use std::io;
use std::path::PathBuf;

use rustix::fs::{Gid, Uid};

/// A user with what decides their rights.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Account {
    pub(super) uid: u32,
    pub(super) gid: u32,
    /// All groups, `gid` among them.
    pub(super) groups: Vec<u32>,
    /// Login name, where this computer knows one.
    pub(super) name: Option<String>,
    pub(super) home: Option<PathBuf>,
}

impl Account {
    /// Gives this thread, and it alone, the ids and groups of this account: for good, so the thread must be short-lived.
    ///
    /// # Errors
    /// What the system said: only root may.
    pub(super) fn become_in_this_thread(&self) -> io::Result<()> {
        let groups: Vec<Gid> = self.groups.iter().map(|group| Gid::from_raw(*group)).collect();
        let (uid, gid) = (Uid::from_raw(self.uid), Gid::from_raw(self.gid));
        rustix::thread::set_thread_groups(&groups)?;
        rustix::thread::set_thread_res_gid(gid, gid, gid)?;
        rustix::thread::set_thread_res_uid(uid, uid, uid)?;
        Ok(())
    }
}

/// The account of this process.
pub(super) fn oneself() -> Account {
    let (uid, gid) = (rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw());
    let groups = rustix::process::getgroups().unwrap_or_default();
    let named = std::env::var_os("HOME").map(PathBuf::from).filter(|path| path.is_absolute());
    let (name, known) = entry_of(&read("/etc/passwd"), uid).map(|entry| (entry.name, entry.home)).unzip();
    let groups = groups.iter().map(|group| group.as_raw()).chain([gid]).collect();
    Account { uid, gid, groups, name, home: named.or(known) }
}

/// Another account of this computer.
pub(super) fn other(uid: u32, gid: u32) -> Account {
    let entry = entry_of(&read("/etc/passwd"), uid);
    let mut groups = vec![gid];
    if let Some(entry) = &entry {
        groups.extend(groups_of(&read("/etc/group"), &entry.name));
    }
    let (name, home) = entry.map(|entry| (entry.name, entry.home)).unzip();
    Account { uid, gid, groups, name, home }
}

struct Entry {
    name: String,
    home: PathBuf,
}

fn read(path: &str) -> String {
    std::fs::read(path).map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default()
}

/// `name:password:uid:gid:comment:home:shell`
fn entry_of(passwd: &str, uid: u32) -> Option<Entry> {
    passwd.lines().find_map(|line| {
        let fields: Vec<&str> = line.split(':').collect();
        let is_it = fields.get(2)?.parse() == Ok(uid);
        is_it.then_some(())?;
        Some(Entry { name: fields[0].to_owned(), home: PathBuf::from(fields.get(5)?) })
    })
}

/// `name:password:gid:member,member`
fn groups_of(group: &str, name: &str) -> Vec<u32> {
    let parse = |line: &str| {
        let fields: Vec<&str> = line.split(':').collect();
        let is_member = fields.get(3)?.split(',').any(|member| member == name);
        if is_member { fields[2].parse().ok() } else { None }
    };
    group.lines().filter_map(parse).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accounts_are_read_from_the_files_of_the_system() {
        let passwd = "root:x:0:0:root:/root:/bin/sh\nbroken\nada:x:1000:1000::/home/ada:/bin/sh\n";
        let entry = entry_of(passwd, 1000).expect("the entry of ada");
        assert_eq!((entry.name.as_str(), entry.home), ("ada", PathBuf::from("/home/ada")));
        assert!(entry_of(passwd, 1001).is_none());
        let group = "root:x:0:\nkvm:x:104:bob,ada\nadam:x:7:adam\nbroken\n";
        assert_eq!(groups_of(group, "ada"), [104]);
    }
}

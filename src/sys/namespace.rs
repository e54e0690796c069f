//! Namespaces: a child of this process in fresh ones, its id maps, and why a host denies them.
//!
//! Not here: what is done inside ([`super::mount`], [`super::credentials`]).

#![expect(unsafe_code, reason = "clone(2) with namespace flags has no safe wrapper")]

use std::fs;
use std::io;

use rustix::process::Pid;

/// One line of an id map: `count` ids from `inside` on are `outside` and what follows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct IdExtent {
    /// First id in the namespace.
    pub inside: u32,
    /// First id in the parent namespace.
    pub outside: u32,
    /// How many.
    pub count: u32,
}

/// Both id maps of a user namespace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IdMaps {
    /// User ids.
    pub uids: Vec<IdExtent>,
    /// Group ids.
    pub gids: Vec<IdExtent>,
    /// Whether `setgroups` stays denied inside, as an unprivileged writer of the maps must have it.
    pub is_setgroups_denied: bool,
}

/// Forks a child into new user, mount, pid, network, IPC and UTS namespaces, in which it is process 1.
///
/// Returns `None` in the child. Must be called while the process has one thread: the child is a copy of it
/// and goes on with ordinary code. The child has no ids until [`write_id_maps`] was called for it.
///
/// # Errors
///
/// `EPERM`, `ENOSPC`, `EINVAL` or `ENOSYS` where the host denies namespaces; see [`denial_hint`].
pub fn fork_into_namespaces() -> io::Result<Option<Pid>> {
    let namespaces = libc::CLONE_NEWUSER
        | libc::CLONE_NEWNS
        | libc::CLONE_NEWPID
        | libc::CLONE_NEWNET
        | libc::CLONE_NEWIPC
        | libc::CLONE_NEWUTS;
    let flags = i64::from(namespaces) | i64::from(libc::SIGCHLD);
    // SAFETY: without CLONE_VM and with a null stack the call is a fork: the child runs on its own copy of this
    // stack. The caller promises a single thread, so that no lock is held by a thread that the copy lacks.
    let pid = unsafe { libc::syscall(libc::SYS_clone, flags, 0_i64, 0_i64, 0_i64, 0_i64) };
    if pid < 0 {
        return Err(io::Error::last_os_error());
    }
    let pid = i32::try_from(pid).map_err(io::Error::other)?;
    Ok(Pid::from_raw(pid))
}

/// Writes the id maps of a child that [`fork_into_namespaces`] made.
pub fn write_id_maps(child: Pid, maps: &IdMaps) -> io::Result<()> {
    let folder = format!("/proc/{}", child.as_raw_nonzero());
    if maps.is_setgroups_denied {
        fs::write(format!("{folder}/setgroups"), "deny")?;
    }
    fs::write(format!("{folder}/gid_map"), render_extents(&maps.gids))?;
    fs::write(format!("{folder}/uid_map"), render_extents(&maps.uids))
}

fn render_extents(extents: &[IdExtent]) -> String {
    extents.iter().map(|extent| format!("{} {} {}\n", extent.inside, extent.outside, extent.count)).collect()
}

/// The user ids that exist in our own user namespace, as extents that map each to itself.
pub fn own_uids() -> io::Result<Vec<IdExtent>> {
    Ok(parse_identity(&fs::read_to_string("/proc/self/uid_map")?))
}

/// The group ids that exist in our own user namespace, as extents that map each to itself.
pub fn own_gids() -> io::Result<Vec<IdExtent>> {
    Ok(parse_identity(&fs::read_to_string("/proc/self/gid_map")?))
}

/// Reads `/proc/PID/uid_map`: its first and last column.
fn parse_identity(text: &str) -> Vec<IdExtent> {
    let extent = |line: &str| {
        let mut columns = line.split_ascii_whitespace();
        let inside = columns.next()?.parse().ok()?;
        let count = columns.nth(1)?.parse().ok()?;
        Some(IdExtent { inside, outside: inside, count })
    };
    text.lines().filter_map(extent).collect()
}

/// Whether `id` lies in one of the extents, seen from outside.
pub fn holds_id(extents: &[IdExtent], id: u32) -> bool {
    extents.iter().any(|extent| id.checked_sub(extent.outside).is_some_and(|offset| offset < extent.count))
}

/// What to do on a host that denies user namespaces, in words for people.
pub fn denial_hint() -> String {
    let says = |path: &str, value: &str| fs::read_to_string(path).is_ok_and(|text| text.trim() == value);
    if says("/proc/sys/kernel/unprivileged_userns_clone", "0") {
        return "run `sudo sysctl kernel.unprivileged_userns_clone=1`".to_owned();
    }
    if says("/proc/sys/kernel/apparmor_restrict_unprivileged_userns", "1") {
        return "run `sudo sysctl kernel.apparmor_restrict_unprivileged_userns=0`, or give smolvm an AppArmor profile \
                that has `userns`"
            .to_owned();
    }
    if says("/proc/sys/user/max_user_namespaces", "0") {
        return "run `sudo sysctl user.max_user_namespaces=10000`".to_owned();
    }
    "in a container, start it with `--security-opt seccomp=unconfined --security-opt apparmor=unconfined`, or with a \
     profile that permits user namespaces and mounts"
        .to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn own_map_becomes_the_identity() {
        let map = "         0     100000      65536\n     65536          0          1\n";
        let identity = parse_identity(map);
        assert_eq!(render_extents(&identity), "0 0 65536\n65536 65536 1\n");
        assert!(holds_id(&identity, 65_535));
        assert!(!holds_id(&identity, 65_537));
    }
}

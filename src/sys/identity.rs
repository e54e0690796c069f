//! Work with another user's rights on the file system, on a thread that ends with it.
//!
//! Linux keeps credentials by thread; the wrappers of the C library that change all threads are not used. The thread
//! keeps no privilege: with a user id other than 0 in every place its capabilities are gone, so links in a path lead
//! no further than that user could go. Deliberately not here: whose rights.

use std::io;
use std::thread;

use rustix::process::{Gid, Uid};
use rustix::thread::{set_thread_groups, set_thread_res_gid, set_thread_res_uid};

/// Whose rights work on files is done with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Actor {
    /// Those of this process.
    Own,
    /// Another user's; the process is root.
    User {
        /// User.
        uid: u32,
        /// Group.
        gid: u32,
        /// Other groups.
        groups: Vec<u32>,
    },
}

impl Actor {
    /// Does `work` with these rights. What it opens can be used by everyone afterwards.
    ///
    /// # Errors
    /// Those of the work, and those of [`as_user`].
    pub fn act<T: Send>(&self, work: impl FnOnce() -> io::Result<T> + Send) -> io::Result<T> {
        match self {
            Self::Own => work(),
            Self::User { uid, gid, groups } => as_user(*uid, *gid, groups, work)?,
        }
    }
}

/// Runs `work` with these ids and groups; the calling process must be root. The result is what `work` gave.
///
/// # Errors
/// Where the thread cannot be started or its credentials cannot be changed; then `work` was not run.
pub fn as_user<T, W>(uid: u32, gid: u32, groups: &[u32], work: W) -> io::Result<T>
where
    T: Send,
    W: FnOnce() -> T + Send,
{
    let groups: Vec<Gid> = groups.iter().copied().map(Gid::from_raw).collect();
    let (uid, gid) = (Uid::from_raw(uid), Gid::from_raw(gid));
    thread::scope(|scope| {
        let thread = thread::Builder::new().name("as-user".to_owned()).spawn_scoped(scope, || {
            set_thread_groups(&groups)?;
            set_thread_res_gid(gid, gid, gid)?;
            set_thread_res_uid(uid, uid, uid)?;
            Ok(work())
        })?;
        thread.join().map_err(|_| io::Error::other("the thread that acted as another user panicked"))?
    })
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt;

    use super::*;

    #[test]
    fn what_another_user_makes_is_theirs_and_what_they_may_not_do_fails() {
        if !rustix::process::geteuid().is_root() {
            return;
        }
        let base = tempfile::tempdir().unwrap();
        let (open, closed) = (base.path().join("open"), base.path().join("closed"));
        std::fs::create_dir(&open).unwrap();
        std::fs::create_dir(&closed).unwrap();
        std::os::unix::fs::chown(&open, Some(1234), Some(1234)).unwrap();
        std::os::unix::fs::chown(base.path(), Some(1234), Some(1234)).unwrap();
        let made = as_user(1234, 1234, &[], || std::fs::create_dir(open.join("a"))).unwrap();
        made.unwrap();
        let metadata = std::fs::metadata(open.join("a")).unwrap();
        assert_eq!((metadata.uid(), metadata.gid()), (1234, 1234));
        let denied = as_user(1234, 1234, &[], || std::fs::create_dir(closed.join("a"))).unwrap();
        assert_eq!(denied.unwrap_err().kind(), io::ErrorKind::PermissionDenied);
        assert!(rustix::process::geteuid().is_root(), "the calling thread keeps its own rights");
    }
}

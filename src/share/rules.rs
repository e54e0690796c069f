//! What a share lets its guest see and do: decisions about modes and names, without any call to the system.

use std::ffi::CStr;
use std::io;
use std::time::Duration;

use virtiofsd::fuse::Attr;

/// Set-user-id and set-group-id.
const SET_ID_BITS: u32 = 0o6000;

/// The largest value of an extended attribute, and the longest list of names, that Linux knows.
pub(crate) const XATTR_MAX_BYTES: u32 = 65_536;

/// Who owns the files of a share, as the guest sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Owners {
    /// The ids on the disk.
    Disk,
    /// User and group 0.
    Root,
    /// The ids of the share's view.
    View,
}

/// How a share differs from the plain folder that it serves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Rules {
    /// Files that other users of the host cannot read, and folders that they cannot list and enter, are absent, and
    /// so is all that is neither file, folder nor link.
    pub(crate) is_public_only: bool,
    /// Who owns the files.
    pub(crate) owners: Owners,
    /// Whether the guest's own ids and set-id bits reach the host.
    pub(crate) is_literal: bool,
    /// Whether there are extended attributes; without them the guest's kernel stops asking after the first answer.
    pub(crate) has_xattrs: bool,
    /// How long the guest may remember that a name is absent.
    pub(crate) absence: Duration,
}

impl Rules {
    /// The mode with which something new is made on the host.
    pub(crate) fn new_mode(&self, mode: u32) -> u32 {
        if self.is_literal { mode } else { mode & !SET_ID_BITS }
    }

    /// The mode that `chmod` sets on the host. A folder that the host made set-group-id stays so if the guest says so.
    pub(crate) fn changed_mode(&self, asked: u32, now: &Attr) -> u32 {
        if self.is_literal {
            return asked;
        }
        let is_folder = now.mode & libc::S_IFMT == libc::S_IFDIR;
        let kept = if is_folder { now.mode & libc::S_ISGID } else { 0 };
        asked & (!SET_ID_BITS | kept)
    }

    /// Refuses extended attributes outside `user.`: the others are the host's own.
    pub(crate) fn check_xattr(&self, name: &CStr) -> io::Result<()> {
        if !self.has_xattrs {
            return Err(errno(libc::ENOSYS));
        }
        if name.to_bytes().starts_with(b"user.") { Ok(()) } else { Err(errno(libc::EOPNOTSUPP)) }
    }
}

/// Refuses what is not one plain name. The guest's kernel sends nothing else; a guest that speaks for itself may not
/// walk past the checks on the folders between.
pub(crate) fn check_name(name: &CStr) -> io::Result<()> {
    match name.to_bytes() {
        b"" | b"." | b".." => Err(errno(libc::EINVAL)),
        bytes if bytes.contains(&b'/') => Err(errno(libc::EINVAL)),
        _ => Ok(()),
    }
}

/// Refuses an offset that no file has: the library would not survive it.
pub(crate) fn check_offset(offset: u64) -> io::Result<()> {
    i64::try_from(offset).map(drop).map_err(|_| errno(libc::EINVAL))
}

/// Keeps from a list of attribute names, each ended by a zero byte, those that [`Rules::check_xattr`] lets through.
pub(crate) fn user_xattrs(names: &[u8]) -> Vec<u8> {
    names.split_inclusive(|byte| *byte == 0).filter(|name| name.starts_with(b"user.")).flatten().copied().collect()
}

/// Whether a share that is public only shows this file.
pub(crate) fn is_public(mode: u32) -> bool {
    match mode & libc::S_IFMT {
        libc::S_IFREG => mode & 0o004 != 0,
        libc::S_IFDIR => mode & 0o005 == 0o005,
        libc::S_IFLNK => true,
        _ => false,
    }
}

/// Whether the guest may make a node of this type: devices would be those of the host.
pub(crate) fn check_node(mode: u32) -> io::Result<()> {
    match mode & libc::S_IFMT {
        libc::S_IFCHR | libc::S_IFBLK => Err(errno(libc::EPERM)),
        _ => Ok(()),
    }
}

/// An error that reaches the guest as this number.
pub(crate) fn errno(number: i32) -> io::Error {
    io::Error::from_raw_os_error(number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_plain_names_pass() {
        assert!(check_name(c"a b\\..").is_ok());
        for name in [c"", c".", c"..", c"a/b", c"/", c"../x"] {
            assert_eq!(check_name(name).unwrap_err().raw_os_error(), Some(libc::EINVAL), "{name:?}");
        }
    }

    #[test]
    fn private_files_and_special_files_are_not_public() {
        assert!(is_public(libc::S_IFREG | 0o644));
        assert!(is_public(libc::S_IFDIR | 0o755));
        assert!(is_public(libc::S_IFLNK | 0o777));
        assert!(!is_public(libc::S_IFREG | 0o640));
        assert!(!is_public(libc::S_IFDIR | 0o751));
        assert!(!is_public(libc::S_IFDIR | 0o744));
        assert!(!is_public(libc::S_IFSOCK | 0o777));
        assert!(!is_public(libc::S_IFCHR | 0o666));
    }

    fn rules(is_literal: bool) -> Rules {
        let absence = Duration::ZERO;
        Rules { is_public_only: false, owners: Owners::View, is_literal, has_xattrs: true, absence }
    }

    #[test]
    fn set_id_bits_reach_the_host_only_where_the_guests_ids_do() {
        assert_eq!(rules(true).new_mode(libc::S_IFREG | 0o6755), libc::S_IFREG | 0o6755);
        assert_eq!(rules(true).changed_mode(0o6755, &Attr::default()), 0o6755);
        let rules = rules(false);
        assert_eq!(rules.new_mode(libc::S_IFREG | 0o6755), libc::S_IFREG | 0o755);
        let file = Attr { mode: libc::S_IFREG | 0o4755, ..Attr::default() };
        assert_eq!(rules.changed_mode(0o6755, &file), 0o755);
        let folder = Attr { mode: libc::S_IFDIR | 0o2775, ..Attr::default() };
        assert_eq!(rules.changed_mode(0o7770, &folder), 0o3770);
        let plain_folder = Attr { mode: libc::S_IFDIR | 0o775, ..Attr::default() };
        assert_eq!(rules.changed_mode(0o2775, &plain_folder), 0o775);
    }

    #[test]
    fn only_user_xattrs_are_listed() {
        assert_eq!(user_xattrs(b"security.capability\0user.a\0system.posix_acl_access\0user.b\0"), b"user.a\0user.b\0");
        let rules = rules(false);
        let refused = |rules: &Rules, name| rules.check_xattr(name).unwrap_err().raw_os_error();
        assert!(rules.check_xattr(c"user.a").is_ok());
        assert_eq!(refused(&rules, c"trusted.overlay.opaque"), Some(libc::EOPNOTSUPP));
        assert_eq!(refused(&Rules { has_xattrs: false, ..rules }, c"user.a"), Some(libc::ENOSYS));
    }
}

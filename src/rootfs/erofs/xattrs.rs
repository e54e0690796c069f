//! Extended attributes, inline after their inode.
//!
//! ```text
//! header, 12 bytes ─► entry: length of name, index of prefix, length of value; rest of name, value; padded to 4 ─► …
//! ```

use super::error::ErofsError;

/// Size of the header (`erofs_xattr_ibody_header`).
const HEADER_BYTES: usize = 12;

/// Prefixes that are one byte on the disk (`EROFS_XATTR_INDEX_*`). Those of the access lists are whole names.
const PREFIXES: [(&[u8], u8); 5] = [
    (b"user.", 1),
    (b"system.posix_acl_access", 2),
    (b"system.posix_acl_default", 3),
    (b"trusted.", 4),
    (b"security.", 6),
];

/// What the attributes take on the disk; none take nothing.
pub(super) fn render(xattrs: &[(Vec<u8>, Vec<u8>)]) -> Result<Vec<u8>, ErofsError> {
    if xattrs.is_empty() {
        return Ok(Vec::new());
    }
    // No attribute is shared between inodes, and no filter of names is given.
    let mut bytes = vec![0; HEADER_BYTES];
    for (name, value) in xattrs {
        let unfit = || ErofsError::Xattr { name: String::from_utf8_lossy(name).into_owned() };
        let (rest, index) = split(name).ok_or_else(unfit)?;
        bytes.push(u8::try_from(rest.len()).map_err(|_| unfit())?);
        bytes.push(index);
        bytes.extend(u16::try_from(value.len()).map_err(|_| unfit())?.to_le_bytes());
        bytes.extend(rest);
        bytes.extend(value);
        bytes.resize(bytes.len().next_multiple_of(4), 0);
    }
    let what = "that many extended attributes of one file";
    count(bytes.len()).map(|_| bytes).ok_or(ErofsError::TooLarge { what })
}

/// `i_xattr_icount` of an inode whose attributes take so much.
pub(super) fn count(length: usize) -> Option<u16> {
    match length.checked_sub(HEADER_BYTES) {
        None => Some(0),
        Some(entries) => u16::try_from(entries / 4 + 1).ok(),
    }
}

fn split(name: &[u8]) -> Option<(&[u8], u8)> {
    PREFIXES.iter().find_map(|(prefix, index)| {
        let rest = name.strip_prefix(*prefix)?;
        let is_whole = !prefix.ends_with(b".");
        (rest.is_empty() == is_whole).then_some((rest, *index))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(name: &[u8], value: &[u8]) -> Result<Vec<u8>, ErofsError> {
        render(&[(name.to_vec(), value.to_vec())])
    }

    #[test]
    fn an_entry_has_the_rest_of_its_name_and_is_padded() {
        let bytes = one(b"security.capability", b"\x01\0\0\x02").unwrap();
        let mut expected = vec![0; 12];
        expected.extend([10, 6, 4, 0]);
        expected.extend(b"capability\x01\0\0\x02\0\0");
        assert_eq!(bytes, expected);
        assert_eq!((count(bytes.len()), count(0)), (Some(6), Some(0)));
    }

    #[test]
    fn an_access_list_is_only_its_index() {
        assert_eq!(one(b"system.posix_acl_default", b"1234").unwrap()[12..], [0, 3, 4, 0, b'1', b'2', b'3', b'4']);
    }

    #[test]
    fn what_has_no_place_is_named() {
        for name in ["system.nfs4_acl", "security.", "system.posix_acl_access.x", "odd"] {
            let expected = ErofsError::Xattr { name: name.to_owned() };
            assert_eq!(one(name.as_bytes(), b"x"), Err(expected));
        }
        assert!(one(b"user.x", &vec![0; 65_535]).is_ok());
        assert!(one(b"user.x", &vec![0; 65_536]).is_err());
        let many: Vec<_> = (0..5).map(|at| (format!("user.{at}").into_bytes(), vec![0; 65_535])).collect();
        assert!(matches!(render(&many), Err(ErofsError::TooLarge { .. })));
    }
}

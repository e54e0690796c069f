//! A `statvfs` to fill in: its padding cannot be written in safe code.

#![expect(unsafe_code, reason = "a structure of the C library with private padding")]

use std::mem::MaybeUninit;

/// All zero.
pub fn empty() -> libc::statvfs64 {
    let empty = MaybeUninit::<libc::statvfs64>::zeroed();
    // SAFETY: the structure holds integers only, for which all-zero bytes are valid.
    unsafe { empty.assume_init() }
}

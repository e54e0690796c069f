//! The formats of tar: old ones, ustar, star's, GNU's, and POSIX's extended headers (pax).
//!
//! Written here, since what is read is hostile: extended headers are read to a limit only, sparse files of all four
//! forms are understood, and nothing is allocated by a length that a header claims. Not here: what entries mean.

mod header;
mod member;
mod pax;
mod sparse;

pub(super) use member::{Kind, Member, Next, next};

//! Safe wrappers over the operating system's calls, named as in the man pages; with `engine/kvm` the only `unsafe`.

pub mod child;
pub mod credentials;
pub mod exit;
pub mod filter;
pub mod handed;
pub mod identity;
pub mod kvm_probe;
pub mod landlock;
pub mod left;
pub mod mount;
pub mod namespace;
pub mod news;
pub mod signal;
pub mod socket;
pub mod statvfs;
pub mod terminal;
pub mod tsc;

//! Lean kernels for the tests of other files, and builds of a source that is nearly empty.

use std::fs;
use std::path::PathBuf;

use super::super::super::cache::Cache;
use super::super::elf::tests::vmlinux;
use super::super::stored::{self, Contents};

/// Puts a lean kernel into the cache as a build would.
pub(in super::super) fn plant(cache: &Cache, key: &str, version: &str) -> PathBuf {
    let scratch = cache.build_scratch().unwrap();
    let made = scratch.path().join("kernel");
    fs::create_dir(&made).unwrap();
    fs::write(made.join("vmlinux"), vmlinux(18)).unwrap();
    let (release, source) = (format!("{version}-lean"), format!("made_{version}"));
    let origin = format!("lean kernel {release}, made from {source}");
    let contents = Contents { image: "vmlinux".into(), modules: None, origin, version: Some(release) };
    contents.write(&made).unwrap();
    cache.publish_folder(&made, &format!("{}{key}-{source}", stored::LEAN)).unwrap()
}

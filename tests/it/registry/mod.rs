//! Registries and images for tests: the distribution's own registry server, and images made by `umoci` and `skopeo`.
//!
//! Deliberately not here: what becomes of an image once it is in a store.

mod between;
mod faults;
mod folder;
pub(crate) mod images;
mod logins;
mod pull;
pub(crate) mod server;
mod tokens;
mod ways;

/// What a test of registries needs and this computer lacks. `scripts/setup.sh test` installs it on Debian.
pub(crate) fn missing() -> Option<String> {
    let needed = ["docker-registry", "umoci", "skopeo", "htpasswd", "openssl", "busybox"];
    let is_here = |program: &&str| {
        let path = std::env::var_os("PATH").unwrap_or_default();
        std::env::split_paths(&path).any(|folder| folder.join(program).is_file())
    };
    let lacking: Vec<&str> = needed.into_iter().filter(|program| !is_here(program)).collect();
    (!lacking.is_empty()).then(|| format!("{} not installed; run scripts/setup.sh test", lacking.join(", ")))
}

/// Whether a test of registries cannot run; says why. Where there is `apt-get` the programs can be had, and must be there.
pub(crate) fn is_skipped() -> bool {
    use std::io::Write as _;
    let Some(reason) = missing() else { return false };
    assert!(!std::path::Path::new("/usr/bin/apt-get").exists(), "{reason}");
    let _ = writeln!(std::io::stderr(), "skipped: {reason}");
    true
}

//! Builds the guest's agent as a static program of its own and hands its path to the crate.
//!
//! Packagers may give a ready one in `SMOLVM_AGENT`. The nested build has its own target folder (the outer one is
//! locked) and never asks the network: what it needs, the outer build has needed before.

use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;

const TARGET: &str = "x86_64-unknown-linux-gnu";

/// Settings of the outer build that are not meant for the agent.
const FOREIGN: &[&str] = &[
    "RUSTFLAGS",
    "CARGO_ENCODED_RUSTFLAGS",
    "CARGO_TARGET_DIR",
    "CARGO_BUILD_TARGET",
    "CARGO_BUILD_TARGET_DIR",
    "CARGO_BUILD_BUILD_DIR",
    "RUSTC_WRAPPER",
    "RUSTC_WORKSPACE_WRAPPER",
    "RUSTDOCFLAGS",
];

fn main() {
    println!("cargo::rerun-if-env-changed=SMOLVM_AGENT");
    for input in ["agent/src", "agent/Cargo.toml", "Cargo.toml", "Cargo.lock"] {
        println!("cargo::rerun-if-changed={input}");
    }
    let agent = match env::var_os("SMOLVM_AGENT") {
        Some(ready) => {
            let ready = PathBuf::from(ready);
            assert!(ready.is_absolute(), "SMOLVM_AGENT must be an absolute path, it is `{}`", ready.display());
            println!("cargo::rerun-if-changed={}", ready.display());
            ready
        }
        None => build_agent(),
    };
    assert!(agent.is_file(), "there is no agent at `{}`", agent.display());
    println!("cargo::rustc-env=SMOLVM_AGENT_FILE={}", agent.display());
}

fn build_agent() -> PathBuf {
    let out = PathBuf::from(env::var_os("OUT_DIR").expect("cargo sets OUT_DIR"));
    let target = out.join("agent");
    let mut cargo = Command::new(env::var_os("CARGO").expect("cargo sets CARGO"));
    for name in FOREIGN {
        cargo.env_remove(name);
    }
    cargo
        .current_dir(env::var_os("CARGO_MANIFEST_DIR").expect("cargo sets CARGO_MANIFEST_DIR"))
        .args(["build", "--quiet", "--offline", "--locked", "--profile", "agent", "--package", "smolvm-agent"])
        .args(["--bin", "smolvm-agent", "--target", TARGET, "--target-dir"])
        .arg(&target)
        .env("RUSTFLAGS", "-C target-feature=+crt-static");
    let status = cargo.status().expect("cargo can run itself");
    assert!(
        status.success(),
        "the guest's agent does not build; it needs the target {TARGET} and a static C library \
         (Debian: libc6-dev, Fedora: glibc-static); or set SMOLVM_AGENT to a ready agent"
    );
    let program: &Path = &target.join(TARGET).join("agent/smolvm-agent");
    program.to_path_buf()
}

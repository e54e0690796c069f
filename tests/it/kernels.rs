//! `smolvm kernel` through the command line, with tools that only seem to build and a package manager that only seems
//! to download.
//!
//! Deliberately not here: the real ones (`lean_kernel`), and machines.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use crate::running::signal;
use crate::support::Case;

/// How long anything here may take.
const DEADLINE: Duration = Duration::from_secs(60);

/// Makes what a build makes, as far as anybody looks at it.
const MAKE: &str = r#"
case "$*" in
*allnoconfig*) grep -v "^CONFIG_SQUASHFS=" lean.config > .config ;;
*vmlinux*)
  mkdir -p include/config
  echo 9.8.7-made > include/config/kernel.release
  echo "  CC      a.o"; echo "  LD      vmlinux"
  cp seed vmlinux ;;
esac
"#;

/// A host of fakes and a source.
struct World {
    case: Case,
}

impl World {
    fn new() -> Self {
        let case = Case::new().folder("bin").folder("tree/linux-source-6.12");
        let world = World { case };
        for name in ["gcc", "ld", "flex", "bison", "bc", "perl", "strip"] {
            world.fake(name, "exit 0");
        }
        world.fake("make", MAKE);
        let tree = world.place("tree/linux-source-6.12");
        for name in ["Makefile", "Kconfig"] {
            fs::write(tree.join(name), "").unwrap();
        }
        fs::write(tree.join("seed"), vmlinux()).unwrap();
        // `strip` gives nothing.
        world.fake("strip", "exit 1");
        run(
            "tar",
            &["-C".as_ref(), world.place("tree").as_ref(), "-caf".as_ref(), world.source().as_ref(), ".".as_ref()],
        );
        world
    }

    fn place(&self, name: &str) -> PathBuf {
        self.case.project().join(name)
    }

    fn source(&self) -> PathBuf {
        self.place("linux-source-6.12.tar.gz")
    }

    fn fake(&self, name: &str, script: &str) {
        let path = self.place("bin").join(name);
        fs::write(&path, format!("#!/bin/sh\n{script}\n")).unwrap();
        fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
    }

    /// APT with one package of a source, of this version.
    fn fake_apt(&self, version: &str) {
        let root = self.place("deb/usr/src");
        fs::create_dir_all(&root).unwrap();
        fs::copy(self.source(), root.join("linux-source-6.12.tar.gz")).unwrap();
        let deb = self.place("linux-source.deb");
        run("tar", &["-C".as_ref(), self.place("deb").as_ref(), "-cf".as_ref(), deb.as_ref(), "./usr".as_ref()]);
        let download = format!("case \"$*\" in *download*) cp '{}' . ;; esac", deb.display());
        self.fake("apt-get", &download);
        let show = format!(
            "case \"$*\" in\n*search*) echo 'linux-source-6.1 - x'; echo 'linux-source-6.12 - y';;\n\
             *linux-source-6.12*) printf 'Package: linux-source-6.12\\nVersion: {version}\\nSize: 1000\\n';;\n*) exit 100;;\nesac"
        );
        self.fake("apt-cache", &show);
        self.fake("dpkg-deb", "shift; exec cat \"$1\"");
    }

    fn cache(&self) -> PathBuf {
        self.place("../cache/smolvm/kernels")
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = self.case.command();
        let path = std::env::var("PATH").unwrap_or_default();
        command.env("PATH", format!("{}:{path}", self.place("bin").display()));
        command.args(args).stdin(Stdio::null());
        command
    }

    fn run(&self, args: &[&str]) -> Output {
        self.command(args).output().unwrap()
    }

    fn build(&self) -> Output {
        self.run(&["kernel", "build", "--source", self.source().to_str().unwrap()])
    }

    /// What is in the cache under a name that begins so.
    fn named(&self, prefix: &str) -> Vec<String> {
        let entries = fs::read_dir(self.cache()).into_iter().flatten().flatten();
        let names = entries.map(|entry| entry.file_name().to_string_lossy().into_owned());
        names.filter(|name| name.starts_with(prefix)).collect()
    }
}

fn run(program: &str, args: &[&std::ffi::OsStr]) {
    assert!(Command::new(program).args(args).status().unwrap().success());
}

/// The least that is taken for a kernel: a note with a PVH entry, and a banner.
fn vmlinux() -> Vec<u8> {
    let mut bytes = b"\x7fELF\x02\x01\x01".to_vec();
    bytes.resize(64, 0);
    (bytes[16], bytes[18], bytes[32], bytes[54], bytes[56]) = (2, 0x3e, 64, 56, 1);
    let mut entry = [0; 56];
    (entry[0], entry[8], entry[32]) = (4, 120, 20);
    bytes.extend(entry);
    for word in [4_u32, 4, 18] {
        bytes.extend(word.to_le_bytes());
    }
    bytes.extend(b"Xen\0\0\0\0\0\0\0\0\0Linux version 9.8.7-made (someone) #1 \0");
    bytes
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[test]
fn built_kernel_is_taken_by_auto_and_not_built_twice() {
    let world = World::new();
    let output = world.build();
    let said = text(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{said}");
    assert!(said.contains("compiling the kernel: 2 of about 2 files\n"), "{said}");
    assert!(said.contains("note: this source has no SQUASHFS\n"), "{said}");
    assert!(said.contains("lean kernel 9.8.7-made, made from linux-source-6.12_"), "{said}");
    assert!(said.ends_with(": `auto` takes it from now on\n"), "{said}");
    assert_eq!(world.named(".build-"), [""; 0]);
    let output = world.build();
    assert!(text(&output.stderr).contains("it is in the cache already"), "{}", text(&output.stderr));
    let listed = text(&world.run(&["kernel", "ls"]).stdout);
    assert!(listed.contains("\n* 9.8.7-made "), "{listed}");
    assert!(listed.contains("\nauto takes lean kernel 9.8.7-made, made from linux-source-6.12_"), "{listed}");
    assert!(!listed.contains("smolvm kernel build"), "{listed}");
    let listed: serde_json::Value =
        serde_json::from_slice(&world.run(&["kernel", "ls", "--format", "json"]).stdout).unwrap();
    assert_eq!((&listed["version"], &listed["kernels"][0]["kind"]), (&1.into(), &"lean".into()));
    assert_eq!(listed["kernels"][0]["auto"], true);
    let doctor = text(&world.run(&["doctor"]).stdout);
    assert!(doctor.contains("lean kernel 9.8.7-made, made from linux-source-6.12_"), "{doctor}");
    world.fake("make", "echo 'a.c:1:1: error: it is built anew'; exit 2");
    let forced = world.run(&["kernel", "build", "--force", "--source", world.source().to_str().unwrap()]);
    assert!(text(&forced.stderr).contains("it is built anew"), "{}", text(&forced.stderr));
    assert!(text(&world.run(&["kernel", "ls"]).stdout).contains("\n* 9.8.7-made "), "what was there stays");
}

#[test]
fn newest_source_of_the_package_manager_is_built() {
    let world = World::new();
    world.fake_apt("6.12.9-1~deb12u1");
    let build = || world.run(&["kernel", "build"]);
    let output = build();
    let said = text(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{said}");
    assert!(said.contains("\ndownloading linux-source-6.12 6.12.9-1~deb12u1\n"), "{said}");
    assert!(text(&build().stderr).contains("it is in the cache already"));
    world.fake_apt("6.12.10-1");
    assert!(text(&build().stderr).contains("made from linux-source-6.12_6.12.10-1: `auto` takes it"));
    assert_eq!(world.named("lean-").len(), 2);
    let listed = text(&world.run(&["kernel", "ls"]).stdout);
    assert!(listed.contains("_6.12.10-1, from the cache: the lean kernel that was built last comes first"), "{listed}");
    world.fake("apt-cache", "exit 1");
    let output = build();
    let said = text(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{said}");
    assert!(said.contains("note: whether there is a newer source is not known: "), "{said}");
}

#[test]
fn missing_tools_are_named_all_at_once_with_the_command_that_installs_them() {
    let world = World::new();
    world.fake_apt("1");
    world.fake("gcc", "case \"$*\" in *gelf.h*) exit 1;; esac");
    let output = world.build();
    let said = text(&output.stderr);
    assert_eq!(output.status.code(), Some(69), "{said}");
    assert!(said.contains("error: building a kernel needs what is not installed here: `gelf.h`\n"), "{said}");
    assert!(said.contains("help: install it: `sudo apt-get install libelf-dev`\n"), "{said}");
}

#[test]
fn failed_build_names_its_cause_and_keeps_its_log() {
    let world = World::new();
    let causes = [
        (
            "echo 'a.c:1:2: error: odd'; echo 'make: *** [a.o] Error 1'; exit 2",
            "compiling the kernel failed: a.c:1:2: error: odd",
        ),
        ("echo 'cc1: fatal error: error writing to x: No space left on device'; exit 1", "No space left on device"),
        (
            "echo 'gcc: fatal error: Killed signal terminated program cc1'; exit 1",
            "Killed signal terminated program cc1",
        ),
        ("exit 0", "compiling the kernel failed: `make` ended well and made no `vmlinux`"),
    ];
    for (script, expected) in causes {
        world.fake("make", &format!("case \"$*\" in *allnoconfig*) cp lean.config .config; exit 0;; esac\n{script}"));
        let output = world.build();
        let said = text(&output.stderr);
        assert_eq!(output.status.code(), Some(125), "{said}");
        assert!(said.contains(expected), "{said}");
        assert_eq!(world.named(".build-"), [""; 0]);
        assert_eq!(world.named("lean-"), ["lean-build.log"], "{said}");
        assert!(said.contains("/kernels/lean-build.log`\n"), "{said}");
    }
    world.fake("make", "case \"$*\" in *allnoconfig*) grep -v _VIRTIO_FS= lean.config > .config;; esac");
    let said = text(&world.build().stderr);
    assert!(said.contains("this source cannot make a kernel for machines: it has no VIRTIO_FS\n"), "{said}");
    world.fake("make", MAKE);
    assert_eq!(world.build().status.code(), Some(0));
    assert!(!world.cache().join("lean-build.log").exists());
}

#[test]
fn source_that_is_none_and_a_place_that_cannot_be_are_told() {
    let world = World::new();
    let other = world.place("other.tar");
    let build = || text(&world.run(&["kernel", "build", "--source", other.to_str().unwrap()]).stderr);
    fs::write(&other, "text").unwrap();
    assert!(build().contains("bringing the source failed: `tar` failed: tar: This does not look like"), "{}", build());
    run("tar", &["-C".as_ref(), world.place("bin").as_ref(), "-cf".as_ref(), other.as_ref(), ".".as_ref()]);
    assert!(build().contains("other.tar` holds no source of a kernel"), "{}", build());
    let said = text(&world.run(&["kernel", "build", "--source", "/nonexistent"]).stderr);
    assert!(said.contains("error: cannot read `/nonexistent`"), "{said}");
    let mut command = world.command(&["kernel", "build"]);
    let output = command.env("XDG_CACHE_HOME", world.place("my cache")).output().unwrap();
    assert_eq!(output.status.code(), Some(69));
    assert!(text(&output.stderr).contains("its makefiles stumble over ` ` in a path"), "{}", text(&output.stderr));
}

#[test]
fn interrupted_build_ends_at_once_with_all_that_it_started() {
    let world = World::new();
    let lock = world.place("lock");
    world.fake("make", &holding(&lock));
    let mut child = start(&world, &lock);
    let began = Instant::now();
    signal(child.id(), rustix::process::Signal::INT);
    let status = child.wait().unwrap();
    assert_eq!(status.code(), Some(130));
    assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
    assert!(is_free(&lock), "the compiler still runs");
    assert_eq!(world.named(".build-"), [""; 0]);
}

#[test]
fn killed_build_leaves_a_folder_that_the_next_command_clears() {
    let world = World::new();
    let lock = world.place("lock");
    world.fake("make", &holding(&lock));
    let mut child = start(&world, &lock);
    assert!(text(&world.run(&["kernel", "ls"]).stderr).is_empty(), "what is being built is not cleared");
    child.kill().unwrap();
    child.wait().unwrap();
    let began = Instant::now();
    while !is_free(&lock) {
        assert!(began.elapsed() < Duration::from_secs(2), "the compiler still runs");
        std::thread::yield_now();
    }
    assert_eq!(world.named(".build-").len(), 1);
    let said = text(&world.run(&["kernel", "ls"]).stderr);
    assert!(said.starts_with("note: cleared `") && said.contains(".build-"), "{said}");
    assert_eq!(world.named(".build-"), [""; 0]);
}

/// A `make` whose compiler, a process of its own, holds a lock as long as it lives.
fn holding(lock: &Path) -> String {
    format!("exec 9>'{}'\nflock 9\n(sleep 1000; true) &\nwait", lock.display())
}

/// Starts a build and waits until its compiler runs.
fn start(world: &World, lock: &Path) -> std::process::Child {
    let source = world.source();
    let mut command = world.command(&["kernel", "build", "--source", source.to_str().unwrap()]);
    let child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let began = Instant::now();
    while !lock.exists() || is_free(lock) {
        assert!(began.elapsed() < DEADLINE, "the build does not start");
        std::thread::yield_now();
    }
    child
}

fn is_free(lock: &Path) -> bool {
    let file = fs::File::open(lock).unwrap();
    rustix::fs::flock(&file, rustix::fs::FlockOperation::NonBlockingLockExclusive).is_ok()
}

#[test]
fn full_disk_is_told_before_anything_is_done() {
    let world = World::new();
    let cache = world.place("small");
    fs::create_dir(&cache).unwrap();
    let script = format!(
        "mount -t tmpfs -o size=100m none '{}' && exec \"$0\" kernel build --source /nonexistent",
        cache.display()
    );
    let mut command = Command::new("unshare");
    let path = format!("{}:{}", world.place("bin").display(), std::env::var("PATH").unwrap_or_default());
    command.args(["-r", "-m", "sh", "-c", &script, env!("CARGO_BIN_EXE_smolvm")]);
    let output = command.env("XDG_CACHE_HOME", &cache).env("PATH", path).output().unwrap();
    let said = text(&output.stderr);
    assert!(said.contains("/kernels/` has room for 100 MiB, and building a kernel takes "), "{said}");
    assert!(said.contains("help: make room, or set `XDG_CACHE_HOME`"), "{said}");
}

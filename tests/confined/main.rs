//! Confinement, tested by trying: this program is started as a server of files, of a disk or of a network, confines itself
//! by the server's own code, and then does not serve but tries what a server that a guest has taken over would try.
//!
//! Each attempt is a process of its own, since many are its end. Not here: what the attempts are (`attempts`).

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod attempts;

use std::fs;
use std::io::{self, Write};
use std::os::unix::fs::{PermissionsExt, chown, symlink};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use smolvm::net::nat::{self, NatError, NatSpec, Resolvers, spawn_nat_from};
use smolvm::rootfs::{Attributes, Extent, Inode, InodeKind, RootTree};
use smolvm::share::{Makers, Rights, ShareCache, ShareError, ShareSpec, ShareTree, confined_main, spawn_share_from};

use smolvm::virtio::block::{self, DiskContent, DiskError, DiskSegment, DiskSpec, spawn_disk_from};

use attempts::{ATTEMPTS, Attempt, End};

/// An ordinary user without account.
const ORDINARY: u32 = 12345;

/// Says that the program was started by itself as that user.
const AS_ORDINARY: &str = "--as-ordinary";

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    match args.first().map(String::as_str) {
        Some("__share") => return confined_main(|spec| attempts::run(&spec.tag)),
        Some("__disk") => return block::confined_main(run_named),
        Some("__net") => return nat::confined_main(run_named),
        Some(AS_ORDINARY) => return all("an ordinary user"),
        _ => {}
    }
    // As the usual harness: words are parts of names of tests that are wanted.
    let mut words = args.iter().filter(|arg| !arg.starts_with('-')).peekable();
    if words.peek().is_some() && !words.any(|word| "confinement".contains(word.as_str())) {
        return ExitCode::SUCCESS;
    }
    if !rustix::process::geteuid().is_root() {
        return all("an ordinary user");
    }
    if all("root") == ExitCode::SUCCESS { as_ordinary() } else { ExitCode::FAILURE }
}

/// Makes the attempt that is named by the second word of the command line.
fn run_named() {
    attempts::run(&std::env::args().nth(2).unwrap());
}

/// Runs a copy of this program that an ordinary user may execute.
fn as_ordinary() -> ExitCode {
    let folder = tempfile::tempdir().unwrap();
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let program = folder.path().join("confined");
    fs::copy(std::env::current_exe().unwrap(), &program).unwrap();
    let temporary = folder.path().join("tmp");
    fs::create_dir(&temporary).unwrap();
    chown(&temporary, Some(ORDINARY), Some(ORDINARY)).unwrap();
    let mut command = Command::new(program);
    command.arg(AS_ORDINARY).env("TMPDIR", temporary).uid(ORDINARY).gid(ORDINARY);
    if command.status().unwrap().success() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// What a server serves.
enum Served {
    Share(ShareTree, Makers),
    Disk { is_writable: bool },
    Network,
}

/// Servers to try from, each beside things that must stay out of reach.
struct World {
    folder: tempfile::TempDir,
}

impl World {
    fn new() -> Self {
        let world = Self { folder: tempfile::tempdir().unwrap() };
        for name in ["share", "share/sub", "share/sub/deep", "beside"] {
            fs::create_dir(world.at(name)).unwrap();
        }
        for name in ["share/file", "share/sibling", "beside/secret"] {
            fs::write(world.at(name), name).unwrap();
        }
        fs::write(world.at("pack"), [b'x'; 4096]).unwrap();
        fs::write(world.at("tree"), image().encode()).unwrap();
        let secret = world.at("beside/secret");
        for (name, target) in [
            ("absolute", secret.as_path()),
            ("up", Path::new("../beside/secret")),
            ("process", Path::new("/proc/self/root")),
            ("host", Path::new("/etc/passwd")),
        ] {
            symlink(target, world.at("share").join(name)).unwrap();
        }
        world
    }

    fn at(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn servers(&self) -> Vec<(&'static str, Served)> {
        let cache = ShareCache::Auto;
        let folder = |is_read_only| ShareTree::Folder { path: self.at("share"), is_read_only, cache };
        let file = |is_read_only| ShareTree::File { path: self.at("share/file"), is_read_only, cache };
        let owner = |tree| Served::Share(tree, Makers::Owner);
        let mut servers = vec![
            ("folder", owner(folder(false))),
            ("read-only folder", owner(folder(true))),
            ("file", owner(file(false))),
            ("read-only file", owner(file(true))),
            ("host", owner(ShareTree::HostRoot)),
            ("image", owner(ShareTree::Image { tree: self.at("tree"), packs: vec![self.at("pack")] })),
            ("disk", Served::Disk { is_writable: false }),
            ("writable disk", Served::Disk { is_writable: true }),
            ("network", Served::Network),
        ];
        if rustix::process::geteuid().is_root() {
            servers.push(("folder with the guest's ids", Served::Share(folder(false), Makers::Guest)));
        }
        servers
    }

    /// The disk of one segment that an attempt is made from.
    fn disk(&self, serial: &str, is_writable: bool) -> DiskSpec {
        let file = fs::OpenOptions::new().read(true).write(is_writable).open(self.at("pack")).unwrap();
        let segment = DiskSegment { file: file.into(), length: 4096 };
        let content = if is_writable { DiskContent::Writable(segment) } else { DiskContent::Fixed(vec![segment]) };
        DiskSpec { serial: serial.to_owned(), content }
    }

    /// Does what an attempt asks of the host while it waits: moves a folder that it has open out of the share.
    fn serve_wishes(&self, is_over: &AtomicBool) {
        while !is_over.load(Ordering::Relaxed) {
            if self.at("share/wish").exists() {
                fs::rename(self.at("share/sub"), self.at("beside/sub")).unwrap();
                fs::rename(self.at("share/wish"), self.at("share/granted")).unwrap();
            }
            thread::yield_now();
        }
    }
}

/// An image of one file.
fn image() -> RootTree {
    let inode = |kind, links| Inode { kind, attributes: Attributes { mode: 0o755, ..Attributes::default() }, links };
    let extents = vec![Extent { file_offset: 0, length: 4096, pack: 0, pack_offset: 0 }];
    let root = InodeKind::Folder { parent: 0, entries: vec![(b"file".to_vec(), 1)] };
    RootTree { inodes: vec![inode(root, 2), inode(InodeKind::File { size: 4096, extents }, 1)], packs: 1 }
}

fn all(who: &str) -> ExitCode {
    let mut failures = Vec::new();
    let mut count = 0;
    for (kind, _) in World::new().servers() {
        for attempt in ATTEMPTS.iter().filter(|attempt| attempt.is_for(kind)) {
            // A new one each: some leave something behind.
            let world = World::new();
            let served = world.servers().into_iter().find(|server| server.0 == kind).unwrap().1;
            count += 1;
            if let Err(what) = held(attempt, &world, served) {
                failures.push(format!("{who}, {kind}: {}: {what}", attempt.name));
            }
        }
    }
    let mut out = io::stderr();
    if failures.is_empty() {
        let _ = writeln!(out, "confinement of servers as {who}: {count} attempts, none of them did anything");
        return ExitCode::SUCCESS;
    }
    let _ = writeln!(out, "{}", failures.join("\n"));
    ExitCode::FAILURE
}

/// Makes one attempt and says what was wrong with its end.
fn held(attempt: &Attempt, world: &World, served: Served) -> Result<(), String> {
    let is_over = AtomicBool::new(false);
    let end = thread::scope(|scope| {
        scope.spawn(|| world.serve_wishes(&is_over));
        let end = end_of(attempt.name, world, served);
        is_over.store(true, Ordering::Relaxed);
        end
    });
    let message = end?;
    let is_killed = message.contains("signal 31");
    let is_refused = message.contains(attempts::REFUSED);
    match attempt.end {
        End::Killed if is_killed => Ok(()),
        End::Refused if is_refused => Ok(()),
        _ => Err(message),
    }
}

/// Starts a server that makes this attempt, and returns what is said of its end.
fn end_of(name: &str, world: &World, served: Served) -> Result<String, String> {
    let program = std::env::current_exe().unwrap();
    let lives = || "it did not end".to_owned();
    match served {
        Served::Share(tree, makers) => {
            let rights = Rights {
                uid: rustix::process::geteuid().as_raw(),
                gid: rustix::process::getegid().as_raw(),
                groups: rustix::process::getgroups().unwrap().iter().map(|gid| gid.as_raw()).collect(),
            };
            let spec = ShareSpec { tag: name.to_owned(), tree, rights, makers };
            match spawn_share_from(&program, spec, Box::new(|_| {})) {
                Err(ShareError::Start { message, .. }) => Ok(message),
                Err(error) => Err(error.to_string()),
                Ok(_) => Err(lives()),
            }
        }
        Served::Disk { is_writable } => {
            match spawn_disk_from(&program, world.disk(name, is_writable), Box::new(|_| {}), None) {
                Err(DiskError::Start { message, .. }) => Ok(message),
                Err(error) => Err(error.to_string()),
                Ok(_) => Err(lives()),
            }
        }
        Served::Network => {
            let spec = NatSpec { machine: name.to_owned(), allow: None, resolvers: Resolvers::Fixed(Vec::new()) };
            match spawn_nat_from(&program, spec, Box::new(|_| {}), Box::new(|_| {})) {
                Err(NatError::Start { message }) => Ok(message),
                Err(error) => Err(error.to_string()),
                Ok(_) => Err(lives()),
            }
        }
    }
}

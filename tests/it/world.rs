//! A world of its own for runs, which is searched for leftovers after them.
//!
//! Everything that the program may write is below one folder, and its processes are told from all others by the path
//! of the program, which is below that folder too, and by the name of the machine, which is unique. Deliberately not
//! here: the runs themselves (`running`), expectations of one area.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::Write as _;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::geteuid;
use tempfile::TempDir;

use crate::invoker::ORDINARY;
use crate::running::{EVENT_LIMIT, LEFTOVER_LIMIT, Live};
use crate::support::Case;
use crate::terminal::Terminal;

/// Who runs the program.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Who {
    /// Whoever runs the tests.
    Ourselves,
    /// A user without name, groups and rights.
    Ordinary,
}

/// Runs a test as everyone that it can be run as here, at the same time.
pub(crate) fn as_everyone(test: impl Fn(Who) + Sync) {
    if !geteuid().is_root() {
        let _ = writeln!(std::io::stderr(), "skipped: only root can run it as another user too");
        return test(Who::Ourselves);
    }
    thread::scope(|scope| {
        for who in [Who::Ourselves, Who::Ordinary] {
            let test = &test;
            scope.spawn(move || test(who));
        }
    });
}

/// The folder that is a run's whole world.
pub(crate) struct World {
    folder: TempDir,
    who: Who,
    machine: String,
    mounts: String,
    path: Option<String>,
}

impl Drop for World {
    /// A test that failed leaves no machines to the others.
    fn drop(&mut self) {
        if thread::panicking() {
            for pid in self.processes().into_keys().filter_map(rustix::process::Pid::from_raw) {
                let _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
            }
        }
    }
}

impl World {
    /// An empty project, and a cache with a kernel.
    pub(crate) fn new(who: Who) -> Self {
        let world = Self::without_kernel(who);
        let from = shared_cache().join("smolvm/kernels");
        let to = world.cache();
        for entry in fs::read_dir(&from).unwrap() {
            let name = entry.unwrap().file_name();
            let text = name.to_string_lossy();
            if text == "auto" || text.starts_with("package-") || text.starts_with("vmlinux-") {
                link_all(&from.join(&name), &to.join(&name));
            }
        }
        world
    }

    /// An empty project, and an empty cache.
    pub(crate) fn without_kernel(who: Who) -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let folder = TempDir::with_prefix("smolvm-world-").unwrap();
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
        let machine = format!("box-{}-{}", std::process::id(), NUMBER.fetch_add(1, Ordering::Relaxed));
        let world = Self { folder, who, machine, mounts: own_mounts(), path: None };
        link_all(Path::new(env!("CARGO_BIN_EXE_smolvm")), &world.program());
        for name in ["project", "home", "state", "cache", "run", "tmp", "cache/smolvm", "cache/smolvm/kernels"] {
            world.make_folder(name);
        }
        world
    }

    /// A path below the world's folder.
    pub(crate) fn place(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// The user's cache of kernels.
    pub(crate) fn cache(&self) -> PathBuf {
        self.place("cache/smolvm/kernels")
    }

    /// The only machine's name.
    pub(crate) fn machine(&self) -> &str {
        &self.machine
    }

    fn program(&self) -> PathBuf {
        self.place("smolvm")
    }

    /// Makes a folder that belongs to who runs the program.
    pub(crate) fn make_folder(&self, name: &str) {
        let path = self.place(name);
        fs::create_dir(&path).unwrap();
        self.give(&path);
    }

    /// Writes a file that belongs to who runs the program.
    pub(crate) fn write(&self, name: &str, text: &str) {
        let path = self.place(name);
        fs::write(&path, text).unwrap();
        self.give(&path);
    }

    /// Writes a shell script that can be run.
    pub(crate) fn write_program(&self, name: &str, script: &str) {
        self.write(name, &format!("#!/bin/sh\n{script}"));
        fs::set_permissions(self.place(name), fs::Permissions::from_mode(0o755)).unwrap();
    }

    fn give(&self, path: &Path) {
        if self.who == Who::Ordinary {
            std::os::unix::fs::chown(path, Some(ORDINARY), Some(ORDINARY)).unwrap();
        }
    }

    /// Writes the project: one machine with these keys more, and what follows it.
    pub(crate) fn project(&self, keys: &str, rest: &str) {
        let machine = &self.machine;
        let text = format!("name: acme\nmachines:\n  {machine}: {{ cpus: 1, memory: 256MiB{keys} }}\n{rest}");
        self.write("project/smolvm.yaml", &text);
    }

    /// Programs in this folder are found first.
    pub(crate) fn look_first_in(&mut self, folder: &str) {
        let path = std::env::var("PATH").unwrap_or_default();
        self.path = Some(format!("{}:{path}", self.place(folder).display()));
    }

    /// Nothing but what is in this folder is found.
    pub(crate) fn look_only_in(&mut self, folder: &str) {
        self.path = Some(self.place(folder).display().to_string());
    }

    /// The command, ready to be started.
    pub(crate) fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(self.program());
        command.args(args).current_dir(self.place("project")).env_clear().process_group(0);
        command.env("PATH", self.path.clone().unwrap_or_else(|| std::env::var("PATH").unwrap_or_default()));
        let folders =
            ["HOME=home", "XDG_STATE_HOME=state", "XDG_CACHE_HOME=cache", "XDG_RUNTIME_DIR=run", "TMPDIR=tmp"];
        for (name, folder) in folders.iter().filter_map(|pair| pair.split_once('=')) {
            command.env(name, self.place(folder));
        }
        self.become_user(&mut command);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    fn become_user(&self, command: &mut Command) {
        if self.who == Who::Ordinary {
            // Being root, this drops all groups too.
            command.uid(ORDINARY).gid(ORDINARY);
        }
    }

    /// The program with these arguments at a terminal of its own. The user is set anew: a [`Command`] does not tell it.
    pub(crate) fn terminal(&self, args: &[&str], columns: u16, rows: u16) -> Terminal {
        Terminal::start_with(&self.command(args), columns, rows, |started| self.become_user(started))
    }

    /// Starts `up` with events on standard output.
    pub(crate) fn up(&self, args: &[&str]) -> Live {
        let args = [&["up", "--accel", "tcg", "--progress", "json"], args].concat();
        Live::start(self.command(&args))
    }

    /// The processes that belong to this world, with their command lines.
    pub(crate) fn processes(&self) -> BTreeMap<i32, String> {
        let folder = self.folder.path().display().to_string();
        let numbers = fs::read_dir("/proc").unwrap().flatten();
        let found = numbers.filter_map(|entry| {
            let pid: i32 = entry.file_name().to_str()?.parse().ok()?;
            let words = fs::read(entry.path().join("cmdline")).ok()?;
            let words = String::from_utf8_lossy(&words).replace('\0', " ");
            // Nobody who has ended but is not reaped has a command line.
            let program = fs::read_link(entry.path().join("exe")).unwrap_or_default();
            let is_ours = !words.is_empty()
                && (program.starts_with(&folder) || words.contains(&folder) || words.contains(&self.machine));
            is_ours.then_some((pid, words))
        });
        found.collect()
    }

    /// Waits until no process of this world is left.
    #[track_caller]
    pub(crate) fn assert_no_process_stays(&self) {
        self.until_processes_within(LEFTOVER_LIMIT, "no process", BTreeMap::is_empty);
    }

    /// Waits until the processes of this world are as they should be.
    #[track_caller]
    pub(crate) fn until_processes(&self, what: &str, is_it: impl Fn(&BTreeMap<i32, String>) -> bool) {
        self.until_processes_within(EVENT_LIMIT, what, is_it);
    }

    #[track_caller]
    fn until_processes_within(&self, limit: Duration, what: &str, is_it: impl Fn(&BTreeMap<i32, String>) -> bool) {
        let start = Instant::now();
        loop {
            let found = self.processes();
            if is_it(&found) {
                return;
            }
            assert!(start.elapsed() < limit, "not {what} after {limit:?}: {found:#?}");
            thread::yield_now();
        }
    }

    /// After a killed run: no process and no mount is left, and nothing was written where nothing is declared.
    #[track_caller]
    pub(crate) fn assert_only_state_stays(&self) {
        self.assert_no_process_stays();
        assert_eq!(own_mounts(), self.mounts, "mounts are left");
        let socket = |path: &PathBuf| path.ends_with("run/smolvm") || path.extension().is_some_and(|end| end == "sock");
        for name in ["run", "tmp", "home"] {
            let left: Vec<PathBuf> = below(&self.place(name)).into_keys().filter(|path| !socket(path)).collect();
            assert!(left.is_empty(), "left in {name}: {left:?}");
        }
    }

    /// After a run that ended: nothing is left but its logs, and no lock is held.
    #[track_caller]
    pub(crate) fn assert_nothing_stays(&self) {
        self.assert_only_state_stays();
        assert!(below(&self.place("run")).is_empty(), "the socket stays");
        let left: Vec<PathBuf> =
            below(&self.place("state")).into_keys().chain(below(&self.cache()).into_keys()).collect();
        for path in left {
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            assert!(name != "running" && !name.starts_with(".new-"), "left: {}", path.display());
            if name == "lock" {
                assert!(lock(&path).is_some(), "held: {}", path.display());
            }
        }
    }

    /// All that is below a folder of the world with owner, mode and content.
    pub(crate) fn files(&self, name: &str) -> BTreeMap<PathBuf, String> {
        below(&self.place(name))
    }

    /// All files of the project with owner, mode and content.
    pub(crate) fn project_files(&self) -> BTreeMap<PathBuf, String> {
        below(&self.place("project"))
    }
}

/// Takes a lock file's lock, where it is free.
pub(crate) fn lock(path: &Path) -> Option<File> {
    let file = File::open(path).unwrap();
    rustix::fs::flock(&file, rustix::fs::FlockOperation::NonBlockingLockExclusive).ok()?;
    Some(file)
}

/// The user's cache of kernels, with a kernel in it.
fn shared_cache() -> &'static Path {
    static CACHE: OnceLock<PathBuf> = OnceLock::new();
    CACHE.get_or_init(|| {
        let home = || PathBuf::from(std::env::var_os("HOME").unwrap()).join(".cache");
        let cache = std::env::var_os("XDG_CACHE_HOME").map_or_else(home, PathBuf::from);
        if !cache.join("smolvm/kernels/auto").exists() {
            let text = "name: acme\nmachines:\n  box: { memory: 256MiB }\nsteps:\n  - { run: [\"true\"] }\n";
            let output = Case::new().file("smolvm.yaml", text).with_shared_cache().args(["up"]).run();
            assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        }
        cache
    })
}

/// Links or copies a file, or all below a folder.
fn link_all(from: &Path, to: &Path) {
    if from.is_dir() {
        fs::create_dir(to).unwrap();
        for entry in fs::read_dir(from).unwrap() {
            let name = entry.unwrap().file_name();
            link_all(&from.join(&name), &to.join(&name));
        }
    } else if from.is_symlink() {
        std::os::unix::fs::symlink(fs::read_link(from).unwrap(), to).unwrap();
    } else if fs::hard_link(from, to).is_err() {
        fs::copy(from, to).unwrap();
    }
}

fn own_mounts() -> String {
    fs::read_to_string("/proc/self/mounts").unwrap()
}

/// What is below a folder: owner, mode and content.
fn below(folder: &Path) -> BTreeMap<PathBuf, String> {
    let mut found = BTreeMap::new();
    for entry in fs::read_dir(folder).unwrap().flatten() {
        let (path, facts) = (entry.path(), entry.metadata().unwrap());
        let mut text = format!("{}:{} {:o} ", facts.uid(), facts.gid(), facts.mode());
        if facts.is_dir() && !facts.is_symlink() {
            found.extend(below(&path));
        } else if facts.is_file() && facts.len() < 1 << 16 {
            text.push_str(&String::from_utf8_lossy(&fs::read(&path).unwrap()));
        }
        found.insert(path, text);
    }
    found
}

//! File servers as real processes: how they start, die and end. What a guest sees is tested in machines.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use smolvm::share::{
    Makers, OnDeath, Rights, ShareCache, ShareError, ShareHandle, ShareSpec, ShareTree, spawn_share_from,
};

const LIMIT: Duration = Duration::from_secs(20);

fn own_rights() -> Rights {
    Rights {
        uid: rustix::process::geteuid().as_raw(),
        gid: rustix::process::getegid().as_raw(),
        groups: rustix::process::getgroups().expect("own groups").iter().map(|gid| gid.as_raw()).collect(),
    }
}

fn spawn(tree: ShareTree, on_death: OnDeath) -> Result<(ShareHandle, std::os::fd::OwnedFd), ShareError> {
    let spec = ShareSpec { tag: "share0".into(), tree, rights: own_rights(), makers: Makers::Owner };
    spawn_share_from(Path::new(env!("CARGO_BIN_EXE_smolvm")), spec, on_death)
}

fn folder(path: impl Into<PathBuf>) -> ShareTree {
    ShareTree::Folder { path: path.into(), is_read_only: false, cache: ShareCache::Auto }
}

fn unexpected() -> OnDeath {
    Box::new(|words| panic!("died: {words}"))
}

/// Process ids of the server and its outer process.
fn family(handle: &ShareHandle) -> Vec<u32> {
    let children = format!("/proc/{0}/task/{0}/children", handle.pid());
    let inner = std::fs::read_to_string(children).expect("the outer process");
    inner.split_whitespace().map(|pid| pid.parse().expect("a number")).chain([handle.pid()]).collect()
}

fn status(pid: u32, key: &str) -> String {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).expect("a process");
    let line = status.lines().find(|line| line.starts_with(key)).unwrap_or_else(|| panic!("{key} in {status}"));
    line[key.len()..].trim_matches([':', '\t', ' ']).to_owned()
}

/// Waits until a process that is not our child is gone, or waits for its parent.
fn wait_until_ended(pid: u32) {
    let deadline = Instant::now() + LIMIT;
    while std::fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|stat| !stat.contains(") Z ")) {
        assert!(Instant::now() < deadline, "{pid} still runs");
        std::thread::yield_now();
    }
}

/// The kernel shows only root what a server that cannot be traced sees.
fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

#[test]
fn server_is_confined_before_it_says_that_it_is_ready() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("only"), "x").unwrap();
    let (handle, _front_end) = spawn(folder(dir.path()), unexpected()).unwrap();
    let server = family(&handle)[0];
    assert_eq!(status(server, "Seccomp"), "2");
    assert_eq!(status(server, "NoNewPrivs"), "1");
    assert_eq!(u64::from_str_radix(&status(server, "CapEff"), 16).unwrap(), (1 << 1) | (1 << 3));
    assert_eq!(u64::from_str_radix(&status(server, "CapPrm"), 16).unwrap(), (1 << 1) | (1 << 3));
    if !is_root() {
        return;
    }
    for namespace in ["user", "mnt", "pid", "net", "ipc", "uts"] {
        let of = |pid: &str| std::fs::read_link(format!("/proc/{pid}/ns/{namespace}")).unwrap();
        assert_ne!(of(&server.to_string()), of("self"), "{namespace}");
    }
    let mounts = std::fs::read_to_string(format!("/proc/{server}/mountinfo")).unwrap();
    assert_eq!(mounts.lines().count(), 1, "{mounts}");
    let root: Vec<_> =
        std::fs::read_dir(format!("/proc/{server}/root")).unwrap().map(|e| e.unwrap().file_name()).collect();
    assert_eq!(root, ["only"]);
}

#[test]
fn host_root_hides_homes_and_state_from_the_server_itself() {
    let (handle, _front_end) = spawn(ShareTree::HostRoot, unexpected()).unwrap();
    let server = family(&handle)[0];
    assert_eq!(u64::from_str_radix(&status(server, "CapPrm"), 16).unwrap(), 0);
    if !is_root() {
        return;
    }
    for place in ["home", "root", "tmp", "var/tmp", "run", "mnt", "media", "srv", "proc", "sys", "dev"] {
        let seen = format!("/proc/{server}/root/{place}");
        if Path::new(&seen).exists() {
            assert_eq!(std::fs::read_dir(&seen).unwrap().count(), 0, "{place}");
        }
    }
    let tmp = std::fs::metadata(format!("/proc/{server}/root/tmp")).unwrap();
    assert_eq!(tmp.permissions().mode() & 0o7777, 0o1777);
    assert!(Path::new(&format!("/proc/{server}/root/usr/bin/env")).exists());
}

#[test]
fn view_is_acknowledged() {
    let dir = tempfile::tempdir().unwrap();
    let (handle, _front_end) = spawn(folder(dir.path()), unexpected()).unwrap();
    handle.set_view(1000, 1000).unwrap();
    handle.set_view(0, 0).unwrap();
}

#[test]
fn missing_folder_and_file_are_named() {
    let dir = tempfile::tempdir().unwrap();
    let missing = spawn(folder(dir.path().join("gone")), unexpected()).unwrap_err();
    let ShareError::Start { message, is_host_unfit: false, .. } = &missing else { panic!("{missing:?}") };
    assert!(message.contains("gone") && message.contains("No such file"), "{message}");
    std::fs::write(dir.path().join("file"), "").unwrap();
    let file = spawn(folder(dir.path().join("file")), unexpected()).unwrap_err();
    assert!(file.to_string().ends_with("is not a folder"), "{file}");
}

#[test]
fn dropped_handle_leaves_no_process_and_tells_nobody() {
    let dir = tempfile::tempdir().unwrap();
    let (handle, _front_end) = spawn(folder(dir.path()), unexpected()).unwrap();
    let pids = family(&handle);
    assert_eq!(pids.len(), 2);
    drop(handle);
    for pid in pids {
        assert!(!Path::new(&format!("/proc/{pid}")).exists(), "{pid}");
    }
}

#[test]
fn killed_server_is_told_with_its_end() {
    let dir = tempfile::tempdir().unwrap();
    let (tell, told) = mpsc::channel();
    let (handle, _front_end) = spawn(folder(dir.path()), Box::new(move |words| tell.send(words).unwrap())).unwrap();
    let server = rustix::process::Pid::from_raw(i32::try_from(family(&handle)[0]).unwrap()).unwrap();
    rustix::process::kill_process(server, rustix::process::Signal::KILL).unwrap();
    let words = told.recv_timeout(LIMIT).unwrap();
    assert!(words.contains("signal 9"), "{words}");
}

#[test]
fn killed_outer_process_takes_the_server_along() {
    let dir = tempfile::tempdir().unwrap();
    let (tell, told) = mpsc::channel();
    let (handle, _front_end) = spawn(folder(dir.path()), Box::new(move |words| tell.send(words).unwrap())).unwrap();
    let pids = family(&handle);
    let outer = rustix::process::Pid::from_raw(i32::try_from(pids[1]).unwrap()).unwrap();
    rustix::process::kill_process(outer, rustix::process::Signal::KILL).unwrap();
    assert!(told.recv_timeout(LIMIT).unwrap().contains("signal 9"));
    wait_until_ended(pids[0]);
}

#[test]
fn server_ends_by_itself_when_its_front_end_goes() {
    let dir = tempfile::tempdir().unwrap();
    let (handle, front_end) = spawn(folder(dir.path()), unexpected()).unwrap();
    let pids = family(&handle);
    drop(front_end);
    wait_until_ended(pids[0]);
}

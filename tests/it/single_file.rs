//! Shares of one file: the real server, and what a guest gets that has bound the file to a mount point.

use std::fs;
use std::os::fd::OwnedFd;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::Path;

use smolvm::engine::VmExit;
use smolvm::guest::{SetupMount, SetupMountKind};
use smolvm::share::{Makers, Rights, ShareCache, ShareError, ShareHandle, ShareSpec, ShareTree, spawn_share_from};

use crate::machine::Machine;

fn file(path: &Path, is_read_only: bool) -> ShareTree {
    ShareTree::File { path: path.to_owned(), is_read_only, cache: ShareCache::Auto }
}

fn spawn(path: &Path, is_read_only: bool) -> Result<(ShareHandle, OwnedFd), ShareError> {
    let rights = Rights {
        uid: rustix::process::geteuid().as_raw(),
        gid: rustix::process::getegid().as_raw(),
        groups: rustix::process::getgroups().unwrap().iter().map(|gid| gid.as_raw()).collect(),
    };
    let spec = ShareSpec { tag: "share0".into(), tree: file(path, is_read_only), rights, makers: Makers::Owner };
    let on_death = Box::new(|words| panic!("died: {words}"));
    spawn_share_from(Path::new(env!("CARGO_BIN_EXE_smolvm")), spec, on_death)
}

fn single(tag: &str, path: &Path, target: &str, is_read_only: bool) -> (SetupMount, ShareTree) {
    let kind = SetupMountKind::Folder { tag: tag.into(), is_read_only, inode: None };
    let mount = SetupMount { target: target.into(), is_created_in_share: false, kind };
    (mount, file(path, is_read_only))
}

fn in_runtime(test: impl Future<Output = ()>) {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap().block_on(test);
}

/// The folder that a server has as its root, as the host's kernel tells root.
fn root_of(handle: &ShareHandle) -> Option<u64> {
    if !rustix::process::geteuid().is_root() {
        return None;
    }
    let children = fs::read_to_string(format!("/proc/{0}/task/{0}/children", handle.pid())).unwrap();
    Some(fs::metadata(format!("/proc/{}/root", children.trim())).unwrap().ino())
}

#[test]
fn only_what_leads_to_a_file_is_served_from_the_folder_that_holds_it() {
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name);
    fs::create_dir(at("sub")).unwrap();
    fs::write(at("sub/file"), "x").unwrap();
    for (name, target) in
        [("near", "other"), ("other", "sub/file"), ("far", "near"), ("sub/up", "../far"), ("loop", "loop")]
    {
        symlink(target, at(name)).unwrap();
    }
    symlink(at("sub"), at("folder")).unwrap();
    symlink("file", at("sub/plain")).unwrap();
    let sub = fs::metadata(at("sub")).unwrap().ino();
    for name in ["sub/file", "near", "far", "sub/up", "folder/file", "folder/plain", "sub/plain"] {
        let (handle, _front_end) = spawn(&at(name), false).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert!(root_of(&handle).is_none_or(|root| root == sub), "{name}");
    }
    let message = |name| spawn(&at(name), true).unwrap_err().to_string();
    assert!(message("sub").ends_with("is not a plain file"), "{}", message("sub"));
    assert!(message("gone").contains("No such file"), "{}", message("gone"));
    assert!(message("loop").contains("levels of symbolic links"), "{}", message("loop"));
    rustix::fs::mkfifoat(rustix::fs::CWD, at("pipe"), rustix::fs::Mode::RUSR).unwrap();
    assert!(message("pipe").ends_with("is not a plain file"), "{}", message("pipe"));
}

#[test]
fn bound_file_follows_the_hosts_renames_and_gives_nothing_beside_it() {
    in_runtime(async {
        let host = tempfile::tempdir().unwrap();
        let at = |name: &str| host.path().join(name);
        fs::write(at("config"), "one").unwrap();
        fs::write(at("secret"), "secret").unwrap();
        fs::create_dir(at("ro")).unwrap();
        fs::write(at("ro/file"), "fixed").unwrap();
        let mounts =
            vec![single("share0", &at("config"), "/single", false), single("share1", &at("ro/file"), "/fixed", true)];
        let mut machine = Machine::ready(512, mounts).await;
        let bind = "
            mkdir -p /app; : > /app/config; : > /app/fixed
            mount --bind /single/config /app/config; mount --bind /fixed/file /app/fixed
            cat /app/config; stat -c ' %F %a' /app/config; ls -A /single /fixed
            cp /app/config /tmp/copy; mkfifo /tmp/go
            exec 3< /app/config
            (read line < /tmp/go; cat <&3 > /tmp/old; echo > /tmp/go) > /dev/null 2>&1 &";
        assert_eq!(machine.sh(bind).await, "one regular file 644\n/fixed:\nfile\n\n/single:\nconfig\n");
        // As editors save: another file under the name.
        fs::write(at("saved"), "two and more").unwrap();
        fs::set_permissions(at("saved"), fs::Permissions::from_mode(0o600)).unwrap();
        fs::rename(at("saved"), at("config")).unwrap();
        let seen = "cat /app/config; stat -c ' %s %a' /app/config
            echo > /tmp/go; read line < /tmp/go; cat /tmp/old; cat /app/config";
        assert_eq!(machine.sh(seen).await, "two and more 12 600\nonetwo and more");
        let attempts = "
            try() { ! \"$@\" 2>/dev/null || { echo \"succeeded: $*\"; exit 1; }; }
            cat /single/config > /dev/null
            for name in secret ../secret ./secret ro saved config2; do
                try cat /single/$name; try touch /single/new-$name; try ln /single/config /single/$name
            done
            try mkdir /single/d; try ln -s x /single/l; try mknod /single/n p; try rm -f /single/config
            try mv /single/config /single/moved; try sh -c 'echo x > /tmp/new; mv /tmp/new /single/config'
            try mv /tmp/copy /app/config; try rm /app/config; try chmod 700 /single; try rmdir /single
            try sed -i s/two/2/ /app/config
            try sh -c 'echo x > /app/fixed'; try chmod 600 /app/fixed; try truncate -s 0 /fixed/file
            mount -t virtiofs share1 /mnt; mount -o remount,rw /mnt || true; try sh -c 'echo x > /mnt/file'
            find /single /mnt -name 'secret*'
            printf 'from the guest' > /app/config; printf ' and more' >> /app/config
            chown 5:5 /app/config; chmod 640 /app/config; touch -d @86400 /app/config
            python3 -c \"
import mmap
with open('/app/config', 'r+b') as file:
    memory = mmap.mmap(file.fileno(), 0)
    memory[0:4] = b'FROM'
    memory.flush()\"
            cat /app/config";
        assert_eq!(machine.sh(attempts).await, "FROM the guest and more");
        let left = fs::metadata(at("config")).unwrap();
        assert_eq!(left.mode() & 0o7777, 0o640);
        assert_eq!(left.uid(), rustix::process::geteuid().as_raw());
        assert_eq!(fs::read_to_string(at("config")).unwrap(), "FROM the guest and more");
        fs::remove_file(at("config")).unwrap();
        let gone = "! cat /app/config 2>&1; ! (echo x > /app/config) 2>&1; ls /single";
        let gone = machine.sh(gone).await;
        assert!(gone.contains("No such file") && gone.contains("cannot create"), "{gone}");
        fs::create_dir(at("config")).unwrap();
        let folder = machine.sh("! cat /app/config 2>&1; ! stat /app/config 2>&1").await;
        assert_eq!(folder.matches("Is a directory").count(), 2, "{folder}");
        fs::remove_dir(at("config")).unwrap();
        fs::write(at("config"), "back").unwrap();
        assert_eq!(machine.sh("cat /app/config").await, "back");
        assert_eq!(machine.power_off().await, VmExit::PoweredOff);
        let mut names: Vec<_> = fs::read_dir(host.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        names.sort();
        assert_eq!(names, ["config", "ro", "secret"]);
        assert_eq!(fs::read_to_string(at("ro/file")).unwrap(), "fixed");
    });
}

//! Shares against root in a real guest, and what a guest leaves on the host.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt, symlink};
use std::path::Path;

use smolvm::engine::VmExit;

use crate::machine::{Machine, mount};
use crate::support::all_below;

fn in_runtime(test: impl Future<Output = ()>) {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap().block_on(test);
}

/// Path, type and mode, owner and content of all below a folder.
fn tree(folder: &Path) -> BTreeMap<String, (u32, u32, u32, Vec<u8>)> {
    let found = all_below(folder).into_iter().map(|(path, data)| {
        let content = if data.is_file() { fs::read(&path).unwrap() } else { Vec::new() };
        (path.display().to_string(), (data.mode(), data.uid(), data.gid(), content))
    });
    found.collect()
}

#[test]
fn read_only_holds_against_root_whatever_root_tries() {
    in_runtime(async {
        let host = tempfile::tempdir().unwrap();
        fs::create_dir(host.path().join("sub")).unwrap();
        for name in ["file", "sub/file", "other"] {
            fs::write(host.path().join(name), "content").unwrap();
        }
        symlink("file", host.path().join("link")).unwrap();
        let before = tree(host.path());
        let mut machine = Machine::ready(512, vec![mount("share0", host.path(), "/code", true)]).await;
        let attempts = "
            try() { ! \"$@\" 2>/dev/null || { echo \"succeeded: $*\"; exit 1; }; }
            mount -o remount,rw /code || true
            mkdir /again /bound
            mount -t virtiofs share0 /again
            mount -o remount,rw /again || true
            mount --bind /code /bound
            mount -o remount,bind,rw /bound || true
            for at in /code /again /bound; do
                try sh -c \"echo x > $at/new\"
                try sh -c \"echo x >> $at/file\"
                try sh -c \"echo x > $at/link\"
                try truncate -s 0 $at/file
                try dd if=/dev/zero of=$at/file bs=1 count=1 conv=notrunc
                try mkdir $at/d; try rmdir $at/sub; try rm $at/file; try mv $at/file $at/moved
                try mv $at/other $at/file; try ln $at/file $at/hard; try ln -s x $at/soft
                try chmod 777 $at/file; try chown 5:5 $at/file; try touch $at/file
                try mknod $at/zero c 1 5; try mknod $at/disk b 8 0; try mkfifo $at/fifo
                try python3 -c \"import os; os.setxattr('$at/file', 'user.a', b'b')\"
                try python3 -c \"import mmap; f = open('$at/file', 'r+b'); mmap.mmap(f.fileno(), 0)[0] = 1\"
            done
            umount /again; umount /bound; umount /code
            mount -t virtiofs -o rw share0 /code
            try touch /code/late
            cat /code/file /code/sub/file";
        assert_eq!(machine.sh(attempts).await, "contentcontent");
        assert_eq!(machine.power_off().await, VmExit::PoweredOff);
        assert_eq!(tree(host.path()), before);
    });
}

#[test]
fn root_of_a_guest_finds_no_secret_of_the_host() {
    in_runtime(async {
        // Places that are readable by all, so that only hiding keeps them from the guest.
        let secret = tempfile::Builder::new().prefix("smolvm-secret").tempdir_in("/var/tmp").unwrap();
        fs::set_permissions(secret.path(), fs::Permissions::from_mode(0o755)).unwrap();
        let name = secret.path().file_name().unwrap().to_str().unwrap().to_owned();
        fs::write(secret.path().join(&name), "secret").unwrap();
        let mut machine = Machine::ready(512, Vec::new()).await;
        let search = format!(
            "
            mkdir -p /a /b
            mount -t virtiofs root /a
            mount -o remount,rw /a || true
            for turn in 1 2; do
                for place in home root tmp var/tmp run mnt media srv proc sys dev; do
                    test ! -e /a/$place || test -z \"$(ls -A /a/$place)\" || {{ echo \"$place holds something\"; exit 1; }}
                    umount /a/$place 2>/dev/null || true
                done
                test ! -e /a/etc/shadow && test ! -e /a/etc/gshadow
                test -z \"$(find /a/var/tmp /a/tmp /a/etc /a/root -name '{name}*' 2>/dev/null)\"
                ! touch /a/etc/made 2>/dev/null
                ! mknod /a/etc/disk b 254 0 2>/dev/null
                find /a/etc /a/usr/bin /a/var -type f ! -perm -004 -o -type d ! -perm -005 -o \\
                    ! -type f ! -type d ! -type l | head
                awk '{{ print $2 }}' /proc/mounts | sort -r | while read at; do
                    test $at = / || test $at = /proc || umount -l $at 2>/dev/null || true
                done
                umount -l /proc
                mount -t proc proc /proc
                mount -t virtiofs root /a
            done
            stat -c %u:%g /a /a/etc /a/etc/passwd
            ls /sys/class/net 2>/dev/null || true
            mount -t sysfs sysfs /b
            ls /b/class/net"
        );
        assert_eq!(machine.sh(&search).await, "0:0\n0:0\n0:0\nlo\n");
    });
}

#[test]
fn what_a_guest_makes_belongs_to_the_invoker_and_has_no_power() {
    in_runtime(async {
        let host = tempfile::tempdir().unwrap();
        fs::write(host.path().join("guarded"), "old").unwrap();
        fs::set_permissions(host.path().join("guarded"), fs::Permissions::from_mode(0o444)).unwrap();
        let mut machine = Machine::ready(512, vec![mount("share0", host.path(), "/out", false)]).await;
        let steps = "
            cd /out
            echo new > guarded
            cp /bin/true program; chmod 6755 program; chown 1234:1234 program; stat -c %a:%u:%g program
            mkdir folder; chmod 2777 folder; stat -c %a folder
            ! mknod zero c 1 5 2>/dev/null; ! mknod disk b 8 0 2>/dev/null; mkfifo fifo
            ln program second; ln -s /etc/shadow link; ! cat link 2>/dev/null
            tar -C /usr/share/perl5 -cf - Debconf 2>/dev/null | tar -xf - || true
            exec 5> unlinked; rm unlinked; echo still >&5; exec 5>&-
            touch moved; mv moved folder/moved; rmdir folder 2>/dev/null || true";
        assert_eq!(machine.sh(steps).await, "755:0:0\n777\n");
        assert_eq!(machine.power_off().await, VmExit::PoweredOff);
        let (uid, gid) = (rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw());
        let made = tree(host.path());
        for (path, (mode, owner, group, _)) in &made {
            assert_eq!((*owner, *group, mode & 0o6000), (uid, gid, 0), "{path}");
            let kind = fs::symlink_metadata(path).unwrap().file_type();
            assert!(!kind.is_char_device() && !kind.is_block_device(), "{path}");
        }
        let guarded = &made[&host.path().join("guarded").display().to_string()];
        assert_eq!((guarded.0 & 0o777, guarded.3.as_slice()), (0o444, b"new\n".as_slice()));
        assert!(host.path().join("folder/moved").exists() && !host.path().join("unlinked").exists());
        assert_eq!(fs::metadata(host.path().join("second")).unwrap().nlink(), 2);
    });
}

#[test]
fn change_on_the_host_is_seen_within_a_second() {
    in_runtime(async {
        let host = tempfile::tempdir().unwrap();
        fs::write(host.path().join("file"), "one").unwrap();
        let mut machine = Machine::ready(512, vec![mount("share0", host.path(), "/data", false)]).await;
        assert_eq!(machine.sh("cat /data/file; test ! -e /data/new").await, "one");
        // As editors save: another file under the name.
        fs::write(host.path().join("saved"), "two and more").unwrap();
        fs::rename(host.path().join("saved"), host.path().join("file")).unwrap();
        fs::write(host.path().join("new"), "").unwrap();
        assert_eq!(machine.sh("sleep 1.1; cat /data/file; test -e /data/new").await, "two and more");
        assert_eq!(machine.power_off().await, VmExit::PoweredOff);
    });
}

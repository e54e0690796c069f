//! What programs expect of a file system, done by a program in a guest (`files/`) on a share: as root and as an
//! ordinary user there, with smolvm run by root and by an ordinary user. The same program on a plain file system of
//! the same guest tells what to expect.
//!
//! Deliberately not here: what the host has a part in (`files_host`), POSIX at large (`pjdfstest`).

use std::fs;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::path::Path;

use rustix::process::geteuid;

use crate::probe::file_checks;
use crate::support::{all_below, machines};
use crate::world::{Who, World, as_everyone};

const STEPS: &str = "
steps:
  - { id: disk, run: [/bin/files, disk, /dev/shm] }
  - { id: root, run: [/bin/files, share, /out/root] }
  - { id: user, user: \"4242:4343\", run: [/bin/files, share, /out/user] }
";

/// What root alone may have: a share that keeps the guest's own ids, where all but devices is as on a disk.
const LITERAL: &str = "
  - id: literal
    run: mkdir /guest/root /guest/user; chown 4242:4343 /guest/user; /bin/files disk /guest/root
  - { id: literal-user, user: \"4242:4343\", run: [/bin/files, disk, /guest/user] }
";

/// A world with the program and the folders for it.
pub(crate) fn world(who: Who, folders: &[&str], steps: &str) -> World {
    let world = World::new(who);
    world.make_folder("project/bin");
    let program = world.place("project/bin/files");
    fs::copy(file_checks(), &program).unwrap();
    fs::set_permissions(&program, PermissionsExt::from_mode(0o755)).unwrap();
    let mut mounts = "./bin/:/checks:ro".to_owned();
    for folder in folders {
        world.make_folder(&format!("project/{folder}"));
        let owner = if *folder == "guest" { "guest" } else { "invoker" };
        mounts.push_str(&format!(", {{ source: ./{folder}, target: /{folder}, owner: {owner} }}"));
    }
    world.project(&format!(", mounts: [{mounts}]"), &steps.replace("/bin/files", "/checks/files"));
    world
}

/// The checks that did not go well, a line each.
fn failures(told: &str) -> Vec<&str> {
    assert!(told.lines().count() > 40, "{told}");
    told.lines().filter(|line| !line.ends_with(" ok")).collect()
}

#[test]
fn programs_find_on_a_share_what_they_find_on_a_disk() {
    let Some(_machines) = machines() else { return };
    as_everyone(|who| {
        let has_literal = geteuid().is_root() && who == Who::Ourselves;
        let (folders, literal): (&[&str], _) = if has_literal { (&["out", "guest"], LITERAL) } else { (&["out"], "") };
        let world = world(who, folders, &format!("{STEPS}{literal}"));
        for name in ["project/out/root", "project/out/user"] {
            world.make_folder(name);
        }
        let has_xattrs =
            rustix::fs::setxattr(world.place("project/out"), c"user.probe", b"", rustix::fs::XattrFlags::empty());
        let ran = world.up(&[]).finish().passed();
        // Kernels before 6.6 have no attributes of users on a tmpfs, and before 6.2 no word for files without a name.
        let plain =
            failures(&ran.stdout("disk").replace("extended_attributes no extended attributes\n", "")).join("\n");
        assert_eq!(plain, "");
        let assert_well = |step: &str| {
            let mut told = ran.stdout(step).replace("file_that_never_had_a_name no O_TMPFILE\n", "");
            if has_xattrs.is_err() {
                told = told.replace("extended_attributes no extended attributes\n", "");
            }
            assert!(failures(&told).is_empty(), "{who:?} {step}: {:#?}", failures(&told));
        };
        if has_literal {
            assert_well("literal");
            assert_well("literal-user");
            let facts = |name: &str| world.place("project/guest").join(name).metadata().unwrap();
            assert_eq!((facts("user/rename_over/old").uid(), facts("root/rename_over/old").uid()), (4242, 0));
            assert_eq!((facts("root/owners/file").uid(), facts("root/owners/file").gid()), (4242, 4343));
            assert_eq!(facts("root/modes_and_umask/file").mode() & 0o7777, 0o6755);
        }
        for step in ["root", "user"] {
            assert_well(step);
            assert_left_on_the_host(&world.place(&format!("project/out/{step}")), has_xattrs.is_ok());
        }
        world.assert_nothing_stays();
    });
}

/// What the checks leave behind is on the host as it was in the guest.
fn assert_left_on_the_host(folder: &Path, has_xattrs: bool) {
    let facts = |name: &str| fs::symlink_metadata(folder.join(name)).unwrap_or_else(|error| panic!("{name}: {error}"));
    let mapped = fs::read(folder.join("mapping_is_shared/mapped")).unwrap();
    assert!(mapped.starts_with(b"by the parent\0") && mapped[100..].starts_with(b"without msync\0"));
    assert!(mapped[4000..].starts_with(b"over the edge") && mapped[8192..].starts_with(b"to the mapping\0"));
    let kept = facts("times_to_the_nanosecond/kept");
    assert_eq!((kept.atime(), kept.atime_nsec()), (1_234_567_890, 123_456_789));
    assert_eq!((kept.mtime(), kept.mtime_nsec()), (987_654_321, 999_999_999));
    assert_eq!(facts("hard_links/b").ino(), facts("hard_links/folder/c").ino());
    assert!(facts("hard_links/fifo").file_type().is_fifo());
    assert_eq!(fs::read_link(folder.join("symlinks/absolute")).unwrap(), Path::new("/proc/sys/kernel/ostype"));
    let names = fs::read_dir(folder.join("names_of_all_bytes")).unwrap();
    let names: Vec<Vec<u8>> = names.map(|entry| entry.unwrap().file_name().into_encoded_bytes()).collect();
    assert!(names.contains(&b"\xff\xfe\x80".to_vec()) && names.contains(&b"new\nline".to_vec()));
    assert!(facts("reservations/file").blocks() >= 2048);
    assert_eq!(facts("modes_and_umask/folder").permissions().mode() & 0o7777, 0o770);
    if has_xattrs {
        let mut value = [0; 32];
        let path = folder.join("extended_attributes/kept");
        let length = rustix::fs::getxattr(path, c"user.kept", &mut value[..]).unwrap();
        assert_eq!(&value[..length], b"of a file");
    }
    for (path, facts) in all_below(folder) {
        let owner = folder_owner(&path);
        assert_eq!((facts.uid(), facts.gid()), owner, "{}", path.display());
        assert_eq!(facts.mode() & 0o6000, 0, "{}", path.display());
    }
}

fn folder_owner(path: &Path) -> (u32, u32) {
    let folder = fs::symlink_metadata(path.parent().unwrap()).unwrap();
    (folder.uid(), folder.gid())
}

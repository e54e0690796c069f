//! A share beside a host that does something: edits files, is full, has quotas, or limits smolvm's own processes.
//!
//! The guest's part is done by the program of `files/`.

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Stdio};

use rustix::process::geteuid;

use crate::events::Ran;
use crate::files::world;
use crate::invoker::ORDINARY;
use crate::running::Live;
use crate::support::machines;
use crate::world::{Who, World, as_everyone};

/// How long what the host did may stay unseen: the second that is promised, and what a slow machine adds.
const SEEN_MILLISECONDS: f64 = 1500.0;

/// Makes the old state of all that is edited.
fn make_old(folder: &Path) {
    let put = |name: &str| fs::write(folder.join(name), "old").unwrap();
    for name in ["content", "mapping", "growth", "replaced", "removed", "mode", "kind"] {
        put(name);
    }
    for name in ["listed", "moved"] {
        fs::create_dir(folder.join(name)).unwrap();
    }
    for name in ["listed/a", "listed/b", "listed/c", "moved/in"] {
        put(name);
    }
}

fn edit(folder: &Path, what: &str) {
    let at = |name: &str| folder.join(name);
    match what {
        "content" | "mapping" => fs::write(at(what), "new").unwrap(),
        "growth" => fs::File::options().append(true).open(at(what)).unwrap().write_all(b" and more").unwrap(),
        "replaced" => {
            // As editors save.
            fs::write(at("saved"), "another file").unwrap();
            fs::rename(at("saved"), at("replaced")).unwrap();
        }
        "new" => fs::write(at("new"), "").unwrap(),
        "removed" => fs::remove_file(at("removed")).unwrap(),
        "mode" => fs::set_permissions(at("mode"), PermissionsExt::from_mode(0o640)).unwrap(),
        "listed" => {
            fs::remove_file(at("listed/a")).unwrap();
            fs::remove_file(at("listed/b")).unwrap();
            fs::write(at("listed/d"), "").unwrap();
        }
        "moved" => fs::rename(at("moved"), at("away")).unwrap(),
        "kind" => {
            fs::remove_file(at("kind")).unwrap();
            fs::create_dir(at("kind")).unwrap();
        }
        other => panic!("{other}"),
    }
}

#[test]
fn what_the_host_edits_is_seen_within_a_second() {
    let Some(_machines) = machines() else { return };
    as_everyone(|who| {
        let world = world(who, &["out"], "steps:\n  - { id: see, run: [/bin/files, see, /out/seen] }\n");
        world.make_folder("project/out/seen");
        let folder = world.place("project/out/seen");
        make_old(&folder);
        let mut run = world.up(&[]);
        let edits = ["content", "mapping", "growth", "replaced", "new", "removed", "mode", "listed", "moved", "kind"];
        for what in edits {
            run.until_output(&format!("now {what}"));
            edit(&folder, what);
            fs::write(world.place(&format!("project/out/told-{what}")), "").unwrap();
        }
        let ran = run.finish().passed();
        let told = ran.stdout("see");
        for what in edits {
            let after = told.lines().find_map(|line| line.strip_prefix(&format!("{what} after ")));
            let milliseconds: f64 = after.unwrap_or_else(|| panic!("{what}: {told}")).parse().unwrap();
            assert!(milliseconds <= SEEN_MILLISECONDS, "{who:?} {what}: {told}");
        }
    });
}

/// Runs a world's `up` behind a shell script that is run by root in a mount namespace of its own.
fn up_behind(world: &World, who: Who, script: &str) -> Ran {
    let plain = world.command(&["up", "--accel", "tcg", "--progress", "json"]);
    let mut command = Command::new("unshare");
    let become_user = match who {
        Who::Ourselves => String::new(),
        Who::Ordinary => format!("setpriv --reuid {ORDINARY} --regid {ORDINARY} --clear-groups "),
    };
    command.args(["-m", "sh", "-euc"]).arg(format!("{script}\nexec {become_user}\"$@\"")).arg("sh");
    command.arg(plain.get_program()).args(plain.get_args()).current_dir(plain.get_current_dir().unwrap()).env_clear();
    command.envs(plain.get_envs().filter_map(|(name, value)| Some((name, value?))));
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    Live::start(command).finish().passed()
}

fn skip(reason: &str) {
    let _ = writeln!(std::io::stderr(), "skipped: {reason}");
}

#[test]
fn full_disks_and_limits_of_the_host_are_errors_of_their_name() {
    let Some(_machines) = machines() else { return };
    if !geteuid().is_root() {
        return skip("only root can mount a small disk");
    }
    as_everyone(|who| {
        let steps = "steps:
  - { id: full, run: [/bin/files, fill, /full] }
  - { id: crowd, run: [/bin/files, crowd, /full] }
  - { id: nested, run: [/bin/files, share, /out/nested, kinds_and_numbers_of_entries] }
  - { id: layered, run: [/bin/files, lower, /layered] }
  - { id: limits, user: nobody, run: [/bin/files, limits, /out] }
";
        let world = world(who, &["full", "out", "layered"], steps);
        world.make_folder("project/out/nested");
        // Blocks of 512 bytes: 400 MiB, more than the machine's memory, which is a file too.
        let script = "mount -t tmpfs -o size=2m,nr_inodes=64,mode=777 small full
mount -t tmpfs -o mode=777 other out/nested
mkdir -m 777 layers; mount -t tmpfs -o mode=777 layers layers
(cd layers; mkdir -m 777 lower upper work; printf low > lower/file; chmod 666 lower/file
 chown --reference=../out lower lower/file upper)
mount -t overlay -o lowerdir=layers/lower,upperdir=layers/upper,workdir=layers/work layers layered
ulimit -f 819200
ulimit -n 1024";
        let ran = up_behind(&world, who, script);
        let all =
            |names: &[&str], error: &str| -> String { names.iter().map(|name| format!("{name}: {error}\n")).collect() };
        let full = "No space left on device";
        let fill =
            |error: &str| format!("write: {error}\nfsync of what fits: ok\nfallocate: {error}\nmsync: {error}\n");
        // A file system that is mounted on the host inside the share has numbers of inodes of its own.
        assert_eq!(ran.stdout("nested"), "kinds_and_numbers_of_entries ok\n", "{who:?}");
        assert_eq!(ran.stdout("layered"), "change: ok\n", "{who:?}");
        assert_eq!(ran.stdout("full"), fill(full), "{who:?}");
        assert_eq!(ran.stdout("crowd"), all(&["mkdir", "open", "symlink", "mkfifo"], full), "{who:?}");
        let limits = "write below: ok\nwrite past: File too large\nftruncate past: File too large\n\
                      fallocate past: File too large\nopen: Too many open files in system\n";
        assert_eq!(ran.stdout("limits"), limits, "{who:?}");
    });
}

#[test]
fn quota_of_the_host_is_an_error_of_its_name() {
    let Some(_machines) = machines() else { return };
    if !geteuid().is_root() {
        return skip("only root can mount a disk with a quota");
    }
    let tried = tempfile::tempdir().unwrap();
    let image = tried.path().join("image");
    fs::File::create(&image).unwrap().set_len(200 << 20).unwrap();
    let is_made = Command::new("mkfs.btrfs").arg("-q").arg(&image).stdin(Stdio::null()).status();
    if !is_made.is_ok_and(|status| status.success()) {
        return skip("no mkfs.btrfs, whose file system has quotas on all kernels that have it");
    }
    let mounts = format!("mount -o loop '{}' ", image.display());
    let can_mount = Command::new("unshare").args(["-m", "sh", "-c", &format!("{mounts} /mnt")]).status().unwrap();
    if !can_mount.success() {
        return skip("this host does not mount the image of a disk");
    }
    let steps = "steps:\n  - { id: quota, run: [/bin/files, fill, /quota] }\n";
    let world = world(Who::Ourselves, &["quota"], steps);
    let script = format!("{mounts} quota\nbtrfs quota enable quota\nbtrfs qgroup limit 5M quota");
    let ran = up_behind(&world, Who::Ourselves, &script);
    let error = "Disk quota exceeded";
    let expected = format!("write: {error}\nfsync of what fits: ok\nfallocate: {error}\nmsync: {error}\n");
    assert_eq!(ran.stdout("quota"), expected);
}

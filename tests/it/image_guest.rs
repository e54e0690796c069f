//! An image in a real guest: what its archive says of each path, the guest sees, whoever runs smolvm; and programs of its
//! users do what owners, set-id bits and capabilities let them.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs::{self, File};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use tar::{Builder, EntryType, Header};

use crate::registry::images::{push, small_image};
use crate::registry::server::Registry;
use crate::support::machines;
use crate::world::{Who, World};

/// Effective ids, and whether a raw socket can be had: what set-id bits and capabilities give.
const PROBE: &str = r#"
#include <stdio.h>
#include <unistd.h>
#include <sys/socket.h>
int main(void) {
    printf("%d %d %s\n", geteuid(), getegid(), socket(AF_INET, SOCK_RAW, 1) < 0 ? "no" : "raw");
    return 0;
}
"#;

/// A capability set of a file: `cap_net_raw+ep` (version 2).
const NET_RAW: [u8; 20] = [1, 0, 0, 2, 0, 0x20, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];

/// An archive, and what `stat` says of each path of it.
struct Archive {
    tar: Builder<File>,
    expected: Vec<Vec<u8>>,
}

impl Archive {
    fn add(
        &mut self,
        kind: EntryType,
        path: &[u8],
        (mode, uid, gid): (u32, u64, u64),
        data: &[u8],
        device: (u32, u32),
    ) {
        let mut header = Header::new_gnu();
        header.set_entry_type(kind);
        header.set_mode(mode);
        header.set_uid(uid);
        header.set_gid(gid);
        header.set_mtime(1_600_000_000);
        header.set_size(u64::try_from(data.len()).unwrap());
        header.set_device_major(device.0).unwrap();
        header.set_device_minor(device.1).unwrap();
        let name = Path::new(OsStr::from_bytes(path));
        self.tar.append_data(&mut header, name, data).unwrap();
        let what = match kind {
            EntryType::Directory => "directory",
            EntryType::Regular if data.is_empty() => "regular empty file",
            EntryType::Regular => "regular file",
            EntryType::Char => "character special file",
            EntryType::Block => "block special file",
            _ => "fifo",
        };
        let size = if kind == EntryType::Directory { "-".to_owned() } else { data.len().to_string() };
        self.expect(path, &format!("{what}|{mode:o}|{uid}|{gid}|{size}|{:x}:{:x}|1600000000", device.0, device.1));
    }

    fn file(&mut self, path: &str, owner: (u32, u64, u64), data: &[u8]) {
        self.add(EntryType::Regular, path.as_bytes(), owner, data, (0, 0));
    }

    fn folder(&mut self, path: &str, owner: (u32, u64, u64)) {
        self.add(EntryType::Directory, path.as_bytes(), owner, b"", (0, 0));
    }

    fn link(&mut self, kind: EntryType, path: &str, target: &str) {
        let mut header = Header::new_gnu();
        header.set_entry_type(kind);
        header.set_mode(0o777);
        header.set_uid(0);
        header.set_gid(0);
        header.set_size(0);
        header.set_mtime(1_600_000_000);
        self.tar.append_link(&mut header, path, target).unwrap();
    }

    fn expect(&mut self, path: &[u8], what: &str) {
        self.expected.push([b"/", path, b"|", what.as_bytes()].concat());
    }
}

fn run(command: &mut Command) {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
}

/// An OCI layout that any user may read, and what a guest must see of the paths below `/t`, sorted.
fn image(folder: &Path) -> (PathBuf, Vec<Vec<u8>>) {
    let (source, probe) = (folder.join("probe.c"), folder.join("probe"));
    fs::write(&source, PROBE).unwrap();
    run(Command::new("cc").args(["-static", "-O1", "-o"]).arg(&probe).arg(&source));
    let probe = fs::read(probe).unwrap();
    let tar = folder.join("layer.tar");
    let mut archive = Archive { tar: Builder::new(File::create(&tar).unwrap()), expected: Vec::new() };
    let root = (0o755, 0, 0);
    archive.folder("bin", root);
    archive.file("bin/busybox", root, &fs::read("/usr/bin/busybox").or_else(|_| fs::read("/bin/busybox")).unwrap());
    for tool in ["sh", "stat", "find", "cat", "mv", "chmod", "ls", "su", "sort", "cmp", "wc", "dd", "echo"] {
        archive.link(EntryType::Symlink, &format!("bin/{tool}"), "busybox");
    }
    // `/etc` and `/run` are links, and there is neither `/proc` nor `/dev`.
    archive.folder("usr", root);
    archive.folder("usr/etc", root);
    archive.file("usr/etc/passwd", (0o644, 0, 0), b"root:x:0:0::/:/bin/sh\nsvc:x:123:456::/:/bin/sh\n");
    archive.file("usr/etc/group", (0o644, 0, 0), b"root:x:0:\nsvc:x:456:\n");
    archive.link(EntryType::Symlink, "etc", "usr/etc");
    archive.link(EntryType::Symlink, "run", "/var/run");
    archive.expected.clear();

    archive.folder("t", (0o1777, 0, 0));
    archive.folder("t/private", (0o700, 123, 456));
    archive.file("t/private/secret", (0o600, 123, 456), b"secret of svc\n");
    archive.file("t/large-ids", (0o640, 3_000_000, 4_000_000), b"x");
    archive.file("t/empty", (0o444, 0, 0), b"");
    archive.file("t/setuid", (0o4755, 0, 0), &probe);
    archive.file("t/setgid", (0o2755, 123, 77), &probe);
    let capability = [("SCHILY.xattr.security.capability", &NET_RAW[..])];
    archive.tar.append_pax_extensions(capability).unwrap();
    archive.file("t/capable", root, &probe);
    archive.file("t/plain", root, &probe);
    archive.add(EntryType::Char, b"t/null", (0o666, 0, 0), b"", (1, 3));
    archive.add(EntryType::Block, b"t/block", (0o660, 0, 6), b"", (259, 300));
    archive.add(EntryType::Fifo, b"t/pipe", (0o622, 5, 6), b"", (0, 0));
    archive.add(EntryType::Regular, b"t/\xff\xfename", (0o644, 1, 2), b"no text", (0, 0));
    archive.file(&format!("t/{}", "n".repeat(255)), (0o644, 0, 0), b"long");
    archive.folder("t/move", root);
    archive.file("t/move/inside", (0o644, 0, 0), b"inside\n");
    archive.link(EntryType::Link, "t/again", "t/private/secret");
    archive.tar.finish().unwrap();
    let mut expected = std::mem::take(&mut archive.expected);
    let secret = expected.iter().find(|line| line.starts_with(b"/t/private/secret|")).unwrap().clone();
    expected.push([&b"/t/again"[..], &secret["/t/private/secret".len()..]].concat());
    expected.sort();

    let layout = folder.join("layout");
    let name = format!("{}:only", layout.display());
    run(Command::new("umoci").args(["init", "--layout"]).arg(&layout));
    run(Command::new("umoci").args(["new", "--image", &name]));
    run(Command::new("umoci").args(["raw", "add-layer", "--image", &name]).arg(&tar));
    run(Command::new("chmod").args(["-R", "a+rX"]).arg(folder));
    (layout, expected)
}

const LISTING: &str = r#"
find /t -exec stat -c "%n|%F|%a|%u|%g|%s|%t:%T|%Y" {} +
"#;

const ACTS: &str = r#"
echo "links $(stat -c %h /t/again /t/private/secret | sort -u)"
[ "$(stat -c %i /t/again)" = "$(stat -c %i /t/private/secret)" ] && echo "one inode"
as() { su svc -c "$1"; }
as /t/plain
as /t/setuid
as /t/setgid
as /t/capable
as "cat /t/private/secret"
as "echo x > /t/null && echo written"
as "cat /t/large-ids" 2>/dev/null || echo "not for svc"
chmod 600 /t/empty && stat -c "%a %s" /t/empty
echo more >> /t/private/secret && cat /t/private/secret
mv /t/move /t/moved && cat /t/moved/inside
[ -d /proc/self ] && [ -c /dev/null ] && ls -d /etc/hosts
"#;

const DONE: &str = "links 2
one inode
123 456 no
0 456 raw
123 77 no
123 456 raw
secret of svc
written
not for svc
600 0
secret of svc
more
inside
/etc/hosts
";

#[test]
fn a_guest_sees_what_the_archive_says_whoever_runs_it() {
    let Some(_one_at_a_time) = machines() else { return };
    if crate::registry::is_skipped() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let (layout, expected) = image(folder.path());
    let image = format!("oci:{}", layout.display());
    let whos =
        if rustix::process::geteuid().is_root() { vec![Who::Ourselves, Who::Ordinary] } else { vec![Who::Ourselves] };
    for (who, form) in whos.into_iter().flat_map(|who| [(who, "virtiofs"), (who, "auto")]) {
        let world = World::new(who);
        let words = ["run", "--accel", "tcg", "--memory", "256MiB", "--cpus", "1", "--image", &image, "--", "sh", "-c"];
        let mut command = world.command(&words);
        let output = command.arg(LISTING.to_owned() + ACTS).env("SMOLVM_ROOT_FORM", form).output().unwrap();
        assert!(output.status.success(), "{who:?}, {form}: {}", String::from_utf8_lossy(&output.stderr));
        let (lines, acts) = (output.stdout, DONE.as_bytes());
        assert!(lines.ends_with(acts), "{who:?}, {form}: {}", String::from_utf8_lossy(&lines));
        let mut found: Vec<Vec<u8>> = lines[..lines.len() - acts.len()]
            .split(|byte| *byte == b'\n')
            .filter(|line| !line.is_empty())
            .map(without_size_of_folders)
            .collect();
        found.sort();
        assert_eq!(text(&found), text(&expected), "{who:?}, {form}");
        // No shell, and so none of its users' either: said, with the code that shells have for it.
        let words = ["run", "--accel", "tcg", "--memory", "256MiB", "--image", &image, "--", "bash"];
        if form == "virtiofs" && who == Who::Ordinary {
            let output = world.command(&words).env("SMOLVM_ROOT_FORM", form).output().unwrap();
            let said = String::from_utf8_lossy(&output.stderr).into_owned();
            assert_eq!((output.status.code(), said.contains("no program `bash`")), (Some(127), true), "{said}");
        }
    }
}

fn without_size_of_folders(line: &[u8]) -> Vec<u8> {
    let mut fields: Vec<&[u8]> = line.split(|byte| *byte == b'|').collect();
    if fields.get(1) == Some(&&b"directory"[..]) {
        fields[5] = b"-";
    }
    fields.join(&b'|')
}

fn text(lines: &[Vec<u8>]) -> Vec<String> {
    lines.iter().map(|line| line.escape_ascii().to_string()).collect()
}

/// Inode, size and time of the last change of each file below a folder.
fn states(folder: &Path, found: &mut BTreeMap<PathBuf, (u64, u64, (i64, i64))>) {
    for entry in fs::read_dir(folder).unwrap() {
        let entry = entry.unwrap();
        let (path, facts) = (entry.path(), entry.metadata().unwrap());
        if facts.is_dir() {
            states(&path, found);
        } else {
            // The time of a root is that of its last use.
            let is_root = folder.ends_with("roots");
            let time = if is_root { (0, 0) } else { (facts.mtime(), facts.mtime_nsec()) };
            found.insert(path, (facts.ino(), facts.size(), time));
        }
    }
}

#[test]
fn a_second_up_touches_no_layer_and_needs_no_registry() {
    let Some(_one_at_a_time) = machines() else { return };
    if crate::registry::is_skipped() {
        return;
    }
    let registry = Registry::start();
    push(&small_image(), &registry, "app:1", &[]);
    let world = World::new(Who::Ordinary);
    let image = registry.image("app:1");
    let machine = format!("{{ image: \"{image}\", memory: 256MiB }}");
    world.write("project/smolvm.yaml", &format!("machines:\n  m: {machine}\nsteps:\n  - run: cat /etc/motd\n"));
    let up = || {
        let output = world.command(&["up", "--accel", "tcg"]).output().unwrap();
        let said = [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).concat();
        assert!(output.status.success(), "{said}");
        said
    };
    let first = up();
    assert!(first.contains(&format!("image `{image}`")), "the first one brings it: {first}");

    // Neither who has it nor the compressed bytes are there any more: what was unpacked is enough.
    drop(registry);
    let images = world.cache().parent().unwrap().join("images");
    let blobs = images.join("blobs/sha256");
    let is_layer = |path: &PathBuf| !fs::read(path).unwrap().starts_with(b"{");
    let layers: Vec<_> = fs::read_dir(blobs).unwrap().map(|entry| entry.unwrap().path()).filter(is_layer).collect();
    assert!(!layers.is_empty(), "layers are kept as they came");
    layers.iter().for_each(|layer| fs::remove_file(layer).unwrap());
    let (mut before, mut after) = (BTreeMap::new(), BTreeMap::new());
    states(&images, &mut before);
    let said = up();
    assert!(!said.contains(&format!("image `{image}`")), "{said}");
    states(&images, &mut after);
    assert_eq!(before, after, "nothing in the store is written again");

    // What lies in the folder plays no part in a run of an image.
    world.write("project/smolvm.lock", "no lock file");
    let words = ["run", "--accel", "tcg", "--image", &image, "--", "sh", "-c", "cat /etc/motd; exit 7"];
    let output = world.command(&words).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.code() == Some(7) && !output.stdout.is_empty(), "{said}");
}

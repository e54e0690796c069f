//! What a guest cannot reach, with root in it doing its worst: hidden places of the host, the network, other ends of
//! its channel, read-only folders, what lies beside a mount.

use std::fs;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt, chown, symlink};
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use crate::events::Ran;
use crate::invoker::{Invoker, ORDINARY, is_root};
use crate::probe::with_probe;
use crate::support::{Case, machines};

/// What no guest may say.
const SECRET: &str = "hidden-from-guests";

/// Folders of the host that are hidden as a whole, whatever the modes of what is in them.
const HIDDEN: &[&str] = &["/home", "/root", "/tmp", "/var/tmp", "/run", "/mnt", "/media", "/srv", "/dev/shm"];

/// Secrets in the host's own folders; they go with the value.
struct Secrets {
    folders: Vec<TempDir>,
    paths: Vec<PathBuf>,
    visible: PathBuf,
}

impl Secrets {
    fn new() -> Self {
        let mut secrets = Self { folders: Vec::new(), paths: Vec::new(), visible: PathBuf::new() };
        for place in HIDDEN.iter().filter(|place| Path::new(place).is_dir()) {
            secrets.file(place, 0o755, 0o644, 0);
        }
        // In open places: a folder that others may list but not enter, one that they may enter but not list, files
        // that only their owner or group may read.
        for (place, folder, file, owner) in [
            ("/etc", 0o754, 0o644, 0),
            ("/etc", 0o711, 0o644, 0),
            ("/etc", 0o755, 0o600, 0),
            ("/usr/local", 0o700, 0o644, 0),
            ("/usr/local", 0o755, 0o640, 0),
            ("/usr/local", 0o755, 0o600, ORDINARY),
        ] {
            secrets.file(place, folder, file, owner);
        }
        secrets.visible = secrets.file("/etc", 0o755, 0o644, 0);
        secrets.paths.pop();
        fs::write(&secrets.visible, "in the open\n").unwrap();
        secrets
    }

    fn file(&mut self, place: &str, folder_mode: u32, file_mode: u32, owner: u32) -> PathBuf {
        let folder = TempDir::with_prefix_in("smolvm-secret-", place).unwrap();
        let path = folder.path().join("file");
        fs::write(&path, format!("{SECRET}\n")).unwrap();
        fs::set_permissions(&path, PermissionsExt::from_mode(file_mode)).unwrap();
        chown(&path, Some(owner), Some(owner)).unwrap();
        fs::set_permissions(folder.path(), PermissionsExt::from_mode(folder_mode)).unwrap();
        self.folders.push(folder);
        self.paths.push(path.clone());
        path
    }

    /// A hunt for them in shell, as a function of the folder where the root is.
    fn hunt(&self) -> String {
        let paths: String = self.paths.iter().map(|path| format!("'{}' ", path.display())).collect();
        format!(
            "hunt() {{
  for each in {paths}; do
    if [ -e \"$1$each\" ] || [ -L \"$1$each\" ]; then echo \"found $1$each\"; fi
    cat \"$1$each\" 2>/dev/null || true
  done
  for place in {places}; do
    for each in $1$place/smolvm-* $1$place/.smolvm-*; do [ ! -e \"$each\" ] || echo \"found $each\"; done
  done
  [ -n \"$1\" ] || return 0
  for each in $1/proc/1 $1/dev/vda $1/dev/null $1/sys/kernel $1/run/systemd; do
    if [ -e \"$each\" ]; then echo \"found $each\"; fi
  done
  cat \"$1{visible}\"
}}
",
            places = HIDDEN.join(" "),
            visible = self.visible.display(),
        )
    }
}

fn indent(script: &str) -> String {
    script.lines().map(|line| format!("      {line}\n")).collect()
}

/// Looks for secrets of the host in the root share, as it is mounted and mounted again.
fn hunting(secrets: &Secrets) -> String {
    let hunt = secrets.hunt();
    indent(&format!(
        "{hunt}
set +e
mkdir -p /again /more
mount -t virtiofs root /again
mount -o remount,rw /again
hunt /again
for each in /usr/local/smolvm-made /etc/passwd /smolvm-made; do
  (echo broken >> /again$each) 2>/dev/null && echo \"wrote $each\"
done
mount -t virtiofs -o rw root /more
(cd /more/usr && hunt ../../more)
umount -l /more
for each in $(cut -d' ' -f2 /proc/mounts | grep -v '^/\\(proc\\)\\?$' | sort -r); do umount -l $each; done
umount -l /proc
mount -t virtiofs root /again
hunt /again
umount -l /
hunt \"\"
echo end"
    ))
}

/// Tries to change a read-only share and to leave a writable one.
const BREAKING: &str = r#"
set +e
try() { "$@" 2>/dev/null && echo "did: $*"; }
poke() { try touch $1/new; try rm $1/file; try chmod 777 $1/file; try sh -c "echo x >> $1/file"; }
harm() {
  poke $1; try mkdir $1/new; try mv $1/file $1/other; try ln $1/file $1/link; try ln -s x $1/link
  try chown 33 $1/file; try touch -d @1 $1/file; try mknod $1/node p; try truncate -s 0 $1/file; try rmdir $1/folder
  try cp /etc/passwd $1/folder/new
}
harm /ro
mount -o remount,rw /ro; poke /ro
mkdir /again /bound; mount -t virtiofs -o rw share0 /again; mount -o remount,rw /again; harm /again
mount --bind /ro /bound; mount -o remount,bind,rw /bound; poke /bound
umount -l /ro /again /bound; mount -t virtiofs share0 /ro; poke /ro
cat /rw/up /rw/absolute /rw/../beside /rw/folder/../../beside
cd /rw; cat ../beside; mount -t virtiofs share1 /again; cat /again/../beside /again/up
/opt/bin/probe device /rw/disk; mknod /rw/null c 1 3 && echo made a device
cp /opt/bin/probe /rw/suid; chmod 6755 /rw/suid; mkdir /rw/sgid; chmod 2755 /rw/sgid; chown 33:33 /rw/suid
ln -s /etc/shadow /rw/escape; ln /rw/up /rw/linked; mkfifo /rw/pipe
echo end
"#;

#[test]
fn root_in_the_guest_finds_no_secret_and_changes_nothing_beside_its_mounts() {
    let Some(_machines) = machines() else { return };
    if !is_root() {
        use std::io::Write;
        let _ = writeln!(std::io::stderr(), "skipped: only root can lay secrets all over the host");
        return;
    }
    let secrets = Secrets::new();
    let file = format!(
        "name: acme
machines:
  box:
    cpus: 1
    memory: 512MiB
    mounts: [\"./ro:/ro:ro\", \"./rw:/rw\", \"./bin:/opt/bin:ro\"]
steps:
  - id: dial
    run: |
      ls /sys/class/net
      /opt/bin/probe dial 2 0-64 1000-1100 2222 65535 4294967294
      /opt/bin/probe dial 1 1024 1025
      /opt/bin/probe dial 3 1024 1025
  - {{ id: dial-nobody, user: nobody, run: [/opt/bin/probe, dial, \"3\", \"1024\", \"1025\"] }}
  - id: break
    run: |
{breaking}
  - id: hunt
    run: |
{hunting}
",
        breaking = indent(BREAKING),
        hunting = hunting(&secrets),
    );
    for invoker in [Invoker::Own, Invoker::Ordinary] {
        let case = Case::new()
            .file("smolvm.yaml", &file)
            .with_shared_cache()
            .args(["up", "--accel", "tcg", "--progress", "json", "--keep-going"])
            .file("beside", format!("{SECRET}\n"))
            .file("ro/file", "whole\n")
            .folder("ro/folder")
            .folder("rw/folder");
        let project = case.project();
        symlink("../beside", project.join("rw/up")).unwrap();
        symlink(project.join("beside"), project.join("rw/absolute")).unwrap();
        let stage = invoker.stage(with_probe(case, "bin"));
        let before = snapshot(&project.join("ro"));
        let ran = Ran::of(stage.command());
        assert_eq!(ran.code, Some(0), "{invoker:?}: {}", ran.told());
        assert_eq!(ran.stdout("dial"), "lo\n169 refused\n2 refused\n2 refused\n", "{}", ran.told());
        assert_eq!(ran.stdout("dial-nobody"), "2 refused\n", "{}", ran.told());
        let open = "in the open\n".repeat(3);
        assert_eq!(ran.stdout("hunt"), format!("{open}end\n"), "{invoker:?}: {}", ran.told());
        assert_eq!(ran.stdout("break"), "Operation not permitted\nend\n", "{invoker:?}: {}", ran.told());
        assert!(!ran.told().contains(SECRET));
        assert_eq!(snapshot(&project.join("ro")), before);
        assert_harmless(&project.join("rw"), invoker);
    }
    assert!(!Path::new("/usr/local/smolvm-made").exists() && !Path::new("/smolvm-made").exists());
}

/// Every entry of a folder: name, mode, owner, size, time of its last change.
fn snapshot(folder: &Path) -> Vec<(PathBuf, u32, u32, u64, i64, i64)> {
    let mut found = Vec::new();
    let mut open = vec![folder.to_owned()];
    while let Some(path) = open.pop() {
        let it = path.symlink_metadata().unwrap();
        if it.is_dir() {
            open.extend(fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()));
        }
        found.push((path, it.mode(), it.uid(), it.size(), it.ctime(), it.ctime_nsec()));
    }
    found.sort();
    found
}

/// Nothing in the folder does anything to the host: no devices, no borrowed ids, links as they were written.
fn assert_harmless(folder: &Path, invoker: Invoker) {
    let names: Vec<_> = snapshot(folder).into_iter().map(|entry| entry.0).collect();
    for path in names {
        let it = path.symlink_metadata().unwrap();
        let kind = it.file_type();
        assert!(!kind.is_block_device() && !kind.is_char_device(), "{}", path.display());
        assert_eq!(it.mode() & 0o6000, 0, "{}", path.display());
        assert_eq!((it.uid(), it.gid()), invoker.owner(), "{}", path.display());
    }
    assert_eq!(fs::read_link(folder.join("escape")).unwrap(), Path::new("/etc/shadow"));
    assert!(folder.join("suid").is_file() && folder.join("sgid").is_dir());
}

//! Mounts of every kind in real machines: files, overlays, folders in memory, and each in the others.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::os::unix::fs::{MetadataExt, symlink};
use std::path::{Path, PathBuf};

use crate::events::Ran;
use crate::invoker::{Invoker, is_root};
use crate::running::Live;
use crate::support::{Case, all_below, machines};

/// Steps say a line for each check: its name and `ok`, or what was found instead.
const CHECKS: &str = r#"      is() { if [ "$2" = "$3" ]; then echo "$1: ok"; else echo "$1: $2, not $3"; fi; }
      does() { name=$1; shift; if "$@" 2>/tmp/why.$$; then echo "$name: ok"; else echo "$name: $(cat /tmp/why.$$)"; fi; }
      says() { name=$1 words=$2; shift 2; "$@" 2>/tmp/why.$$ || true; if grep -q "$words" /tmp/why.$$; then echo "$name: ok"; else echo "$name: $(cat /tmp/why.$$)"; fi; }
      owner() { is "owner of $1" "$(stat -c %u:%g "$1")" "$2"; }
      until_is() { for turn in $(seq 600); do [ "$(cat "$2" 2>&1)" != "$3" ] || break; sleep 0.05; done; is "$1" "$(cat "$2" 2>&1)" "$3"; }
      told() { echo "told $1" >&2; until test -e /sync/$1; do sleep 0.05; done; }
"#;

/// A project that says its events.
fn project(file: &str) -> Case {
    let file = file.replace("      CHECKS\n", CHECKS);
    let args = ["up", "--accel", "tcg", "--progress", "json", "--keep-going"];
    Case::new().file("smolvm.yaml", file).with_shared_cache().args(args)
}

/// Whether every check of a step, and so many of them, went well.
#[track_caller]
fn assert_checks(ran: &Ran, step: &str, count: usize) {
    let lines = ran.stdout(step);
    let bad: Vec<&str> = lines.lines().filter(|line| !line.ends_with(": ok")).collect();
    assert!(bad.is_empty(), "{step}: {bad:#?}\n{}", ran.told());
    assert_eq!((lines.lines().count(), ran.end(step).0), (count, "passed"), "{step}: {lines}\n{}", ran.told());
}

/// Path, mode, time and content of all below a folder.
fn tree(folder: &Path) -> BTreeMap<PathBuf, (u32, i64, Vec<u8>)> {
    let found = all_below(folder).into_iter().map(|(path, data)| {
        let content = if data.is_file() { fs::read(&path).unwrap() } else { Vec::new() };
        (path, (data.mode(), data.mtime_nsec(), content))
    });
    found.collect()
}

const NESTED: &str = r#"name: acme
machines:
  box:
    cpus: 1
    memory: 512MiB
    user: www-data
    mounts:
      - ./src:/code
      - { type: overlay, source: ./vendor, target: /code/made/vendor, create: true }
      - { source: ./written.conf, target: /code/made/written.conf, create: true }
      - { type: tmpfs, target: /code/there/tmp }
      - { type: tmpfs, target: /scratch, size: 8MiB }
      - ./ro:/scratch/deep/ro:ro
      - { type: tmpfs, target: /scratch/deep/ro/point }
      - ./tool.conf:/scratch/deep/tool.conf:ro
      - { type: overlay, source: ./over, target: /over }
      - { source: ./inside, target: /over/new/inside, guest_owner: daemon }
      - { type: tmpfs, target: /over/sub }
      - { type: overlay, source: ./ro, target: /over/ro, guest_owner: "7:8" }
      - ./tool.conf:/over/tool.conf:ro
      - { type: tmpfs, target: /dev/shm, size: 1MiB }
steps:
  - id: user
    run: |
      CHECKS
      for seen in /code /code/made/vendor /code/made/vendor/lib /code/there /scratch/deep/ro /scratch/deep/tool.conf /over /over/file; do
        owner $seen 33:33
      done
      for seen in /code/there/tmp /scratch /scratch/deep /over/sub /over/new; do owner $seen 0:0; done
      owner /over/new/inside 1:1; owner /over/new/inside/file 1:1; owner /over/ro 7:8; owner /over/ro/file 7:8
      is "modes of tmpfs" "$(stat -c %a /scratch /over/sub /dev/shm | paste -sd,)" 1777,1777,1777
      is "size of a tmpfs" "$(df --output=size /scratch | tail -1 | tr -d ' ')" 8192
      is "default size of a tmpfs" "$(df --output=size /over/sub | tail -1)" "$(df --output=size /tmp | tail -1)"
      does "write to a tmpfs" sh -c 'echo x > /scratch/file'
      does "run a program in a tmpfs" sh -c 'cp /bin/true /scratch/true; /scratch/true'
      says "a full tmpfs" "No space left" dd if=/dev/zero of=/scratch/big bs=1M count=20
      says "write to a read-only folder in a tmpfs" "Read-only" touch /scratch/deep/ro/new
      does "write to a tmpfs in a read-only folder" touch /scratch/deep/ro/point/new
      says "write to a read-only file" "Read-only" sh -c 'echo x >> /scratch/deep/tool.conf'
      is "content of files" "$(cat /scratch/deep/tool.conf /over/tool.conf | paste -sd,)" tool,tool
      does "write to a file" sh -c 'echo guest >> /code/made/written.conf'
      says "remove a mounted file" "busy" rm -f /code/made/written.conf
      does "write to a share" sh -c 'echo x > /code/by-guest'
      does "write to an overlay" sh -c 'cd /code/made/vendor; echo x > new; echo y >> lib/a; rm lib/b; mkdir -p d/e'
      says "write to what is another's" "denied" sh -c 'echo x > /over/new/inside/file'
      says "a small /dev/shm" "No space left" dd if=/dev/zero of=/dev/shm/big bs=1M count=2
      says "look at layers" "denied" ls /run/smolvm/layers
      says "look at shares" "denied" ls /run/smolvm/shares
  - id: root
    user: root
    run: |
      CHECKS
      owner /code 0:0; owner /code/by-guest 0:0; owner /scratch/deep/tool.conf 0:0; owner /code/made/written.conf 0:0
      owner /code/made/vendor 33:33; owner /code/made/vendor/lib/a 33:33; owner /over/new/inside 1:1; owner /over/ro 7:8
      is "an overlay keeps" "$(cd /code/made/vendor; cat lib/a; ls lib . | paste -sd,)" "$(printf 'a\ny\n.:,d,lib,new,,lib:,a')"
      does "write to what is another's" sh -c 'echo root > /over/new/inside/file'
      mount -o remount,bind,rw /scratch/deep/tool.conf; umount /scratch/deep/tool.conf; mount -o remount,rw /run/smolvm/shares/share* 2>/dev/null || true
      for file in /run/smolvm/shares/*/tool.conf /run/smolvm/shares/*/file; do says "write to $file" "Read-only" sh -c "echo x > $file"; done
  - { id: outputs, run: "true", outputs: [/code/made/written.conf, /code/by-guest] }
"#;

#[test]
fn every_kind_of_mount_nests_in_every_other() {
    let Some(_machines) = machines() else { return };
    let case = project(NESTED)
        .folder("src/there/tmp")
        .folder("ro/point")
        .file("ro/file", "ro")
        .file("vendor/lib/a", "a\n")
        .file("vendor/lib/b", "b\n")
        .file("over/file", "over")
        .folder("over/sub")
        .file("inside/file", "inside")
        .file("tool.conf", "tool\n")
        .file("written.conf", "host\n");
    let project = case.project();
    let invoker = Invoker::all().pop().unwrap();
    let stage = invoker.stage(case);
    let kept = ["vendor", "over", "ro"].map(|name| (name, tree(&project.join(name))));
    let ran = Ran::of(stage.command()).passed();
    assert_checks(&ran, "user", 35);
    assert_checks(&ran, "root", 14);
    for (name, before) in kept {
        assert_eq!(tree(&project.join(name)), before, "{name} changed");
    }
    let text = |name: &str| fs::read_to_string(project.join(name)).unwrap();
    assert_eq!((text("written.conf"), text("inside/file")), ("host\nguest\n".into(), "root\n".into()));
    assert_eq!(text("tool.conf"), "tool\n");
    // What is made on the host: where `create` says so, and nowhere else.
    let made: Vec<_> = tree(&project.join("src")).into_keys().collect();
    let names = ["by-guest", "made", "made/vendor", "made/written.conf", "there", "there/tmp"];
    assert_eq!(made, names.map(|name| project.join("src").join(name)));
    assert!(fs::metadata(project.join("src/made/written.conf")).unwrap().is_file());
    assert_eq!(fs::metadata(project.join("src/made")).unwrap().uid(), invoker.owner().0);
}

const FILES: &str = r#"name: acme
machines:
  box:
    cpus: 1
    memory: 512MiB
    mounts:
      - ./sync:/sync
      - ./config:/app/config
      - ./other.conf:/app/other.conf:ro
      - ./hosts:/etc/hosts:ro
      - ./link.conf:/etc/linked.conf
      - ./os-release:/usr/lib/os-release
      - { source: ./fixed, target: /fixed, readonly: true, cache: always }
      - { source: ./fresh, target: /fresh, cache: never }
      - { type: overlay, source: ./base, target: /base }
      - ./link:/linked:ro
      - ./hosts:/usr/share/new/hosts:ro
steps:
  - id: edits
    run: |
      CHECKS
      is "files of one folder" "$(ls /app | paste -sd,)" config,other.conf
      is "a mounted /etc/hosts" "$(cat /etc/hosts)" "127.0.0.1 mine"
      is "sources that are links" "$(cat /etc/linked.conf; ls /linked)" "$(printf 'linked\nedited\nfile\nfolder\ngone')"
      is "a file in a folder of the image" "$(cat /usr/share/new/hosts; ls /usr/share/new)" "$(printf '127.0.0.1 mine\nhosts')"
      is "a file over the image's" "$(cat /etc/os-release)" "ID=mine"
      is "inside" "$(cat /app/config /fixed/file /fresh/file /base/file /base/edited /base/gone /base/folder/file | paste -sd,)" one,fixed,fresh,base,e,g,first
      exec 3< /app/config
      told 1
      until_is "an editor's rename" /app/config two
      is "what was open" "$(cat <&3)" one
      is "not cached" "$(cat /fresh/file)" fresher
      is "known for ever" "$(stat -c %s /fixed/file)" 6
      until_is "below an overlay" /base/file basest
      is "new below an overlay" "$(cat /base/late)" late
      until_is "edited below an overlay" /base/edited longer
      until_is "in a folder that was replaced" /base/folder/file second
      says "gone below an overlay" "No such file" cat /base/gone
      does "append" sh -c 'echo guest >> /app/config; sync'
      told 2
      says "gone" "No such file" cat /app/config
      told 3
      until_is "there again" /app/config three
      does "truncate" sh -c 'echo four > /app/config'
      until_is "edited in place" /app/other.conf edited
      is "size" "$(stat -c %s /app/other.conf)" 7
  - id: user
    user: nobody
    run: |
      CHECKS
      for seen in /app/config /fixed /fixed/file /fresh/file /linked/file; do owner $seen 65534:65534; done
      owner /base/file 0:0
      does "write as another" sh -c 'echo nobody >> /app/config'
      says "write to /etc/hosts" "Read-only" sh -c 'echo x >> /etc/hosts'
      says "write as the image's user" "denied" sh -c 'echo x >> /etc/hostname'
"#;

#[test]
fn a_mounted_file_is_found_by_its_name_and_caches_do_as_they_are_told() {
    let Some(_machines) = machines() else { return };
    let case = project(FILES)
        .folder("sync")
        .file("config", "one\n")
        .file("other.conf", "other\n")
        .file("hosts", "127.0.0.1 mine\n")
        .file("real.conf", "linked\n")
        .file("os-release", "ID=mine\n")
        .file("fixed/file", "fixed\n")
        .file("fresh/file", "fresh\n")
        .file("base/file", "base\n")
        .file("base/edited", "e\n")
        .file("base/gone", "g\n")
        .file("base/folder/file", "first\n");
    let at = |name: &str| case.project().join(name);
    symlink("real.conf", at("link.conf")).unwrap();
    symlink("base", at("link")).unwrap();
    let save = |name: &str, text: &str| {
        fs::write(at("saved"), text).unwrap();
        fs::rename(at("saved"), at(name)).unwrap();
    };
    let mut live = Live::start(case.command());
    live.until_output("told 1");
    save("config", "two\n");
    fs::write(at("fresh/file"), "fresher\n").unwrap();
    save("fixed/file", "others\n");
    save("base/file", "basest\n");
    save("base/late", "late\n");
    fs::write(at("base/edited"), "longer\n").unwrap();
    fs::remove_file(at("base/gone")).unwrap();
    fs::rename(at("base/folder"), at("base/old")).unwrap();
    fs::create_dir(at("base/folder")).unwrap();
    fs::write(at("base/folder/file"), "second\n").unwrap();
    fs::write(at("sync/1"), "").unwrap();
    live.until_output("told 2");
    assert_eq!(fs::read_to_string(at("config")).unwrap(), "two\nguest\n");
    fs::remove_file(at("config")).unwrap();
    fs::write(at("sync/2"), "").unwrap();
    live.until_output("told 3");
    fs::write(at("config"), "three\n").unwrap();
    fs::write(at("other.conf"), "edited\n").unwrap();
    fs::write(at("sync/3"), "").unwrap();
    let ran = live.finish().passed();
    assert_checks(&ran, "edits", 21);
    assert_checks(&ran, "user", 9);
    assert_eq!(fs::read_to_string(at("config")).unwrap(), "four\nnobody\n");
    assert!(at("link.conf").is_symlink());
}

/// Twenty-four shares in their order, and two folders in memory.
fn many_mounts() -> String {
    let mut mounts = String::new();
    for number in 0..8 {
        let _ = writeln!(mounts, "      - ./folder:/folder{number}:ro");
        let _ = writeln!(mounts, "      - {{ type: overlay, source: ./folder, target: /folder{number}/over }}");
        let _ = writeln!(mounts, "      - ./file{number}:/folder{number}/over/file{number}");
    }
    mounts + "      - { type: tmpfs, target: /t1 }\n      - { type: tmpfs, target: /t1/t2 }\n"
}

#[test]
fn twenty_four_shares_of_all_kinds_and_an_overlay_that_is_used_as_a_disk() {
    let Some(_machines) = machines() else { return };
    let file = format!(
        r#"name: acme
machines:
  box:
    cpus: 2
    memory: 512MiB
    mounts:
{}
steps:
  - id: many
    run: |
      CHECKS
      for number in 0 1 2 3 4 5 6 7; do
        is "file $number" "$(cat /folder$number/over/file$number)" "text $number"
        echo written > /folder$number/over/file$number
        echo x > /folder$number/over/new
      done
      is "overlays of their own" "$(ls /folder3/over | paste -sd,)" file3,many,new,over,sub
      is "shares" "$(grep -c virtiofs /proc/mounts)" 32
  - id: disk
    run: |
      CHECKS
      cd /folder0/over
      does "rename a folder of the host" mv many moved
      is "all of it" "$(ls moved | wc -l)" 10000
      does "rename in it" sh -c 'cd moved; for name in 1 2 3 4 5; do mv $name n$name; done; mv n1 ..; ln 7 ../seven'
      is "still all" "$(ls moved | wc -l)" 9999
      does "put another in its place" sh -c 'mkdir many; echo x > many/x'
      does "remove a tree" sh -c 'rm -r moved; test ! -e moved; rm many/x; rmdir many'
      does "attributes" sh -c 'chmod 750 sub; touch -d @1000000000 sub; chown 5:5 sub/deep; test "$(stat -c %a:%Y:%u sub sub/deep | paste -sd,)" = "750:1000000000:0,644:$(stat -c %Y sub/deep):5"'
      does "a device" sh -c 'mknod null c 1 3; echo x 2>/dev/null > null || true; test -c null'
      does "locks and maps" python3 -c 'import fcntl, mmap; f = open("sub/deep", "r+b"); fcntl.flock(f, fcntl.LOCK_EX); m = mmap.mmap(f.fileno(), 0); m[0:1] = b"D"; m.flush()'
      is "mapped" "$(cat sub/deep)" Deep
"#,
        many_mounts()
    );
    let mut case = project(&file).file("folder/sub/deep", "deep\n").folder("folder/over");
    for number in 0..8 {
        case = case.file(&format!("file{number}"), format!("text {number}\n"));
    }
    let project = case.project();
    fs::create_dir(project.join("folder/many")).unwrap();
    for number in 0..10_000 {
        fs::write(project.join(format!("folder/many/{number}")), "").unwrap();
    }
    let invoker = if is_root() { Invoker::Ordinary } else { Invoker::Own };
    let stage = invoker.stage(case);
    let ran = Ran::of(stage.command()).passed();
    assert_checks(&ran, "many", 10);
    assert_checks(&ran, "disk", 10);
    assert_eq!(fs::read_dir(project.join("folder/many")).unwrap().count(), 10_000);
    assert_eq!(fs::read_to_string(project.join("folder/sub/deep")).unwrap(), "deep\n");
    for number in 0..8 {
        assert_eq!(fs::read_to_string(project.join(format!("file{number}"))).unwrap(), "written\n");
    }
    assert_eq!(fs::read_dir(project.join("folder/over")).unwrap().count(), 0);
}

#[test]
fn a_machine_whose_mount_does_not_fit_runs_nothing_and_names_it() {
    let Some(_machines) = machines() else { return };
    let case = project(
        "name: acme
x-small: &small { image: dir:./image, cpus: 1, memory: 256MiB }
machines:
  file-on-folder: { <<: *small, mounts: [\"./conf:/opt/app\"] }
  folder-on-file: { <<: *small, mounts: [\"./src:/opt/file\"] }
  link: { <<: *small, mounts: [{ type: tmpfs, target: /opt/link }] }
  user: { <<: *small, mounts: [{ type: overlay, source: ./src, target: /x, guest_owner: ann }] }
steps:
  - { machine: file-on-folder, id: a, needs: [], run: [never] }
  - { machine: folder-on-file, id: b, needs: [], run: [never] }
  - { machine: link, id: c, needs: [], run: [never] }
  - { machine: user, id: d, needs: [], run: [never] }
",
    );
    let case =
        case.file("conf", "x").folder("src").folder("image/opt/app").folder("image/etc").file("image/opt/file", "");
    symlink("nowhere", case.project().join("image/opt/link")).unwrap();
    let ran = Ran::of(case.command());
    let cause = |machine: &str| {
        let mut events = ran.named("machine").filter(|event| event["machine"] == machine && event["phase"] == "failed");
        events.next().and_then(|event| event["cause"].as_str()).unwrap_or_default().to_owned()
    };
    for (machine, step, words) in [
        ("file-on-folder", "a", "cannot mount `/opt/app`: `/opt/app` is a folder, and the source is a file"),
        ("folder-on-file", "b", "cannot mount `/opt/file`: `/opt/file` is not a folder"),
        ("link", "c", "cannot mount `/opt/link`: `/opt/link` is a link that leads nowhere"),
        ("user", "d", "cannot show mount `/x` as owned by `ann`: "),
    ] {
        assert_eq!(ran.end(step).0, "skipped", "{}", ran.told());
        assert!(cause(machine).contains(words), "{}", cause(machine));
    }
    assert_eq!(ran.code, Some(125));
}

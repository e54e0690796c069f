//! The disks of machines, in real ones: `/workspace` and volumes.

use std::path::Path;
use std::process::{Command, Stdio};

use rustix::process::Signal;

use crate::events::Ran;
use crate::invoker::{Invoker, is_root};
use crate::running::{Live, signal};
use crate::support::{Case, all_below, machines};

fn project(file: &str) -> Case {
    let args = ["up", "--accel", "tcg", "--progress", "json"];
    Case::new().file("smolvm.yaml", file).with_shared_cache().args(args)
}

const KEPT: &str = r#"name: acme
machines:
  box:
    cpus: 1
    memory: 256MiB
    user: www-data
    mounts: [./in:/workspace/in/deep:ro, { type: tmpfs, target: /workspace/memory }]
steps:
  - id: write
    run: |
      cat /workspace/kept 2>/dev/null || echo new
      echo was here >> /workspace/kept
      cat /workspace/in/deep/file; touch /workspace/memory/gone
      stat -c '%a %u %n' /workspace /workspace/kept; stat -f -c %T /workspace
      ls -A /workspace
  - { id: again, run: tail -1 /workspace/kept }
"#;

#[test]
fn the_workspace_stays_for_the_next_run_and_is_its_users_alone() {
    let Some(_turn) = machines() else { return };
    for invoker in Invoker::all() {
        let stage = invoker.stage(project(KEPT).file("in/file", "from the host\n"));
        let rest = "from the host\n1777 33 /workspace\n644 33 /workspace/kept\next2/ext3\nin\nkept\nmemory\n";
        for before in ["new\n", "was here\n", "was here\nwas here\n"] {
            let ran = Ran::of(stage.command()).passed();
            assert_eq!(ran.stdout("write"), format!("{before}{rest}"), "{invoker:?} {}", ran.told());
            assert_eq!(ran.stdout("again"), "was here\n");
        }
        assert!(all_below(&stage.project().join("in")).iter().all(|(path, _)| path.ends_with("file")));
    }
}

const VOLUMES: &str = r#"name: acme
volumes: { data: { size: 64MiB }, small: { size: 16MiB } }
machines:
  writer: { cpus: 1, memory: 256MiB, workspace: 20MiB, mounts: ["data:/data", "small:/data/small"] }
  reader: { cpus: 1, memory: 256MiB, workspace: false, mounts: ["data:/data:ro", "data:/again:ro"] }
  after: { cpus: 1, memory: 256MiB, mounts: ["data:/data"] }
steps:
  - id: write
    machine: writer
    run: |
      dd if=/dev/urandom of=/data/file bs=64k count=320 2>/dev/null; sha256sum < /data/file > /data/sum
      echo deep > /data/small/file
      for disk in /workspace /data /data/small; do df --output=size $disk | tail -1; done
  - id: read
    machine: reader
    needs: []
    run: |
      sha256sum < /again/file | cmp - /data/sum && echo same
      ! touch /data/file 2>/dev/null; ! test -e /workspace
      mount -o remount,rw /data 2>/dev/null || echo refused
      device=$(findmnt -no SOURCE /data); dd if=/dev/zero of=$device bs=4096 count=1 oflag=direct 2>/dev/null || echo refused
      ls -A /data
  - { id: change, machine: after, needs: [], run: rm /data/file && df --output=size /data | tail -1 }
"#;

/// Bytes that files take on the host, by the end of their name.
fn used(folder: &std::path::Path, name: &str) -> u64 {
    use std::os::unix::fs::MetadataExt;
    let found = all_below(folder).into_iter().find(|(path, _)| path.ends_with(name));
    found.unwrap_or_else(|| panic!("no {name}")).1.blocks() * 512
}

#[test]
fn volumes_are_used_in_turn_grow_and_give_back_what_is_free() {
    let Some(_turn) = machines() else { return };
    let case = project(VOLUMES);
    let ran = Ran::of(case.command()).passed();
    let sizes: Vec<u64> = ran.stdout("write").lines().map(|line| line.trim().parse().unwrap()).collect();
    // In KiB: a little less than the disk, for the journal and the tables.
    for (size, disk) in sizes.iter().zip([20, 64, 16]) {
        assert!((disk - 8) * 1024 < *size && *size < disk * 1024, "{sizes:?}");
    }
    assert_eq!(ran.stdout("read"), "same\nrefused\nrefused\nfile\nsmall\nsum\n", "{}", ran.told());
    let state = case.project().parent().unwrap().join("state");
    // What was written and removed is free on the host too.
    assert!(used(&state, "data.img") < 8 << 20, "{}", used(&state, "data.img"));
    let case = case.file("smolvm.yaml", VOLUMES.replace("64MiB", "2GiB").replace("{ size: 16MiB }", ""));
    let ran = Ran::of(case.command()).passed();
    let grown: u64 = ran.stdout("change").trim().parse().unwrap();
    assert!((1900..2048).contains(&(grown / 1024)), "{grown}");
    for (path, _) in all_below(&state).into_iter().filter(|(path, _)| path.extension().is_some_and(|end| end == "img"))
    {
        let Ok(checked) = Command::new("e2fsck").args(["-f", "-n"]).arg(&path).output() else { return };
        assert!(checked.status.success(), "{}: {checked:?}", path.display());
    }
}

/// A number a line, each synced before it is told: in a file that grows, in files of their own, and in renamed ones.
const LOSS: &str = r#"name: acme
machines: { box: { cpus: 1, memory: 256MiB } }
steps:
  - id: check
    run: |
      cat /workspace/log 2>/dev/null | tail -n 1
      if [ -e /workspace/log ]; then
        awk '$1 != NR { print "log " NR ": " $0; exit }' /workspace/log
        last=$(tail -n 1 /workspace/log)
        for n in $(seq $((last - 3 > 0 ? last - 3 : 1)) $((last - 1))); do
          [ "$(cat /workspace/own-$n)" = $n ] || echo "own $n"
          [ $(cat /workspace/renamed) -ge $n ] || echo "renamed $n"
        done
      fi
  - id: write
    run: |
      first=$(cat /workspace/log 2>/dev/null | wc -l)
      for n in $(seq $((first + 1)) 100000); do
        echo $n >> /workspace/log
        echo $n > /workspace/own-$n; echo $n > /workspace/new; mv /workspace/new /workspace/renamed
        sync /workspace/log /workspace/own-$n /workspace/renamed /workspace
        echo $n
      done
"#;

#[test]
fn the_death_of_a_vm_loses_nothing_that_was_synced() {
    let Some(_turn) = machines() else { return };
    let case = project(LOSS);
    let mut told = 0;
    for round in [7, 23, 11] {
        let mut run = Live::start(case.command());
        let goal = told + round;
        run.until_output(&format!("{goal}\n"));
        let [qemu] = run.processes("guest=box")[..] else { panic!("no QEMU, or several") };
        signal(qemu, Signal::KILL);
        let ran = run.finish();
        assert_eq!(ran.end("write").0, "failed", "{}", ran.told());
        let seen = ran.stdout("check");
        let found: Vec<&str> = seen.lines().collect();
        match told {
            0 => assert_eq!(found, [""; 0]),
            // All that was told, and what was written after it; no line beside the number.
            told => assert!(matches!(found[..], [last] if last.parse::<u32>().unwrap() >= told), "{told}: {found:?}"),
        }
        let last = ran.stdout("write").lines().filter_map(|line| line.parse().ok()).max().unwrap();
        assert!(last >= goal, "{}", ran.told());
        told = last;
    }
    let case = case.file("smolvm.yaml", LOSS.replace("first=$(cat", "exit 0; first=$(cat"));
    let ran = Ran::of(case.command()).passed();
    assert!(ran.stdout("check").trim().parse::<u32>().unwrap() >= told, "{}", ran.told());
}

#[test]
fn a_host_that_is_full_is_an_error_in_the_guest_and_damages_nothing() {
    let Some(_turn) = machines() else { return };
    if !is_root() {
        return;
    }
    const FULL: &str = r#"name: acme
machines: { box: { cpus: 1, memory: 256MiB } }
steps:
  - { id: before, run: "test -e /workspace/kept || echo kept > /workspace/kept; sync /workspace/kept; cat /workspace/kept" }
  - { id: fill, run: "dd if=/dev/zero of=/workspace/big bs=1M count=64 conv=fsync 2>&1 | grep -o 'Input/output error'" }
"#;
    let case = project(FULL).folder("disk");
    let disk = case.project().join("disk");
    let like = case.command();
    // One file system for two runs: the first fills it; for the second there is room.
    let script = "mount -t tmpfs -o size=24m disk \"$0\" || exit; \"$@\"; mount -o remount,size=99m \"$0\"; \"$@\" before; \
                  e2fsck -f -n \"$0\"/*/*/disks/box.img >&2";
    let mut command = Command::new("unshare");
    command.args(["--mount", "sh", "-c", script]).arg(&disk).arg(like.get_program()).args(like.get_args());
    command.current_dir(like.get_current_dir().unwrap());
    for (name, value) in like.get_envs() {
        match value {
            Some(value) => command.env(name, value),
            None => command.env_remove(name),
        };
    }
    command.env("XDG_STATE_HOME", &disk).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let ran = Ran::of(command);
    let warnings: Vec<&str> = ran.named("warning").filter_map(|event| event["text"].as_str()).collect();
    let full = "machine `box`: the host has no room left for the workspace of machine `box` (`/workspace`): what the";
    assert!(warnings.iter().any(|text| text.starts_with(full)), "{}", ran.told());
    assert_eq!(ran.stdout("before"), "kept\nkept\n", "{}", ran.told());
    assert_eq!(ran.stdout("fill"), "Input/output error\n");
    assert!(!ran.stderr.contains("Fix?"), "{}", ran.stderr);
}

/// What is no archive, or not a whole one, or has no room, or whose volume is in use, changes nothing.
fn refused(verb: &dyn Fn(&[&str]) -> Command, archive: &Path, state: &Path) {
    let whole = std::fs::read(archive).unwrap();
    let import = |volume: &str, bytes: &[u8]| {
        let file = archive.with_extension("other");
        std::fs::write(&file, bytes).unwrap();
        let output = verb(&["import", volume]).stdin(std::fs::File::open(file).unwrap()).output().unwrap();
        assert_eq!(output.status.code(), Some(125), "{output:?}");
        String::from_utf8(output.stderr).unwrap()
    };
    let told = import("copy", b"no archive at all");
    assert!(told.starts_with("error: standard input is no tar archive\n"), "{told}");
    assert!(told.ends_with("help: nothing of the volume `copy` was changed\n"), "{told}");
    let told = import("copy", &whole[..whole.len() / 2]);
    assert!(told.starts_with("error: the archive is not whole: it ends behind the beginning of `"), "{told}");
    let told = import("copy", &[&[0x1f, 0x8b, 8, 0][..], &[0; 600]].concat());
    let help = "help: unpack it: `gzip -d < FILE | smolvm volumes import copy`\n";
    assert_eq!(told, format!("error: standard input is a packed archive\n{help}"));
    let is_there = |name: &str| all_below(state).iter().any(|(path, _)| path.ends_with(name));
    assert!(is_there("copy.img") && !is_there("small.img"));
    let told = import("small", &whole);
    let words = "error: no space: the volume `small` has 16 MiB, too little for what the archive holds\n";
    assert!(told.contains(words), "{told}");
    let left = verb(&["export", "small"]).stdin(Stdio::null()).output().unwrap();
    let mut left = tar::Archive::new(&left.stdout[..]);
    let names: Vec<String> =
        left.entries().unwrap().map(|entry| entry.unwrap().path().unwrap().display().to_string()).collect();
    assert_eq!(names, ["./"]);
    let disk = all_below(state).into_iter().find(|(path, _)| path.ends_with("copy.img")).unwrap().0;
    let held = std::fs::File::open(disk).unwrap();
    rustix::fs::flock(&held, rustix::fs::FlockOperation::NonBlockingLockExclusive).unwrap();
    assert!(import("copy", &whole).starts_with("error: the volume `copy` is in use: machine `box` (process "));
    let output = verb(&["export", "copy"]).stdin(Stdio::null()).output().unwrap();
    assert_eq!((output.status.code(), &output.stdout[..]), (Some(125), &b""[..]));
    let told = String::from_utf8(output.stderr).unwrap();
    assert!(told.starts_with("error: the volume `copy` is in use: machine `box` (process "), "{told}");
}

#[test]
fn a_volume_is_listed_copied_and_removed() {
    let Some(_turn) = machines() else { return };
    let file = r#"name: acme
volumes: { data: { size: 64MiB }, copy: , other: , small: { size: 16MiB } }
machines: { box: { cpus: 1, memory: 256MiB, mounts: ["data:/data", "copy:/copy", "other:/other:ro"] } }
steps:
  - id: make
    run: |
      mkdir /data/deep; echo text > /data/deep/file; chown 33:7 /data/deep/file; chmod 4755 /data/deep/file
      ln -s nowhere /data/link; truncate -s 30M /data/hole
      dd if=/dev/urandom of=/data/random bs=1M count=20 2>/dev/null; ls -A /other; stat -c '%a %u' /other
  - id: look
    run: |
      stat -c '%a %u:%g %s %n' /copy/deep/file /copy/hole; readlink /copy/link; cat /copy/deep/file; stat -c %a /copy
"#;
    let case = project(file);
    let verb = |words: &[&str]| {
        let mut command = Command::new(case.command().get_program());
        let like = case.command();
        command.args(["volumes"]).args(words).current_dir(like.get_current_dir().unwrap());
        for (name, value) in like.get_envs() {
            match value {
                Some(value) => command.env(name, value),
                None => command.env_remove(name),
            };
        }
        command
    };
    let said = |words: &[&str]| {
        let output = verb(words).stdin(Stdio::null()).output().unwrap();
        (output.status.code(), String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap())
    };
    let (_, list, _) = said(&["ls"]);
    assert!(list.contains("data    64.0 MiB  0 B   not made yet\n"), "{list}");
    let (code, _, told) = said(&["export", "data"]);
    assert_eq!(code, Some(125), "{told}");
    assert_eq!(told, "error: there is nothing in the volume `data`: no machine has used it yet\n");
    let mut make = case.command();
    make.arg("make");
    // One that nobody has written yet is empty for who reads it.
    assert_eq!(Ran::of(make).passed().stdout("make"), "1777 0\n");
    let archive = case.project().join("data.tar");
    let out = std::fs::File::create(&archive).unwrap();
    let exported = verb(&["export", "data"]).stdin(Stdio::null()).stdout(out).output().unwrap();
    assert!(exported.status.success(), "{exported:?}");
    assert!(std::fs::metadata(&archive).unwrap().len() < 21 << 20);
    refused(&verb, &archive, &case.project().parent().unwrap().join("state"));
    let imported = verb(&["import", "copy"]).stdin(std::fs::File::open(&archive).unwrap()).output().unwrap();
    assert!(imported.status.success(), "{imported:?}");
    let mut look = case.command();
    look.args(["look", "--keep-going"]);
    let file = file.replace("  - id: look", "  - id: look\n    needs: []");
    let case = case.file("smolvm.yaml", file);
    let ran = Ran::of(look).passed();
    let expected = "4755 33:7 5 /copy/deep/file\n644 0:0 31457280 /copy/hole\nnowhere\ntext\n1777\n";
    assert_eq!(ran.stdout("look"), expected, "{}", ran.told());
    drop(case);
}

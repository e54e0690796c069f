//! The disks of machines, in real ones: `/workspace` and volumes.

use crate::events::Ran;
use crate::invoker::Invoker;
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
        let rest = "from the host\n1777 0 /workspace\n644 33 /workspace/kept\next2/ext3\nin\nkept\nmemory\n";
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
        let Ok(checked) = std::process::Command::new("e2fsck").args(["-f", "-n"]).arg(&path).output() else { return };
        assert!(checked.status.success(), "{}: {checked:?}", path.display());
    }
}

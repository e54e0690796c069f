//! A volume whose machine was killed, read by others before anybody writes it again.

use rustix::process::Signal;

use crate::running::signal;
use crate::support::{all_below, machines};
use crate::world::{World, as_everyone};

const FILE: &str = r#"name: acme
volumes: { data: { size: 64MiB } }
machines:
  writer: { cpus: 1, memory: 256MiB, workspace: false, mounts: ["data:/data"] }
  one: { cpus: 1, memory: 256MiB, workspace: false, mounts: ["data:/data:ro"] }
  two: { cpus: 1, memory: 256MiB, workspace: false, mounts: ["data:/data:ro"] }
steps:
  - id: write
    machine: writer
    run: mkdir /data/deep; echo synced > /data/deep/file; sync; echo written; sleep 600
  - id: one
    machine: one
    needs: []
    run: |
      cat /data/deep/file
      device=$(findmnt -no SOURCE /data); dd if=/dev/zero of=$device bs=1M count=32 oflag=direct 2>/dev/null || true
      ! touch /data/own 2>/dev/null; sleep 1
  - { id: two, machine: two, needs: [], run: sleep 1; cat /data/deep/file }
"#;

#[test]
fn a_volume_of_a_machine_that_was_killed_is_read_by_several_and_changed_by_none() {
    let Some(_turn) = machines() else { return };
    as_everyone(|who| {
        let world = World::new(who);
        world.write("project/smolvm.yaml", FILE);
        let mut run = world.up(&["write"]);
        run.until_output("written\n");
        let [qemu] = run.processes("guest=writer")[..] else { panic!("no QEMU, or several") };
        signal(qemu, Signal::KILL);
        assert_eq!(run.finish().end("write").0, "failed");

        let found = all_below(&world.place("state")).into_iter().find(|(path, _)| path.ends_with("volumes/data.img"));
        let (file, _) = found.expect("the volume was made");
        let before = std::fs::read(&file).unwrap();
        assert!(before[1024 + 0x60] & 4 != 0, "the journal is to be played back");
        let ran = world.up(&["one", "two"]).finish().passed();
        assert_eq!([ran.stdout("one"), ran.stdout("two")], ["synced\n", "synced\n"], "{who:?}");
        let exported = world.command(&["volumes", "export", "data"]).output().unwrap();
        let is_there = exported.stdout.windows(7).any(|bytes| bytes == b"synced\n");
        assert!(exported.status.success() && is_there, "{who:?}: {}", String::from_utf8_lossy(&exported.stderr));
        assert!(std::fs::read(&file).unwrap() == before, "{who:?}: nothing that a reader does is on the host");
    });
}

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

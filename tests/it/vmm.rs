//! The process that runs a guest, as the host's kernel tells of it while a step runs.

use std::fs;

use crate::invoker::Invoker;
use crate::running::{Live, status_number};
use crate::support::{Case, machines};

const FILE: &str = "name: acme
machines:
  box: { cpus: 1, memory: 256MiB, mounts: [\"./out:/out\"] }
steps:
  - { id: up, run: \"echo up; until [ -e /out/go ]; do sleep 0.1; done\" }
";

#[test]
fn qemu_has_no_rights_beyond_its_descriptors() {
    let Some(_machines) = machines() else { return };
    for invoker in Invoker::all() {
        let args = ["up", "--accel", "tcg", "--progress", "json"];
        let case = Case::new().file("smolvm.yaml", FILE).folder("out").with_shared_cache().args(args);
        let stage = invoker.stage(case);
        let mut run = Live::start(stage.command());
        run.until_output("up");
        let [qemu] = run.processes("guest=box")[..] else { panic!("no QEMU, or several") };
        let status = |name, radix| status_number(qemu, name, radix);
        assert_eq!(status("CapEff:", 16), Some(0), "{invoker:?}");
        assert_eq!(status("NoNewPrivs:", 10), Some(1), "{invoker:?}");
        assert_eq!(status("Seccomp:", 10), Some(2), "{invoker:?}");
        let nobody = if invoker == Invoker::Ordinary { crate::invoker::ORDINARY } else { 65_534 };
        let uid = if crate::invoker::is_root() { nobody } else { rustix::process::geteuid().as_raw() };
        let told = fs::read_to_string(format!("/proc/{qemu}/status")).unwrap();
        let ids = told.lines().find_map(|line| line.strip_prefix("Uid:")).unwrap();
        assert!(ids.split_whitespace().all(|id| id == uid.to_string()), "{invoker:?}: {ids}");
        if crate::invoker::is_root() {
            for fd in fs::read_dir(format!("/proc/{qemu}/fd")).unwrap() {
                let target = fs::read_link(fd.unwrap().path()).unwrap_or_default();
                let name = target.to_string_lossy();
                let is_known = ["socket:", "pipe:", "anon_inode:", "/memfd:", "/dev/null"].iter();
                assert!(is_known.clone().any(|kind| name.starts_with(kind)) || name.contains("smolvm"), "{name}");
            }
        }
        fs::write(stage.project().join("out/go"), "").unwrap();
        run.finish().passed();
    }
}

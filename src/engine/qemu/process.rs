//! Starts one QEMU a machine and holds it.

use std::io::{self, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, sync_channel};
use std::thread;

use super::args;
use super::confine;
use super::qmp;
use super::watch::Watch;
use crate::engine::{Engine, EngineError, Vm, VmEvent, VmSpec};
use crate::sys::child::{Child, ChildSpec, ChildStdio, spawn};
use crate::sys::tsc::TscWatch;

/// Events that wait for their receiver; then the guest's console waits too.
const EVENTS_MAX: usize = 64;

/// What is known of a QEMU.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QemuFacts {
    /// The program, `qemu-system-x86_64`.
    pub program: PathBuf,
}

/// Runs VMs with QEMU.
#[derive(Debug)]
pub struct QemuEngine {
    facts: QemuFacts,
    tsc: TscWatch,
}

impl QemuEngine {
    /// An engine with this QEMU. Make it early: it measures a frequency until the first start.
    pub fn new(facts: QemuFacts) -> Self {
        Self { facts, tsc: TscWatch::start() }
    }
}

impl Engine for QemuEngine {
    fn name(&self) -> &'static str {
        "qemu"
    }

    fn start(&self, spec: VmSpec) -> Result<(Box<dyn Vm>, Receiver<VmEvent>), EngineError> {
        let machine = spec.name.clone();
        let prepare = |what| {
            let machine = machine.clone();
            move |source| EngineError::Prepare { what, machine, source }
        };
        let identity = confine::identity(spec.accel);
        let open = |path: &Path| confine::open_boot_file(path, identity.as_ref());
        let kernel = open(&spec.kernel).map_err(prepare("its kernel"))?;
        let initramfs = open(&spec.initramfs).map_err(prepare("its initramfs"))?;
        let (mut qmp, qmp_theirs) = UnixStream::pair().map_err(prepare("its control socket"))?;
        qmp.write_all(qmp::HELLO).map_err(prepare("its control socket"))?;
        let (console, console_theirs) = UnixStream::pair().map_err(prepare("its console"))?;
        let (last_words, stderr) = io::pipe().map_err(prepare("its messages"))?;

        let mut child = ChildSpec::new(&self.facts.program);
        child.args = args::args(&spec, self.tsc.khz());
        // Nothing of our environment is QEMU's business, but a wrapper script around it may need programs.
        child.env = Some(std::env::var_os("PATH").map(|path| ("PATH".into(), path)).into_iter().collect());
        child.stderr = ChildStdio::Fd(stderr.into());
        child.identity = identity;
        child.domain =
            confine::domain(&self.facts.program, [&kernel, &initramfs]).map_err(prepare("its confinement"))?;
        child.fds = vec![
            (qmp_theirs.into(), args::QMP_FD),
            (console_theirs.into(), args::CONSOLE_FD),
            (kernel, args::KERNEL_FD),
            (initramfs, args::INITRAMFS_FD),
            (spec.vsock, args::VSOCK_FD),
        ];
        let shares = spec.shares.into_iter().map(|share| share.socket);
        let disks = spec.disks.into_iter().map(|disk| disk.socket);
        child.fds.extend(shares.chain(disks).zip(args::FIRST_SHARE_FD..));
        let program = self.facts.program.clone();
        let child = Arc::new(spawn(child).map_err(|source| EngineError::Spawn { program, source })?);

        let vm = QemuVm { child: Arc::clone(&child), is_killed: Arc::default() };
        let (sender, receiver) = sync_channel(EVENTS_MAX);
        let watch = Watch::new(console, qmp, last_words, child, Arc::clone(&vm.is_killed), sender);
        let thread = thread::Builder::new().name("qemu".into()).spawn(move || watch.run());
        thread.map_err(prepare("its watcher"))?;
        Ok((Box::new(vm), receiver))
    }
}

/// A machine in a QEMU.
#[derive(Debug)]
struct QemuVm {
    child: Arc<Child>,
    is_killed: Arc<AtomicBool>,
}

impl Vm for QemuVm {
    fn kill(&self) {
        self.is_killed.store(true, Ordering::Release);
        self.child.kill();
    }

    fn pid(&self) -> Option<u32> {
        Some(self.child.pid())
    }
}

impl Drop for QemuVm {
    fn drop(&mut self) {
        self.kill();
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt;
    use std::time::Duration;

    use tempfile::TempDir;

    use super::*;
    use crate::engine::{Accel, ShareSocket, VmExit};

    const LIMIT: Duration = Duration::from_secs(20);

    /// A folder with a program in QEMU's place, and boot files that only we may read.
    fn stage(script: &str) -> TempDir {
        let dir = tempfile::tempdir().unwrap();
        let path = |name: &str, text: String, mode| {
            fs::write(dir.path().join(name), text).unwrap();
            fs::set_permissions(dir.path().join(name), fs::Permissions::from_mode(mode)).unwrap();
        };
        fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o755)).unwrap();
        path("qemu", format!("#!/bin/sh\n{script}\n"), 0o755);
        path("kernel", "kernel".into(), 0o600);
        path("initramfs", "initramfs".into(), 0o600);
        dir
    }

    fn start(dir: &TempDir) -> Result<(Box<dyn Vm>, Receiver<VmEvent>), EngineError> {
        let facts = QemuFacts { program: dir.path().join("qemu") };
        let socket = || UnixStream::pair().unwrap().0.into();
        QemuEngine::new(facts).start(VmSpec {
            name: "build".into(),
            cpus: 1,
            memory_mib: 128,
            kernel: dir.path().join("kernel"),
            initramfs: dir.path().join("initramfs"),
            cmdline: "quiet".into(),
            shares: vec![ShareSocket { tag: "root".into(), socket: socket() }],
            disks: Vec::new(),
            vsock: socket(),
            accel: Accel::Tcg,
        })
    }

    fn follow(events: &Receiver<VmEvent>) -> (String, VmExit) {
        let mut console = Vec::new();
        loop {
            match events.recv_timeout(LIMIT).unwrap() {
                VmEvent::Console(bytes) => console.extend(bytes),
                VmEvent::Exited(exit) => return (String::from_utf8(console).unwrap(), exit),
            }
        }
    }

    fn play(script: &str) -> (String, VmExit) {
        let dir = stage(script);
        let (_vm, events) = start(&dir).unwrap();
        follow(&events)
    }

    const OFF: &str = r#"echo '{"event":"SHUTDOWN","data":{"guest":true,"reason":"guest-shutdown"}}' >&3"#;
    const RESET: &str = r#"echo '{"event":"SHUTDOWN","data":{"guest":true,"reason":"guest-reset"}}' >&3"#;

    #[test]
    fn console_is_handed_on_before_the_end() {
        assert_eq!(play(&format!("printf hello >&4; {OFF}")), ("hello".into(), VmExit::PoweredOff));
    }

    #[test]
    fn reset_with_and_without_a_panic() {
        assert_eq!(play(RESET).1, VmExit::Rebooted);
        let panic = "Kernel panic - not syncing: VFS: Unable to mount root fs";
        assert_eq!(play(&format!("echo '[ 1.0] {panic}' >&4; {RESET}")).1, VmExit::Panicked(panic.into()));
    }

    #[test]
    fn failure_is_told_with_its_words() {
        let exit = play("echo 'qemu: no such device' >&2; exit 3").1;
        assert_eq!(exit, VmExit::EngineFailed("qemu exited with code 3: qemu: no such device".into()));
    }

    #[test]
    fn descriptors_are_where_the_arguments_say_whoever_qemu_runs_as() {
        let (text, exit) = play(&format!(
            "read hello <&3; cat /proc/self/fd/5 /proc/self/fd/6 >&4; readlink /proc/self/fd/7 /proc/self/fd/8 >&4; \
             echo \"$hello\" >&4; env >&4; {OFF}"
        ));
        assert_eq!(exit, VmExit::PoweredOff);
        assert!(text.starts_with("kernelinitramfssocket:["), "{text}");
        assert_eq!(text.matches("socket:[").count(), 2, "{text}");
        assert!(text.contains("{\"execute\":\"qmp_capabilities\"}") && !text.contains("HOME="), "{text}");
    }

    #[test]
    fn killed_machine_says_so() {
        let dir = stage("exec sleep 1000");
        let (vm, events) = start(&dir).unwrap();
        vm.kill();
        assert_eq!(follow(&events).1, VmExit::Killed);
        vm.kill();
    }

    #[test]
    fn dropped_machine_is_killed() {
        let dir = stage("exec sleep 1000");
        let (vm, events) = start(&dir).unwrap();
        drop(vm);
        assert_eq!(follow(&events).1, VmExit::Killed);
    }

    #[test]
    fn console_that_nobody_reads_waits_in_bounded_memory() {
        let dir = stage("echo x >&4; exec yes >&4");
        let (vm, events) = start(&dir).unwrap();
        let VmEvent::Console(_) = events.recv_timeout(LIMIT).unwrap() else { panic!("no console") };
        vm.kill();
        let (console, exit) = follow(&events);
        assert_eq!(exit, VmExit::Killed);
        assert!(console.len() <= (EVENTS_MAX + 64) * 16 * 1024, "{}", console.len());
    }

    #[test]
    fn program_that_is_not_there_is_named() {
        let dir = stage("");
        fs::remove_file(dir.path().join("qemu")).unwrap();
        let error = start(&dir).unwrap_err();
        assert_eq!(error.to_string(), format!("cannot run `{}`", dir.path().join("qemu").display()));
        fs::remove_file(dir.path().join("kernel")).unwrap();
        assert_eq!(start(&dir).unwrap_err().to_string(), "cannot prepare its kernel for machine `build`");
    }
}

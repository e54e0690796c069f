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
        child.fds = vec![
            (qmp_theirs.into(), args::QMP_FD),
            (console_theirs.into(), args::CONSOLE_FD),
            (kernel, args::KERNEL_FD),
            (initramfs, args::INITRAMFS_FD),
            (spec.vsock, args::VSOCK_FD),
        ];
        child.fds.extend(spec.shares.into_iter().map(|share| share.socket).zip(args::FIRST_SHARE_FD..));
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

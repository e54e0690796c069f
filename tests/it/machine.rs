//! A machine for tests: kernel, shares and vsock of our own, QEMU's emulator, and a session with the agent.

use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::MetadataExt;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, SystemTime};

use smolvm::engine::qemu::{QemuEngine, QemuFacts};
use smolvm::engine::{Accel, DiskSocket, Engine, ShareSocket, Vm, VmEvent, VmExit, VmSpec};
use smolvm::guest::{
    AGENT, Bytes, Claim, Command, Dial, Exec, ExitStatus, Session, SessionEvent, SessionLimits, Setup, SetupError,
    SetupMount, SetupMountKind, SetupRoot, Stream,
};
use smolvm::image::initramfs;
use smolvm::image::kernel::{self, KernelRequest};
use smolvm::share::{Makers, Rights, ShareCache, ShareHandle, ShareSpec, ShareTree, spawn_share_from};
use smolvm::virtio::block::{DiskContent, DiskHandle, DiskSegment, DiskSpec, spawn_disk_from};
use smolvm::virtio::vsock::{self, VsockBackend, VsockHandle};
use tokio::sync::mpsc::Receiver;

/// Longest that a test waits for anything.
pub(crate) const LIMIT: Duration = Duration::from_secs(90);

struct Dialer(VsockHandle);

impl Dial for Dialer {
    fn dial(&self, port: u32) -> io::Result<UnixStream> {
        self.0.dial(port)
    }

    fn join(&self, port: u32, opening: &[u8], stream: OwnedFd, claim: Claim) -> io::Result<()> {
        self.0.join(port, opening.to_vec(), stream, vsock::Claim { by: claim.by, among: claim.among })
    }
}

/// A mount of a test: folder, target, whether it is read-only.
pub(crate) fn mount(tag: &str, folder: &Path, target: &str, is_read_only: bool) -> (SetupMount, ShareTree) {
    let mount = SetupMount {
        target: target.into(),
        is_created_in_share: false,
        kind: SetupMountKind::Folder { tag: tag.into(), is_read_only, inode: Some(folder.metadata().unwrap().ino()) },
    };
    (mount, ShareTree::Folder { path: folder.to_owned(), is_read_only, cache: ShareCache::Auto })
}

/// What a machine of a test has as its image.
pub(crate) enum Root {
    /// What a file server shows.
    Share(ShareTree),
    /// An erofs disk of these segments.
    Disk(Vec<DiskSegment>),
}

/// What a command did.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Outcome {
    pub(crate) status: ExitStatus,
    pub(crate) is_out_of_memory: bool,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

/// A machine whose agent answers.
pub(crate) struct Machine {
    pub(crate) session: Session,
    pub(crate) events: Receiver<SessionEvent>,
    pub(crate) shares: Vec<ShareHandle>,
    _disk: Option<DiskHandle>,
    pub(crate) log: Vec<u8>,
    root: SetupRoot,
    mounts: Vec<SetupMount>,
    _vm: Box<dyn Vm>,
    exit: thread::JoinHandle<VmExit>,
    console: Arc<Mutex<String>>,
    next: u64,
}

impl Machine {
    /// Boots with the root of this computer and these mounts; the setup is still to be made.
    pub(crate) async fn boot(memory_mib: u64, mounts: Vec<(SetupMount, ShareTree)>) -> Self {
        Self::boot_from(Root::Share(ShareTree::HostRoot), memory_mib, mounts).await
    }

    /// Boots with this root and these mounts; the setup is still to be made.
    pub(crate) async fn boot_from(root: Root, memory_mib: u64, mounts: Vec<(SetupMount, ShareTree)>) -> Self {
        let cache = cache();
        let (request, modules) = match std::env::var_os("SMOLVM_TEST_KERNEL") {
            Some(path) => (KernelRequest::Path(path.into()), None),
            None => (KernelRequest::Auto, None),
        };
        let kernel = kernel::resolve(&request, modules, &cache, &mut |_: &str| {}).unwrap();
        let more = if matches!(root, Root::Disk(_)) { &initramfs::DISK_ROOT_MODULES[..] } else { &[] };
        let initramfs = initramfs::build(&kernel, AGENT, more, &cache).unwrap();
        let mut sockets = Vec::new();
        let mut shares = Vec::new();
        let mut declared = Vec::new();
        let (root, disk, disks) = match root {
            Root::Share(tree) => {
                share("root", tree, &mut shares, &mut sockets);
                (SetupRoot::Share { tag: "root".into() }, None, Vec::new())
            }
            Root::Disk(segments) => {
                let spec = DiskSpec { serial: "root".into(), content: DiskContent::Fixed(segments) };
                let program = Path::new(env!("CARGO_BIN_EXE_smolvm"));
                let (handle, socket) = spawn_disk_from(program, spec, Box::new(|_: String| {}), None).unwrap();
                (SetupRoot::Erofs { serial: "root".into() }, Some(handle), vec![DiskSocket { socket }])
            }
        };
        for (mount, tree) in mounts {
            share(mount.tag().unwrap(), tree, &mut shares, &mut sockets);
            declared.push(mount);
        }
        let (vsock, front) = VsockBackend::spawn(3).unwrap();
        let console = Arc::new(Mutex::new(String::new()));
        let spec = VmSpec {
            name: "box".into(),
            cpus: 1,
            memory_mib,
            kernel: kernel.boot_file,
            initramfs,
            cmdline: "quiet panic=-1 reboot=a".into(),
            shares: sockets,
            disks,
            vsock: front,
            accel: Accel::Tcg,
        };
        let (vm, exit) = start(spec, &console);
        let limits = SessionLimits { connect: LIMIT, heartbeat: Duration::from_secs(30) };
        let opened = Session::open(Arc::new(Dialer(vsock)), limits).await;
        let (session, events) = opened.unwrap_or_else(|error| panic!("{error}\n{}", console.lock().unwrap()));
        let log = Vec::new();
        Self { session, events, shares, _disk: disk, log, root, mounts: declared, _vm: vm, exit, console, next: 1 }
    }

    /// Makes the machine ready.
    pub(crate) async fn set_up(&self) -> Result<(), SetupError> {
        let clock = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap();
        let setup = Setup {
            hostname: "box".into(),
            clock_unix_ns: u64::try_from(clock.as_nanos()).unwrap(),
            entropy: Bytes(vec![7; 64]),
            links: Vec::new(),
            root: self.root.clone(),
            network: None,
        };
        self.session.setup(setup).await?;
        self.session.mount(self.mounts.clone()).await
    }

    /// A booted machine that is ready.
    pub(crate) async fn ready(memory_mib: u64, mounts: Vec<(SetupMount, ShareTree)>) -> Self {
        Self::ready_from(Root::Share(ShareTree::HostRoot), memory_mib, mounts).await
    }

    /// A booted machine with this root that is ready.
    pub(crate) async fn ready_from(root: Root, memory_mib: u64, mounts: Vec<(SetupMount, ShareTree)>) -> Self {
        let machine = Self::boot_from(root, memory_mib, mounts).await;
        if let Err(error) = machine.set_up().await {
            panic!("{error}\n{}", machine.console());
        }
        machine
    }

    pub(crate) fn console(&self) -> String {
        self.console.lock().unwrap().clone()
    }

    /// A command as root in a shell.
    pub(crate) fn script(&mut self, text: &str) -> Exec {
        self.next += 1;
        Exec {
            id: self.next,
            command: Command::Script {
                name: format!("step-{}", self.next),
                text: text.into(),
                shell: vec!["sh".into(), "-eu".into()],
            },
            env: Vec::new(),
            working_dir: None,
            is_working_dir_made: false,
            user: "root".into(),
            streams: None,
        }
    }

    /// Runs a command to its end.
    pub(crate) async fn run(&mut self, exec: Exec) -> Outcome {
        let id = exec.id;
        match tokio::time::timeout(LIMIT, self.session.exec(exec)).await {
            Ok(started) => started.unwrap(),
            Err(_) => panic!("a command does not start\n{}", self.console()),
        }
        self.outcome(id).await
    }

    /// Runs a script as root that must end well, and gives what it printed.
    pub(crate) async fn sh(&mut self, text: &str) -> String {
        let exec = self.script(text);
        let outcome = self.run(exec).await;
        assert_eq!(outcome.status, ExitStatus::Code(0), "{text}: {outcome:?}\n{}", self.console());
        outcome.stdout
    }

    /// Waits for the end of a command.
    pub(crate) async fn outcome(&mut self, id: u64) -> Outcome {
        let (mut stdout, mut stderr) = (Vec::new(), Vec::new());
        loop {
            match self.event().await {
                SessionEvent::Output { exec, stream, bytes } if exec == id => match stream {
                    Stream::Stdout => stdout.extend(bytes),
                    Stream::Stderr => stderr.extend(bytes),
                },
                SessionEvent::Exited { exec, status, is_out_of_memory } if exec == id => {
                    let [stdout, stderr] = [stdout, stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
                    return Outcome { status, is_out_of_memory, stdout, stderr };
                }
                SessionEvent::Log { bytes } => self.log.extend(bytes),
                other => panic!("{other:?}\n{}", self.console()),
            }
        }
    }

    /// The next event.
    pub(crate) async fn event(&mut self) -> SessionEvent {
        match tokio::time::timeout(LIMIT, self.events.recv()).await {
            Ok(Some(event)) => event,
            other => panic!("no event: {other:?}\n{}", self.console()),
        }
    }

    /// Powers off and waits until the machine has ended; gives how.
    pub(crate) async fn power_off(mut self) -> VmExit {
        self.session.shutdown(Duration::from_secs(2)).await.unwrap();
        while !matches!(self.event().await, SessionEvent::Closed { .. }) {}
        self.exit().await
    }

    /// Gives the session up and waits until the machine has ended.
    pub(crate) async fn drop_session(self) -> VmExit {
        let Self { session, events, exit, _vm, .. } = self;
        drop((session, events));
        let waited = tokio::task::spawn_blocking(move || exit.join().unwrap());
        tokio::time::timeout(LIMIT, waited).await.expect("the machine ends").unwrap()
    }

    /// Waits until the machine has ended; gives how.
    pub(crate) async fn exit(self) -> VmExit {
        let Self { exit, _vm, .. } = self;
        let waited = tokio::task::spawn_blocking(move || exit.join().unwrap());
        tokio::time::timeout(LIMIT, waited).await.expect("the machine ends").unwrap()
    }
}

/// Where kernels and initial file systems of tests are kept.
fn cache() -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).join("cache")
}

fn share(tag: &str, tree: ShareTree, shares: &mut Vec<ShareHandle>, sockets: &mut Vec<ShareSocket>) {
    let rights = Rights {
        uid: rustix::process::geteuid().as_raw(),
        gid: rustix::process::getegid().as_raw(),
        groups: rustix::process::getgroups().unwrap().iter().map(|gid| gid.as_raw()).collect(),
    };
    let spec = ShareSpec { tag: tag.into(), tree, rights, makers: Makers::Owner };
    let on_death = Box::new(|_: String| {});
    let (handle, socket) = spawn_share_from(Path::new(env!("CARGO_BIN_EXE_smolvm")), spec, on_death).unwrap();
    shares.push(handle);
    sockets.push(ShareSocket { tag: tag.into(), socket });
}

/// Starts the emulator; what the console says and how the machine ends is collected on a thread.
fn start(spec: VmSpec, console: &Arc<Mutex<String>>) -> (Box<dyn Vm>, thread::JoinHandle<VmExit>) {
    let facts = QemuFacts { program: "qemu-system-x86_64".into() };
    let (vm, events) = QemuEngine::new(facts).start(spec).unwrap();
    let console = Arc::clone(console);
    let exit = thread::spawn(move || {
        loop {
            match events.recv().unwrap() {
                VmEvent::Console(bytes) => console.lock().unwrap().push_str(&String::from_utf8_lossy(&bytes)),
                VmEvent::Exited(exit) => {
                    // For whoever waits for the agent meanwhile.
                    console.lock().unwrap().push_str(&format!("the machine has ended: {exit:?}"));
                    return exit;
                }
            }
        }
    });
    (vm, exit)
}

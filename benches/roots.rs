//! Measures the forms of a root file system in a machine: the same tree as a folder of the host (`image: dir:`), as our
//! file server shows an image, and as an erofs disk.
//!
//! ```text
//! smolvm-roots FOLDER [ROUNDS]      FOLDER: an unpacked root file system with a shell, find, tar and python3
//! ```
//!
//! `make bench` does not run it, since it needs such a folder: `cargo bench --bench roots -- FOLDER`. Each round boots a fresh
//! machine a form and runs the rows in it, one after the other; the rounds are interleaved. Prints medians in
//! milliseconds. The accelerator is TCG unless `SMOLVM_ACCEL=kvm`.
#![expect(clippy::print_stdout, reason = "the numbers are what it is for")]
#![expect(clippy::cast_possible_truncation, reason = "numbers of a small tree")]

use std::collections::{BTreeMap, HashMap};
use std::fs::{self, File};
use std::io::{self, Write};
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use smolvm::engine::qemu::{QemuEngine, QemuFacts};
use smolvm::engine::{Accel, DiskSocket, Engine, ShareSocket, VmSpec};
use smolvm::guest::{
    AGENT, Bytes, Claim, Command, Dial, Exec, ExitStatus, Session, SessionEvent, SessionLimits, Setup, SetupRoot,
};
use smolvm::image::kernel::{self, Kernel, KernelRequest};
use smolvm::image::{disk_metadata, initramfs};
use smolvm::rootfs::{Attributes, Extent, Inode, InodeKind, RootTree};
use smolvm::share::{Makers, Rights, ShareHandle, ShareSpec, ShareTree, spawn_share_from};
use smolvm::virtio::block::{DiskContent, DiskHandle, DiskSegment, DiskSpec, spawn_disk_from};
use smolvm::virtio::vsock::{self, VsockBackend, VsockHandle};

const LIMIT: Duration = Duration::from_secs(60);

/// What is timed in each machine, in this order.
const ROWS: [(&str, &str); 6] = [
    ("true", "true"),
    ("python3, cold", "python3 -c 'print(1)'"),
    ("python3, again", "python3 -c 'print(1)'"),
    ("find / -xdev", "find / -xdev | wc -l"),
    ("find / -xdev, again", "find / -xdev | wc -l"),
    ("tar c /", "tar --one-file-system -cf - / 2>/dev/null | wc -c"),
];

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Form {
    Folder,
    Image,
    Erofs,
}

struct Dialer(VsockHandle);

impl Dial for Dialer {
    fn dial(&self, port: u32) -> io::Result<UnixStream> {
        self.0.dial(port)
    }

    fn join(&self, port: u32, opening: &[u8], stream: std::os::fd::OwnedFd, claim: Claim) -> io::Result<()> {
        self.0.join(port, opening.to_vec(), stream, vsock::Claim { by: claim.by, among: claim.among })
    }
}

/// The root in all its forms.
struct Bench {
    folder: PathBuf,
    tree: PathBuf,
    pack: PathBuf,
    kernel: Kernel,
    cache: PathBuf,
    accel: Accel,
}

fn main() {
    let mut words = std::env::args().skip(1).filter(|word| !word.starts_with('-'));
    let Some(folder) = words.next() else { return println!("roots: no folder is named, nothing is measured") };
    let rounds = words.next().and_then(|word| word.parse().ok()).unwrap_or(3);
    let bench = Bench::new(Path::new(&folder));
    let mut times: BTreeMap<(Form, &str), Vec<f64>> = BTreeMap::new();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    let runtime = runtime.expect("threads are to be had");
    for _ in 0..rounds {
        for form in [Form::Folder, Form::Image, Form::Erofs] {
            for (row, time) in runtime.block_on(bench.round(form)) {
                times.entry((form, row)).or_default().push(time);
            }
        }
    }
    let names = ["boot"].into_iter().chain(ROWS.map(|(name, _)| name));
    println!("{:22} {:>9} {:>9} {:>9}", "ms", "folder", "image", "erofs");
    for name in names {
        let median = |form| {
            let mut all = times[&(form, name)].clone();
            all.sort_by(f64::total_cmp);
            all[all.len() / 2]
        };
        let [folder, image, erofs] = [Form::Folder, Form::Image, Form::Erofs].map(median);
        println!("{name:22} {folder:9.0} {image:9.0} {erofs:9.0}");
    }
}

impl Bench {
    fn new(folder: &Path) -> Self {
        let cache = Path::new(env!("CARGO_TARGET_TMPDIR")).join("bench-roots");
        let images = cache.join("images");
        for name in ["roots", "partial"] {
            fs::create_dir_all(images.join(name)).expect("the build's folder can be written");
        }
        let (tree, pack) = (images.join("roots/0"), images.join("pack"));
        let start = Instant::now();
        let read = Packer::new(&pack).pack(folder).expect("the folder can be read");
        fs::write(&tree, read.encode()).expect("the build's folder can be written");
        let length = fs::metadata(&pack).expect("it was written").len();
        println!("packed: {} inodes, {} MiB, {:?}", read.inodes.len(), length >> 20, start.elapsed());
        let start = Instant::now();
        drop(fs::remove_file(tree.with_extension("erofs")));
        let metadata = disk_metadata(&tree, &[length]).expect("the tree has a form");
        println!("erofs: {} KiB of metadata, made in {:?}", metadata.length >> 10, start.elapsed());
        let start = Instant::now();
        disk_metadata(&tree, &[length]).expect("it was made");
        println!("erofs: found again in {:?}", start.elapsed());
        let kernel = kernel::resolve(&KernelRequest::Auto, None, &cache, &mut |words: &str| println!("{words}"));
        let kernel = kernel.expect("a kernel is to be had");
        println!("kernel: {}", kernel.origin);
        let is_kvm = std::env::var_os("SMOLVM_ACCEL").is_some_and(|accel| accel == "kvm");
        let accel = if is_kvm { Accel::Kvm } else { Accel::Tcg };
        Self { folder: folder.to_owned(), tree, pack, kernel, cache, accel }
    }

    async fn round(&self, form: Form) -> Vec<(&'static str, f64)> {
        let start = Instant::now();
        let root = self.serve(form);
        let (vsock, front) = VsockBackend::spawn(3).expect("a device is to be had");
        let more = if form == Form::Erofs { &initramfs::DISK_ROOT_MODULES[..] } else { &[] };
        let initramfs = initramfs::build(&self.kernel, AGENT, more, &self.cache).expect("the cache can be written");
        let spec = VmSpec {
            name: "bench".into(),
            cpus: 2,
            memory_mib: 1024,
            kernel: self.kernel.boot_file.clone(),
            initramfs,
            cmdline: "quiet panic=-1 reboot=a".into(),
            shares: root.shares,
            disks: root.disks,
            vsock: front,
            accel: self.accel,
        };
        let engine = QemuEngine::new(QemuFacts { program: "qemu-system-x86_64".into() });
        let (_vm, events) = engine.start(spec).expect("QEMU starts");
        std::thread::spawn(move || while events.recv().is_ok() {});
        let limits = SessionLimits { connect: LIMIT, heartbeat: LIMIT };
        let opened = Session::open(Arc::new(Dialer(vsock)), limits).await;
        let (session, mut events) = opened.expect("the machine boots");
        let clock = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).expect("it is later");
        let clock_unix_ns = u64::try_from(clock.as_nanos()).expect("it is not so late");
        let entropy = Bytes(vec![7; 64]);
        let hostname = "bench".into();
        let setup = Setup { hostname, clock_unix_ns, entropy, links: Vec::new(), root: root.setup, network: None };
        session.setup(setup).await.expect("the root is made");
        let mut times = vec![("boot", milliseconds(start))];
        for ((name, script), id) in ROWS.into_iter().zip(1..) {
            let start = Instant::now();
            run(&session, &mut events, id, script).await;
            times.push((name, milliseconds(start)));
        }
        drop((root.share, root.disk));
        times
    }

    fn serve(&self, form: Form) -> Served {
        let program = Path::new(env!("CARGO_BIN_EXE_smolvm"));
        let on_death = Box::new(|how: String| println!("a server died: {how}"));
        let packs = vec![self.pack.clone()];
        let tree = match form {
            Form::Folder => ShareTree::RootFolder { path: self.folder.clone() },
            Form::Image => ShareTree::Image { tree: self.tree.clone(), packs },
            Form::Erofs => {
                let length = fs::metadata(&self.pack).expect("it is there").len();
                let metadata = disk_metadata(&self.tree, &[length]).expect("it was made");
                let pack: OwnedFd = File::open(&self.pack).expect("it is there").into();
                let segments = vec![
                    DiskSegment { file: metadata.file.into(), length: metadata.length },
                    DiskSegment { file: pack, length },
                ];
                let spec = DiskSpec { serial: "root".into(), content: DiskContent::Fixed(segments) };
                let (disk, socket) = spawn_disk_from(program, spec, on_death, None).expect("a process is to be had");
                let setup = SetupRoot::Erofs { serial: "root".into() };
                return Served {
                    shares: Vec::new(),
                    disks: vec![DiskSocket { socket }],
                    setup,
                    share: None,
                    disk: Some(disk),
                };
            }
        };
        let rights = Rights { uid: 0, gid: 0, groups: Vec::new() };
        let spec = ShareSpec { tag: "root".into(), tree, rights, makers: Makers::Owner };
        let (share, socket) = spawn_share_from(program, spec, on_death).expect("a process is to be had");
        let shares = vec![ShareSocket { tag: "root".into(), socket }];
        let setup = SetupRoot::Share { tag: "root".into() };
        Served { shares, disks: Vec::new(), setup, share: Some(share), disk: None }
    }
}

/// A root that is there for a machine.
struct Served {
    shares: Vec<ShareSocket>,
    disks: Vec<DiskSocket>,
    setup: SetupRoot,
    share: Option<ShareHandle>,
    disk: Option<DiskHandle>,
}

fn milliseconds(start: Instant) -> f64 {
    start.elapsed().as_secs_f64() * 1000.0
}

async fn run(session: &Session, events: &mut tokio::sync::mpsc::Receiver<SessionEvent>, id: u64, script: &str) {
    let shell = vec!["sh".into(), "-eu".into()];
    let command = Command::Script { name: format!("row{id}"), text: script.into(), shell };
    let (env, user) = (Vec::new(), "root".into());
    let exec = Exec { id, command, env, working_dir: None, is_working_dir_made: false, user, streams: None };
    session.exec(exec).await.expect("the shell starts");
    loop {
        match events.recv().await {
            Some(SessionEvent::Exited { exec, status, .. }) if exec == id => {
                return assert_eq!(status, ExitStatus::Code(0), "{script}");
            }
            Some(_) => {}
            None => panic!("the machine is gone"),
        }
    }
}

/// A folder becomes a tree and a pack, as layers do.
struct Packer {
    pack: File,
    length: u64,
    inodes: Vec<Inode>,
    /// Of files with several names, by device and number.
    seen: HashMap<(u64, u64), u32>,
}

impl Packer {
    fn new(pack: &Path) -> Self {
        let pack = File::create(pack).expect("the build's folder can be written");
        Self { pack, length: 0, inodes: Vec::new(), seen: HashMap::new() }
    }

    fn pack(mut self, root: &Path) -> io::Result<RootTree> {
        self.folder(root, 0)?;
        Ok(RootTree { inodes: self.inodes, packs: 1 })
    }

    fn folder(&mut self, path: &Path, parent: u32) -> io::Result<u32> {
        let number = self.inodes.len() as u32;
        let attributes = attributes(&fs::symlink_metadata(path)?);
        let none = InodeKind::Folder { parent, entries: Vec::new() };
        self.inodes.push(Inode { kind: none, attributes, links: 2 });
        let mut entries = Vec::new();
        for entry in fs::read_dir(path)? {
            let entry = entry?;
            let is_folder = entry.file_type()?.is_dir();
            let child = if is_folder { self.folder(&entry.path(), number)? } else { self.other(&entry.path())? };
            self.inodes[if is_folder { number } else { child } as usize].links += 1;
            entries.push((entry.file_name().as_bytes().to_vec(), child));
        }
        entries.sort();
        self.inodes[number as usize].kind = InodeKind::Folder { parent, entries };
        Ok(number)
    }

    fn other(&mut self, path: &Path) -> io::Result<u32> {
        let facts = fs::symlink_metadata(path)?;
        let key = (facts.dev(), facts.ino());
        if let Some(number) = self.seen.get(&key) {
            return Ok(*number);
        }
        let device = (rustix::fs::major(facts.rdev()), rustix::fs::minor(facts.rdev()));
        let kind = facts.file_type();
        let kind = if kind.is_symlink() {
            InodeKind::Link { target: fs::read_link(path)?.as_os_str().as_bytes().to_vec() }
        } else if kind.is_char_device() {
            InodeKind::CharDevice { number: device }
        } else if kind.is_block_device() {
            InodeKind::BlockDevice { number: device }
        } else if kind.is_fifo() {
            InodeKind::Fifo
        } else {
            self.file(path)?
        };
        let number = self.inodes.len() as u32;
        self.seen.insert(key, number);
        self.inodes.push(Inode { kind, attributes: attributes(&facts), links: 0 });
        Ok(number)
    }

    fn file(&mut self, path: &Path) -> io::Result<InodeKind> {
        let mut bytes = fs::read(path)?;
        let size = bytes.len() as u64;
        let extent = Extent { file_offset: 0, length: size, pack: 0, pack_offset: self.length };
        bytes.resize(bytes.len().next_multiple_of(4096), 0);
        self.pack.write_all(&bytes)?;
        self.length += bytes.len() as u64;
        Ok(InodeKind::File { size, extents: if size == 0 { Vec::new() } else { vec![extent] } })
    }
}

fn attributes(facts: &fs::Metadata) -> Attributes {
    Attributes {
        mode: (facts.mode() & 0o7777) as u16,
        uid: facts.uid(),
        gid: facts.gid(),
        modified: (facts.mtime(), facts.mtime_nsec() as u32),
        xattrs: Vec::new(),
    }
}

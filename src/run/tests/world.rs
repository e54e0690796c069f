//! A fake engine, a fake provider and a fake agent. The agent speaks the real protocol over sockets; what a command
//! does is said by its first word (see [`Guest::run_command`]).

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, Read, Write};
use std::net::Shutdown;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Barrier, Mutex};
use std::thread;

use smolvm_agent::{
    ANSWER_MAX, Answer, Bytes, CONTROL_PORT, Command, ExitStatus, Failure, FailureKind, GREETING_BYTES, GuestUser,
    Numbered, OUTPUT_PORT, REQUEST_MAX, Reply, Report, Request, SetupPhase, SetupRoot, Stream, decode, encode,
    frame_length, greeting,
};

use crate::engine::{Engine, EngineError, ShareSocket, Vm, VmEvent, VmExit, VmSpec};
use crate::guest::{Claim, Dial};
use crate::plan::{ImageDefaults, MachinePlan};
use crate::run::{Gift, GivenFiles, Prepared, Provide, ProvideError, ProvideHooks, Shares};

/// Everything that the fakes share.
#[derive(Default)]
pub(super) struct World {
    guests: Mutex<HashMap<String, Arc<Guest>>>,
    /// What happened, in order: `boot m`, `set_view 1:1`, `refresh`, `exec 1`, `shutdown`, `kill`, `release`.
    pub(super) log: Mutex<Vec<String>>,
    /// File servers that live.
    pub(super) live_shares: AtomicUsize,
    /// VMs that live.
    pub(super) live_vms: AtomicUsize,
    /// Bytes that commands wrote.
    pub(super) written: AtomicUsize,
    /// Where two commands `meet`.
    meeting: Mutex<Option<Arc<Barrier>>>,
    /// What the image of every machine says.
    pub(super) defaults: Mutex<ImageDefaults>,
}

type Deaths = Arc<dyn Fn(String, String) + Send + Sync>;

/// One fake guest.
pub(super) struct Guest {
    name: String,
    world: Arc<World>,
    is_up: AtomicBool,
    events: Mutex<Option<SyncSender<VmEvent>>>,
    streams: Mutex<Vec<UnixStream>>,
    output: Mutex<Option<UnixStream>>,
    sleeping: Mutex<Option<u64>>,
    share_died: Mutex<Option<Deaths>>,
}

impl World {
    pub(super) fn new() -> Arc<Self> {
        let world = Self::default();
        *world.meeting.lock().unwrap() = Some(Arc::new(Barrier::new(2)));
        Arc::new(world)
    }

    fn guest(self: &Arc<Self>, name: &str) -> Arc<Guest> {
        let new = || Guest {
            name: name.to_owned(),
            world: Arc::clone(self),
            is_up: AtomicBool::new(false),
            events: Mutex::default(),
            streams: Mutex::default(),
            output: Mutex::default(),
            sleeping: Mutex::default(),
            share_died: Mutex::default(),
        };
        Arc::clone(self.guests.lock().unwrap().entry(name.to_owned()).or_insert_with(|| Arc::new(new())))
    }

    fn note(&self, text: impl Into<String>) {
        self.log.lock().unwrap().push(text.into());
    }

    pub(super) fn notes(&self) -> Vec<String> {
        self.log.lock().unwrap().clone()
    }
}

fn null() -> OwnedFd {
    File::open("/dev/null").unwrap().into()
}

/// Prepares every machine but those whose name begins with `unfit`.
pub(super) struct FakeProvider(pub(super) Arc<World>);

impl Provide for FakeProvider {
    fn prepare(&self, machine: &MachinePlan, mut hooks: ProvideHooks) -> Result<Prepared, ProvideError> {
        if machine.name.starts_with("unfit") {
            let message = "this host has no user namespaces".to_owned();
            return Err(ProvideError { message, is_host_unfit: true });
        }
        (hooks.progress)("unpacking the kernel".to_owned());
        let guest = self.0.guest(&machine.name);
        *guest.share_died.lock().unwrap() = Some(Arc::clone(&hooks.share_died));
        self.0.live_shares.fetch_add(1, Ordering::SeqCst);
        Ok(Prepared {
            kernel: "/boot/vmlinux".into(),
            initramfs: "/boot/initramfs".into(),
            cmdline: String::new(),
            sockets: vec![ShareSocket { tag: "root".to_owned(), socket: null() }],
            disks: Vec::new(),
            root: SetupRoot::Share { tag: "root".to_owned() },
            vsock: null(),
            dial: Arc::new(FakeDial(Arc::clone(&guest))),
            network: None,
            shares: Box::new(FakeShares(Arc::clone(&self.0))),
            defaults: self.0.defaults.lock().unwrap().clone(),
        })
    }
}

struct FakeShares(Arc<World>);

impl Shares for FakeShares {
    fn fix_view(&self, tag: &str, uid: u32, gid: u32) -> io::Result<()> {
        self.0.note(format!("fix_view {tag} {uid}:{gid}"));
        Ok(())
    }

    fn set_view(&self, uid: u32, gid: u32) -> io::Result<()> {
        self.0.note(format!("set_view {uid}:{gid}"));
        Ok(())
    }

    fn record(&self) -> io::Result<()> {
        self.0.note("record");
        Ok(())
    }

    fn give(&self, gift: &Gift, goes_on: &dyn Fn() -> bool) -> io::Result<GivenFiles> {
        self.0.note(format!("give {}:{} {:?} {}", gift.uid, gift.gid, gift.outputs, goes_on()));
        Ok(GivenFiles { changed: 3, linked: 0, failure: None })
    }
}

impl Drop for FakeShares {
    fn drop(&mut self) {
        self.0.note("release");
        self.0.live_shares.fetch_sub(1, Ordering::SeqCst);
    }
}

/// Starts every VM but those whose name begins with `broken`.
pub(super) struct FakeEngine(pub(super) Arc<World>);

impl std::fmt::Debug for FakeEngine {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("FakeEngine")
    }
}

impl Engine for FakeEngine {
    fn name(&self) -> &'static str {
        "fake"
    }

    fn start(&self, spec: VmSpec) -> Result<(Box<dyn Vm>, Receiver<VmEvent>), EngineError> {
        if spec.name.starts_with("broken") {
            let source = io::Error::from(io::ErrorKind::NotFound);
            return Err(EngineError::Spawn { program: "fake-vm".into(), source });
        }
        assert_eq!(spec.cmdline, "quiet panic=-1 reboot=a");
        self.0.note(format!("boot {}", spec.name));
        self.0.live_vms.fetch_add(1, Ordering::SeqCst);
        let guest = self.0.guest(&spec.name);
        let (sender, receiver) = sync_channel(16);
        sender.send(VmEvent::Console(b"Linux version 6\n".to_vec())).unwrap();
        if spec.name.starts_with("panics") {
            let line = "Kernel panic - not syncing: VFS";
            sender.send(VmEvent::Console(format!("{line}\n").into_bytes())).unwrap();
            *guest.events.lock().unwrap() = Some(sender);
            guest.end(VmExit::Panicked("VFS".to_owned()));
        } else {
            *guest.events.lock().unwrap() = Some(sender);
            guest.is_up.store(true, Ordering::SeqCst);
        }
        Ok((Box::new(FakeVm(guest)), receiver))
    }
}

struct FakeVm(Arc<Guest>);

impl std::fmt::Debug for FakeVm {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "FakeVm({})", self.0.name)
    }
}

impl Vm for FakeVm {
    fn kill(&self) {
        self.0.world.note("kill");
        self.0.end(VmExit::Killed);
    }

    fn pid(&self) -> Option<u32> {
        None
    }
}

impl Drop for FakeVm {
    fn drop(&mut self) {
        self.0.end(VmExit::Killed);
    }
}

struct FakeDial(Arc<Guest>);

impl Dial for FakeDial {
    fn dial(&self, port: u32) -> io::Result<UnixStream> {
        let (host, guest_end) = UnixStream::pair()?;
        let guest = Arc::clone(&self.0);
        if guest.is_up.load(Ordering::SeqCst) {
            guest.streams.lock().unwrap().push(guest_end.try_clone()?);
            thread::spawn(move || guest.serve(port, guest_end));
        }
        Ok(host)
    }

    fn join(&self, _port: u32, _opening: &[u8], _stream: std::os::fd::OwnedFd, _claim: Claim) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }
}

impl Guest {
    /// The VM ends: once, whoever says so.
    fn end(&self, exit: VmExit) {
        self.is_up.store(false, Ordering::SeqCst);
        let Some(events) = self.events.lock().unwrap().take() else { return };
        for stream in self.streams.lock().unwrap().drain(..) {
            let _ = stream.shutdown(Shutdown::Both);
        }
        self.world.live_vms.fetch_sub(1, Ordering::SeqCst);
        let _ = events.send(VmEvent::Exited(exit));
    }

    fn serve(self: Arc<Self>, port: u32, mut stream: UnixStream) {
        // Held until the host has its greeting, so that nothing is reported before there is a place for it.
        let mut output = (port == OUTPUT_PORT).then(|| self.output.lock().unwrap());
        let mut theirs = [0; GREETING_BYTES];
        if stream.read_exact(&mut theirs).is_err() || stream.write_all(&greeting()).is_err() {
            return;
        }
        if let Some(output) = &mut output {
            **output = Some(stream);
            return;
        }
        drop(output);
        assert_eq!(port, CONTROL_PORT);
        while let Some(Numbered { id, request }) = read_request(&mut stream) {
            let is_shutdown = matches!(request, Request::Shutdown { .. });
            if matches!(&request, Request::Mount { mounts } if mounts.iter().any(|mount| mount.target == "/stuck")) {
                continue;
            }
            let (reply, work) = self.answer(request);
            let answer = encode(&Answer::Reply { id, reply }, ANSWER_MAX).unwrap();
            if stream.write_all(&answer).is_err() {
                return;
            }
            if let Some((exec, words)) = work {
                let guest = Arc::clone(&self);
                thread::spawn(move || guest.run_command(exec, &words));
            }
            if is_shutdown {
                self.end(VmExit::PoweredOff);
            }
        }
    }

    fn answer(&self, request: Request) -> (Reply, Option<(u64, Vec<String>)>) {
        let failed = |kind, message: &str| Reply::Failed(Failure { kind, message: message.to_owned() });
        let reply = match request {
            Request::Setup(_) => Reply::Done,
            Request::Mount { mounts } => match mounts.iter().find(|mount| mount.target.contains("bad")) {
                None => Reply::Done,
                Some(mount) => {
                    let kind = FailureKind::Setup { phase: SetupPhase::Verify, target: Some(mount.target.clone()) };
                    failed(kind, "it is writable")
                }
            },
            Request::ResolveUser { user } => match user.as_str() {
                "root" => Reply::User(user_with(0)),
                "app" => Reply::User(user_with(1000)),
                _ => failed(FailureKind::User, "the image has no user of this name"),
            },
            Request::Ping | Request::Resize { .. } => Reply::Done,
            Request::Stats => Reply::Stats(smolvm_agent::GuestStats { tasks: 3, ..Default::default() }),
            Request::RefreshShares => {
                self.world.note("refresh");
                Reply::Done
            }
            Request::Exec(exec) => {
                let Command::List(words) = exec.command else { panic!("tests give lists") };
                let words: Vec<String> = words.into_iter().map(|word| word.into_string().unwrap()).collect();
                self.world.note(format!("exec {}", words.join(" ")));
                return match words[0].as_str() {
                    "missing" => (failed(FailureKind::NotFound, "there is no program `missing`"), None),
                    _ => (Reply::Done, Some((exec.id, words))),
                };
            }
            Request::Signal { signal, .. } | Request::SignalProcess { signal, .. } => {
                self.world.note(format!("signal {signal}"));
                self.wake(signal);
                Reply::Done
            }
            Request::Terminate { .. } => {
                self.world.note("terminate");
                self.wake(15);
                Reply::Done
            }
            Request::MissingOutputs { patterns } => Reply::Missing(
                (0..).zip(&patterns).filter(|(_, pattern)| pattern.contains("lost")).map(|(place, _)| place).collect(),
            ),
            Request::Shutdown { .. } => {
                self.world.note("shutdown");
                Reply::Done
            }
            Request::EndBackground { .. } => Reply::Done,
        };
        (reply, None)
    }

    fn wake(&self, signal: i32) {
        let sleeping = self.sleeping.lock().unwrap().take();
        if let Some(exec) = sleeping {
            self.report(&Report::Exited { exec, status: ExitStatus::Signal(signal), is_out_of_memory: false });
        }
    }

    fn report(&self, report: &Report) {
        let frame = encode(report, ANSWER_MAX).unwrap();
        // The host connects this port second, but before it asks for anything.
        if let Some(stream) = &mut *self.output.lock().unwrap() {
            let _ = stream.write_all(&frame);
        }
    }

    fn write(&self, exec: u64, bytes: &[u8]) {
        self.report(&Report::Output { exec, stream: Stream::Stdout, bytes: Bytes(bytes.to_vec()) });
        self.world.written.fetch_add(bytes.len(), Ordering::SeqCst);
    }

    fn run_command(&self, exec: u64, words: &[String]) {
        let argument = || words.get(1).cloned().unwrap_or_default();
        let mut code = 0;
        match words[0].as_str() {
            "echo" => self.write(exec, argument().as_bytes()),
            "exit" => code = argument().parse().unwrap(),
            "bytes" => {
                for byte in argument().bytes().chain([0xff, 0xe2, 0x82]) {
                    self.write(exec, &[byte]);
                }
            }
            "flood" => {
                let chunk = vec![b'x'; 64 << 10];
                for _ in 0..argument().parse::<usize>().unwrap() / chunk.len() {
                    self.write(exec, &chunk);
                }
            }
            "meet" => {
                let meeting = self.world.meeting.lock().unwrap().clone().unwrap();
                meeting.wait();
            }
            "sleep" => {
                *self.sleeping.lock().unwrap() = Some(exec);
                self.write(exec, b"asleep\n");
                return;
            }
            "poweroff" => {
                self.write(exec, b"last words\n");
                return self.end(VmExit::PoweredOff);
            }
            "lose-share" => {
                let died = self.share_died.lock().unwrap().clone().unwrap();
                return died("share `share0`".to_owned(), "killed by signal 9".to_owned());
            }
            word => panic!("no command `{word}`"),
        }
        self.report(&Report::Exited { exec, status: ExitStatus::Code(code), is_out_of_memory: false });
    }
}

fn user_with(uid: u32) -> GuestUser {
    GuestUser { name: None, uid, gid: uid, groups: Vec::new(), home: "/".to_owned() }
}

fn read_request(stream: &mut UnixStream) -> Option<Numbered> {
    let mut header = [0; 4];
    stream.read_exact(&mut header).ok()?;
    let mut payload = vec![0; frame_length(header, REQUEST_MAX).ok()?];
    stream.read_exact(&mut payload).ok()?;
    decode(&payload).ok()
}

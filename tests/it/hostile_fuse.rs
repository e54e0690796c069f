//! A guest whose kernel is hostile: it says to a file server what no kernel would, by its own queues. The server answers
//! with errors, or ends by itself with a reason; it never hangs, and never reaches what lies beside the share.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;

use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use smolvm::share::{Makers, Rights, ShareCache, ShareHandle, ShareSpec, ShareTree, spawn_share_from};
use vm_memory::{Bytes, GuestAddress};

use crate::front_end::{BUFFERS, Descriptor, FrontEnd, MEMORY_BYTES, NEXT, Reply, WRITE};

const LOOKUP: u32 = 1;
const GETATTR: u32 = 3;
const SYMLINK: u32 = 6;
const MKNOD: u32 = 8;
const MKDIR: u32 = 9;
const UNLINK: u32 = 10;
const RMDIR: u32 = 11;
const RENAME: u32 = 12;
const LINK: u32 = 13;
const OPEN: u32 = 14;
const READ: u32 = 15;
const WRITE_FILE: u32 = 16;
const RELEASE: u32 = 18;
const SETXATTR: u32 = 21;
const GETXATTR: u32 = 22;
const LISTXATTR: u32 = 23;
const INIT: u32 = 26;
const OPENDIR: u32 = 27;
const READDIR: u32 = 28;
const CREATE: u32 = 35;
const BATCH_FORGET: u32 = 42;
const FALLOCATE: u32 = 43;
const READDIRPLUS: u32 = 44;
const RENAME2: u32 = 45;
const COPY: u32 = 47;

/// Where replies are written.
const REPLY: u64 = BUFFERS + 0x20_0000;
const REPLY_BYTES: u32 = 1 << 20;

/// A server of a folder that lies beside a secret, and a guest of its own.
struct Attack {
    folder: tempfile::TempDir,
    handle: ShareHandle,
    guest: FrontEnd,
    died: Receiver<String>,
    unique: u64,
}

impl Attack {
    fn new(is_file: bool) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        for name in ["share", "share/sub", "beside"] {
            fs::create_dir(at(name)).unwrap();
        }
        for name in ["share/file", "share/sibling", "beside/secret"] {
            fs::write(at(name), name).unwrap();
        }
        symlink("../beside", at("share/out")).unwrap();
        let (share, died) = channel();
        let (handle, guest) = Self::serve(&folder.path().join("share"), is_file, share);
        let mut attack = Self { folder, handle, guest, died, unique: 0 };
        attack.init();
        attack
    }

    fn serve(share: &Path, is_file: bool, died: Sender<String>) -> (ShareHandle, FrontEnd) {
        let (path, is_read_only, cache) = (share.to_owned(), false, ShareCache::Auto);
        let tree = match is_file {
            true => ShareTree::File { path: path.join("file"), is_read_only, cache },
            false => ShareTree::Folder { path, is_read_only, cache },
        };
        let rights = Rights {
            uid: rustix::process::geteuid().as_raw(),
            gid: rustix::process::getegid().as_raw(),
            groups: rustix::process::getgroups().unwrap().iter().map(|gid| gid.as_raw()).collect(),
        };
        let spec = ShareSpec { tag: "share0".into(), tree, rights, makers: Makers::Owner };
        let told = Box::new(move |words| drop(died.send(words)));
        let (handle, socket) = spawn_share_from(Path::new(env!("CARGO_BIN_EXE_smolvm")), spec, told).unwrap();
        (handle, FrontEnd::connect(socket).unwrap())
    }

    fn init(&mut self) {
        let body: Vec<u8> = [7_u32, 38, 0x2_0000, 0].iter().flat_map(|word| word.to_le_bytes()).collect();
        assert_eq!(self.ask(INIT, 0, &body).error(), Some(0));
    }

    /// A message with a right header around a body.
    fn message(&mut self, opcode: u32, node: u64, body: &[u8]) -> Vec<u8> {
        self.unique += 1;
        let mut bytes = u32::try_from(40 + body.len()).unwrap().to_le_bytes().to_vec();
        bytes.extend(opcode.to_le_bytes());
        bytes.extend(self.unique.to_le_bytes());
        bytes.extend(node.to_le_bytes());
        bytes.extend([0; 16]);
        bytes.extend(body);
        bytes
    }

    /// Sends bytes in one descriptor, with room for the reply.
    fn send(&mut self, bytes: &[u8]) -> Answer {
        self.guest.memory.write_slice(bytes, GuestAddress(BUFFERS)).unwrap();
        self.guest.memory.write_slice(&[0xaa; 64], GuestAddress(REPLY)).unwrap();
        let length = u32::try_from(bytes.len()).unwrap();
        self.offer(&[(BUFFERS, length, NEXT, 1), (REPLY, REPLY_BYTES, WRITE, 0)])
    }

    fn offer(&mut self, chain: &[Descriptor]) -> Answer {
        self.guest.describe(chain);
        match self.guest.offer(0) {
            Reply::Ended => Answer { bytes: Err(self.last_words()) },
            Reply::Used(length) => {
                let length = usize::try_from(length).unwrap().min(1 << 20);
                Answer { bytes: Ok(self.guest.read(REPLY, length)) }
            }
        }
    }

    fn ask(&mut self, opcode: u32, node: u64, body: &[u8]) -> Answer {
        let message = self.message(opcode, node, body);
        self.send(&message)
    }

    /// Looks a name up and gives its node.
    fn look_up(&mut self, node: u64, name: &str) -> u64 {
        let answer = self.ask(LOOKUP, node, &text(name));
        assert_eq!(answer.error(), Some(0), "{name}");
        answer.word(16)
    }

    fn open(&mut self, opcode: u32, node: u64, flags: i32) -> u64 {
        let answer = self.ask(opcode, node, &words(&[u64::from(flags.cast_unsigned())]));
        assert_eq!(answer.error(), Some(0));
        answer.word(16)
    }

    /// The server lives, and serves.
    #[track_caller]
    fn assert_well(&mut self) {
        let answer = self.ask(GETATTR, 1, &[0; 16]);
        assert_eq!(answer.error(), Some(0), "{:?}", self.died.try_recv());
        assert!(Path::new(&format!("/proc/{}", self.handle.pid())).exists());
    }

    /// What lies beside the share, which no message may change.
    fn beside(&self) -> BTreeMap<PathBuf, Vec<u8>> {
        let entries = fs::read_dir(self.folder.path().join("beside")).unwrap();
        let files = entries.map(|entry| entry.unwrap().path());
        files.map(|path| (path.clone(), fs::read(path).unwrap())).collect()
    }
}

/// What a server answered, or its last words.
struct Answer {
    bytes: Result<Vec<u8>, String>,
}

impl Answer {
    /// The number of the error, 0 for none; nothing where there is no reply.
    fn error(&self) -> Option<i32> {
        let bytes = self.bytes.as_ref().ok()?.get(4..8)?;
        Some(-i32::from_le_bytes(bytes.try_into().unwrap()))
    }

    /// An error, of whatever number.
    #[track_caller]
    fn assert_error(&self, what: &str) {
        assert!(self.error().is_some_and(|error| error > 0), "{what}: {:?}", self.told());
    }

    /// Whatever it was, it was answered.
    #[track_caller]
    fn assert_answered(&self, what: &str) {
        assert!(self.error().is_some(), "{what}: {:?}", self.told());
    }

    fn told(&self) -> Result<Option<i32>, &String> {
        self.bytes.as_ref().map(|_| self.error())
    }

    fn word(&self, at: usize) -> u64 {
        u64::from_le_bytes(self.bytes.as_ref().unwrap()[at..at + 8].try_into().unwrap())
    }
}

fn text(name: &str) -> Vec<u8> {
    [name.as_bytes(), &[0]].concat()
}

fn words(words: &[u64]) -> Vec<u8> {
    words.iter().flat_map(|word| word.to_le_bytes()).collect()
}

#[test]
fn names_that_lead_elsewhere_are_errors_whatever_is_asked_with_them() {
    for is_file in [false, true] {
        let mut attack = Attack::new(is_file);
        let file = attack.look_up(1, "file");
        let before = attack.beside();
        let mut names: Vec<Vec<u8>> =
            ["..", ".", "", "/", "../beside", "../beside/secret", "out/secret", "sub/../../beside"]
                .iter()
                .map(|name| text(name))
                .collect();
        names.extend([text("/etc/passwd"), text("/proc/self/root"), text(&"n".repeat(256)), text(&"n".repeat(4000))]);
        names.push(vec![0xff, 0xfe, b'/', 0]);
        for name in &names {
            let pair = [name.as_slice(), b"new\0"].concat();
            let back = [b"file\0".as_slice(), name].concat();
            for (opcode, body) in [
                (LOOKUP, name.clone()),
                (UNLINK, name.clone()),
                (RMDIR, name.clone()),
                (MKDIR, [&words(&[0o755]), name.as_slice()].concat()),
                (MKNOD, [&words(&[0o100_644, 0]), name.as_slice()].concat()),
                (SYMLINK, [name.as_slice(), b"/etc\0"].concat()),
                (LINK, [&words(&[file]), name.as_slice()].concat()),
                (RENAME, [&words(&[1]), pair.as_slice()].concat()),
                (RENAME, [&words(&[1]), back.as_slice()].concat()),
                (RENAME2, [&words(&[1, 2]), back.as_slice()].concat()),
                (CREATE, [&words(&[0x8042, 0]), name.as_slice()].concat()),
            ] {
                let answer = attack.ask(opcode, 1, &body);
                answer.assert_error(&format!("{opcode} {name:?}"));
            }
        }
        assert_eq!(attack.beside(), before);
        attack.assert_well();
    }
}

#[test]
fn forged_nodes_and_handles_are_errors() {
    let mut attack = Attack::new(false);
    let (file, sub) = (attack.look_up(1, "file"), attack.look_up(1, "sub"));
    let link = attack.look_up(1, "out");
    let handle = attack.open(OPEN, file, libc::O_RDWR);
    let folder = attack.open(OPENDIR, 1, 0);
    for node in [0, link + 1, link + 1000, u64::from(u32::MAX), u64::MAX >> 1, u64::MAX] {
        for (opcode, body) in [
            (LOOKUP, text("file")),
            (GETATTR, vec![0; 16]),
            (OPEN, vec![0; 8]),
            (OPENDIR, vec![0; 8]),
            (READ, words(&[handle, 0, 100, 0, 0])),
            (READDIR, words(&[folder, 0, 4096, 0, 0])),
            (UNLINK, text("file")),
            (GETXATTR, [&words(&[100]), text("user.a").as_slice()].concat()),
        ] {
            let answer = attack.ask(opcode, node, &body);
            answer.assert_error(&format!("{opcode} {node}"));
        }
    }
    // A link is nothing to walk through, a file is no folder; handles belong to their nodes.
    for (opcode, node, body) in [
        (LOOKUP, link, text("secret")),
        (OPEN, link, vec![0; 8]),
        (OPENDIR, link, vec![0; 8]),
        (LOOKUP, file, text("x")),
        (READ, file, words(&[folder, 0, 100, 0, 0])),
        (READ, sub, words(&[handle, 0, 100, 0, 0])),
        (READ, file, words(&[handle + 99, 0, 100, 0, 0])),
        (READ, file, words(&[u64::MAX, 0, 100, 0, 0])),
        (READDIR, sub, words(&[folder, 0, 4096, 0, 0])),
        (RELEASE, file, words(&[u64::MAX, 0, 0])),
        (COPY, file, words(&[handle, 0, file, folder, 0, 100, 0])),
        (READ, file, words(&[handle, u64::MAX, 100, 0, 0])),
        (FALLOCATE, file, words(&[handle, 0, 1 << 62, 0])),
        (FALLOCATE, file, words(&[handle, u64::MAX, u64::MAX, 0])),
        (RENAME, 1, [&words(&[link]), b"file\0new\0".as_slice()].concat()),
        (LINK, sub, [&words(&[link + 5]), b"new\0".as_slice()].concat()),
    ] {
        let answer = attack.ask(opcode, node, &body);
        answer.assert_error(&format!("{opcode} {node}"));
    }
    attack.assert_well();
}

#[test]
fn sizes_and_offsets_without_sense_are_bounded() {
    let mut attack = Attack::new(false);
    let file = attack.look_up(1, "file");
    let (handle, folder) = (attack.open(OPEN, file, libc::O_RDWR), attack.open(OPENDIR, 1, 0));
    for opcode in [READDIR, READDIRPLUS] {
        for offset in [0, 1, 5, u64::from(u32::MAX), u64::MAX >> 1, u64::MAX] {
            for size in [0, 1, 4096, u64::from(u32::MAX)] {
                let answer = attack.ask(opcode, 1, &words(&[folder, offset, size, 0, 0]));
                answer.assert_answered(&format!("{opcode} {offset} {size}"));
            }
        }
    }
    for size in [0, 1, 0xffff, 0xffff_ffff] {
        attack.ask(READ, file, &words(&[handle, 0, size, 0, 0])).assert_answered(&format!("{size}"));
        attack.ask(WRITE_FILE, file, &words(&[handle, 0, size, 0, 0])).assert_answered(&format!("{size}"));
        attack.ask(LISTXATTR, file, &words(&[size])).assert_answered(&format!("{size}"));
        let name = [&words(&[size]), text("user.a").as_slice()].concat();
        attack.ask(GETXATTR, file, &name).assert_answered(&format!("{size}"));
    }
    for opcode in [0, 7, 19, 53, 99, 4095, 0xffff, u32::MAX] {
        let error = attack.ask(opcode, 1, &[0; 64]).error();
        assert!(error.is_some_and(|error| error > 0), "{opcode}: {error:?}");
    }
    attack.assert_well();
}

#[test]
fn chains_without_sense_end_the_server_with_a_reason_or_are_answered() {
    let header = |attack: &mut Attack| attack.message(GETATTR, 1, &[0; 16]);
    let end = MEMORY_BYTES;
    let chains: &[&[Descriptor]] = &[
        &[(BUFFERS, 56, 0, 0)],
        &[(BUFFERS, 10, NEXT, 1), (REPLY, 4096, WRITE, 0)],
        &[(BUFFERS, 0, NEXT, 1), (REPLY, 0, WRITE, 0)],
        &[(REPLY, 4096, WRITE, 0)],
        &[(REPLY, 4096, WRITE | NEXT, 1), (BUFFERS, 56, 0, 0)],
        &[(BUFFERS, 56, NEXT, 0)],
        &[(BUFFERS, 56, NEXT, 1), (REPLY, 4096, WRITE | NEXT, 0)],
        &[(BUFFERS, 56, NEXT, 999)],
        &[(BUFFERS, 56, NEXT, 1), (BUFFERS, 4096, WRITE, 0)],
        &[(BUFFERS, 56, NEXT, 1), (BUFFERS + 8, 64, WRITE | NEXT, 2), (BUFFERS, 64, WRITE, 0)],
        &[(end - 10, 56, NEXT, 1), (REPLY, 4096, WRITE, 0)],
        &[(end, 56, NEXT, 1), (REPLY, 4096, WRITE, 0)],
        &[(u64::MAX - 3, 56, NEXT, 1), (REPLY, 4096, WRITE, 0)],
        &[(BUFFERS, u32::MAX, NEXT, 1), (REPLY, u32::MAX, WRITE, 0)],
        &[(BUFFERS, 56, NEXT, 1), (REPLY, 7, WRITE, 0)],
        &[(BUFFERS, 56, NEXT, 1), (0x4000, 4096, WRITE, 0)],
        &[(BUFFERS, 56, 4, 0)],
        &[(BUFFERS, 17, 4, 0)],
    ];
    for chain in chains {
        let mut attack = Attack::new(false);
        let (bytes, before) = (header(&mut attack), attack.beside());
        attack.guest.memory.write_slice(&bytes, GuestAddress(BUFFERS)).unwrap();
        attack.guest.describe(chain);
        attack.guest.set_avail_index(1);
        // The table lies in the queue's own memory: a chain may come back, or never, where it makes no sense.
        let answered = attack.try_offer();
        if let Err(words) = answered {
            assert!(words.contains("exit code 1: "), "{chain:?}: {words}");
        }
        assert_eq!(attack.beside(), before, "{chain:?}");
    }
}

#[test]
fn messages_without_sense_end_the_server_with_a_reason_or_are_answered() {
    let interior = [b"file".as_slice(), &[0], b"more", &[0]].concat();
    for (opcode, body) in [
        (LOOKUP, b"no end".to_vec()),
        (LOOKUP, Vec::new()),
        (UNLINK, interior.clone()),
        (MKDIR, vec![0; 3]),
        (MKDIR, words(&[0o755])),
        (RENAME, [&words(&[1]), text("file").as_slice()].concat()),
        (SYMLINK, text("file")),
        (SETXATTR, [&words(&[0xffff_ffff]), text("user.a").as_slice()].concat()),
        (SETXATTR, [&words(&[4, 0]), text("user.a").as_slice()].concat()),
        (CREATE, [&words(&[0x42, 0]), interior.as_slice()].concat()),
        (READ, words(&[1])),
        (BATCH_FORGET, words(&[0xffff_ffff])),
        (INIT, vec![0; 5]),
        (INIT, words(&[0xff, 0])),
        (WRITE_FILE, words(&[1, 0])),
    ] {
        let mut attack = Attack::new(false);
        let before = attack.beside();
        if let Err(words) = attack.ask(opcode, 1, &body).bytes {
            assert!(words.contains("exit code 1: "), "{opcode} {body:?}: {words}");
        }
        assert_eq!(attack.beside(), before, "{opcode}");
    }
}

impl Attack {
    /// Offers the chain that was described. An error is how the server ended.
    fn try_offer(&mut self) -> Result<(), String> {
        match self.guest.offer(0) {
            Reply::Used(_) => Ok(()),
            Reply::Ended => Err(self.last_words()),
        }
    }

    fn last_words(&self) -> String {
        self.died.recv_timeout(Duration::from_secs(20)).unwrap()
    }
}

/// Numbers that mean something to somebody.
fn number() -> impl Strategy<Value = u64> {
    prop_oneof![
        4 => 0_u64..12,
        1 => Just(u64::MAX),
        1 => Just(u64::MAX >> 1),
        1 => Just(0xffff_ffff),
        1 => Just(0xffff),
        1 => Just(4096),
    ]
}

fn body() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        3 => number().prop_map(|word| word.to_le_bytes().to_vec()),
        1 => number().prop_map(|word| word.to_le_bytes()[..4].to_vec()),
        2 => prop_oneof![Just("file"), Just("sub"), Just("out"), Just(".."), Just("../beside/secret"), Just("new"), Just("")]
            .prop_map(text),
        1 => proptest::collection::vec(any::<u8>(), 0..24),
    ];
    proptest::collection::vec(piece, 0..10).prop_map(|pieces| pieces.concat())
}

#[test]
fn messages_at_random_are_answered_or_end_the_server_with_a_reason() {
    // Room on the host's disk is not what is tried here.
    let opcode = (0_u32..60).prop_filter("takes room", |opcode| *opcode != FALLOCATE);
    let messages = proptest::collection::vec((opcode, number(), body(), any::<bool>()), 1..60);
    let mut runner = TestRunner::new(Config { cases: 40, failure_persistence: None, ..Config::default() });
    let outcome = runner.run(&(messages, any::<bool>()), |(messages, is_file)| {
        let mut attack = Attack::new(is_file);
        let before = attack.beside();
        for (opcode, node, body, is_right) in messages {
            let mut message = attack.message(opcode, node, &body);
            if !is_right {
                message.truncate(message.len() - body.len() / 2);
            }
            let answer = attack.send(&message);
            if let Err(words) = &answer.bytes {
                prop_assert!(words.contains("exit code 1: "), "{} {:?}: {}", opcode, message, words);
                break;
            }
        }
        prop_assert_eq!(attack.beside(), before);
        Ok(())
    });
    outcome.unwrap();
}

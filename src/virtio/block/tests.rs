//! The device against a driver of ours: a real ring in real memory, no hypervisor, no thread.

use std::fs::File;
use std::io::{Seek, Write};
use std::sync::atomic::AtomicBool;

use vhost_user_backend::bitmap::BitmapMmapRegion;
use vhost_user_backend::{VhostUserBackend, VringT};
use virtio_bindings::virtio_blk::VIRTIO_BLK_F_RO;
use vm_memory::{Bytes, GuestAddress, GuestMemoryAtomic, GuestMemoryMmap};
use vmm_sys_util::epoll::EventSet;

use super::device::{Device, Vring};
use super::disk::Disk;
use super::request::{Medium, Target};

type Memory = GuestMemoryMmap<BitmapMmapRegion>;

const MEMORY_BYTES: usize = 4 << 20;
const SIZE: u16 = 64;
const AVAILABLE: u64 = 0x1000;
const USED: u64 = 0x2000;
pub(super) const HEADER: u64 = 0x4000;
pub(super) const STATUS: u64 = 0x5000;
pub(super) const DATA: u64 = 0x10_0000;

const NEXT: u16 = 1;
pub(super) const WRITE: u16 = 2;
const INDIRECT: u16 = 4;

pub(super) const IN: u32 = 0;
pub(super) const OUT: u32 = 1;
pub(super) const FLUSH: u32 = 4;
pub(super) const GET_ID: u32 = 8;
pub(super) const DISCARD: u32 = 11;

pub(super) const OK: u8 = 0;
pub(super) const IO_ERROR: u8 = 1;
pub(super) const UNSUPPORTED: u8 = 2;
/// What nobody answered.
const NOTHING: u8 = 0xee;

/// A piece of memory that a descriptor names.
#[derive(Debug, Clone, Copy)]
pub(super) struct Piece(pub(super) u64, pub(super) u32, pub(super) u16);

pub(super) struct Driver {
    pub(super) memory: Memory,
    vring: Vring,
    pub(super) device: Device,
    added: u16,
    used: u16,
}

/// Bytes that tell their place.
pub(super) fn pattern(seed: usize, length: usize) -> Vec<u8> {
    (0..length).map(|at| u8::try_from((at * 31 + seed * 7 + at / 4096) % 255).unwrap() + 1).collect()
}

fn file(bytes: &[u8]) -> (File, u64) {
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(bytes).unwrap();
    file.rewind().unwrap();
    (file, bytes.len() as u64)
}

/// The bytes of the disk of [`Driver::started`].
fn content() -> Vec<u8> {
    let mut bytes = Vec::new();
    for (seed, length) in [(1, 10_000), (2, 1), (3, 8192)] {
        bytes.extend(pattern(seed, length));
        bytes.resize(bytes.len().next_multiple_of(4096), 0);
    }
    bytes
}

fn target(medium: Medium) -> Target {
    Target { medium, serial: "root".to_owned(), tell_full: Box::new(|| {}), is_full_told: AtomicBool::new(false) }
}

impl Driver {
    fn new(files: Vec<(File, u64)>) -> Self {
        Self::of(target(Medium::Fixed(Disk::new(files).unwrap())))
    }

    pub(super) fn of(target: Target) -> Self {
        let memory = Memory::from_ranges(&[(GuestAddress(0), MEMORY_BYTES)]).unwrap();
        let atomic = GuestMemoryAtomic::new(memory.clone());
        let vring = Vring::new(atomic.clone(), 1024).unwrap();
        let device = Device::new(target);
        device.update_memory(atomic).unwrap();
        vring.set_queue_size(SIZE);
        vring.set_queue_info(0, AVAILABLE, USED).unwrap();
        vring.set_queue_event_idx(true);
        vring.set_queue_ready(true);
        vring.set_enabled(true);
        Self { memory, vring, device, added: 0, used: 0 }
    }

    /// Three segments: 10,000 bytes, 1 byte, none, 8192 bytes.
    fn started() -> Self {
        let segments = [(1, 10_000), (2, 1), (0, 0), (3, 8192)];
        Self::new(segments.into_iter().map(|(seed, length)| file(&pattern(seed, length))).collect())
    }

    fn describe(&self, at: u64, piece: Piece, next: Option<u16>) {
        let Piece(address, length, flags) = piece;
        let flags = if next.is_some() { flags | NEXT } else { flags };
        self.memory.write_obj(address, GuestAddress(at)).unwrap();
        self.memory.write_obj(length, GuestAddress(at + 8)).unwrap();
        self.memory.write_obj(flags, GuestAddress(at + 12)).unwrap();
        self.memory.write_obj(next.unwrap_or(0), GuestAddress(at + 14)).unwrap();
    }

    fn publish(&mut self, head: u16) {
        let slot = AVAILABLE + 4 + u64::from(self.added % SIZE) * 2;
        self.memory.write_obj(head, GuestAddress(slot)).unwrap();
        self.added = self.added.wrapping_add(1);
        self.memory.write_obj(self.added, GuestAddress(AVAILABLE + 2)).unwrap();
    }

    fn kick(&self) {
        self.device.handle_event(0, EventSet::IN, std::slice::from_ref(&self.vring), 0).unwrap();
    }

    fn take_used(&mut self) -> Option<u32> {
        let index: u16 = self.memory.read_obj(GuestAddress(USED + 2)).unwrap();
        if index == self.used {
            return None;
        }
        let slot = USED + 4 + u64::from(self.used % SIZE) * 8;
        self.used = self.used.wrapping_add(1);
        Some(self.memory.read_obj(GuestAddress(slot + 4)).unwrap())
    }

    /// Sends a chain of pieces; how many bytes came back.
    pub(super) fn send(&mut self, pieces: &[Piece]) -> Option<u32> {
        for (place, piece) in (0_u16..).zip(pieces) {
            let next = (usize::from(place) + 1 < pieces.len()).then_some(place + 1);
            self.describe(u64::from(place) * 16, *piece, next);
        }
        self.publish(0);
        self.kick();
        self.take_used()
    }

    pub(super) fn set_header(&self, kind: u32, sector: u64) {
        self.memory.write_obj(kind, GuestAddress(HEADER)).unwrap();
        self.memory.write_obj(0xdead_beef_u32, GuestAddress(HEADER + 4)).unwrap();
        self.memory.write_obj(sector, GuestAddress(HEADER + 8)).unwrap();
        self.memory.write_obj(NOTHING, GuestAddress(STATUS)).unwrap();
    }

    pub(super) fn status(&self) -> u8 {
        self.memory.read_obj(GuestAddress(STATUS)).unwrap()
    }

    /// A request as a driver makes it: how it ended, and what was written, the status left out.
    pub(super) fn request(&mut self, kind: u32, sector: u64, room: u32) -> (u8, Vec<u8>) {
        self.set_header(kind, sector);
        let data_flags = if kind == OUT { 0 } else { WRITE };
        let mut pieces = vec![Piece(HEADER, 16, 0)];
        if room > 0 {
            pieces.push(Piece(DATA, room, data_flags));
        }
        pieces.push(Piece(STATUS, 1, WRITE));
        let written = self.send(&pieces).unwrap();
        let mut bytes = vec![0; written.saturating_sub(1) as usize];
        self.memory.read_slice(&mut bytes, GuestAddress(DATA)).unwrap();
        (self.status(), bytes)
    }
}

#[test]
fn any_part_of_the_disk_is_read_over_the_edges_of_files() {
    let (mut driver, disk) = (Driver::started(), content());
    assert_eq!(driver.device.get_config(0, 8), (disk.len() as u64 / 512).to_le_bytes());
    for sector in 0..disk.len() / 512 {
        for sectors in [1, 3, 8, 17] {
            let (start, end) = (sector * 512, (sector + sectors) * 512);
            let (status, bytes) = driver.request(IN, sector as u64, u32::try_from(sectors * 512).unwrap());
            if end <= disk.len() {
                assert_eq!((status, bytes.as_slice()), (OK, &disk[start..end]), "{sector} {sectors}");
            } else {
                assert_eq!((status, bytes.len()), (IO_ERROR, 0));
            }
        }
    }
}

#[test]
fn a_request_may_be_in_many_pieces_or_an_indirect_table() {
    let (mut driver, disk) = (Driver::started(), content());
    driver.set_header(IN, 0);
    let header = [Piece(HEADER, 7, 0), Piece(HEADER + 7, 9, 0)];
    let data = (0..20).map(|place| Piece(DATA + place * 1000, 1000, WRITE));
    let rest = [Piece(DATA + 20_000, 480, WRITE), Piece(STATUS, 1, WRITE)];
    let pieces: Vec<Piece> = header.into_iter().chain(data).chain(rest).collect();
    assert_eq!((driver.send(&pieces), driver.status()), (Some(20_481), OK));
    let mut bytes = vec![0; 20_480];
    driver.memory.read_slice(&mut bytes, GuestAddress(DATA)).unwrap();
    assert_eq!(bytes, disk[..20_480]);

    let table = 0x8000;
    driver.set_header(IN, 1);
    driver.describe(table, Piece(HEADER, 16, 0), Some(1));
    // The last piece of the data has the place of the answer too.
    driver.describe(table + 16, Piece(DATA, 513, WRITE), None);
    assert_eq!(driver.send(&[Piece(table, 32, INDIRECT)]), Some(514 - 1));
    let mut bytes = vec![0; 513];
    driver.memory.read_slice(&mut bytes, GuestAddress(DATA)).unwrap();
    assert_eq!((&bytes[..512], bytes[512]), (&disk[512..1024], OK));
}

#[test]
fn the_serial_number_is_told_as_far_as_there_is_room() {
    let mut driver = Driver::started();
    let (status, bytes) = driver.request(GET_ID, 0, 20);
    assert_eq!((status, bytes.as_slice()), (OK, b"root\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0".as_slice()));
    assert_eq!(driver.request(GET_ID, 0, 2), (OK, b"ro".to_vec()));
    assert_eq!(driver.request(GET_ID, 0, 64).1.len(), 20);
}

#[test]
fn nothing_is_ever_written() {
    let mut driver = Driver::started();
    assert_ne!(driver.device.features() & 1 << VIRTIO_BLK_F_RO, 0);
    assert_eq!(driver.request(OUT, 0, 512), (IO_ERROR, Vec::new()));
    assert_eq!(driver.request(FLUSH, 0, 0), (OK, Vec::new()));
    assert_eq!(driver.request(DISCARD, 0, 16), (UNSUPPORTED, Vec::new()));
    assert_eq!(driver.request(4711, 0, 512), (UNSUPPORTED, Vec::new()));
}

#[test]
fn requests_that_ask_for_the_impossible_fail_and_the_next_is_served() {
    let mut driver = Driver::started();
    let last = content().len() as u64 / 512;
    for (sector, room) in [(u64::MAX, 512), (u64::MAX / 512, 512), (last, 512), (0, 100), (last - 1, 1024), (0, 513)] {
        assert_eq!(driver.request(IN, sector, room), (IO_ERROR, Vec::new()), "{sector} {room}");
    }
    assert_eq!(driver.request(IN, last - 1, 512).0, OK);
}

#[test]
fn chains_that_are_no_requests_come_back() {
    let mut driver = Driver::started();
    let far = 1 << 40;
    for (pieces, status) in [
        (vec![Piece(HEADER, 16, 0)], NOTHING),
        (vec![Piece(STATUS, 1, WRITE)], IO_ERROR),
        (vec![Piece(HEADER, 15, 0), Piece(STATUS, 1, WRITE)], IO_ERROR),
        (vec![Piece(far, 16, 0), Piece(STATUS, 1, WRITE)], NOTHING),
        (vec![Piece(HEADER, 16, 0), Piece(far, 512, WRITE), Piece(STATUS, 1, WRITE)], NOTHING),
        (vec![Piece(HEADER, 16, 0), Piece(DATA, u32::MAX, WRITE), Piece(STATUS, 1, WRITE)], NOTHING),
        (vec![Piece(HEADER, 16, 0), Piece(STATUS, 0, WRITE)], NOTHING),
        (vec![Piece(HEADER, 0, 0), Piece(STATUS, 1, WRITE)], IO_ERROR),
    ] {
        driver.set_header(IN, 0);
        assert!(driver.send(&pieces).is_some(), "{pieces:?}");
        assert_eq!(driver.status(), status, "{pieces:?}");
    }
    assert_eq!(driver.request(IN, 0, 512).0, OK);
}

#[test]
fn a_chain_that_leads_to_itself_ends() {
    let mut driver = Driver::started();
    driver.set_header(IN, 0);
    driver.describe(0, Piece(HEADER, 16, 0), Some(1));
    driver.describe(16, Piece(DATA, 512, WRITE), Some(1));
    driver.publish(0);
    driver.kick();
    assert!(driver.take_used().is_some());
}

#[test]
fn a_ring_whose_index_makes_no_sense_is_left_alone() {
    let mut driver = Driver::started();
    driver.memory.write_obj(5000_u16, GuestAddress(AVAILABLE + 2)).unwrap();
    driver.kick();
    assert_eq!(driver.take_used(), None);
}

#[test]
fn a_file_that_became_shorter_fails_the_request() {
    let (short, length) = file(&pattern(1, 8192));
    short.set_len(4096).unwrap();
    let mut driver = Driver::new(vec![(short, length)]);
    assert_eq!(driver.request(IN, 0, 4096).0, OK);
    assert_eq!(driver.request(IN, 8, 4096), (IO_ERROR, Vec::new()));
}

#[test]
fn a_disk_is_no_longer_than_files_can_be() {
    let half = u64::MAX / 4;
    assert!(Disk::new([(file(&[]).0, half)]).is_ok());
    assert!(Disk::new([(file(&[]).0, half), (file(&[]).0, half), (file(&[]).0, half)]).is_err());
    assert!(Disk::new([(file(&[]).0, u64::MAX)]).is_err());
}

#[test]
fn what_a_guest_reads_is_what_the_file_holds_at_that_moment() {
    let (mut changing, length) = file(&[1; 4096]);
    let mut driver = Driver::new(vec![(changing.try_clone().unwrap(), length)]);
    assert_eq!(driver.request(IN, 0, 512).1, [1; 512]);
    changing.write_all(&[2; 4096]).unwrap();
    assert_eq!(driver.request(IN, 0, 512).1, [2; 512]);
}

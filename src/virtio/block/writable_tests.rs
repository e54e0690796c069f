//! A disk that can be written, against a driver of ours.

use std::fs::File;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use vhost_user_backend::VhostUserBackend;
use vm_memory::{Bytes, GuestAddress};

use super::private::{BLOCKS_MAX, PrivateDisk};
use super::request::{Medium, Target};
use super::tests::{
    DATA, DISCARD, Driver, FLUSH, GET_ID, HEADER, IN, IO_ERROR, OK, OUT, Piece, STATUS, UNSUPPORTED, WRITE,
};
use super::writable::WritableDisk;
use super::{config, tests};

const CLEAR: u32 = 13;
const LENGTH: u64 = 1 << 20;
const FEATURES: u64 = config::features(config::Access::Full);

/// A disk, the file behind it, and how often it was told that the host is full.
fn started(file: &File) -> (Driver, Arc<AtomicUsize>) {
    let told = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&told);
    let driver = driver(Medium::Writable(WritableDisk::new(file.try_clone().unwrap(), LENGTH)), count);
    (driver, told)
}

fn driver(medium: Medium, count: Arc<AtomicUsize>) -> Driver {
    Driver::of(Target {
        medium,
        serial: "disk0".to_owned(),
        tell_full: Box::new(move || {
            count.fetch_add(1, Ordering::Relaxed);
        }),
        is_full_told: AtomicBool::new(false),
    })
}

fn file() -> File {
    let file = tempfile::tempfile().unwrap();
    file.set_len(LENGTH).unwrap();
    file
}

/// Writes these bytes in two pieces.
fn write(driver: &mut Driver, sector: u64, bytes: &[u8]) -> u8 {
    driver.set_header(OUT, sector);
    driver.memory.write_slice(bytes, GuestAddress(DATA)).unwrap();
    let half = u32::try_from(bytes.len() / 2).unwrap();
    let rest = u32::try_from(bytes.len()).unwrap() - half;
    let pieces =
        [Piece(HEADER, 16, 0), Piece(DATA, half, 0), Piece(DATA + u64::from(half), rest, 0), Piece(STATUS, 1, WRITE)];
    assert_eq!(driver.send(&pieces), Some(1));
    driver.status()
}

/// A request about ranges: sector, sectors, flags.
fn ranges(driver: &mut Driver, kind: u32, ranges: &[(u64, u32, u32)]) -> u8 {
    driver.set_header(kind, 0);
    let mut bytes = Vec::new();
    for (sector, sectors, flags) in ranges {
        bytes.extend(sector.to_le_bytes());
        bytes.extend(sectors.to_le_bytes());
        bytes.extend(flags.to_le_bytes());
    }
    driver.memory.write_slice(&bytes, GuestAddress(DATA)).unwrap();
    let length = u32::try_from(bytes.len()).unwrap();
    let pieces = [Piece(HEADER, 16, 0), Piece(DATA, length, 0), Piece(STATUS, 1, WRITE)];
    assert_eq!(driver.send(&pieces), Some(1));
    driver.status()
}

#[test]
fn what_is_written_is_in_the_file_and_is_read_back() {
    let file = file();
    let (mut driver, _) = started(&file);
    assert_eq!(driver.device.features() & FEATURES, FEATURES);
    let bytes = tests::pattern(1, 5 * 512);
    assert_eq!(write(&mut driver, 9, &bytes), OK);
    let mut found = vec![0; bytes.len()];
    file.read_exact_at(&mut found, 9 * 512).unwrap();
    assert_eq!(found, bytes);
    assert_eq!(driver.request(IN, 9, 5 * 512), (OK, bytes));
    assert_eq!(driver.request(FLUSH, 0, 0).0, OK);
    assert_eq!(driver.request(GET_ID, 0, 20).1[..6], *b"disk0\0");
}

#[test]
fn nothing_is_written_behind_the_end_or_in_part_of_a_sector() {
    let file = file();
    let (mut driver, _) = started(&file);
    let last = LENGTH / 512 - 1;
    for (sector, length) in [(last, 1024), (last + 1, 512), (u64::MAX, 512), (0, 100), (0, 513)] {
        assert_eq!(write(&mut driver, sector, &vec![1; length]), IO_ERROR, "{sector} {length}");
    }
    assert_eq!(write(&mut driver, last, &[1; 512]), OK);
    assert_eq!(file.metadata().unwrap().len(), LENGTH);
}

#[test]
fn what_is_discarded_or_cleared_takes_no_room() {
    let file = file();
    let (mut driver, _) = started(&file);
    assert_eq!(write(&mut driver, 0, &vec![1; 512 << 10]), OK);
    let before = file.metadata().unwrap().blocks();
    assert_eq!(ranges(&mut driver, DISCARD, &[(0, 256, 0), (256, 256, 0)]), OK);
    assert_eq!(ranges(&mut driver, CLEAR, &[(512, 256, 1), (1000, 3, 0)]), OK);
    assert!(file.metadata().unwrap().blocks() < before / 2, "{before} {}", file.metadata().unwrap().blocks());
    assert_eq!(driver.request(IN, 512, 512 * 256).1, vec![0; 512 * 256]);
    assert_eq!(driver.request(IN, 1000, 512 * 4).1, [vec![0; 3 * 512], vec![1; 512]].concat());
}

#[test]
fn ranges_that_make_no_sense_fail_and_change_nothing() {
    let file = file();
    let (mut driver, _) = started(&file);
    assert_eq!(write(&mut driver, 0, &[1; 4096]), OK);
    let far = LENGTH / 512;
    for bad in [(far, 1, 0), (far - 1, 2, 0), (u64::MAX, 1, 0), (0, u32::MAX, 0)] {
        assert_eq!(ranges(&mut driver, DISCARD, &[(0, 8, 0), bad]), IO_ERROR, "{bad:?}");
    }
    assert_eq!(ranges(&mut driver, DISCARD, &[(0, 8, 1)]), UNSUPPORTED);
    assert_eq!(ranges(&mut driver, CLEAR, &[(0, 8, 2)]), UNSUPPORTED);
    assert_eq!(ranges(&mut driver, CLEAR, &[]), IO_ERROR);
    assert_eq!(ranges(&mut driver, CLEAR, &[(0, 1, 0); 65]), IO_ERROR);
    assert_eq!(driver.request(IN, 0, 4096).1, [1; 4096]);
}

#[test]
fn a_host_without_room_fails_the_write_and_is_told_once() {
    // Every write to it fails for want of room.
    let full = File::options().read(true).write(true).open("/dev/full").unwrap();
    let (mut driver, told) = started(&full);
    for _ in 0..3 {
        assert_eq!(write(&mut driver, 0, &[1; 512]), IO_ERROR);
    }
    assert_eq!(told.load(Ordering::Relaxed), 1);
}

#[test]
fn after_a_flush_that_failed_nothing_is_taken_for_safe() {
    // It takes writes, and cannot be synced.
    let (_reader, pipe) = std::io::pipe().unwrap();
    let disk = WritableDisk::new(File::from(std::os::fd::OwnedFd::from(pipe)), LENGTH);
    disk.set_flushed_by_driver(true);
    assert!(disk.flush().is_err());
    for again in [disk.flush(), disk.discard(0, 4096), disk.clear(0, 4096)] {
        assert_eq!(again.unwrap_err().to_string(), "an earlier write was lost");
    }
}

#[test]
fn what_a_reader_writes_is_seen_by_itself_and_not_in_the_file() {
    let file = file();
    let kept = tests::pattern(3, 1 << 20);
    file.write_all_at(&kept, 0).unwrap();
    let medium = Medium::Private(PrivateDisk::new(file.try_clone().unwrap(), LENGTH));
    let mut driver = driver(medium, Arc::default());
    let bytes = tests::pattern(1, 20 * 512);
    // It begins and ends within a block.
    assert_eq!(write(&mut driver, 5, &bytes), OK);
    let mut seen = kept.clone();
    seen[5 * 512..25 * 512].copy_from_slice(&bytes);
    assert_eq!(driver.request(IN, 0, 64 * 512), (OK, seen[..64 * 512].to_vec()));
    assert_eq!(driver.request(IN, 7, 9 * 512), (OK, seen[7 * 512..16 * 512].to_vec()));
    assert_eq!(driver.request(FLUSH, 0, 0).0, OK);
    assert_eq!(ranges(&mut driver, DISCARD, &[(0, 8, 0)]), UNSUPPORTED);
    assert_eq!(write(&mut driver, LENGTH / 512, &[1; 512]), IO_ERROR);
    let mut found = vec![0; kept.len()];
    file.read_exact_at(&mut found, 0).unwrap();
    assert!(found == kept);
}

#[test]
fn a_reader_cannot_make_us_keep_what_it_likes() {
    let length = (BLOCKS_MAX as u64 + 2) * 4096;
    let file = tempfile::tempfile().unwrap();
    file.set_len(length).unwrap();
    let mut driver = driver(Medium::Private(PrivateDisk::new(file, length)), Arc::default());
    let last = BLOCKS_MAX as u64;
    for block in 0..last {
        assert_eq!(write(&mut driver, block * 8, &[1; 512]), OK);
    }
    assert_eq!(write(&mut driver, last * 8, &[1; 512]), IO_ERROR);
    assert_eq!(write(&mut driver, 8, &[2; 4096]), OK, "what is kept already may change");
}

//! What we read of ELF files: whether a vmlinux has a PVH entry, and the `.modinfo` section of a module.
//!
//! Files are whatever the user or a package gave: every offset is checked, nothing panics.

use std::io;
use std::os::unix::fs::FileExt;

const MAGIC: &[u8] = b"\x7fELF\x02\x01";
const HEADER: usize = 64;
const PT_NOTE: u32 = 4;
/// `XEN_ELFNOTE_PHYS32_ENTRY`: the 32-bit entry point that PVH boot jumps to.
const PHYS32_ENTRY: u32 = 18;
/// More than any kernel has.
const NOTES_MAX: u64 = 1 << 20;

/// Whether these are the first bytes of a 64-bit little-endian ELF file.
pub(crate) fn is_elf(bytes: &[u8]) -> bool {
    bytes.starts_with(MAGIC)
}

/// Whether the file is an ELF with the note that PVH boot needs.
pub(crate) fn has_pvh_entry(file: &impl FileExt) -> io::Result<bool> {
    let mut header = [0; HEADER];
    if file.read_exact_at(&mut header, 0).is_err() || !is_elf(&header) {
        return Ok(false);
    }
    let (Some(table), Some(size), Some(count)) = (u64_at(&header, 32), u16_at(&header, 54), u16_at(&header, 56)) else {
        return Ok(false);
    };
    for index in 0..u64::from(count) {
        let mut entry = [0; 56];
        let Some(at) = table.checked_add(index * u64::from(size)) else { return Ok(false) };
        if file.read_exact_at(&mut entry, at).is_err() {
            return Ok(false);
        }
        let (Some(offset), Some(length)) = (u64_at(&entry, 8), u64_at(&entry, 32)) else { continue };
        if u32_at(&entry, 0) != Some(PT_NOTE) || length > NOTES_MAX {
            continue;
        }
        let mut notes = vec![0; usize::try_from(length).unwrap_or(0)];
        if file.read_exact_at(&mut notes, offset).is_ok() && notes_hold_entry(&notes) {
            return Ok(true);
        }
    }
    Ok(false)
}

fn notes_hold_entry(mut notes: &[u8]) -> bool {
    while let (Some(name), Some(description), Some(kind)) = (u32_at(notes, 0), u32_at(notes, 4), u32_at(notes, 8)) {
        let name_end = 12 + name as usize;
        if kind == PHYS32_ENTRY && notes.get(12..name_end) == Some(b"Xen\0") {
            return true;
        }
        let next = name_end.next_multiple_of(4) + (description as usize).next_multiple_of(4);
        match notes.get(next..) {
            Some(rest) => notes = rest,
            None => return false,
        }
    }
    false
}

/// The `key=value` entries of a module's `.modinfo` section; `None` where there is no such section.
pub(crate) fn modinfo(module: &[u8]) -> Option<Vec<(&str, &str)>> {
    if !is_elf(module) {
        return None;
    }
    let table = usize::try_from(u64_at(module, 40)?).ok()?;
    let size = usize::from(u16_at(module, 58)?);
    let count = usize::from(u16_at(module, 60)?);
    let names_index = usize::from(u16_at(module, 62)?);
    let section = |index: usize| -> Option<(&[u8], &[u8])> {
        let entry = module.get(table.checked_add(index.checked_mul(size)?)?..)?;
        let offset = usize::try_from(u64_at(entry, 24)?).ok()?;
        let length = usize::try_from(u64_at(entry, 32)?).ok()?;
        Some((entry, module.get(offset..offset.checked_add(length)?).unwrap_or(&[])))
    };
    let (_, names) = section(names_index)?;
    for index in 0..count {
        let (entry, content) = section(index)?;
        let name = names.get(u32_at(entry, 0)? as usize..)?;
        if name.starts_with(b".modinfo\0") {
            let lines = content.split(|byte| *byte == 0).filter_map(|line| std::str::from_utf8(line).ok());
            return Some(lines.filter_map(|line| line.split_once('=')).collect());
        }
    }
    None
}

fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_le_bytes(*bytes.get(at..)?.first_chunk()?))
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_le_bytes(*bytes.get(at..)?.first_chunk()?))
}

fn u64_at(bytes: &[u8], at: usize) -> Option<u64> {
    Some(u64::from_le_bytes(*bytes.get(at..)?.first_chunk()?))
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use std::fs::File;
    use std::io::Write;

    /// A vmlinux of one note segment, of this kind.
    pub(crate) fn vmlinux(note: u32) -> Vec<u8> {
        let mut bytes = MAGIC.to_vec();
        bytes.resize(HEADER, 0);
        bytes[32] = 64;
        bytes[54] = 56;
        bytes[56] = 1;
        let mut entry = [0; 56];
        entry[0] = 4;
        entry[8] = 120;
        entry[32] = 44;
        bytes.extend(entry);
        for (kind, name) in [(1, b"GNU\0"), (note, b"Xen\0")] {
            bytes.extend(4_u32.to_le_bytes());
            bytes.extend(4_u32.to_le_bytes());
            bytes.extend(kind.to_le_bytes());
            bytes.extend(name);
            bytes.extend([0; 4]);
        }
        bytes.extend([0; 4]);
        bytes.extend(b"Linux version 9.8.7-made (someone) #1 \0");
        bytes
    }

    /// A module with this `.modinfo`.
    pub(crate) fn module(info: &[&str]) -> Vec<u8> {
        let names = b"\0.modinfo\0.names\0";
        let info: Vec<u8> = info.iter().flat_map(|line| line.bytes().chain([0])).collect();
        let mut bytes = MAGIC.to_vec();
        bytes.resize(HEADER, 0);
        bytes[40..48].copy_from_slice(&(64 + names.len() as u64 + info.len() as u64).to_le_bytes());
        bytes[58] = 64;
        bytes[60] = 2;
        bytes[62] = 1;
        bytes.extend(names);
        bytes.extend(&info);
        for (name, offset, length) in [(1_u32, 64 + names.len(), info.len()), (10, 64, names.len())] {
            let mut entry = [0; 64];
            entry[..4].copy_from_slice(&name.to_le_bytes());
            entry[24..32].copy_from_slice(&(offset as u64).to_le_bytes());
            entry[32..40].copy_from_slice(&(length as u64).to_le_bytes());
            bytes.extend(entry);
        }
        bytes
    }

    fn file_of(bytes: &[u8]) -> File {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(bytes).unwrap();
        file
    }

    #[test]
    fn pvh_note_is_found_behind_other_notes() {
        assert!(has_pvh_entry(&file_of(&vmlinux(PHYS32_ENTRY))).unwrap());
        assert!(!has_pvh_entry(&file_of(&vmlinux(3))).unwrap());
        assert!(!has_pvh_entry(&file_of(b"not an ELF")).unwrap());
    }

    #[test]
    fn modinfo_gives_every_pair() {
        let bytes = module(&["license=GPL", "depends=fuse,virtio", "name=virtiofs"]);
        let pairs = [("license", "GPL"), ("depends", "fuse,virtio"), ("name", "virtiofs")];
        assert_eq!(modinfo(&bytes).unwrap(), pairs);
        assert_eq!(modinfo(b"text"), None);
    }

    proptest::proptest! {
        #[test]
        fn damaged_files_never_panic(at in 0..600_usize, with in 0..=255_u8, keep in 0..600_usize) {
            for mut bytes in [vmlinux(PHYS32_ENTRY), module(&["depends=a,b", "name=c"])] {
                let at = at % bytes.len();
                bytes[at] = with;
                bytes.truncate(keep);
                let _ = modinfo(&bytes);
                let _ = has_pvh_entry(&file_of(&bytes));
            }
        }
    }
}

//! What the kernel of a guest says of its disks, told to the user in words of ours.

/// The end of a disk's writes, as ext4 says it; the agent adds where the disk is mounted.
const READ_ONLY: &str = "Remounting filesystem read-only";

/// Longest name of a place that is repeated.
const PLACE_MAX: usize = 200;

/// What a piece of the machine's log says that should be known at once.
pub(super) fn remark(log: &[u8]) -> Option<String> {
    let text = String::from_utf8_lossy(log);
    let line = text.lines().find(|line| line.starts_with("kernel: EXT4-fs") && line.contains(READ_ONLY))?;
    let place = line.rsplit_once(" [").and_then(|(_, place)| place.strip_suffix(']'));
    let is_plain = |place: &&str| place.len() <= PLACE_MAX && !place.contains(char::is_control);
    let place = place.filter(is_plain).map_or_else(|| "a disk".to_owned(), |place| format!("the disk of `{place}`"));
    Some(format!(
        "{place} had an error, so it takes no more writes until the machine starts again; what was synced before is kept"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_disk_that_takes_no_more_writes_is_named_by_its_place() {
        let said = b"step's line\nkernel: EXT4-fs (vda): Remounting filesystem read-only [/workspace]\n";
        let told = remark(said).unwrap();
        assert!(told.starts_with("the disk of `/workspace` had an error, so it takes no more writes"), "{told}");
        assert!(remark(b"kernel: EXT4-fs (vda): Remounting filesystem read-only\n").unwrap().starts_with("a disk had"));
        assert_eq!(remark(b"kernel: EXT4-fs (vda): mounted\n"), None);
        assert_eq!(remark(b"EXT4-fs (vda): Remounting filesystem read-only [/x]\n"), None);
    }
}

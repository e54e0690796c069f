//! What no archive may do: archives become packs and indexes, these a tree, and all of it is read back as it was.

use std::ops::ControlFlow;

use smolvm::image::unpack::{Limits, unpack};
use smolvm::rootfs::{Follow, LayerIndex, RootTree, merge};

const BLOCK: usize = 512;
const MAGIC: std::ops::Range<usize> = 257..262;

/// Unpacks bytes as layers, parted by blocks of `0xff`.
///
/// # Panics
/// Where something does not hold: that is what is searched for.
pub fn unpack_layers(bytes: &[u8]) {
    let mut layers = vec![Vec::new()];
    for block in bytes.chunks(BLOCK) {
        match layers.last_mut() {
            Some(layer) if block.iter().any(|byte| *byte != 0xff) => layer.extend(summed(block)),
            _ => layers.push(Vec::new()),
        }
    }
    let mut indexes = Vec::new();
    let mut lengths = Vec::new();
    for layer in &layers {
        let Some((index, length)) = unpack_layer(layer) else { return };
        indexes.push(index);
        lengths.push(length);
    }
    let Ok(tree) = merge(&indexes) else { return };
    let again = RootTree::decode(&tree.encode(), &lengths).expect("what is merged is sound");
    assert_eq!(tree, again);
    for (path, number) in tree.walk() {
        assert_eq!(tree.lookup(&path, Follow::Parents), Ok(number));
        let _ = tree.lookup(&path, Follow::All);
    }
}

fn unpack_layer(bytes: &[u8]) -> Option<(LayerIndex, u64)> {
    let mut pack = tempfile::tempfile().expect("a temporary file");
    let limits = Limits { archive_length: 1 << 24, pack_length: 1 << 24, entries: 10_000, memory: 1 << 24 };
    let unpacked = unpack(bytes, &mut pack, &limits, &mut |_| ControlFlow::Continue(())).ok()?;
    assert_eq!(pack.metadata().expect("a file").len(), unpacked.pack.length);
    let stored = unpacked.index.encode(&unpacked.pack);
    let (index, facts) = LayerIndex::decode(&stored).expect("what was unpacked is sound");
    assert_eq!((&index, facts), (&unpacked.index, unpacked.pack));
    Some((index, facts.length))
}

/// A header gets the right sum, which no search would find.
fn summed(block: &[u8]) -> Vec<u8> {
    let mut block = block.to_vec();
    if block.get(MAGIC) == Some(b"ustar") && block.len() == BLOCK {
        block[148..156].fill(b' ');
        let sum: u32 = block.iter().copied().map(u32::from).sum();
        block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    }
    block
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_with_another_sum_is_one_all_the_same() {
        let mut block = vec![0; BLOCK];
        block[..2].copy_from_slice(b"a/");
        block[156] = b'5';
        block[257..265].copy_from_slice(b"ustar\x0000");
        let (index, length) = unpack_layer(&summed(&block)).expect("an archive");
        assert_eq!((index.entries.len(), length), (1, 0));
        unpack_layers(&[block.clone(), vec![0xff; BLOCK], block].concat());
    }

    #[test]
    fn any_bytes_hold() {
        let mut state = 7_u64;
        for length in 0..400 {
            let mut bytes = vec![0; length * 8];
            for byte in &mut bytes {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                *byte = state.to_be_bytes()[0];
            }
            for header in bytes.chunks_mut(BLOCK).filter(|block| block.len() == BLOCK) {
                header[257..265].copy_from_slice(b"ustar\x0000");
                header[156] = b"0123456LKxS"[usize::from(header[156]) % 11];
                header[100..148].fill(0);
            }
            unpack_layers(&bytes);
        }
    }
}

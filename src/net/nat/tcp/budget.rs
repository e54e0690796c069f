//! How much memory the connections of one machine may take in all, and how much each gets. Pure.

/// All buffers of a machine.
const TOTAL: usize = 256 << 20;

/// Buffers of a connection, one a direction: what a fast one can use, and what is enough for one of thousands.
const LARGEST: usize = 1 << 20;
const SMALLEST: usize = 8 << 10;

/// The first connections get large buffers, each a share of what is left above what thousands of small ones need.
const SHARE: usize = 32;
const KEPT: usize = 128 << 20;

/// What is left.
#[derive(Debug)]
pub(super) struct Budget {
    left: usize,
}

impl Default for Budget {
    fn default() -> Self {
        Self { left: TOTAL }
    }
}

impl Budget {
    /// Size of each of the two buffers of a new connection; `None` where there is no room for one.
    pub(super) fn take(&mut self) -> Option<usize> {
        let size = (self.left.saturating_sub(KEPT) / SHARE).clamp(SMALLEST, LARGEST);
        self.left = self.left.checked_sub(2 * size)?;
        Some(size)
    }

    /// Takes the buffers of a connection back.
    pub(super) fn give(&mut self, size: usize) {
        self.left = (self.left + 2 * size).min(TOTAL);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_get_much_and_thousands_get_enough() {
        let mut budget = Budget::default();
        let sizes: Vec<usize> = std::iter::from_fn(|| budget.take()).collect();
        assert!(sizes.len() >= 8192 && sizes.iter().sum::<usize>() <= TOTAL / 2);
        assert_eq!((sizes.first(), sizes.last()), (Some(&LARGEST), Some(&SMALLEST)));
        for size in sizes {
            budget.give(size);
        }
        assert_eq!(budget.left, TOTAL);
    }
}

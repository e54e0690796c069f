//! The nearest name to a misspelt one, at bounded cost, and lists of names in a sentence.

use std::cell::Cell;

use crate::config::suggest::nearest;

/// So many look-ups are made for one file; past that nobody reads the suggestions.
const LOOKUPS_MAX: u32 = 100;

/// Finds the name that was probably meant.
pub(super) struct Nearest {
    lookups_left: Cell<u32>,
}

impl Nearest {
    pub(super) fn new() -> Self {
        Self { lookups_left: Cell::new(LOOKUPS_MAX) }
    }

    /// The candidate nearest to `name`, where one is near enough to be meant.
    pub(super) fn find<'c>(&self, name: &str, candidates: impl Iterator<Item = &'c str>) -> Option<&'c str> {
        self.lookups_left.set(self.lookups_left.get().checked_sub(1)?);
        nearest(name, candidates.filter(|candidate| *candidate != name))
    }
}

/// At most six names in backticks, joined by commas.
pub(super) fn list_names<'n>(names: impl ExactSizeIterator<Item = &'n str>) -> String {
    let count = names.len();
    let shown: Vec<String> = names.take(6).map(|name| format!("`{name}`")).collect();
    if count > shown.len() { format!("{}, …", shown.join(", ")) } else { shown.join(", ") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn past_a_hundred_misspelt_names_nothing_is_looked_up() {
        let nearest = Nearest::new();
        let find = || nearest.find("biuld", ["test", "build"].into_iter());
        assert!((0..LOOKUPS_MAX).all(|_| find() == Some("build")));
        assert_eq!(find(), None);
    }

    #[test]
    fn long_lists_are_cut() {
        assert_eq!(list_names(["a", "b"].into_iter()), "`a`, `b`");
        assert_eq!(list_names(["a", "b", "c", "d", "e", "f", "g"].into_iter()), "`a`, `b`, `c`, `d`, `e`, `f`, …");
    }
}

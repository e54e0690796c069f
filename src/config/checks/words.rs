//! The nearest name to a misspelt one, and lists of names in a sentence.

use std::cell::Cell;

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
        let limit = (name.chars().count() / 3).clamp(1, 4);
        candidates
            .filter(|candidate| candidate.len().abs_diff(name.len()) <= limit * 4 && *candidate != name)
            .map(|candidate| (distance(name, candidate), candidate))
            .filter(|(distance, _)| *distance <= limit)
            .min_by_key(|(distance, _)| *distance)
            .map(|(_, candidate)| candidate)
    }
}

/// Edits between two names; upper and lower case are near, not the same.
fn distance(a: &str, b: &str) -> usize {
    if a.eq_ignore_ascii_case(b) {
        return 0;
    }
    strsim::damerau_levenshtein(&a.to_lowercase(), &b.to_lowercase())
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
    fn the_nearest_name_wins_and_far_ones_are_not_meant() {
        let nearest = Nearest::new();
        assert_eq!(nearest.find("biuld", ["test", "build", "builder"].into_iter()), Some("build"));
        assert_eq!(nearest.find("Test", ["rest", "test"].into_iter()), Some("test"));
        assert_eq!(nearest.find("deploy", ["build", "test"].into_iter()), None);
    }

    #[test]
    fn long_lists_are_cut() {
        assert_eq!(list_names(["a", "b"].into_iter()), "`a`, `b`");
        assert_eq!(list_names(["a", "b", "c", "d", "e", "f", "g"].into_iter()), "`a`, `b`, `c`, `d`, `e`, `f`, …");
    }
}

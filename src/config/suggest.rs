//! "Did you mean": the nearest of some known words.

/// So many words are looked at; a hostile file may know a hundred thousand.
const CANDIDATES_MAX: usize = 1000;

/// Dashes make no difference, so that words may differ by some of them in length.
const DASHES_MAX: usize = 4;

/// The known word that `word` was most likely meant to be.
pub(crate) fn nearest<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    ranked(word, known).into_iter().min_by_key(|(distance, _)| *distance).map(|(_, candidate)| candidate)
}

/// Whether [`nearest`] can hardly be wrong: one slip or two in a word that is long enough, and no other word as near.
pub(super) fn is_certain<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> bool {
    let mut ranked = ranked(word, known);
    ranked.sort_by_key(|(distance, _)| *distance);
    match ranked.as_slice() {
        [] => false,
        [(0, _), rest @ ..] => rest.first().is_none_or(|(distance, _)| *distance > 0),
        [(best, _), rest @ ..] => {
            *best <= 2 && word.chars().count() >= 4 && rest.first().is_none_or(|(distance, _)| distance > best)
        }
    }
}

/// Known words near enough to be meant, with their distance.
fn ranked<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Vec<(usize, &'a str)> {
    let wanted = fold(word);
    let length = wanted.chars().count();
    if length == 0 || length > 100 {
        return Vec::new();
    }
    let limit = (length / 3).max(1);
    known
        .into_iter()
        .take(CANDIDATES_MAX)
        .filter(|candidate| candidate.chars().count().abs_diff(word.chars().count()) <= limit + DASHES_MAX)
        .map(|candidate| (strsim::damerau_levenshtein(&wanted, &fold(candidate)), candidate))
        // A word of which everything would change is no misspelling.
        .filter(|(distance, candidate)| *distance <= limit && *distance < candidate.chars().count().min(length))
        .collect()
}

/// Case and the kind of dash make no difference.
fn fold(word: &str) -> String {
    word.chars().filter(|character| !matches!(character, '-' | '_' | ' ')).flat_map(char::to_lowercase).collect()
}

#[cfg(test)]
mod tests {
    use super::{is_certain, nearest};

    #[test]
    fn a_word_is_certain_where_no_other_is_as_near() {
        let known = ["machine", "machines", "memory", "mounts", "run", "id", "if"];
        assert!(is_certain("memry", known) && is_certain("Mounts", known) && is_certain("machnie", known));
        assert!(!is_certain("machinez", known), "two are one letter away");
        assert!(!is_certain("ix", known) && !is_certain("rn", known), "too short to tell");
        assert!(!is_certain("frobnicate", known) && !is_certain("", known));
    }

    #[test]
    fn nearest_finds_swapped_missing_and_differently_written_words() {
        let known = ["machines", "memory", "working_dir", "image"];
        assert_eq!(nearest("machnies", known), Some("machines"));
        assert_eq!(nearest("memry", known), Some("memory"));
        assert_eq!(nearest("workingDir", known), Some("working_dir"));
        assert_eq!(nearest("working-dir", known), Some("working_dir"));
    }

    #[test]
    fn nearest_is_silent_where_nothing_is_near() {
        assert_eq!(nearest("volumes", ["image", "cpus"]), None);
        assert_eq!(nearest("a", ["b"]), None);
        assert_eq!(nearest("", ["b"]), None);
    }
}

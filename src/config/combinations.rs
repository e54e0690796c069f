//! The combinations of a matrix, and their names: in brackets behind a name, and as `MATRIX_ID`.
//!
//! Both are unique within a matrix, and depend on the values of a combination and on whether others have the same name,
//! never on their order: a list may be sorted anew and folders keep their meaning.

use std::collections::{HashMap, HashSet};

use sha2::{Digest, Sha256};

/// Bytes of a `MATRIX_ID`; longer ones are cut, and told apart by a hash.
const ID_MAX: usize = 100;
/// Bytes of what stands in brackets; where one is longer, all have their `MATRIX_ID` there.
const BRACKETS_MAX: usize = 60;

/// How one combination is called.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Names {
    /// Behind a name, in brackets: `debian:12,3.11`.
    pub(super) brackets: String,
    /// As a file name: `debian-12-3.11`.
    pub(super) id: String,
}

/// All combinations of `counts` values, each as the number of a value for each key; the last key varies fastest.
pub(super) fn combine(counts: &[usize]) -> Vec<Vec<usize>> {
    counts.iter().fold(vec![Vec::new()], |combinations, count| {
        let longer = |short: &Vec<usize>| {
            let short = short.clone();
            (0..*count).map(move |value| short.iter().copied().chain([value]).collect())
        };
        combinations.iter().flat_map(longer).collect()
    })
}

/// Names the combinations of one matrix, which differ from one another.
pub(super) fn name(combinations: &[Vec<&str>]) -> Vec<Names> {
    let ids = ids(combinations);
    let is_shown_plainly = |values: &Vec<&str>| {
        let length = values.iter().map(|value| value.len() + 1).sum::<usize>();
        length <= BRACKETS_MAX && values.iter().all(|value| is_plain(value))
    };
    let is_plain = combinations.iter().all(is_shown_plainly);
    let brackets = |values: &Vec<&str>, id: &str| if is_plain { values.join(",") } else { id.to_owned() };
    combinations.iter().zip(ids).map(|(values, id)| Names { brackets: brackets(values, &id), id }).collect()
}

/// What can be read, and typed in a shell, inside brackets.
fn is_plain(value: &str) -> bool {
    !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-:/@+=".contains(&byte))
}

fn ids(combinations: &[Vec<&str>]) -> Vec<String> {
    let plain: Vec<String> = combinations.iter().map(|values| file_name(values)).collect();
    let mut counts: HashMap<&str, usize> = HashMap::new();
    for id in &plain {
        *counts.entry(id).or_default() += 1;
    }
    let is_own = |id: &str| !matches!(id, "" | "." | "..") && id.len() <= ID_MAX && counts[id] == 1;
    let mut taken: HashSet<String> = plain.iter().filter(|id| is_own(id)).cloned().collect();
    let mut ids = Vec::with_capacity(plain.len());
    for (id, values) in plain.iter().zip(combinations) {
        if is_own(id) {
            ids.push(id.clone());
            continue;
        }
        let mut round = 0_u32;
        let unique = loop {
            let unique = with_hash(id, values, round);
            if taken.insert(unique.clone()) {
                break unique;
            }
            round += 1;
        };
        ids.push(unique);
    }
    ids
}

/// The values as one file name.
fn file_name(values: &[&str]) -> String {
    let is_kept = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    values.join("-").bytes().map(|byte| if is_kept(byte) { char::from(byte) } else { '-' }).collect()
}

fn with_hash(id: &str, values: &[&str], round: u32) -> String {
    let mut hash = Sha256::new();
    for value in values {
        hash.update(value);
        hash.update([0]);
    }
    hash.update(round.to_le_bytes());
    let digits: String = hash.finalize()[..4].iter().map(|byte| format!("{byte:02x}")).collect();
    let start = &id[..id.len().min(ID_MAX - digits.len() - 1)];
    if matches!(start, "" | "." | "..") { digits } else { format!("{start}-{digits}") }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn named(values: &[&[&str]]) -> Vec<(String, String)> {
        let combinations: Vec<Vec<&str>> = values.iter().map(|values| values.to_vec()).collect();
        name(&combinations).into_iter().map(|names| (names.brackets, names.id)).collect()
    }

    #[test]
    fn the_last_key_varies_fastest() {
        assert_eq!(combine(&[2, 2]), [[0, 0], [0, 1], [1, 0], [1, 1]]);
        assert_eq!(combine(&[]), [[0_usize; 0]]);
    }

    #[test]
    fn names_say_the_values_in_their_order() {
        let pair = |brackets: &str, id: &str| (brackets.to_owned(), id.to_owned());
        assert_eq!(
            named(&[&["debian:12", "3.11"], &["ghcr.io/a/b", "3.12"]]),
            [pair("debian:12,3.11", "debian-12-3.11"), pair("ghcr.io/a/b,3.12", "ghcr.io-a-b-3.12")]
        );
    }

    #[test]
    fn values_that_do_not_read_well_in_brackets_have_their_id_there() {
        let names = named(&[&["-O2 -g"], &["-O0"]]);
        assert_eq!(names[0], ("-O2--g".to_owned(), "-O2--g".to_owned()));
        assert_eq!(names[1].0, "-O0");
    }

    #[test]
    fn ids_that_clash_or_name_no_file_get_a_hash_all_of_them() {
        let names = named(&[&["a:1"], &["a/1"], &["b"], &[""], &[".."]]);
        let ids: Vec<&str> = names.iter().map(|names| names.1.as_str()).collect();
        assert!(ids[0].starts_with("a-1-") && ids[0].len() == "a-1-".len() + 8, "{ids:?}");
        assert!(ids[1].starts_with("a-1-") && ids[0] != ids[1], "{ids:?}");
        assert_eq!(ids[2], "b");
        assert_eq!((ids[3].len(), ids[4].len()), (8, 8));
        let turned = named(&[&[".."], &["b"], &["a/1"], &["a:1"], &[""]]);
        assert_eq!((&turned[3].1, &turned[2].1), (&names[0].1, &names[1].1), "whatever the order");
    }

    proptest! {
        #[test]
        fn names_are_unique_and_ids_are_file_names(
            values in prop::collection::hash_set("[a-c:/é .-]{0,3}|[0-9a-f-]{8}|x{90,120}", 1..12),
            others in prop::collection::hash_set("[a:-]{0,2}", 1..4),
        ) {
            let combinations: Vec<Vec<&str>> =
                values.iter().flat_map(|one| others.iter().map(move |other| vec![one.as_str(), other.as_str()])).collect();
            let names = name(&combinations);
            let ids: HashSet<&str> = names.iter().map(|names| names.id.as_str()).collect();
            let brackets: HashSet<&str> = names.iter().map(|names| names.brackets.as_str()).collect();
            prop_assert_eq!((ids.len(), brackets.len()), (combinations.len(), combinations.len()));
            for id in ids {
                let is_file_name = !id.is_empty() && id != "." && id != ".." && id.len() <= ID_MAX
                    && id.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte));
                prop_assert!(is_file_name, "{}", id);
            }
        }
    }
}

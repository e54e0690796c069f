//! What one name of a declared output means: `*`, `?`, `[…]` and `\`, as in a shell. Guest and host read it alike.
//!
//! Deliberately not here: `**` and the walk, which are the concern of whoever looks.

/// Whether a pattern without slashes is more than a plain name.
pub fn has_wildcard(pattern: &[u8]) -> bool {
    pattern.iter().any(|byte| b"*?[\\".contains(byte))
}

/// Whether a name matches a pattern without slashes. Going back is to the last `*` only, so it is never exponential.
pub fn matches_name(pattern: &[u8], name: &[u8]) -> bool {
    let (mut at, mut next) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    while next < name.len() {
        if pattern.get(at) == Some(&b'*') {
            star = Some((at + 1, next));
            at += 1;
        } else if let Some(length) = matches_one(&pattern[at..], name[next]) {
            at += length;
            next += 1;
        } else if let Some((after, tried)) = star {
            at = after;
            next = tried + 1;
            star = Some((after, tried + 1));
        } else {
            return false;
        }
    }
    pattern[at..].iter().all(|byte| *byte == b'*')
}

/// How much of the pattern's begin matches one byte.
fn matches_one(pattern: &[u8], byte: u8) -> Option<usize> {
    match *pattern {
        [b'?', ..] => Some(1),
        [b'[', ..] => match class_end(pattern) {
            Some(end) => matches_class(&pattern[1..end], byte).then_some(end + 1),
            None => (byte == b'[').then_some(1),
        },
        [b'\\', escaped, ..] => (escaped == byte).then_some(2),
        [literal, ..] => (literal == byte).then_some(1),
        [] => None,
    }
}

/// Place of the `]` that closes the class at the pattern's begin; a `]` that comes first is a member.
fn class_end(pattern: &[u8]) -> Option<usize> {
    let first = if matches!(pattern.get(1), Some(b'!' | b'^')) { 2 } else { 1 };
    pattern.iter().skip(first + 1).position(|byte| *byte == b']').map(|place| place + first + 1)
}

fn matches_class(class: &[u8], byte: u8) -> bool {
    let (is_negated, mut members) = match class {
        [b'!' | b'^', members @ ..] => (true, members),
        members => (false, members),
    };
    let mut is_member = false;
    while let [first, rest @ ..] = members {
        members = rest;
        let mut last = first;
        if let [b'-', end, rest @ ..] = members {
            last = end;
            members = rest;
        }
        is_member |= (*first..=*last).contains(&byte);
    }
    is_member != is_negated
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn names_match_as_in_a_shell() {
        for (pattern, name, expected) in [
            ("*", "", true),
            ("a*b*c", "aXbYbZc", true),
            ("a*b*c", "aXbYbZ", false),
            ("[a-c]x", "bx", true),
            ("[]]", "]", true),
            ("[^a]", "a", false),
            ("[", "[", true),
            ("\\*", "*", true),
            ("\\*", "x", false),
            ("?", "", false),
        ] {
            assert_eq!(matches_name(pattern.as_bytes(), name.as_bytes()), expected, "{pattern} {name}");
        }
    }

    proptest! {
        #[test]
        fn matching_never_panics(pattern: Vec<u8>, name: Vec<u8>) {
            let _ = matches_name(&pattern, &name);
        }
    }
}

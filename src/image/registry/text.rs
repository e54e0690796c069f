//! Words of registries and their kin in messages of ours: short, in one line, without what drives terminals.

/// Letters of such words.
const LENGTH_MAX: usize = 200;

/// Someone else's words, fit for a message.
pub(super) fn shown(text: &str) -> String {
    let mut words: String = text.split_whitespace().collect::<Vec<_>>().join(" ");
    words.retain(|letter| !letter.is_control());
    match words.char_indices().nth(LENGTH_MAX) {
        Some((at, _)) => format!("{}…", &words[..at]),
        None => words,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_one_short_line() {
        assert_eq!(shown(" a\r\n\tb\u{1b}[31m "), "a b[31m");
        assert_eq!(shown(&"x".repeat(300)).chars().count(), 201);
    }
}

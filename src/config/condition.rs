//! The text of `if`: `"${CI} == true && !${FAST}"`.
//!
//! ```text
//! any  = all { "||" all }            not     = "!" not | "(" any ")" | compare
//! all  = not { "&&" not }            compare = operand [ ("==" | "!=") operand ]
//! ```
//!
//! An operand is a word or a text in quotes. It is read before variables are replaced, so that no value can be taken
//! for an operator. Alone it is false where it is empty, `0` or `false`. Deliberately not here: replacing variables.

use std::ops::Range;

/// Brackets and `!` within one another.
const DEPTH_MAX: usize = 32;

/// A condition that was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Condition {
    /// A text by itself.
    Operand(Operand),
    /// Two texts, and whether they are to be equal.
    Compare(Operand, bool, Operand),
    Not(Box<Condition>),
    All(Vec<Condition>),
    Any(Vec<Condition>),
}

/// A text in a condition, its variables not replaced yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Operand {
    pub(super) text: String,
    /// Where it stands in the condition, quotes and all.
    pub(super) range: Range<usize>,
    pub(super) is_quoted: bool,
}

/// What cannot be read, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Mistake {
    pub(super) range: Range<usize>,
    /// Fits on a label.
    pub(super) expected: &'static str,
}

impl Condition {
    /// Whether it holds, with the texts that `replace` gives.
    pub(super) fn holds(&self, replace: &mut dyn FnMut(&Operand) -> String) -> bool {
        match self {
            Self::Operand(operand) => !matches!(replace(operand).as_str(), "" | "0" | "false"),
            Self::Compare(left, is_equal, right) => (replace(left) == replace(right)) == *is_equal,
            Self::Not(inner) => !inner.holds(replace),
            // Every operand is asked, so that each mistake in one is told.
            Self::All(parts) => parts.iter().map(|part| part.holds(replace)).filter(|holds| !holds).count() == 0,
            Self::Any(parts) => parts.iter().map(|part| part.holds(replace)).filter(|holds| *holds).count() > 0,
        }
    }

    /// All texts in it.
    pub(super) fn operands(&self) -> Vec<&Operand> {
        match self {
            Self::Operand(operand) => vec![operand],
            Self::Compare(left, _, right) => vec![left, right],
            Self::Not(inner) => inner.operands(),
            Self::All(parts) | Self::Any(parts) => parts.iter().flat_map(Self::operands).collect(),
        }
    }

    /// Texts that stand alone, not compared with another.
    pub(super) fn alone(&self) -> Vec<&Operand> {
        match self {
            Self::Operand(operand) => vec![operand],
            Self::Compare(..) => Vec::new(),
            Self::Not(inner) => inner.alone(),
            Self::All(parts) | Self::Any(parts) => parts.iter().flat_map(Self::alone).collect(),
        }
    }
}

/// Reads a condition.
pub(super) fn parse_condition(text: &str) -> Result<Condition, Mistake> {
    let mut parser = Parser { text, at: 0, depth: 0 };
    let condition = parser.any()?;
    parser.skip_spaces();
    if parser.at == text.len() {
        Ok(condition)
    } else {
        Err(parser.mistake("expected `&&`, `||`, `==`, `!=` or the end"))
    }
}

struct Parser<'a> {
    text: &'a str,
    at: usize,
    depth: usize,
}

impl Parser<'_> {
    fn rest(&self) -> &str {
        &self.text[self.at..]
    }

    fn skip_spaces(&mut self) {
        self.at += self.rest().len() - self.rest().trim_start().len();
    }

    /// Takes a sign where it is next.
    fn take(&mut self, sign: &str) -> bool {
        self.skip_spaces();
        let is_next = self.rest().starts_with(sign);
        if is_next {
            self.at += sign.len();
        }
        is_next
    }

    /// A mistake at what is next: a word, a sign, or the end.
    fn mistake(&self, expected: &'static str) -> Mistake {
        let word = self.rest().find(|c: char| c.is_whitespace() || "()&|".contains(c)).unwrap_or(self.rest().len());
        let first = self.rest().chars().next().map_or(0, char::len_utf8);
        Mistake { range: self.at..self.at + word.max(first), expected }
    }

    fn any(&mut self) -> Result<Condition, Mistake> {
        let mut parts = vec![self.all()?];
        while self.take("||") {
            parts.push(self.all()?);
        }
        Ok(if parts.len() == 1 { parts.remove(0) } else { Condition::Any(parts) })
    }

    fn all(&mut self) -> Result<Condition, Mistake> {
        let mut parts = vec![self.not()?];
        while self.take("&&") {
            parts.push(self.not()?);
        }
        Ok(if parts.len() == 1 { parts.remove(0) } else { Condition::All(parts) })
    }

    fn not(&mut self) -> Result<Condition, Mistake> {
        self.skip_spaces();
        if self.rest().starts_with('!') && !self.rest().starts_with("!=") {
            self.deeper()?;
            self.at += 1;
            let inner = self.not()?;
            self.depth -= 1;
            return Ok(Condition::Not(Box::new(inner)));
        }
        if self.rest().starts_with('(') {
            self.deeper()?;
            self.at += 1;
            let inner = self.any()?;
            if !self.take(")") {
                return Err(self.mistake("expected `)`"));
            }
            self.depth -= 1;
            return Ok(inner);
        }
        self.compare()
    }

    fn deeper(&mut self) -> Result<(), Mistake> {
        self.depth += 1;
        if self.depth > DEPTH_MAX { Err(self.mistake("nested too deeply")) } else { Ok(()) }
    }

    fn compare(&mut self) -> Result<Condition, Mistake> {
        let left = self.operand()?;
        let is_equal = self.take("==");
        if !is_equal && !self.take("!=") {
            return Ok(Condition::Operand(left));
        }
        Ok(Condition::Compare(left, is_equal, self.operand()?))
    }

    fn operand(&mut self) -> Result<Operand, Mistake> {
        self.skip_spaces();
        let start = self.at;
        if let Some(quote) = self.rest().chars().next().filter(|first| matches!(first, '"' | '\'')) {
            let inside = &self.rest()[1..];
            let Some(end) = inside.find(quote) else {
                return Err(Mistake { range: start..self.text.len(), expected: "this quote is not closed" });
            };
            let text = inside[..end].to_owned();
            self.at += end + 2;
            return Ok(Operand { text, range: start..self.at, is_quoted: true });
        }
        let length = word_length(self.rest());
        if length == 0 {
            return Err(self.mistake("expected a variable or a text here"));
        }
        self.at += length;
        Ok(Operand { text: self.text[start..self.at].to_owned(), range: start..self.at, is_quoted: false })
    }
}

/// The length of a word: up to a space or a sign that is not in the braces of a variable.
fn word_length(text: &str) -> usize {
    let mut braces = 0_usize;
    let mut before = ' ';
    for (at, character) in text.char_indices() {
        match character {
            '{' if before == '$' || braces > 0 => braces += 1,
            '}' => braces = braces.saturating_sub(1),
            _ if braces > 0 => {}
            '(' | ')' | '&' | '|' | '=' | '!' | '"' | '\'' | '<' | '>' => return at,
            _ if character.is_whitespace() => return at,
            _ => {}
        }
        before = character;
    }
    text.len()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn holds(text: &str) -> bool {
        parse_condition(text).expect("can be read").holds(&mut |operand| match operand.text.as_str() {
            "${T}" | "$T" => "true".to_owned(),
            "${E}" => String::new(),
            "${EVIL}" => "x || true".to_owned(),
            text => text.to_owned(),
        })
    }

    #[test]
    fn words_stand_for_themselves_and_three_are_false() {
        for (text, expected) in
            [("true", true), ("x", true), ("0", false), ("false", false), ("''", false), ("00", true), ("${E}", false)]
        {
            assert_eq!(holds(text), expected, "{text}");
        }
    }

    #[test]
    fn signs_bind_as_in_other_languages() {
        assert!(holds("true || false && false"));
        assert!(!holds("(true || false) && false"));
        assert!(holds("!false && !0"));
        assert!(holds("!!true"));
        assert!(holds("${T} == true && main != 'a b'"));
        assert!(!holds("! ${T} == true"), "it turns the comparison");
        assert!(holds("$T==true"));
    }

    #[test]
    fn a_value_is_never_taken_for_a_sign() {
        assert!(holds("${EVIL} == 'x || true'"));
        assert!(!holds("${EVIL} == x"));
        assert!(holds("${A:-a == b}"), "a default may hold anything");
    }

    #[test]
    fn what_cannot_be_read_is_told_where_it_stands() {
        for (text, start, part) in [
            ("", 0, "expected a variable"),
            ("a b", 2, "expected `&&`"),
            ("a ==", 4, "expected a variable"),
            ("a = b", 2, "expected `&&`"),
            ("a & b", 2, "expected `&&`"),
            ("(a", 2, "expected `)`"),
            ("a)", 1, "expected `&&`"),
            ("'a", 0, "not closed"),
            ("success()", 7, "expected `&&`"),
            ("a == b == c", 7, "expected `&&`"),
        ] {
            let mistake = parse_condition(text).expect_err(text);
            assert_eq!(mistake.range.start, start, "{text}");
            assert!(mistake.expected.contains(part), "{text}: {}", mistake.expected);
        }
    }

    /// A condition as a tree of truth, and its text with more brackets than it needs.
    fn sample() -> impl Strategy<Value = (bool, String)> {
        let leaf = prop_oneof![
            Just((true, "yes".to_owned())),
            Just((false, "false".to_owned())),
            Just((true, "a == 'a'".to_owned())),
            Just((false, "a != a".to_owned())),
        ];
        leaf.prop_recursive(4, 24, 3, |inner| {
            prop_oneof![
                inner.clone().prop_map(|(holds, text)| (!holds, format!("!({text})"))),
                (inner.clone(), inner.clone()).prop_map(|(a, b)| (a.0 && b.0, format!("({}) && ({})", a.1, b.1))),
                (inner.clone(), inner).prop_map(|(a, b)| (a.0 || b.0, format!("({})||({})", a.1, b.1))),
            ]
        })
    }

    proptest! {
        #[test]
        fn it_holds_as_its_tree_does((expected, text) in sample()) {
            prop_assert_eq!(holds(&text), expected, "{}", text);
        }

        #[test]
        fn any_text_is_read_or_told_within_it(text in "[ab!=&|()'\"$ {}é]{0,24}") {
            match parse_condition(&text) {
                Ok(condition) => condition.operands().iter().for_each(|operand| {
                    assert!(text.is_char_boundary(operand.range.start) && text.is_char_boundary(operand.range.end));
                }),
                Err(mistake) => prop_assert!(text.get(mistake.range).is_some()),
            }
        }
    }
}

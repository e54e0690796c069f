//! The rules that this program can report, each with its page of `docs/rules/`: the pages are the one source of their
//! titles, levels and examples.
//!
//! Deliberately not here: the rules themselves (`config`), how a page is shown (`page`). A test compares this list
//! with what the code can report, and runs every example.

use super::code::Code;
use super::diagnostic::Severity;
use super::page::{self, Page, PageStyle};

/// One rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rule {
    code: Code,
    text: &'static str,
}

macro_rules! rules {
    ($($code:literal)+) => {
        &[$(Rule {
            code: parse($code),
            text: include_str!(concat!("../../docs/rules/SMOL", $code, ".md")),
        }),+]
    };
}

/// All rules, by number.
const RULES: &[Rule] = rules![
    "0001" "0002" "0003" "0004" "0005" "0006" "0007" "0008" "0009" "0010" "0011"
    "0101" "0102" "0103" "0104" "0105" "0106" "0107" "0108" "0109" "0110" "0111" "0112" "0113" "0114" "0115" "0116"
    "0201" "0202" "0203" "0204" "0205" "0206" "0207" "0208" "0209" "0210"
    "0301" "0302" "0303" "0304"
    "0401" "0402" "0403" "0404"
    "0501" "0502" "0503" "0504" "0505" "0506"
    "0601" "0602" "0603" "0604" "0605"
    "0701" "0702" "0703" "0704"
    "0801" "0802" "0803"
];

const fn parse(digits: &str) -> Code {
    let bytes = digits.as_bytes();
    let mut number = 0;
    let mut place = 0;
    while place < bytes.len() {
        number = number * 10 + (bytes[place] - b'0') as u16;
        place += 1;
    }
    Code(number)
}

impl Rule {
    /// All rules, by number.
    pub fn all() -> &'static [Self] {
        RULES
    }

    /// The rule with this code.
    pub fn find(code: Code) -> Option<&'static Self> {
        RULES.iter().find(|rule| rule.code == code)
    }

    /// The rule that was most likely meant by a code that is none.
    pub fn nearest(code: &str) -> Option<&'static Self> {
        let digits: String = code.chars().filter(char::is_ascii_digit).take(8).collect();
        let wanted = format!("{digits:0>4}");
        let distance = |rule: &&Self| strsim::damerau_levenshtein(&wanted, &format!("{:04}", rule.code.0));
        RULES.iter().filter(|rule| !digits.is_empty() && distance(rule) <= 2).min_by_key(distance)
    }

    /// Its code.
    pub fn code(&self) -> Code {
        self.code
    }

    /// What it forbids, in one line.
    pub fn title(&self) -> &'static str {
        self.page().title
    }

    /// Its level in words: `error`, or `error; of ‘check’: warning`.
    pub fn level(&self) -> &'static str {
        self.page().level
    }

    /// The level that it has unless its words say when it has another.
    pub fn severity(&self) -> Severity {
        match self.level().split(';').next() {
            Some("warning") => Severity::Warning,
            Some("note") => Severity::Note,
            _ => Severity::Error,
        }
    }

    /// What it says, in Markdown and without its title: the rule, why it matters, a wrong and a right example.
    pub fn markdown(&self) -> String {
        page::markdown(&self.page())
    }

    /// The rule alone, without examples: one paragraph.
    pub fn summary(&self) -> String {
        page::summary(&self.page())
    }

    /// Draws the page for a person.
    pub fn render(&self, style: &PageStyle) -> String {
        page::render(self.code, self.severity(), &self.page(), style)
    }

    /// The page as it stands in `docs/rules`.
    pub fn text(&self) -> &'static str {
        self.text
    }

    fn page(&self) -> Page<'static> {
        Page::split(self.text)
    }
}

/// A code as a person types it: `SMOL0101`, `smol0101`, `0101` or `101`.
pub fn parse_code(text: &str) -> Option<Code> {
    let text = text.trim();
    let digits = match text.get(..4) {
        Some(prefix) if prefix.eq_ignore_ascii_case("smol") => &text[4..],
        _ => text,
    };
    let is_code = (1..=4).contains(&digits.len()) && digits.bytes().all(|byte| byte.is_ascii_digit());
    if is_code { digits.parse().ok().map(Code) } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_read_as_people_type_them() {
        for text in ["SMOL0101", "smol0101", "Smol101", "0101", "101", " 101 "] {
            assert_eq!(parse_code(text), Some(Code(101)), "{text}");
        }
        for text in ["", "SMOL", "SMOL-101", "10101", "mount", "0x65", "+101", "größe"] {
            assert_eq!(parse_code(text), None, "{text}");
        }
    }

    #[test]
    fn the_nearest_rule_is_found_by_its_digits() {
        let nearest = |text| Rule::nearest(text).map(|rule| rule.code.0);
        assert_eq!(nearest("SMOL0110x"), Some(110));
        assert_eq!(nearest("1001"), Some(1));
        assert_eq!(nearest("mount"), None);
        assert_eq!(nearest("99999999999"), None);
    }

    #[test]
    fn every_page_begins_with_its_own_code_and_a_level() {
        assert!(RULES.is_sorted_by_key(|rule| rule.code));
        for rule in RULES {
            assert!(rule.text.starts_with(&format!("# {}: ", rule.code)), "{}", rule.code);
            let level = rule.level().split(';').next().unwrap_or_default();
            assert_eq!(level, rule.severity().word(), "{}", rule.code);
            assert!(!rule.title().ends_with('.') && rule.title().len() <= 100, "{}: {}", rule.code, rule.title());
        }
    }
}

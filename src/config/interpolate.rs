//! `$V ${V} ${V:-d} ${V-d} ${V:?e} ${V?e} ${V:+a} ${V+a}`, nested, and `$$` in values; rules 0301, 0302, 0303.
//!
//! A text is read as a whole before anything is looked up, so that what cannot be read is told even in a
//! default that is not used. Where a text stands, and whether it is interpolated at all, is `lower`'s matter.

use std::iter::Peekable;
use std::str::Chars;

use super::suggest::nearest;

/// Braces within one another.
const DEPTH_MAX: u32 = 32;
/// Bytes that one value may grow to.
const LENGTH_MAX: usize = 1 << 20;
/// For so many unset variables of one text the nearest set one is looked for.
const MISTAKES_MAX_GUESSES: usize = 20;

/// What is known of a variable.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Lookup {
    Set(String),
    Unset,
    /// It may be set later (`MATRIX_…`), or in what could not be read: neither its value nor its absence is known.
    Unknown,
}

/// Where variables come from.
pub(super) trait Variables {
    fn lookup(&self, name: &str) -> Lookup;
    fn names(&self) -> Vec<String>;
    /// Those of a matrix, where there is one.
    fn of_matrix(&self) -> Vec<String> {
        Vec::new()
    }
}

/// A mistake in a text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Mistake {
    pub(super) code: u16,
    pub(super) message: String,
    pub(super) help: Option<String>,
}

#[derive(Debug, PartialEq, Eq)]
enum Part {
    Literal(String),
    Variable { name: String, rest: Option<(Operator, Vec<Part>)> },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Operator {
    kind: OperatorKind,
    /// With a colon an empty variable counts as unset.
    is_empty_unset: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum OperatorKind {
    Default,
    Require,
    Alternative,
}

/// Replaces variables by their values; `Ok(None)` where a value cannot be known yet.
pub(super) fn interpolate(text: &str, variables: &dyn Variables) -> Result<Option<String>, Vec<Mistake>> {
    let parts = parse_parts(&mut text.chars().peekable(), 0).map_err(|mistake| vec![mistake])?;
    let mut state = Evaluation { variables, mistakes: Vec::new(), is_known: true, length: 0 };
    let value = state.parts(&parts);
    if !state.mistakes.is_empty() {
        return Err(state.mistakes);
    }
    Ok(state.is_known.then_some(value))
}

fn unreadable(message: impl Into<String>, help: impl Into<String>) -> Mistake {
    Mistake { code: 302, message: message.into(), help: Some(help.into()) }
}

fn is_name_start(character: char) -> bool {
    character.is_ascii_alphabetic() || character == '_'
}

fn is_name_part(character: char) -> bool {
    character.is_ascii_alphanumeric() || character == '_'
}

/// Reads parts up to the end, or inside braces up to the `}` that closes them, which is taken.
fn parse_parts(chars: &mut Peekable<Chars<'_>>, depth: u32) -> Result<Vec<Part>, Mistake> {
    let mut parts = Vec::new();
    let mut literal = String::new();
    loop {
        match chars.next() {
            None if depth > 0 => {
                return Err(unreadable("`${` is not closed", "close it with `}`, or write `$$` for a dollar"));
            }
            None => break,
            Some('}') if depth > 0 => break,
            Some('$') => {
                if chars.next_if_eq(&'$').is_some() {
                    literal.push('$');
                    continue;
                }
                if !literal.is_empty() {
                    parts.push(Part::Literal(std::mem::take(&mut literal)));
                }
                parts.push(parse_variable(chars, depth)?);
            }
            Some(character) => literal.push(character),
        }
    }
    if !literal.is_empty() {
        parts.push(Part::Literal(literal));
    }
    Ok(parts)
}

fn parse_variable(chars: &mut Peekable<Chars<'_>>, depth: u32) -> Result<Part, Mistake> {
    let is_braced = chars.next_if_eq(&'{').is_some();
    let mut name = String::new();
    while let Some(character) = chars.next_if(|character| is_name_part(*character)) {
        name.push(character);
    }
    if !name.starts_with(is_name_start) {
        let opening = if is_braced { "${" } else { "$" };
        let next = chars.peek().map_or_else(String::new, char::to_string);
        if is_braced && name.is_empty() && next == "{" {
            let expression: String = chars.clone().skip(1).take_while(|character| *character != '}').collect();
            return Err(unreadable("`${{` is not a variable", expression_help(expression.trim())));
        }
        return Err(unreadable(
            format!("`{opening}{name}{}` is not a variable", if name.is_empty() { next } else { String::new() }),
            "a variable's name begins with a letter or `_`; write `$$` for a dollar",
        ));
    }
    if !is_braced {
        return Ok(Part::Variable { name, rest: None });
    }
    if depth >= DEPTH_MAX {
        return Err(unreadable("`${` is nested too deep", "set the default in the environment or in `.env`"));
    }
    let rest = match parse_operator(chars, &name)? {
        None => None,
        Some(operator) => Some((operator, parse_parts(chars, depth + 1)?)),
    };
    Ok(Part::Variable { name, rest })
}

/// The variable that an expression of GitHub Actions, as `secrets.TOKEN`, is likely to become.
fn expression_help(expression: &str) -> String {
    let (context, name) = expression.split_once('.').unwrap_or(("", expression));
    let name = name.to_uppercase();
    let is_name = name.starts_with(is_name_start) && name.chars().all(is_name_part);
    match context {
        "matrix" if is_name => format!("write `${{MATRIX_{name}}}`, a variable of a machine with `matrix:`"),
        "github" | "runner" if is_name => {
            let prefix = context.to_uppercase();
            format!("write `${{{prefix}_{name}}}`, a variable of smolvm's own environment")
        }
        "secrets" | "env" | "vars" | "inputs" if is_name => {
            format!("write `${{{name}}}`, a variable of smolvm's own environment")
        }
        _ => "name a variable of smolvm's own environment, as `${NAME}`; write `$$` for a dollar".to_owned(),
    }
}

/// Reads what follows a name in braces; `None` where it is the closing brace, which is taken.
fn parse_operator(chars: &mut Peekable<Chars<'_>>, name: &str) -> Result<Option<Operator>, Mistake> {
    let is_empty_unset = chars.next_if_eq(&':').is_some();
    let kind = match chars.next() {
        Some('}') if !is_empty_unset => return Ok(None),
        Some('-') => OperatorKind::Default,
        Some('?') => OperatorKind::Require,
        Some('+') => OperatorKind::Alternative,
        None => return Err(unreadable("`${` is not closed", "close it with `}`, or write `$$` for a dollar")),
        Some(_) => {
            let help =
                format!("write `${{{name}}}`, `${{{name}:-default}}`, `${{{name}:?message}}` or `${{{name}:+other}}`");
            return Err(unreadable(format!("what follows `${{{name}` cannot be read"), help));
        }
    };
    Ok(Some(Operator { kind, is_empty_unset }))
}

struct Evaluation<'a> {
    variables: &'a dyn Variables,
    mistakes: Vec<Mistake>,
    is_known: bool,
    length: usize,
}

impl Evaluation<'_> {
    fn parts(&mut self, parts: &[Part]) -> String {
        let mut value = String::new();
        for part in parts {
            match part {
                Part::Literal(text) => self.append(&mut value, text),
                Part::Variable { name, rest } => {
                    let text = self.variable(name, rest.as_ref());
                    value.push_str(&text);
                }
            }
        }
        value
    }

    fn append(&mut self, value: &mut String, text: &str) {
        self.length = self.length.saturating_add(text.len());
        if self.length <= LENGTH_MAX {
            value.push_str(text);
        } else if !self.mistakes.iter().any(|mistake| mistake.code == 5) {
            let message = "the value is longer than 1 MiB once its variables are replaced".to_owned();
            self.mistakes.push(Mistake { code: 5, message, help: None });
        }
    }

    fn variable(&mut self, name: &str, rest: Option<&(Operator, Vec<Part>)>) -> String {
        let lookup = self.variables.lookup(name);
        if lookup == Lookup::Unknown {
            self.is_known = false;
            return String::new();
        }
        let set = match (&lookup, rest) {
            (Lookup::Set(value), Some((operator, _))) if value.is_empty() && operator.is_empty_unset => None,
            (Lookup::Set(value), _) => Some(value.as_str()),
            _ => None,
        };
        let mut value = String::new();
        match (set, rest) {
            (_, Some((Operator { kind: OperatorKind::Alternative, .. }, word))) => {
                return if set.is_some() { self.parts(word) } else { value };
            }
            (Some(text), _) => self.append(&mut value, text),
            (None, None) => self.unset(name),
            (None, Some((Operator { kind: OperatorKind::Default, .. }, word))) => return self.parts(word),
            (None, Some((Operator { kind: OperatorKind::Require, is_empty_unset }, word))) => {
                let message = self.parts(word);
                self.required(name, message, *is_empty_unset && matches!(lookup, Lookup::Set(_)));
            }
        }
        value
    }

    fn unset(&mut self, name: &str) {
        let is_guessed = self.mistakes.len() < MISTAKES_MAX_GUESSES;
        let is_of_matrix = name.starts_with("MATRIX_");
        let names = match is_guessed {
            true if is_of_matrix => self.variables.of_matrix(),
            true => self.variables.names(),
            false => Vec::new(),
        };
        let help = match nearest(name, names.iter().map(String::as_str)) {
            Some(near) if is_of_matrix => format!("did you mean `{near}`?"),
            Some(near) => format!("did you mean `{near}`? or give a default: `${{{name}:-default}}`"),
            None if is_of_matrix => of_matrix_help(&names),
            None => format!("set it, in the environment or in `.env`, or give a default: `${{{name}:-default}}`"),
        };
        self.mistakes.push(Mistake {
            code: 301,
            message: format!("the variable `{name}` is not set"),
            help: Some(help),
        });
    }

    fn required(&mut self, name: &str, message: String, is_empty: bool) {
        let state = if is_empty { "empty" } else { "not set" };
        let message = if message.is_empty() { format!("the variable `{name}` is {state}") } else { message };
        let help = format!("set `{name}`, in the environment or in `.env`; it is {state}");
        self.mistakes.push(Mistake { code: 303, message, help: Some(help) });
    }
}

/// Why a variable of a matrix is not set, where none is near.
fn of_matrix_help(names: &[String]) -> String {
    if names.is_empty() {
        return "variables of a matrix are set in machines that have a `matrix`, and in steps of these".to_owned();
    }
    let names: Vec<String> = names.iter().map(|name| format!("`{name}`")).collect();
    format!("this matrix sets {}", names.join(", "))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    struct Set(BTreeMap<&'static str, String>);

    impl Variables for Set {
        fn lookup(&self, name: &str) -> Lookup {
            if name.starts_with("MATRIX_") {
                return Lookup::Unknown;
            }
            self.0.get(name).cloned().map_or(Lookup::Unset, Lookup::Set)
        }

        fn names(&self) -> Vec<String> {
            self.0.keys().map(ToString::to_string).collect()
        }
    }

    fn set() -> Set {
        Set(BTreeMap::from([("A", "one".to_owned()), ("E", String::new()), ("HOME", "/home/ada".to_owned())]))
    }

    fn value(text: &str) -> String {
        interpolate(text, &set()).expect("no mistake").expect("all known")
    }

    fn codes(text: &str) -> Vec<u16> {
        interpolate(text, &set()).expect_err("a mistake").iter().map(|mistake| mistake.code).collect()
    }

    #[test]
    fn every_form_takes_what_the_variable_allows() {
        assert_eq!(value("$A-${A}$$A"), "one-one$A");
        assert_eq!(value("${A:-d}${E:-d}${U:-d}${U-d}"), "oneddd");
        assert_eq!(value("<${E-d}>"), "<>");
        assert_eq!(value("${A:+x}${E:+x}${E+y}${U+z}"), "xy");
        assert_eq!(value("${A:?no}${E?no}"), "one");
        assert_eq!(value("${U:-${V:-${A}}/b}"), "one/b");
    }

    #[test]
    fn mistakes_in_one_text_are_all_told() {
        assert_eq!(codes("$U ${V}"), [301, 301]);
        assert_eq!(codes("${U:?say why}${V}"), [303, 301]);
    }

    #[test]
    fn what_cannot_be_read_is_told_even_in_an_unused_default() {
        for text in ["${", "$", "a $ b", "${A", "${1x}", "$1", "${A:x}", "${A:}", "${A:-${}}", "${}", "${A b}"] {
            assert_eq!(codes(text), [302], "{text}");
        }
    }

    #[test]
    fn required_variable_says_the_users_own_words() {
        let mistakes = interpolate("${TOKEN:?get one at the desk}", &set()).expect_err("unset");
        assert_eq!(mistakes[0].message, "get one at the desk");
        assert_eq!(mistakes[0].code, 303);
    }

    #[test]
    fn unset_variable_names_the_nearest_set_one() {
        let mistakes = interpolate("${HOEM}", &set()).expect_err("unset");
        assert!(mistakes[0].help.as_ref().is_some_and(|help| help.contains("`HOME`")), "{mistakes:?}");
    }

    #[test]
    fn a_variable_of_a_matrix_makes_the_value_unknown_and_no_mistake() {
        assert_eq!(interpolate("x-${MATRIX_ID}", &set()), Ok(None));
    }

    #[test]
    fn growth_is_bounded() {
        let long = Set(BTreeMap::from([("A", "x".repeat(100_000))]));
        let mistakes = interpolate(&"$A".repeat(1000), &long).expect_err("too long");
        assert_eq!(mistakes.iter().map(|mistake| mistake.code).collect::<Vec<_>>(), [5]);
    }

    proptest! {
        #[test]
        fn no_text_panics(text in "[$\\{\\}:?+A-E1 -]{0,40}") {
            let _ = interpolate(&text, &set());
        }
    }
}

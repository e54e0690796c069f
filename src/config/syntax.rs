//! Words for syntax errors (0001): what the parser met, what it expected there, and what usually helps.

use granit_parser::ErrorKind;

/// A syntax error in our words.
#[derive(Debug)]
pub(super) enum SyntaxError {
    /// The parser's own limit on nesting: rule 0007.
    TooDeep,
    /// Rule 0001.
    At { message: String, label: String, help: Option<&'static str> },
}

/// Words for `kind`, where `rest` is the text from the place on which it stopped.
pub(super) fn syntax_error(kind: &ErrorKind, rest: &str) -> SyntaxError {
    let (message, label, help): (String, String, Option<&'static str>) = match kind {
        ErrorKind::RecursionLimitExceeded => return SyntaxError::TooDeep,
        ErrorKind::MappingValueNotAllowed | ErrorKind::InvalidColonPlacement => (
            "a `:` stands where no value can follow".to_owned(),
            "expected the end of the value before this".to_owned(),
            Some("put text that holds `: ` in quotes, and begin keys of one map in the same column"),
        ),
        ErrorKind::UnclosedQuotedScalar => (
            "a quote is not closed".to_owned(),
            "opened here; expected the same quote before the end of the file".to_owned(),
            None,
        ),
        ErrorKind::UnclosedFlowCollection { open } => {
            let close = if *open == '{' { '}' } else { ']' };
            (format!("a `{open}` is not closed"), format!("opened here; expected `{close}` further on"), None)
        }
        ErrorKind::MismatchedFlowCollectionEnd { open, close } => {
            let expected = if *open == '{' { '}' } else { ']' };
            (format!("a `{close}` closes a `{open}`"), format!("expected `{expected}`"), None)
        }
        ErrorKind::MisplacedFlowCollectionEnd => {
            ("a closing bracket that nothing opened".to_owned(), "expected the end of the value".to_owned(), None)
        }
        ErrorKind::UnexpectedCharacter { character } => unexpected_character(*character),
        ErrorKind::TabNotAllowed
        | ErrorKind::TabInBlockIndentation
        | ErrorKind::TabInIndentation
        | ErrorKind::TabAtBlockScalarStart
        | ErrorKind::TabInPlainScalar => {
            ("a tab where YAML wants spaces".to_owned(), "expected spaces".to_owned(), Some("indent with spaces"))
        }
        ErrorKind::ExpectedBlockMappingKey | ErrorKind::InvalidIndentation => (
            "the indentation fits no map or list above".to_owned(),
            "expected a key in the column of the keys above".to_owned(),
            Some("begin keys of one map, and `-` of one list, in the same column"),
        ),
        ErrorKind::ExpectedBlockSequenceEntry => (
            "a list goes on without `-`".to_owned(),
            "expected `-`".to_owned(),
            Some("a list and a map cannot be mixed"),
        ),
        ErrorKind::BlockSequenceEntryNotAllowed | ErrorKind::BlockEntryInFlowCollection => (
            "a `-` where no list can begin".to_owned(),
            "expected a value".to_owned(),
            Some("begin the list on a line of its own, or write `[a, b]`"),
        ),
        ErrorKind::SimpleKeyExpected | ErrorKind::InvalidSimpleKey => {
            ("a key without `:`".to_owned(), "expected `:` after the key".to_owned(), Some("write `key: value`"))
        }
        ErrorKind::UnknownQuotedScalarEscape => (
            "an escape that YAML does not know, in double quotes".to_owned(),
            "in the text that begins here".to_owned(),
            Some("write `\\\\` for a backslash, or use single quotes"),
        ),
        ErrorKind::InvalidTrailingSingleQuotedScalar | ErrorKind::InvalidTrailingDoubleQuotedScalar => (
            "text after a closing quote".to_owned(),
            "expected the end of the value".to_owned(),
            Some("put the whole value in quotes; in single quotes, a quote is written twice"),
        ),
        ErrorKind::MissingAnchorOrAliasName => (
            "an anchor or alias without a name".to_owned(),
            "expected a name after this".to_owned(),
            Some("put text that begins with `*` or `&` in quotes"),
        ),
        ErrorKind::CommentNotSeparated | ErrorKind::CommentInterceptedScalar => {
            ("a comment inside a value".to_owned(), "expected a space before `#`".to_owned(), None)
        }
        ErrorKind::ExpectedFlowMappingSeparator => {
            ("the map in braces goes on without `,`".to_owned(), "expected `,` or `}`".to_owned(), None)
        }
        ErrorKind::ExpectedFlowSequenceSeparator => {
            ("the list in brackets goes on without `,`".to_owned(), "expected `,` or `]`".to_owned(), None)
        }
        other => (format!("not YAML: {}", plain_words(&other.to_string())), place(rest), None),
    };
    SyntaxError::At { message, label, help }
}

fn unexpected_character(character: char) -> (String, String, Option<&'static str>) {
    let message = format!("a value cannot begin with `{character}`");
    (message, "expected a value".to_owned(), Some("put the value in quotes"))
}

fn place(rest: &str) -> String {
    if rest.is_empty() {
        "the parser stopped at the end of the file".to_owned()
    } else {
        "the parser stopped here".to_owned()
    }
}

/// The parser quotes as `this' in places; we use backticks.
fn plain_words(text: &str) -> String {
    text.replace('\'', "`").trim_end_matches('.').to_owned()
}

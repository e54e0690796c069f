//! Words for syntax errors (0001): what the parser met, what it expected there, and what usually helps.

use granit_parser::ErrorKind;

/// A syntax error in our words.
#[derive(Debug)]
pub(super) enum SyntaxError {
    /// The parser's own limit on nesting: rule 0007.
    TooDeep,
    /// Rule 0001.
    At(Words),
}

/// What is said of a place.
#[derive(Debug)]
pub(super) struct Words {
    pub(super) message: String,
    pub(super) label: String,
    pub(super) help: Option<&'static str>,
}

/// Words for `kind`, where `rest` is the text from the place on which it stopped.
pub(super) fn syntax_error(kind: &ErrorKind, rest: &str) -> SyntaxError {
    if *kind == ErrorKind::RecursionLimitExceeded {
        return SyntaxError::TooDeep;
    }
    let words = words_by_rest(kind, rest)
        .or_else(|| indentation_words(kind))
        .or_else(|| bracket_words(kind))
        .or_else(|| scalar_words(kind));
    SyntaxError::At(words.unwrap_or_else(|| other_words(kind, rest)))
}

fn words(message: &str, label: &str, help: Option<&'static str>) -> Words {
    Words { message: message.to_owned(), label: label.to_owned(), help }
}

/// Mistakes that only the text at the place tells apart.
fn words_by_rest(kind: &ErrorKind, rest: &str) -> Option<Words> {
    match kind {
        // `- "./my folder":/data`
        ErrorKind::ExpectedBlockSequenceEntry | ErrorKind::ExpectedBlockMappingKey if rest.starts_with(':') => {
            scalar_words(&ErrorKind::InvalidTrailingDoubleQuotedScalar)
        }
        ErrorKind::UnexpectedEofImplicitFlowMapping if rest.starts_with(',') => {
            Some(words("two `,` without anything between them", "expected a key", Some("take one of them out")))
        }
        ErrorKind::UnexpectedCharacter { character: '`' } => {
            Some(words("a value cannot begin with a backtick", "expected a value", Some("put the value in quotes")))
        }
        _ => None,
    }
}

/// Whether the parser met a tab where YAML wants spaces.
pub(super) fn is_about_tabs(kind: &ErrorKind) -> bool {
    matches!(
        kind,
        ErrorKind::TabNotAllowed
            | ErrorKind::TabInBlockIndentation
            | ErrorKind::TabInIndentation
            | ErrorKind::TabAtBlockScalarStart
            | ErrorKind::TabInPlainScalar
    )
}

/// Lines, keys and dashes that do not fit what stands above.
fn indentation_words(kind: &ErrorKind) -> Option<Words> {
    Some(match kind {
        ErrorKind::MappingValueNotAllowed | ErrorKind::InvalidColonPlacement => words(
            "a `:` stands where no value can follow",
            "expected the end of the value before this",
            Some("put text that holds `: ` in quotes, and begin keys of one map in the same column"),
        ),
        kind if is_about_tabs(kind) => {
            words("a tab where YAML wants spaces", "expected spaces", Some("indent with spaces"))
        }
        ErrorKind::ExpectedBlockMappingKey | ErrorKind::InvalidIndentation => words(
            "the indentation fits no map or list above",
            "expected a key in the column of the keys above",
            Some("begin keys of one map, and `-` of one list, in the same column"),
        ),
        ErrorKind::ExpectedBlockSequenceEntry => {
            words("a list goes on without `-`", "expected `-`", Some("a list and a map cannot be mixed"))
        }
        ErrorKind::BlockSequenceEntryNotAllowed | ErrorKind::BlockEntryInFlowCollection => words(
            "a `-` where no list can begin",
            "expected a value",
            Some("begin the list on a line of its own, or write `[a, b]`"),
        ),
        ErrorKind::SimpleKeyExpected | ErrorKind::InvalidSimpleKey => words(
            "a key without `:`",
            "expected `:` after the key",
            Some("write `key: value`; lines below `key: |` stand deeper than their key"),
        ),
        ErrorKind::ExpectedDocumentStart => words(
            "the indentation fits no map or list above",
            "expected the column in which the file begins",
            Some("begin all keys of the file in the first column, without spaces or tabs before them"),
        ),
        _ => return None,
    })
}

/// Brackets and braces.
fn bracket_words(kind: &ErrorKind) -> Option<Words> {
    let closing = |open: char| if open == '{' { '}' } else { ']' };
    Some(match kind {
        ErrorKind::UnclosedFlowCollection { open } => words(
            &format!("a `{open}` is not closed"),
            &format!("opened here; expected `{}` further on", closing(*open)),
            Some(if *open == '{' { "close it with `}`" } else { "close it with `]`" }),
        ),
        ErrorKind::MismatchedFlowCollectionEnd { open, close } => {
            let help = "each `{` is closed by a `}`, and each `[` by a `]`";
            words(&format!("a `{close}` closes a `{open}`"), &format!("expected `{}`", closing(*open)), Some(help))
        }
        ErrorKind::MisplacedFlowCollectionEnd => {
            let help = "take it out; or a `:` before it lacks the space that belongs after it";
            words("a closing bracket that nothing opened", "expected the end of the value", Some(help))
        }
        ErrorKind::FlowMappingValueAdjacentCollection => {
            words("a key without a space after its `:`", "expected a space before this", Some("write `key: [value]`"))
        }
        ErrorKind::ExpectedFlowMappingSeparator => {
            let help = "close the map with `}` where it ends, or put `,` between its entries";
            words("the map in braces goes on without `,`", "expected `,` or `}`", Some(help))
        }
        ErrorKind::ExpectedFlowSequenceSeparator => {
            let help = "close the list with `]` where it ends, or put `,` between its entries";
            words("the list in brackets goes on without `,`", "expected `,` or `]`", Some(help))
        }
        _ => return None,
    })
}

/// Quotes, anchors, comments and first characters.
fn scalar_words(kind: &ErrorKind) -> Option<Words> {
    Some(match kind {
        ErrorKind::UnclosedQuotedScalar => {
            let help = "write the same quote where the text ends";
            let label = "opened here; expected the same quote before the end of the file";
            words("a quote is not closed", label, Some(help))
        }
        ErrorKind::UnexpectedCharacter { character } => words(
            &format!("a value cannot begin with `{character}`"),
            "expected a value",
            Some("put the value in quotes"),
        ),
        ErrorKind::UnknownQuotedScalarEscape => words(
            "an escape that YAML does not know, in double quotes",
            "in the text that begins here",
            Some("write `\\\\` for a backslash, or use single quotes"),
        ),
        ErrorKind::InvalidTrailingSingleQuotedScalar | ErrorKind::InvalidTrailingDoubleQuotedScalar => words(
            "text after a closing quote",
            "expected the end of the value",
            Some("put the whole value in quotes; in single quotes, a quote is written twice"),
        ),
        ErrorKind::MissingAnchorOrAliasName => words(
            "an anchor or alias without a name",
            "expected a name after this",
            Some("put text that begins with `*` or `&` in quotes"),
        ),
        ErrorKind::CommentNotSeparated | ErrorKind::CommentInterceptedScalar => {
            let help = "write a space before `#`, or put text that holds `#` in quotes";
            words("a comment inside a value", "expected a space before `#`", Some(help))
        }
        _ => return None,
    })
}

/// The parser's own words; it quotes as `this' in places, we use backticks.
fn other_words(kind: &ErrorKind, rest: &str) -> Words {
    let own = kind.to_string().replace('\'', "`");
    let label = if rest.is_empty() { "the parser stopped at the end of the file" } else { "the parser stopped here" };
    words(&format!("not YAML: {}", own.trim_end_matches('.')), label, None)
}

//! How rules speak of mounts: which of two stands later, and a mount as it could be written.

use super::world::World;
use crate::config::model::Mount;
use crate::diag::Span;

/// A mount and its place in the machine's list.
type Placed<'m> = (&'m Mount, usize);

/// Whether `a` stands later than `b` in the text, or in a file read later.
pub(super) fn is_later_place(a: Span, b: Span) -> bool {
    (a.file, a.start) > (b.file, b.start)
}

/// Whether `a` stands later than `b`: further down in one file, else later in the list (files merge in order).
pub(super) fn is_later(a: Placed<'_>, b: Placed<'_>) -> bool {
    let (a_span, b_span) = (a.0.target.span, b.0.target.span);
    if a_span.file == b_span.file && a_span.start != b_span.start { a_span.start > b_span.start } else { a.1 > b.1 }
}

/// Both, the earlier one first.
pub(super) fn in_order<'m>(a: Placed<'m>, b: Placed<'m>) -> (&'m Mount, &'m Mount) {
    if is_later(a, b) { (b.0, a.0) } else { (a.0, b.0) }
}

/// The mount in its long form with one more key, to be pasted.
pub(super) fn long_form(world: &World<'_>, mount: &Mount, extra: &str) -> String {
    let mut keys = vec![
        format!("source: {}", quote(&world.show(&mount.source.value))),
        format!("target: {}", quote(mount.target.value.as_str())),
    ];
    if mount.readonly && !extra.starts_with("readonly") {
        keys.push("readonly: true".to_owned());
    }
    if mount.create && !extra.starts_with("create") {
        keys.push("create: true".to_owned());
    }
    keys.push(extra.to_owned());
    format!("{{ {} }}", keys.join(", "))
}

/// Quoted where YAML would read it otherwise inside `{ }`.
fn quote(text: &str) -> String {
    let is_plain =
        text.chars().all(|c| c.is_alphanumeric() || "./_-+@~".contains(c)) && !text.starts_with(['-', '@', '~']);
    if is_plain { text.to_owned() } else { format!("{text:?}") }
}

/// A word of a command line, quoted where a shell would read it otherwise.
pub(super) fn shell_word(text: &str) -> String {
    let is_plain = !text.is_empty() && text.chars().all(|c| c.is_ascii_alphanumeric() || "./_-+@:,=%".contains(c));
    if is_plain { text.to_owned() } else { format!("'{}'", text.replace('\'', r"'\''")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_of_a_command_line_can_be_pasted() {
        assert_eq!(shell_word("./src"), "./src");
        assert_eq!(shell_word("./my folder"), "'./my folder'");
        assert_eq!(shell_word("it's"), r"'it'\''s'");
    }

    #[test]
    fn values_in_a_flow_map_can_be_pasted() {
        assert_eq!(quote("./src"), "./src");
        assert_eq!(quote("."), ".");
        assert_eq!(quote("./a, b"), "\"./a, b\"");
        assert_eq!(quote("~/x"), "\"~/x\"");
    }
}

//! How rules speak of mounts: which of two stands later, and a mount as it could be written.

use super::world::World;
use crate::config::model::{Cache, Mount, MountKind, Owner, Spanned};
use crate::diag::Span;

/// A mount and its place in the machine's list.
type Placed<'m> = (&'m Mount, usize);

/// Whether `a` stands later than `b`: further down, all files taken together, or later in the list where one anchor
/// says both.
pub(super) fn is_later(world: &World<'_>, a: Placed<'_>, b: Placed<'_>) -> bool {
    let place = |one: Placed<'_>| (world.project.origins.place(one.0.target.span), one.1);
    place(a) > place(b)
}

/// Both, the earlier one first.
pub(super) fn in_order<'m>(world: &World<'_>, a: Placed<'m>, b: Placed<'m>) -> (&'m Mount, &'m Mount) {
    if is_later(world, a, b) { (b.0, a.0) } else { (a.0, b.0) }
}

/// The mount in its long form with one more key, to be pasted.
pub(super) fn long_form(world: &World<'_>, mount: &Mount, extra: &str) -> String {
    let mut keys = Vec::new();
    if !matches!(mount.kind, MountKind::Bind { .. }) {
        keys.push(format!("type: {}", mount.kind_word()));
    }
    if let Some(source) = mount.source() {
        let shown = || quote(&world.show_source(source));
        keys.push(format!("source: {}", with_variables(world, source.span, 0).unwrap_or_else(shown)));
    }
    keys.extend(mount.volume().map(|name| format!("source: {}", name.value)));
    let target = || quote(mount.target.value.as_str());
    keys.push(format!("target: {}", with_variables(world, mount.target.span, 1).unwrap_or_else(target)));
    if mount.is_readonly() && !extra.starts_with("readonly") {
        keys.push("readonly: true".to_owned());
    }
    if mount.create && !extra.starts_with("create") {
        keys.push("create: true".to_owned());
    }
    keys.extend(other_keys(mount));
    keys.push(extra.to_owned());
    format!("{{ {} }}", keys.join(", "))
}

/// A source or target as it is written where it differs between the machines of a matrix, so that it goes on doing so;
/// of the short form the part is taken.
fn with_variables(world: &World<'_>, span: Span, part: usize) -> Option<String> {
    let written = world.texts.get(span.file).bytes.get(span.start..span.end)?;
    let written = std::str::from_utf8(written).ok()?.trim_matches(['"', '\'']);
    let parts: Vec<&str> = written.split(':').collect();
    let said = if let [whole] = parts.as_slice() { whole } else { parts.get(part)? };
    let is_plain =
        !written.contains(['\n', '\\', '"', '\'']) && said.matches("${").count() == said.matches('}').count();
    (is_plain && said.contains("${MATRIX_")).then(|| format!("\"{said}\""))
}

/// The keys of one kind of mount that are not their default.
fn other_keys(mount: &Mount) -> Vec<String> {
    let view =
        |user: &Option<Spanned<String>>| user.as_ref().map(|user| format!("guest_owner: {}", quote_user(&user.value)));
    match &mount.kind {
        MountKind::Bind { owner, guest_owner, cache, .. } => {
            let owner = match &owner.value {
                Owner::Invoker => None,
                Owner::Guest => Some("owner: guest".to_owned()),
                Owner::Named(name) => Some(format!("owner: {}", quote_user(name))),
            };
            let cache = match cache.value {
                Cache::Auto => None,
                Cache::Always => Some("cache: always".to_owned()),
                Cache::Never => Some("cache: never".to_owned()),
            };
            owner.into_iter().chain(view(guest_owner)).chain(cache).collect()
        }
        MountKind::Overlay { guest_owner, .. } => view(guest_owner).into_iter().collect(),
        MountKind::Volume { .. } => Vec::new(),
        MountKind::Tmpfs { size_mib } => size_mib.iter().map(|size| format!("size: {}MiB", size.value)).collect(),
    }
}

/// A user, quoted where YAML might read `1:2` as something else.
fn quote_user(user: &str) -> String {
    if user.contains(':') { format!("{user:?}") } else { user.to_owned() }
}

/// Quoted where YAML would read it otherwise inside `{ }`.
pub(super) fn quote(text: &str) -> String {
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

//! Edits of mounts that rules offer: a key more, or a mount less.
//!
//! An edit is offered where the text around it is understood; what came through a variable stays as it is.

use super::show::quote;
use super::world::World;
use crate::config::layout;
use crate::config::model::Mount;
use crate::diag::{Edit, Span};

/// Longer ones are left as they are: many machines may use one through an anchor, and each look at it takes time.
const MOUNT_MAX_BYTES: usize = 8 << 10;

/// How a mount is written.
enum Written<'t> {
    /// `SOURCE:TARGET:MODE`, without quotes.
    Short(Vec<&'t str>),
    /// `{ … }`.
    Flow,
    /// A line a key; its span is its first line.
    Block,
}

/// The edit that adds `create: true`.
pub(super) fn add_create(world: &World<'_>, mount: &Mount) -> Option<Vec<Edit>> {
    let text = bytes(world, mount.span);
    let entry = "create: true";
    match written(world, mount)? {
        Written::Short(parts) => {
            let mut keys = vec![format!("source: {}", quote(parts[0])), format!("target: {}", quote(parts[1]))];
            match parts.get(2).copied() {
                None | Some("rw") => {}
                Some("ro") => keys.push("readonly: true".to_owned()),
                Some(_) => return None,
            }
            keys.push(entry.to_owned());
            Some(vec![Edit { span: mount.span, text: format!("{{ {} }}", keys.join(", ")) }])
        }
        Written::Flow | Written::Block if mount.create => None,
        Written::Flow | Written::Block => {
            let (map, target) = (mount.span.start..mount.span.end, mount.target.span);
            let is_said = text.get(map.clone()).is_some_and(|said| contains(said, b"create"));
            let (at, text) = layout::addition(text, map, "target", target.start..target.end, entry)?;
            (!is_said).then(|| vec![Edit { span: Span { start: at, end: at, ..mount.span }, text }])
        }
    }
}

/// The edit that takes out a mount which says the same as an earlier one of its list, byte for byte.
pub(super) fn remove_repeat(world: &World<'_>, earlier: &Mount, later: &Mount) -> Option<Vec<Edit>> {
    let is_whole = |mount: &Mount| !matches!(written(world, mount), None | Some(Written::Block));
    let of = |span: Span| bytes(world, span).get(span.start..span.end);
    let is_repeat = earlier.span != later.span && earlier.span.file == later.span.file;
    if !is_repeat || !is_whole(earlier) || !is_whole(later) || of(earlier.span) != of(later.span) {
        return None;
    }
    remove_item(world, later.span)
}

/// As [`remove_repeat`], for an item that is a scalar.
pub(super) fn remove_repeated_item(world: &World<'_>, earlier: Span, later: Span) -> Option<Vec<Edit>> {
    let of = |span: Span| bytes(world, span).get(span.start..span.end).filter(|said| !said.contains(&b'$'));
    let is_repeat = earlier.file == later.file && of(earlier)? == of(later)?;
    is_repeat.then(|| remove_item(world, later)).flatten()
}

fn remove_item(world: &World<'_>, item: Span) -> Option<Vec<Edit>> {
    let removed = layout::item_removal(bytes(world, item), item.start..item.end)?;
    Some(vec![Edit { span: Span { start: removed.start, end: removed.end, ..item }, text: String::new() }])
}

fn written<'w>(world: &World<'w>, mount: &Mount) -> Option<Written<'w>> {
    let said = std::str::from_utf8(bytes(world, mount.span).get(mount.span.start..mount.span.end)?).ok()?;
    if said.len() > MOUNT_MAX_BYTES {
        return None;
    }
    if said.starts_with('{') {
        return Some(Written::Flow);
    }
    if said.contains(": ") || said.ends_with(':') {
        return Some(Written::Block);
    }
    let bare = ['"', '\''].into_iter().find_map(|quote| said.strip_prefix(quote)?.strip_suffix(quote));
    let bare = bare.unwrap_or(said);
    let parts: Vec<&str> = bare.split(':').collect();
    let is_plain = !bare.contains(['$', '\\', '"', '\'', '\n', '#']) && (2..=3).contains(&parts.len());
    is_plain.then_some(Written::Short(parts))
}

fn bytes<'w>(world: &World<'w>, span: Span) -> &'w [u8] {
    &world.texts.get(span.file).bytes
}

fn contains(text: &[u8], part: &[u8]) -> bool {
    text.windows(part.len()).any(|window| window == part)
}

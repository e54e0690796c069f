//! References to images in registries, as docker writes them: `alpine:3.20`, `host:5000/name@sha256:…`.
//!
//! The grammar is that of the distribution specification with docker's short forms: no registry is `docker.io`, one name
//! there is `library/NAME`, no tag and no digest is `latest`. What cannot be read is told with its place in the text and,
//! where one can be guessed, with what was meant. Deliberately not here: diagnostics (`lower`), any registry.

use std::fmt;
use std::ops::Range;

use serde::{Deserialize, Serialize};

/// The registry of references that name none.
const DEFAULT_REGISTRY: &str = "docker.io";
/// Where the registry of docker keeps what belongs to nobody.
const OFFICIAL: &str = "library/";
/// Bytes of registry and repository together.
const NAME_MAX: usize = 255;
/// Bytes of a tag.
const TAG_MAX: usize = 128;
/// Algorithms of digests, and how many hexadecimal digits each gives.
const ALGORITHMS: [(&str, usize); 3] = [("sha256", 64), ("sha384", 96), ("sha512", 128)];

/// An image in a registry.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Reference {
    /// As it is written.
    written: String,
    registry: String,
    repository: String,
    tag: Option<String>,
    digest: Option<String>,
}

/// Why a text is no reference.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct ReferenceError {
    /// What is wrong; fits after "`TEXT` is no reference to an image: ".
    pub(crate) message: String,
    /// Which bytes of the text are wrong.
    pub(crate) place: Range<usize>,
    /// The whole text as it was most likely meant.
    pub(crate) instead: Option<String>,
    /// Whether nothing else can have been meant.
    pub(crate) is_certain: bool,
}

impl Reference {
    /// Reads a reference.
    pub(crate) fn parse(text: &str) -> Result<Self, ReferenceError> {
        Self::read(text).map_err(|mut error| {
            error.instead = error.instead.filter(|instead| Self::read(instead).is_ok());
            error
        })
    }

    fn read(text: &str) -> Result<Self, ReferenceError> {
        check_foreign(text)?;
        let (rest, digest) = split_digest(text)?;
        let (name, tag) = split_tag(rest);
        let (registry, repository) = split_registry(name);
        check_registry(text, registry)?;
        let start = name.len() - repository.len();
        check_repository(text, repository, start)?;
        if let Some(tag) = tag {
            check_tag(text, tag, name.len() + 1)?;
        }
        if let Some(digest) = digest {
            check_digest(text, digest, rest.len() + 1)?;
        }
        let (registry, repository) = normalised(registry, repository);
        if registry.len() + 1 + repository.len() > NAME_MAX {
            return Err(wrong(format!("its name is longer than {NAME_MAX} bytes"), 0..name.len()));
        }
        let owned = |part: Option<&str>| part.map(str::to_owned);
        Ok(Self { written: text.to_owned(), registry, repository, tag: owned(tag), digest: owned(digest) })
    }

    /// As the file says it.
    pub fn written(&self) -> &str {
        &self.written
    }

    /// The registry, `docker.io` where none is said.
    pub fn registry(&self) -> &str {
        &self.registry
    }

    /// The name in the registry.
    pub fn repository(&self) -> &str {
        &self.repository
    }

    /// The tag, where one is said.
    pub fn tag(&self) -> Option<&str> {
        self.tag.as_deref()
    }

    /// The digest, where one is said.
    pub fn digest(&self) -> Option<&str> {
        self.digest.as_deref()
    }

    /// Registry, repository and tag in full, without the digest: what a lock file calls the image. A reference that has a
    /// digest alone has no tag.
    pub fn name(&self) -> String {
        let name = format!("{}/{}", self.registry, self.repository);
        match (&self.tag, &self.digest) {
            (Some(tag), _) => format!("{name}:{tag}"),
            (None, Some(_)) => name,
            (None, None) => format!("{name}:latest"),
        }
    }
}

impl std::str::FromStr for Reference {
    type Err = ReferenceError;

    fn from_str(text: &str) -> Result<Self, ReferenceError> {
        Self::parse(text)
    }
}

/// The reference in full.
impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name())?;
        match &self.digest {
            Some(digest) => write!(f, "@{digest}"),
            None => Ok(()),
        }
    }
}

fn wrong(message: impl Into<String>, place: Range<usize>) -> ReferenceError {
    ReferenceError { message: message.into(), place, instead: None, is_certain: false }
}

impl ReferenceError {
    /// Offers a text; the caller of the reader sees it only where it can be read.
    fn instead(mut self, text: String) -> Self {
        self.instead = Some(text);
        self
    }

    /// Says that nothing else can have been meant.
    fn certain(mut self) -> Self {
        self.is_certain = true;
        self
    }
}

/// What other programs take and a reference cannot hold: schemes, blanks.
fn check_foreign(text: &str) -> Result<(), ReferenceError> {
    if text.is_empty() {
        return Err(wrong("it is empty", 0..0));
    }
    if let Some(at) = text.find("://") {
        let rest = text[at + 3..].trim_end_matches('/');
        let page = rest.strip_prefix("hub.docker.com/");
        let rest = page.and_then(|page| page.strip_prefix("_/").or_else(|| page.strip_prefix("r/"))).unwrap_or(rest);
        let scheme = &text[..at];
        let message = format!("a reference has no scheme such as `{scheme}://`");
        let error = wrong(message, 0..at + 3).instead(rest.to_owned());
        return Err(if scheme == "docker" { error.certain() } else { error });
    }
    if let Some((at, blank)) = text.char_indices().find(|(_, character)| character.is_whitespace()) {
        let words: Vec<&str> = text.split_whitespace().collect();
        let bare = match words.as_slice() {
            // A version in words: `alpine 3.20`.
            [name, tag] if !name.contains([':', '@']) && tag.starts_with(|first: char| first.is_ascii_digit()) => {
                format!("{name}:{tag}")
            }
            words => words.concat(),
        };
        return Err(wrong("a reference has no blanks", at..at + blank.len_utf8()).instead(bare));
    }
    Ok(())
}

fn split_digest(text: &str) -> Result<(&str, Option<&str>), ReferenceError> {
    let Some((rest, digest)) = text.split_once('@') else { return Ok((text, None)) };
    if let Some(second) = digest.find('@') {
        let at = rest.len() + 1 + second;
        return Err(wrong("it has two `@`", at..at + 1));
    }
    Ok((rest, Some(digest)))
}

/// Name and tag: the last `:` parts them, unless a `/` follows, where it is the port of a registry.
fn split_tag(rest: &str) -> (&str, Option<&str>) {
    match rest.rsplit_once(':') {
        Some((name, tag)) if !tag.contains('/') => (name, Some(tag)),
        _ => (rest, None),
    }
}

/// Registry and repository: what stands before the first `/` is a registry where it looks like a host.
fn split_registry(name: &str) -> (Option<&str>, &str) {
    match name.split_once('/') {
        Some((first, rest)) if first.contains(['.', ':']) || first == "localhost" => (Some(first), rest),
        _ => (None, name),
    }
}

fn normalised(registry: Option<&str>, repository: &str) -> (String, String) {
    let registry = match registry {
        None | Some("index.docker.io") => DEFAULT_REGISTRY,
        Some(registry) => registry,
    };
    let is_official = registry == DEFAULT_REGISTRY && !repository.contains('/');
    let prefix = if is_official { OFFICIAL } else { "" };
    (registry.to_owned(), format!("{prefix}{repository}"))
}

fn check_registry(text: &str, registry: Option<&str>) -> Result<(), ReferenceError> {
    let Some(registry) = registry else { return Ok(()) };
    let whole = 0..registry.len();
    let (host, port) = match registry.rsplit_once(':') {
        Some((host, port)) if !port.contains(']') => (host, Some(port)),
        _ => (registry, None),
    };
    if let Some(port) = port
        && port.parse::<u16>().is_err()
    {
        let place = host.len() + 1..registry.len();
        let shown = if port.is_empty() { "an empty text".to_owned() } else { format!("`{port}`") };
        return Err(wrong(format!("{shown} is not the port of a registry"), place));
    }
    let is_address = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
    let is_host = match is_address {
        Some(address) => address.parse::<std::net::Ipv6Addr>().is_ok(),
        None => host.split('.').all(is_label),
    };
    if is_host {
        return Ok(());
    }
    let lowered = text.to_lowercase();
    Err(wrong(format!("`{host}` is not the host of a registry"), whole).instead(lowered))
}

fn is_label(label: &str) -> bool {
    let is_inner = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
    !label.is_empty() && label.bytes().all(is_inner) && !label.starts_with('-') && !label.ends_with('-')
}

fn check_repository(text: &str, repository: &str, start: usize) -> Result<(), ReferenceError> {
    let end = start + repository.len();
    let lowered = || format!("{}{}{}", &text[..start], repository.to_lowercase(), &text[end..]);
    if repository.is_empty() {
        return Err(wrong("it names no image", 0..text.len()));
    }
    if let Some((at, _)) = repository.bytes().enumerate().find(|(_, byte)| byte.is_ascii_uppercase()) {
        let length = repository[at..].bytes().take_while(u8::is_ascii_uppercase).count();
        let place = start + at..start + at + length;
        return Err(wrong("names of images have no upper-case letters", place).instead(lowered()).certain());
    }
    let mut at = start;
    for part in repository.split('/') {
        check_part(text, part, at)?;
        at += part.len() + 1;
    }
    if repository.len() == 64 && repository.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        let place = start..end;
        return Err(wrong("64 hexadecimal digits are an id, which no registry knows", place));
    }
    Ok(())
}

/// One name between slashes: letters and digits, parted by `.`, `_`, `__` or dashes.
fn check_part(text: &str, part: &str, at: usize) -> Result<(), ReferenceError> {
    if part.is_empty() {
        let place = at.saturating_sub(1)..(at + 1).min(text.len());
        let joined: Vec<&str> = text.split('/').filter(|part| !part.is_empty()).collect();
        return Err(wrong("a name between slashes is empty", place).instead(joined.join("/")));
    }
    let is_letter = |character: char| character.is_ascii_lowercase() || character.is_ascii_digit();
    let is_separator = |character: char| matches!(character, '.' | '_' | '-');
    let foreign = part.char_indices().find(|(_, character)| !is_letter(*character) && !is_separator(*character));
    if let Some((inner, character)) = foreign {
        let place = at + inner..at + inner + character.len_utf8();
        return Err(wrong(format!("`{character}` cannot stand in the name of an image"), place));
    }
    if part.starts_with(is_separator) || part.ends_with(is_separator) {
        let inner = if part.starts_with(is_separator) { at } else { at + part.len() - 1 };
        return Err(wrong(format!("`{part}` begins or ends with a mark, not a letter or digit"), inner..inner + 1));
    }
    let mut inner = 0;
    for run in part.split(is_letter) {
        if !(matches!(run, "" | "." | "_" | "__") || run.bytes().all(|byte| byte == b'-')) {
            let place = at + inner..at + inner + run.len();
            return Err(wrong(format!("`{run}` cannot part the words of a name"), place));
        }
        inner += run.len() + 1;
    }
    Ok(())
}

fn check_tag(text: &str, tag: &str, at: usize) -> Result<(), ReferenceError> {
    let without = || format!("{}{}", &text[..at - 1], &text[at + tag.len()..]);
    if tag.is_empty() {
        return Err(wrong("the tag after `:` is empty", at - 1..at).instead(without()));
    }
    if tag.len() > TAG_MAX {
        return Err(wrong(format!("the tag is {} bytes long, the limit is {TAG_MAX}", tag.len()), at..at + tag.len()));
    }
    let is_first = |character: char| character.is_ascii_alphanumeric() || character == '_';
    let mut letters = tag.char_indices();
    let foreign =
        letters.find(|(inner, character)| !is_first(*character) && (*inner == 0 || !matches!(character, '.' | '-')));
    match foreign {
        None => Ok(()),
        Some((inner, character)) => {
            let place = at + inner..at + inner + character.len_utf8();
            let where_it_is = if inner == 0 { "begin a tag" } else { "stand in a tag" };
            Err(wrong(format!("`{character}` cannot {where_it_is}"), place))
        }
    }
}

fn check_digest(text: &str, digest: &str, at: usize) -> Result<(), ReferenceError> {
    let whole = at..at + digest.len();
    if digest.is_empty() {
        return Err(wrong("the digest after `@` is empty", at - 1..at).instead(text[..at - 1].to_owned()));
    }
    let Some((algorithm, digits)) = digest.split_once(':') else {
        let message = "a digest after `@` is an algorithm and hexadecimal digits, as `sha256:…`";
        let is_tag = !text[..at - 1].contains(':');
        let as_tag = format!("{}:{digest}", &text[..at - 1]);
        let bare = ALGORITHMS.iter().find(|(_, length)| *length == digest.len());
        let meant = bare.map_or(as_tag, |(algorithm, _)| format!("{}{algorithm}:{digest}", &text[..at]));
        let error = wrong(message, whole);
        return Err(if is_tag || bare.is_some() { error.instead(meant) } else { error });
    };
    let Some((_, length)) = ALGORITHMS.iter().find(|(known, _)| *known == algorithm) else {
        let place = at..at + algorithm.len();
        let lowered = format!("{}{}", &text[..at], digest.to_ascii_lowercase());
        let message = format!("`{algorithm}` is no algorithm of digests that is known: `sha256`");
        return Err(wrong(message, place).instead(lowered));
    };
    let start = at + algorithm.len() + 1;
    let is_digit = |character: char| character.is_ascii_digit() || ('a'..='f').contains(&character);
    if let Some((inner, character)) = digits.char_indices().find(|(_, character)| !is_digit(*character)) {
        let place = start + inner..start + inner + character.len_utf8();
        let lowered = format!("{}{}", &text[..start], digits.to_ascii_lowercase());
        return Err(wrong(format!("`{character}` is no digit of a digest: 0 to 9 and a to f"), place).instead(lowered));
    }
    if digits.len() != *length {
        let message = format!("a digest of {algorithm} has {length} digits, this one has {}", digits.len());
        return Err(wrong(message, start..start + digits.len()));
    }
    Ok(())
}

/// Whether a text is a digest.
pub(crate) fn is_digest(text: &str) -> bool {
    check_digest(&format!("@{text}"), text, 1).is_ok()
}

#[cfg(test)]
mod tests;

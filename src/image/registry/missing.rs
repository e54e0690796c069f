//! What to say of an image that is not there: what is, where the registry tells cheaply.

use std::time::Duration;

use super::body;
use super::error::PullError;
use super::session::{Request, Session};
use crate::config::{Reference, nearest};

/// How long is waited for tags.
const TIME: Duration = Duration::from_secs(3);
/// Bytes of a list of them.
const LIST_MAX: u64 = 256 << 10;

/// The error for a manifest that is not there.
pub(super) async fn explain(image: &Reference, name: &str, session: &Session) -> PullError {
    let tags = tokio::time::timeout(TIME, tags(session)).await.ok().flatten().unwrap_or_default();
    let meant = nearest(name, tags.iter().map(String::as_str)).map(|tag| format!("{}:{tag}", name_of(image)));
    let registry = session.endpoint.name.clone();
    PullError::NotFound { image: image.to_string(), registry, tags, meant }
}

/// As it is written, without tag and digest.
fn name_of(image: &Reference) -> &str {
    let written = image.written();
    let name = written.split('@').next().unwrap_or(written);
    match image.tag() {
        Some(tag) => name.strip_suffix(tag).and_then(|name| name.strip_suffix(':')).unwrap_or(name),
        None => name,
    }
}

async fn tags(session: &Session) -> Option<Vec<String>> {
    #[derive(serde::Deserialize)]
    struct List {
        tags: Option<Vec<String>>,
    }
    let request = Request { path: "tags/list?n=1000", ..Request::default() };
    let response = session.get(request).await.ok()?;
    let bytes = body::read(response, LIST_MAX, session.endpoint.stall).await.ok()?;
    let mut tags = serde_json::from_slice::<List>(&bytes).ok()?.tags?;
    let is_tag = |tag: &String| {
        let is_letter = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b'-');
        !tag.is_empty() && tag.len() <= 128 && tag.bytes().all(is_letter)
    };
    tags.retain(is_tag);
    tags.sort();
    Some(tags)
}

//! Bodies of answers, never longer than they may be, and never waited for longer than a registry may be silent.

use std::time::Duration;

use oci_distribution::errors::OciEnvelope;
use reqwest::header::{HeaderMap, RETRY_AFTER};
use reqwest::{Response, StatusCode};

use super::text::shown;
use super::wire::{WireError, explain};

/// Bytes of a refusal that are looked at.
const REFUSAL_MAX: u64 = 64 << 10;
/// How long is waited for the words of a refusal.
const REFUSAL_TIME: Duration = Duration::from_secs(2);

/// The next bytes of a body.
pub(super) async fn chunk(
    response: &mut Response,
    stall: Duration,
) -> Result<Option<impl AsRef<[u8]> + use<>>, WireError> {
    match tokio::time::timeout(stall, response.chunk()).await {
        Err(_) => Err(WireError::Stalled(stall)),
        Ok(Err(error)) => Err(explain(&error)),
        Ok(Ok(chunk)) => Ok(chunk),
    }
}

/// The whole of a body.
pub(super) async fn read(mut response: Response, most: u64, stall: Duration) -> Result<Vec<u8>, WireError> {
    if response.content_length().is_some_and(|length| length > most) {
        return Err(WireError::TooLarge(most));
    }
    let mut bytes = Vec::new();
    while let Some(chunk) = chunk(&mut response, stall).await? {
        let chunk = chunk.as_ref();
        if (bytes.len() + chunk.len()) as u64 > most {
            return Err(WireError::TooLarge(most));
        }
        bytes.extend_from_slice(chunk);
    }
    Ok(bytes)
}

/// What a refusal means.
pub(super) async fn refused(response: Response, stall: Duration) -> WireError {
    let status = response.status();
    let after = retry_after(response.headers());
    let words = tokio::time::timeout(stall.min(REFUSAL_TIME), read(response, REFUSAL_MAX, stall)).await;
    let words = words.ok().and_then(Result::ok).unwrap_or_default();
    let said = said(&words);
    match status {
        StatusCode::NOT_FOUND => WireError::NotFound,
        StatusCode::TOO_MANY_REQUESTS => WireError::Busy { after, said },
        // What Go's server says, and others in their words.
        StatusCode::BAD_REQUEST if is_tls_asked_for(&words) => WireError::Tls,
        status => WireError::Status { status: status.as_u16(), after, said },
    }
}

fn is_tls_asked_for(words: &[u8]) -> bool {
    let words = String::from_utf8_lossy(words).to_ascii_lowercase();
    words.contains("http request to an https server") || words.contains("plain http request was sent to https port")
}

/// The words of a refusal: those of the first error that it lists, or its text, where it is no page.
fn said(bytes: &[u8]) -> Option<String> {
    let text = match serde_json::from_slice::<OciEnvelope>(bytes) {
        Ok(envelope) => envelope.errors.into_iter().next().map(|error| error.message).unwrap_or_default(),
        Err(_) => match serde_json::from_slice::<serde_json::Value>(bytes) {
            // A code that the specification does not have.
            Ok(value) => value["errors"][0]["message"].as_str().unwrap_or_default().to_owned(),
            Err(_) => String::from_utf8_lossy(bytes).into_owned(),
        },
    };
    let text = shown(&text);
    (!text.is_empty() && !text.starts_with('<')).then_some(text)
}

/// How long a registry asks us to wait: seconds, or a date.
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    if let Ok(seconds) = text.parse::<u32>() {
        return Some(Duration::from_secs(seconds.into()));
    }
    let date = jiff::fmt::rfc2822::parse(text).ok()?.timestamp();
    let seconds = date.as_second() - jiff::Timestamp::now().as_second();
    Some(Duration::from_secs(u64::try_from(seconds).unwrap_or_default()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use reqwest::header::HeaderValue;

    #[test]
    fn words_of_a_refusal_are_found_in_all_its_forms() {
        let known = br#"{"errors":[{"code":"DENIED","message":"no\nway"}]}"#;
        assert_eq!(said(known).as_deref(), Some("no way"));
        assert_eq!(said(br#"{"errors":[{"code":"MINE","message":"so it is"}]}"#).as_deref(), Some("so it is"));
        assert_eq!(said(b"slow down").as_deref(), Some("slow down"));
        assert_eq!(said(b"<html>no</html>"), None);
        assert_eq!(said(b""), None);
    }

    #[test]
    fn how_long_to_wait_is_seconds_or_a_date() {
        let after = |text: &str| {
            let headers = HeaderMap::from_iter([(RETRY_AFTER, HeaderValue::from_str(text).unwrap())]);
            retry_after(&headers).map(|time| time.as_secs())
        };
        assert_eq!(after("7"), Some(7));
        assert_eq!(after("Wed, 21 Oct 2015 07:28:00 GMT"), Some(0));
        assert_eq!(after("soon"), None);
    }
}

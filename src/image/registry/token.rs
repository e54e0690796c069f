//! Tokens of registries: what a challenge asks for, and the exchange with who hands them out (distribution's token
//! authentication, and OAuth for identity tokens).

use std::time::Duration;

use http_auth::parser::ChallengeParser;
use oci_distribution::token_cache::RegistryToken;
use reqwest::header::{AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderValue, WWW_AUTHENTICATE};
use reqwest::{Client, StatusCode, Url};

use super::body;
use super::login::{Login, Secret};
use super::wire::{WireError, explain};

/// Bytes of an answer with a token.
const ANSWER_MAX: u64 = 1 << 20;

/// What a registry asks for.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Challenge {
    Basic,
    Bearer { realm: String, service: Option<String>, scope: Option<String> },
}

/// What it asks for, a token rather than a password.
pub(super) fn challenge(headers: &HeaderMap) -> Option<Challenge> {
    let mut is_basic = false;
    for value in headers.get_all(WWW_AUTHENTICATE).iter().take(8).filter_map(|value| value.to_str().ok()) {
        for challenge in ChallengeParser::new(value).map_while(Result::ok).take(8) {
            let parameter = |name: &str| {
                let found = challenge.params.iter().find(|(key, _)| key.eq_ignore_ascii_case(name));
                found.map(|(_, value)| value.to_unescaped())
            };
            if challenge.scheme.eq_ignore_ascii_case("bearer")
                && let Some(realm) = parameter("realm")
            {
                return Some(Challenge::Bearer { realm, service: parameter("service"), scope: parameter("scope") });
            }
            is_basic |= challenge.scheme.eq_ignore_ascii_case("basic");
        }
    }
    is_basic.then_some(Challenge::Basic)
}

/// Who asks whom for a token.
#[derive(Debug, Clone, Copy)]
pub(super) struct TokenAsk<'a> {
    pub(super) client: &'a Client,
    pub(super) realm: &'a str,
    pub(super) service: Option<&'a str>,
    pub(super) scope: &'a str,
    pub(super) login: Option<&'a Login>,
    /// Whether the registry itself was reached by TLS.
    pub(super) is_tls: bool,
    pub(super) stall: Duration,
}

/// Asks for a token.
pub(super) async fn fetch(ask: TokenAsk<'_>) -> Result<String, WireError> {
    let url = Url::parse(ask.realm).map_err(|_| WireError::Nonsense("the address for tokens is none".to_owned()))?;
    match url.scheme() {
        "https" => {}
        "http" if !ask.is_tls => {}
        _ => return Err(WireError::Redirect("the address for tokens is not `https`".to_owned())),
    }
    let request = match ask.login.map(|login| &login.secret) {
        Some(Secret::Registry(token)) => return Ok(token.clone()),
        Some(Secret::Identity(token)) => {
            let mut form = vec![("grant_type", "refresh_token"), ("client_id", "smolvm"), ("refresh_token", token)];
            form.push(("scope", ask.scope));
            form.extend(ask.service.map(|service| ("service", service)));
            let body = encoded(&form);
            ask.client.post(url).header(CONTENT_TYPE, "application/x-www-form-urlencoded").body(body)
        }
        other => {
            let mut url = url;
            url.query_pairs_mut().append_pair("scope", ask.scope).append_pair("client_id", "smolvm");
            if let Some(service) = ask.service {
                url.query_pairs_mut().append_pair("service", service);
            }
            match other {
                Some(Secret::Password(user, password)) => {
                    url.query_pairs_mut().append_pair("account", user);
                    ask.client.get(url).header(AUTHORIZATION, basic(user, password)?)
                }
                _ => ask.client.get(url),
            }
        }
    };
    let sent = tokio::time::timeout(ask.stall, request.send()).await.map_err(|_| WireError::Stalled(ask.stall))?;
    let response = sent.map_err(|error| explain(&error))?;
    match response.status() {
        StatusCode::OK => {}
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN | StatusCode::BAD_REQUEST => {
            let source_of = ask.login.map(|login| login.source.clone());
            return Err(WireError::Login { source_of, is_denied: false, fault: None });
        }
        _ => return Err(body::refused(response, ask.stall).await),
    }
    let bytes = body::read(response, ANSWER_MAX, ask.stall).await?;
    // Without what serde says, which may quote it.
    let token: RegistryToken = serde_json::from_slice(&bytes)
        .map_err(|_| WireError::Nonsense("there is no token in the answer".to_owned()))?;
    Ok(token.token().to_owned())
}

/// The value of a header for user and password.
pub(super) fn basic(user: &str, password: &str) -> Result<HeaderValue, WireError> {
    use base64::Engine as _;
    let pair = base64::engine::general_purpose::STANDARD.encode(format!("{user}:{password}"));
    header(&format!("Basic {pair}"))
}

/// The value of a header for a token.
pub(super) fn bearer(token: &str) -> Result<HeaderValue, WireError> {
    header(&format!("Bearer {token}"))
}

fn header(text: &str) -> Result<HeaderValue, WireError> {
    let mut value =
        HeaderValue::from_str(text).map_err(|_| WireError::Nonsense("a token is no text for a header".to_owned()))?;
    value.set_sensitive(true);
    Ok(value)
}

/// The body of a form; the encoding is that of queries.
fn encoded(pairs: &[(&str, &str)]) -> String {
    let url = Url::parse_with_params("http://form.invalid/", pairs);
    url.ok().and_then(|url| url.query().map(str::to_owned)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(values: &[&str]) -> Option<Challenge> {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(WWW_AUTHENTICATE, HeaderValue::from_str(value).unwrap());
        }
        challenge(&headers)
    }

    #[test]
    fn a_token_is_preferred_to_a_password() {
        let bearer = r#"Bearer realm="https://a/token",service="b c",scope="repository:x:pull,push""#;
        let expected = Challenge::Bearer {
            realm: "https://a/token".to_owned(),
            service: Some("b c".to_owned()),
            scope: Some("repository:x:pull,push".to_owned()),
        };
        assert_eq!(of(&["Basic realm=\"x\"", bearer]), Some(expected));
        assert_eq!(of(&["basic realm=\"x\""]), Some(Challenge::Basic));
        for nothing in ["", "Negotiate", "Bearer", "Bearer realm=\"", "\"\"\"", "Bearer service=a"] {
            assert_eq!(of(&[nothing]), None, "{nothing}");
        }
    }

    #[test]
    fn secrets_are_encoded_in_forms() {
        assert_eq!(encoded(&[("a", "b&c=d e+/")]), "a=b%26c%3Dd+e%2B%2F");
    }
}

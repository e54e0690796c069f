//! Whom to ask for an image: the mirrors that the user names, in order, then the registry itself; by which protocol.

use std::net::IpAddr;
use std::time::Duration;

use super::access::RegistryAccess;
use super::error::PullError;
use super::settings::HostSettings;
use super::trust;

/// The registry of references that name none.
const DOCKER_HUB: &str = "docker.io";
/// Who answers for it.
const DOCKER_HUB_HOST: &str = "registry-1.docker.io";

/// Whether this is docker's own registry.
pub(super) fn is_docker_hub(registry: &str) -> bool {
    [DOCKER_HUB, DOCKER_HUB_HOST, "index.docker.io"].contains(&registry)
}

/// How it may be spoken to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Protocol {
    Https,
    Http,
    /// TLS, and where nobody speaks it there, without.
    Either,
}

/// One host that may have an image.
#[derive(Debug)]
pub(super) struct Endpoint {
    /// As references and credentials name it.
    pub(super) name: String,
    /// Host and port.
    pub(super) host: String,
    /// What comes before the repository there, with a `/` at its end; empty for most.
    pub(super) folder: String,
    pub(super) protocol: Protocol,
    pub(super) is_mirror: bool,
    pub(super) stall: Duration,
    pub(super) client: reqwest::Client,
}

/// Whom to ask, in order; the registry itself is the last.
pub(super) fn endpoints(access: &RegistryAccess, registry: &str) -> Result<Vec<Endpoint>, PullError> {
    let said = settings(access, registry);
    let mut all = Vec::new();
    for mirror in &said.mirrors {
        let (protocol, place) = match mirror.split_once("://") {
            Some(("http", rest)) => (Some(Protocol::Http), rest),
            Some(("https", rest)) => (Some(Protocol::Https), rest),
            Some(_) => (None, ""),
            None => (None, mirror.as_str()),
        };
        let (host, folder) = place.trim_end_matches('/').split_once('/').unwrap_or((place.trim_end_matches('/'), ""));
        if !is_host(host) || !is_folder(folder) {
            return Err(PullError::Mirror { host: registry.to_owned(), mirror: mirror.clone() });
        }
        let folder = if folder.is_empty() { String::new() } else { format!("{folder}/") };
        all.push(endpoint(access, (host, folder), protocol, true)?);
    }
    all.push(endpoint(access, (registry, String::new()), None, false)?);
    Ok(all)
}

fn endpoint(
    access: &RegistryAccess,
    (name, folder): (&str, String),
    protocol: Option<Protocol>,
    is_mirror: bool,
) -> Result<Endpoint, PullError> {
    let said = settings(access, name);
    let protocol = protocol.unwrap_or(match (said.plain_http, is_loopback(name)) {
        (true, _) => Protocol::Http,
        (false, true) => Protocol::Either,
        (false, false) => Protocol::Https,
    });
    let stall = said.timeout_seconds.map_or(access.patience.stall, Duration::from_secs);
    let host = if is_docker_hub(name) { DOCKER_HUB_HOST } else { name };
    let client = trust::client(&access.surroundings, name, said.ca.as_deref(), stall)?;
    let (name, host) = (name.to_owned(), host.to_owned());
    Ok(Endpoint { name, host, folder, protocol, is_mirror, stall, client })
}

/// What is said of a host; what is not said of it may be of all.
fn settings(access: &RegistryAccess, host: &str) -> HostSettings {
    let all = access.settings.hosts.get("*").cloned().unwrap_or_default();
    let Some(own) = access.settings.hosts.get(host) else { return HostSettings { mirrors: Vec::new(), ..all } };
    HostSettings {
        mirrors: own.mirrors.clone(),
        plain_http: own.plain_http || all.plain_http,
        ca: own.ca.clone().or(all.ca),
        timeout_seconds: own.timeout_seconds.or(all.timeout_seconds),
    }
}

/// Whether a host is this computer: `localhost`, `127.0.0.0/8`, `[::1]`, with a port or without.
fn is_loopback(host: &str) -> bool {
    let bare = match host.rsplit_once(':') {
        Some((bare, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) && !bare.ends_with(':') => bare,
        _ => host,
    };
    let address = bare.trim_start_matches('[').trim_end_matches(']');
    bare == "localhost" || address.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

fn is_host(host: &str) -> bool {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b':' | b'[' | b']' | b'_');
    !host.is_empty() && host.bytes().all(is_plain) && reqwest::Url::parse(&format!("https://{host}/")).is_ok()
}

fn is_folder(folder: &str) -> bool {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_' | b'/');
    folder.bytes().all(is_plain) && folder.split('/').all(|name| name != ".." && name != ".")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn access(yaml: &str) -> RegistryAccess {
        RegistryAccess { settings: serde_yaml::from_str(yaml).unwrap(), ..RegistryAccess::default() }
    }

    fn told(yaml: &str, registry: &str) -> Vec<String> {
        let found = endpoints(&access(yaml), registry).unwrap();
        found.iter().map(|one| format!("{:?} {}/{}", one.protocol, one.host, one.folder)).collect()
    }

    #[test]
    fn mirrors_come_first_and_follow_their_own_settings() {
        let yaml = "docker.io: { mirrors: [a:5000, 'http://b/cache/'] }\na:5000: { plain_http: true }\n";
        let expected = ["Http a:5000/", "Http b/cache/", "Https registry-1.docker.io/"];
        assert_eq!(told(yaml, "docker.io"), expected);
        assert_eq!(told(yaml, "quay.io"), ["Https quay.io/"]);
    }

    #[test]
    fn only_loopback_may_do_without_tls_unasked() {
        for host in ["localhost", "localhost:5000", "127.0.0.1:5000", "127.9.9.9", "[::1]:5000", "[::1]"] {
            assert_eq!(told("{}", host), [format!("Either {host}/")], "{host}");
        }
        for host in ["localhost.example:5000", "10.0.0.1:5000", "[fe80::1]:5000", "x"] {
            assert_eq!(told("{}", host), [format!("Https {host}/")], "{host}");
        }
    }

    #[test]
    fn what_is_said_of_all_holds_where_nothing_is_said() {
        let access = access("'*': { timeout_seconds: 5 }\na: { timeout_seconds: 7 }\n");
        let stall = |host| endpoints(&access, host).unwrap()[0].stall.as_secs();
        assert_eq!((stall("a"), stall("b")), (7, 5));
    }

    #[test]
    fn a_mirror_that_is_no_host_is_named() {
        for mirror in ["ftp://a", "a b", "a/../b", "user@host", ""] {
            let yaml = format!("a: {{ mirrors: [\"{mirror}\"] }}");
            let error = endpoints(&access(&yaml), "a").unwrap_err();
            assert!(matches!(error, PullError::Mirror { .. }), "{mirror}: {error}");
        }
    }
}

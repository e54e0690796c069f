//! Whom we believe at the other end: the authorities of the system and those that the user names for a registry.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use reqwest::redirect::{Action, Attempt, Policy};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use rustls::{ClientConfig, RootCertStore};

use super::error::PullError;
use super::pinned::Pinned;
use super::surroundings::Surroundings;

/// Bytes of a file of certificates.
const FILE_MAX: u64 = 4 << 20;
/// How many times we are led on.
const REDIRECTS_MAX: usize = 5;

/// A client for a registry: `host` as references and folders of certificates name it.
pub(super) fn client(
    surroundings: &Surroundings,
    host: &str,
    authority: Option<&Path>,
    stall: Duration,
) -> Result<reqwest::Client, PullError> {
    let own = own_authorities(surroundings, host, authority)?;
    let mut builder = reqwest::Client::builder()
        .tls_backend_preconfigured(tls(own)?)
        .user_agent(concat!("smolvm/", env!("CARGO_PKG_VERSION")))
        .connect_timeout(stall)
        .redirect(Policy::custom(redirect))
        .no_proxy();
    let exceptions = reqwest::NoProxy::from_string(&format!("{},localhost,127.0.0.0/8,::1", surroundings.no_proxy));
    type Make = fn(&str) -> reqwest::Result<reqwest::Proxy>;
    let kinds: [(&Option<String>, Make, &str); 2] = [
        (&surroundings.https_proxy, |url| reqwest::Proxy::https(url), "HTTPS_PROXY"),
        (&surroundings.http_proxy, |url| reqwest::Proxy::http(url), "HTTP_PROXY"),
    ];
    for (url, make, variable) in kinds {
        let Some(url) = url else { continue };
        // A proxy may be named without its scheme.
        let whole = if url.contains("://") { url.clone() } else { format!("http://{url}") };
        let is_http = whole.starts_with("http://") || whole.starts_with("https://");
        let proxy = make(&whole).ok().filter(|_| is_http).ok_or(PullError::ProxySetting { variable })?;
        builder = builder.proxy(proxy.no_proxy(exceptions.clone()));
    }
    builder.build().map_err(|error| PullError::Client { reason: super::text::shown(&error.to_string()) })
}

/// Not from TLS to none, and not for ever.
fn redirect(attempt: Attempt<'_>) -> Action {
    let from = attempt.previous().last().map(|url| url.scheme().to_owned());
    if attempt.previous().len() > REDIRECTS_MAX {
        return attempt.error("it leads on and on");
    }
    if from.as_deref() == Some("https") && attempt.url().scheme() != "https" {
        return attempt.error("from https to http");
    }
    attempt.follow()
}

fn tls(own: Vec<CertificateDer<'static>>) -> Result<ClientConfig, PullError> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut roots = RootCertStore::empty();
    // What of the system cannot be read is missed by those who need it, and by nobody else.
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    roots.add_parsable_certificates(own.iter().cloned());
    let client = |reason: String| PullError::Client { reason };
    let verifier = Pinned::new(roots, own, &provider).map_err(client)?;
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| client(error.to_string()))?;
    // `dangerous` is any verifier but the usual one; what this one does besides is said there.
    Ok(builder.dangerous().with_custom_certificate_verifier(Arc::new(verifier)).with_no_client_auth())
}

/// What the user trusts for this registry: the file of the settings, and what docker and podman read.
fn own_authorities(
    surroundings: &Surroundings,
    host: &str,
    authority: Option<&Path>,
) -> Result<Vec<CertificateDer<'static>>, PullError> {
    let mut files: Vec<PathBuf> = authority.map(Path::to_owned).into_iter().collect();
    // A host is no path: what has a `/` is no host.
    for folder in surroundings.certificate_folders.iter().filter(|_| !host.contains('/') && host != "..") {
        let Ok(entries) = fs::read_dir(folder.join(host)) else { continue };
        let found = entries.flatten().map(|entry| entry.path());
        files.extend(found.filter(|path| path.extension().is_some_and(|extension| extension == "crt")));
    }
    let mut all = Vec::new();
    for path in files {
        all.extend(read(&path).map_err(|reason| PullError::Authority { host: host.to_owned(), path, reason })?);
    }
    Ok(all)
}

fn read(path: &Path) -> Result<Vec<CertificateDer<'static>>, String> {
    let read = || -> io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        io::Read::read_to_end(&mut io::Read::take(fs::File::open(path)?, FILE_MAX), &mut bytes)?;
        Ok(bytes)
    };
    let bytes = read().map_err(|error| error.to_string())?;
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&bytes).collect();
    let found = found.map_err(|error| error.to_string())?;
    if found.is_empty() { Err("it holds no certificate in PEM".to_owned()) } else { Ok(found) }
}

//! Credentials for a registry, from the files of docker and podman and the helpers that they name.
//!
//! Nothing of a secret is ever shown: what is printed is where it came from. Deliberately not here: what is done with it.

use std::collections::BTreeMap;
use std::fmt;
use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::helper::{self, HelperError};
use super::surroundings::Surroundings;

/// Bytes of a file with credentials.
const FILE_MAX: u64 = 1 << 20;
/// What docker calls its own registry in such files.
const DOCKER_KEY: &str = "https://index.docker.io/v1/";
/// The user name that says that the secret is an identity token.
const TOKEN_USER: &str = "<token>";

/// Someone's right to a registry.
#[derive(Clone)]
pub(super) struct Login {
    pub(super) secret: Secret,
    /// Where it came from, in words.
    pub(super) source: String,
}

/// The secret itself.
#[derive(Clone, PartialEq, Eq)]
pub(super) enum Secret {
    /// User and password.
    Password(String, String),
    /// What is exchanged for tokens, by OAuth.
    Identity(String),
    /// A token as registries take it.
    Registry(String),
}

impl fmt::Debug for Login {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Login").field("source", &self.source).finish_non_exhaustive()
    }
}

/// Why credentials cannot be had; without them the registry is asked as nobody.
#[derive(Debug, thiserror::Error)]
pub(super) enum LoginError {
    #[error("cannot read `{path}`: {source}")]
    Read { path: PathBuf, source: io::Error },
    #[error("`{path}` is no file of credentials: {reason}")]
    Form { path: PathBuf, reason: String },
    #[error("`{path}` names `{program}` for credentials: {source}")]
    Helper { path: PathBuf, program: String, source: HelperError },
}

/// `config.json` of docker, which is `auth.json` of podman.
#[derive(Default, serde::Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct CredentialFile {
    auths: BTreeMap<String, Entry>,
    cred_helpers: BTreeMap<String, String>,
    creds_store: String,
}

#[derive(Default, serde::Deserialize)]
#[serde(default)]
struct Entry {
    auth: String,
    username: String,
    password: String,
    identitytoken: String,
    registrytoken: String,
}

/// The credentials for an image of a registry, where there are any. Blocks, as helpers may ask the user.
///
/// # Errors
/// Where a file or helper that names this registry does not give what it should.
pub(super) fn find(
    surroundings: &Surroundings,
    registry: &str,
    repository: &str,
    has_left: &AtomicBool,
) -> Result<Option<Login>, LoginError> {
    for path in &surroundings.credential_files {
        let Some(file) = read(path)? else { continue };
        if let Some(login) = find_in(&file, path, surroundings, (registry, repository), has_left)? {
            return Ok(Some(login));
        }
    }
    Ok(None)
}

fn read(path: &Path) -> Result<Option<CredentialFile>, LoginError> {
    let failed = |source| LoginError::Read { path: path.to_owned(), source };
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
            return Ok(None);
        }
        Err(error) => return Err(failed(error)),
    };
    let mut bytes = Vec::new();
    file.take(FILE_MAX + 1).read_to_end(&mut bytes).map_err(failed)?;
    if bytes.len() as u64 > FILE_MAX {
        return Err(failed(io::ErrorKind::FileTooLarge.into()));
    }
    if bytes.iter().all(u8::is_ascii_whitespace) {
        return Ok(None);
    }
    // What serde says may quote a value, which may be a secret: only where it stands is told.
    serde_json::from_slice(&bytes).map(Some).map_err(|error| LoginError::Form {
        path: path.to_owned(),
        reason: format!("line {}, column {} is not as docker writes it", error.line(), error.column()),
    })
}

fn find_in(
    file: &CredentialFile,
    path: &Path,
    surroundings: &Surroundings,
    (registry, repository): (&str, &str),
    has_left: &AtomicBool,
) -> Result<Option<Login>, LoginError> {
    let keys = keys(registry, repository);
    let store = (!file.creds_store.is_empty()).then_some((&file.creds_store, default_key(registry)));
    let own = keys.iter().find_map(|key| Some((file.cred_helpers.get(key)?, key.as_str())));
    if let Some((name, key)) = own.or(store) {
        let program = format!("docker-credential-{name}");
        let failed = |source| LoginError::Helper { path: path.to_owned(), program: program.clone(), source };
        if let Some((user, secret)) = helper::ask(name, key, surroundings, has_left).map_err(failed)? {
            let secret = if user == TOKEN_USER { Secret::Identity(secret) } else { Secret::Password(user, secret) };
            return Ok(Some(Login { secret, source: format!("`{program}`") }));
        }
    }
    let Some(entry) = keys.iter().find_map(|key| file.auths.get(key)) else { return Ok(None) };
    let form = |reason: &str| LoginError::Form { path: path.to_owned(), reason: reason.to_owned() };
    let secret = secret_of(entry).map_err(|reason| form(&format!("`auth` of `{registry}` {reason}")))?;
    Ok(secret.map(|secret| Login { secret, source: format!("`{}`", path.display()) }))
}

/// The names under which a registry may stand, the most exact first; podman also has those of folders in it.
fn keys(registry: &str, repository: &str) -> Vec<String> {
    let mut keys = Vec::new();
    let mut name = repository;
    while !name.is_empty() {
        keys.push(format!("{registry}/{name}"));
        name = name.rsplit_once('/').map_or("", |(folder, _)| folder);
    }
    let hosts: &[&str] = if super::endpoint::is_docker_hub(registry) {
        keys.push(DOCKER_KEY.to_owned());
        &["index.docker.io", "docker.io", "registry-1.docker.io"]
    } else {
        &[registry]
    };
    for host in hosts {
        keys.push((*host).to_owned());
        for form in ["https://{}", "https://{}/", "https://{}/v1/", "https://{}/v2/", "http://{}", "http://{}/"] {
            keys.push(form.replace("{}", host));
        }
    }
    keys
}

/// What a store that keeps all registries is asked for.
fn default_key(registry: &str) -> &str {
    if super::endpoint::is_docker_hub(registry) { DOCKER_KEY } else { registry }
}

fn secret_of(entry: &Entry) -> Result<Option<Secret>, &'static str> {
    if !entry.registrytoken.is_empty() {
        return Ok(Some(Secret::Registry(entry.registrytoken.clone())));
    }
    if !entry.identitytoken.is_empty() {
        return Ok(Some(Secret::Identity(entry.identitytoken.clone())));
    }
    if !entry.auth.is_empty() {
        let bytes = STANDARD.decode(entry.auth.trim()).map_err(|_| "is no base64")?;
        let text = String::from_utf8(bytes).map_err(|_| "is no text")?;
        // Docker pads with zeros.
        let (user, password) = text.trim_end_matches('\0').split_once(':').ok_or("has no `:`")?;
        return Ok(Some(Secret::Password(user.to_owned(), password.to_owned())));
    }
    let has_both = !entry.username.is_empty() && !entry.password.is_empty();
    Ok(has_both.then(|| Secret::Password(entry.username.clone(), entry.password.clone())))
}

#[cfg(test)]
mod tests;

//! Why an image cannot be had from a registry: what, where, and what to do.

use std::io;
use std::path::PathBuf;

use super::wire::WireError;
use crate::image::Digest;
use crate::image::manifest::ManifestError;
use crate::image::store::StoreError;

/// So many tags of a repository are shown.
const TAGS_SHOWN: usize = 8;
/// Where what is said of registries stands.
const SETTINGS: &str = "~/.config/smolvm/config.yaml";

/// Why an image cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum PullError {
    /// The registry does not have it.
    #[error("registry `{registry}` has no `{image}`")]
    NotFound {
        /// The image.
        image: String,
        /// The registry.
        registry: String,
        /// What is there under that name; nothing where that is not there either, or not told.
        tags: Vec<String>,
        /// The reference that was most likely meant.
        meant: Option<String>,
    },
    /// The registry, or the way to it, failed.
    #[error("cannot fetch {what} from registry `{registry}`{}", tried(*.tries))]
    Fetch {
        /// The image, or the blob and the image.
        what: String,
        /// The registry.
        registry: String,
        /// How often it was tried.
        tries: u32,
        /// What was wrong the last time.
        source: WireError,
    },
    /// The registry's manifest is none that smolvm reads.
    #[error("cannot use `{image}`")]
    Manifest {
        /// The image.
        image: String,
        /// What is wrong with it.
        source: ManifestError,
    },
    /// It is for other platforms.
    #[error("`{image}` is not made for `{wanted}`")]
    Platform {
        /// The image.
        image: String,
        /// What was wanted.
        wanted: String,
        /// What there is.
        found: Vec<String>,
    },
    /// A digest that cannot be verified here.
    #[error("the digest of `{image}` is not one of SHA-256, which smolvm verifies")]
    Digest {
        /// The image.
        image: String,
    },
    /// A file of certificates that cannot be used.
    #[error("cannot use the certificates of registry `{host}` in `{path}`: {reason}")]
    Authority {
        /// The registry.
        host: String,
        /// The file.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// A variable that names no proxy.
    #[error("`{variable}` (or its kin) names no proxy that smolvm can use")]
    ProxySetting {
        /// The variable.
        variable: &'static str,
    },
    /// Something in the settings that is no host.
    #[error("`{mirror}`, a mirror of registry `{host}` in the settings, is no host")]
    Mirror {
        /// The registry.
        host: String,
        /// What is said.
        mirror: String,
    },
    /// Nothing can be fetched here at all.
    #[error("no connection to registries can be made here: {reason}")]
    Client {
        /// Why.
        reason: String,
    },
    /// The store cannot take a blob.
    #[error("cannot keep blob `{digest}` of `{image}`")]
    Store {
        /// The image.
        image: String,
        /// The blob.
        digest: Digest,
        /// Why.
        source: io::Error,
    },
    /// The result is no longer wanted.
    #[error("fetching `{image}` was given up, because nobody waits for it any more")]
    Left {
        /// The image.
        image: String,
    },
}

fn tried(tries: u32) -> String {
    if tries > 1 { format!(", tried {tries} times") } else { String::new() }
}

impl PullError {
    /// What the user can do, where there is something to say.
    pub fn help(&self) -> Option<String> {
        match self {
            Self::NotFound { tags, meant, .. } => help_not_found(tags, meant.as_deref()),
            Self::Fetch { registry, source, .. } => help_wire(registry, source),
            Self::Manifest { source, .. } => source.help().map(str::to_owned),
            Self::Platform { found, .. } => Some(match found.as_slice() {
                [] => "it does not say what it is made for".to_owned(),
                found => format!("it is there for {}", list(found)),
            }),
            Self::Digest { .. } => Some("name it by `@sha256:…` or by its tag".to_owned()),
            Self::Authority { .. } => {
                Some("it must be a file of certificates in PEM (`-----BEGIN CERTIFICATE-----`)".to_owned())
            }
            Self::ProxySetting { .. } => Some("expected `http://[USER:PASSWORD@]HOST:PORT`".to_owned()),
            Self::Mirror { .. } => {
                Some(format!("expected `HOST[:PORT][/FOLDER]`; look at `registries:` in {SETTINGS}"))
            }
            // An error of the store goes through what only knows those of the system.
            Self::Store { source, .. } => source
                .get_ref()
                .and_then(|error| error.downcast_ref::<StoreError>())
                .and_then(StoreError::help)
                .map(str::to_owned),
            Self::Client { .. } | Self::Left { .. } => None,
        }
    }

    /// Whether nobody waited any more, which is no fault.
    pub fn is_left(&self) -> bool {
        matches!(self, Self::Left { .. })
    }
}

fn list(words: &[String]) -> String {
    words.iter().map(|word| format!("`{word}`")).collect::<Vec<_>>().join(", ")
}

fn help_not_found(tags: &[String], meant: Option<&str>) -> Option<String> {
    let shown = &tags[..tags.len().min(TAGS_SHOWN)];
    let more = if tags.len() > shown.len() { ", …" } else { "" };
    let there = (!shown.is_empty()).then(|| format!("its tags are {}{more}", list(shown)));
    match (meant, there) {
        (Some(meant), Some(there)) => Some(format!("did you mean `{meant}`? {there}")),
        (Some(meant), None) => Some(format!("did you mean `{meant}`?")),
        (None, there) => there,
    }
}

fn help_wire(registry: &str, error: &WireError) -> Option<String> {
    let name = serde_json::Value::from(registry);
    // The usual registry needs no name there.
    let login = if registry == "docker.io" { "docker login".to_owned() } else { format!("docker login {registry}") };
    Some(match error {
        WireError::Login { fault: Some(fault), .. } => format!("its credentials could not be read: {fault}"),
        WireError::Login { is_denied: true, source_of: Some(_), .. } => {
            format!("ask for the right to read it, or log in as somebody else: `{login}`")
        }
        WireError::Login { .. } => format!("look at its name, or log in: `{login}` (or `podman login {registry}`)"),
        WireError::Untrusted(_) => format!(
            "name the certificate of its authority, `registries: {{ {name}: {{ ca: /path/to/ca.crt }} }}` in {SETTINGS}"
        ),
        WireError::NoTls => {
            format!("where it speaks http say so, `registries: {{ {name}: {{ plain_http: true }} }}` in {SETTINGS}")
        }
        WireError::Tls => format!("take `plain_http` of `{registry}` out of {SETTINGS}"),
        WireError::Proxy { .. } => {
            "look at `HTTPS_PROXY`, `HTTP_PROXY` and `NO_PROXY` (hosts that are reached without a proxy)".to_owned()
        }
        WireError::Unreachable(_) => {
            "look at its name and at the network; what is in the store needs no registry".to_owned()
        }
        WireError::Stalled(_) => format!(
            "try again later; how long smolvm waits is `registries: {{ {name}: {{ timeout_seconds: 120 }} }}` in {SETTINGS}"
        ),
        WireError::Busy { .. } => format!("try again later, or log in, which often allows more: `{login}`"),
        WireError::WrongDigest { .. } | WireError::WrongSize { .. } | WireError::TooLarge(_) => {
            "nothing of it was kept; the registry or a proxy on the way changes what it sends".to_owned()
        }
        WireError::Broken(_)
        | WireError::Status { .. }
        | WireError::NotFound
        | WireError::Nonsense(_)
        | WireError::Redirect(_) => return None,
    })
}

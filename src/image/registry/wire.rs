//! What goes wrong between us and a registry, and what can be done about it.

use std::error::Error;
use std::io;
use std::time::Duration;

use super::text::shown;
use crate::image::Digest;

/// Why one exchange with a registry came to nothing.
#[derive(Debug, thiserror::Error)]
pub enum WireError {
    /// There is nobody at that address, or no way to it.
    #[error("it cannot be reached: {0}")]
    Unreachable(String),
    /// The proxy does not let us.
    #[error("the proxy `{proxy}` gives no way to it: {reason}")]
    Proxy {
        /// The proxy, without its password.
        proxy: String,
        /// Why.
        reason: String,
    },
    /// The connection ended before its time.
    #[error("the connection broke: {0}")]
    Broken(String),
    /// Nothing came for so long.
    #[error("nothing came for {} s", .0.as_secs_f64())]
    Stalled(Duration),
    /// Its certificate is from nobody we trust.
    #[error("its certificate is not trusted: {0}")]
    Untrusted(String),
    /// It speaks http where https was spoken to it.
    #[error("it does not speak TLS")]
    NoTls,
    /// It speaks https where http was spoken to it.
    #[error("it speaks TLS, and was asked without")]
    Tls,
    /// It asks us to go slower.
    #[error("it says that too much was asked of it (429){}", .said.as_ref().map(|said| format!(": {said}")).unwrap_or_default())]
    Busy {
        /// How long it asks us to wait.
        after: Option<Duration>,
        /// Its words.
        said: Option<String>,
    },
    /// It answered with something else than was asked for.
    #[error("it answers {status}{}", .said.as_ref().map(|said| format!(": {said}")).unwrap_or_default())]
    Status {
        /// The number.
        status: u16,
        /// How long it asks us to wait.
        after: Option<Duration>,
        /// Its words.
        said: Option<String>,
    },
    /// It asks for credentials, or for better ones.
    #[error("{}", unauthorized(.source_of.as_deref(), *.is_denied))]
    Login {
        /// Where those that it refused came from.
        source_of: Option<String>,
        /// Whether it knows who we are and refuses.
        is_denied: bool,
        /// Why there are none, where that is a fault.
        fault: Option<String>,
    },
    /// It is not there.
    #[error("it is not there")]
    NotFound,
    /// More bytes than may be.
    #[error("it sends more than {0} bytes")]
    TooLarge(u64),
    /// It has another size than the manifest says.
    #[error("it is {found} bytes long there, and should be {expected}")]
    WrongSize {
        /// As the manifest says.
        expected: u64,
        /// As the registry says.
        found: u64,
    },
    /// It is something else.
    #[error("its content has the digest `{found}`, and should have `{expected}`")]
    WrongDigest {
        /// What was asked for.
        expected: String,
        /// What came.
        found: Digest,
    },
    /// What it says cannot be made sense of.
    #[error("it answers what no registry answers: {0}")]
    Nonsense(String),
    /// It leads where we do not go.
    #[error("it leads elsewhere, and not there: {0}")]
    Redirect(String),
}

fn unauthorized(source: Option<&str>, is_denied: bool) -> String {
    match (source, is_denied) {
        (Some(source), false) => format!("it refuses the credentials of {source}"),
        (Some(source), true) => format!("the user of the credentials of {source} may not read it"),
        (None, _) => "it is not there, or only for users who are logged in".to_owned(),
    }
}

impl WireError {
    /// Whether another try may end otherwise.
    pub(super) fn is_passing(&self) -> bool {
        match self {
            Self::Unreachable(_) | Self::Broken(_) | Self::Stalled(_) | Self::Busy { .. } => true,
            Self::Status { status, .. } => *status == 408 || *status >= 500,
            // Bytes that were here from before may be what is wrong.
            Self::WrongDigest { .. } => true,
            _ => false,
        }
    }

    /// How many tries it is worth, of so many.
    pub(super) fn tries(&self, most: u32) -> u32 {
        match self {
            Self::Unreachable(_) => most.min(3),
            Self::WrongDigest { .. } => most.min(2),
            _ => most,
        }
    }

    /// How long we are asked to wait.
    pub(super) fn after(&self) -> Option<Duration> {
        match self {
            Self::Busy { after, .. } | Self::Status { after, .. } => *after,
            _ => None,
        }
    }
}

/// What an error of the HTTP client means.
pub(super) fn explain(error: &reqwest::Error) -> WireError {
    if error.is_redirect() {
        let reason = Error::source(error).map_or_else(|| error.to_string(), ToString::to_string);
        return WireError::Redirect(shown(&reason));
    }
    let mut next: Option<&(dyn Error + 'static)> = Error::source(error);
    let mut last = None;
    while let Some(cause) = next {
        if let Some(tls) = tls_error(cause) {
            return explain_tls(tls);
        }
        if let Some(proxy) = proxy_words(&cause.to_string()) {
            return WireError::Proxy { proxy: String::new(), reason: proxy };
        }
        last = Some(cause.to_string());
        next = cause.source();
    }
    let reason = shown(&last.unwrap_or_else(|| "no reason is given".to_owned()));
    if error.is_connect() { WireError::Unreachable(reason) } else { WireError::Broken(reason) }
}

/// The error of TLS, which hides in one of input and output.
fn tls_error<'a>(cause: &'a (dyn Error + 'static)) -> Option<&'a rustls::Error> {
    let mut cause = cause;
    // Errors of input and output pass over the one that they hold when they are asked for their source.
    loop {
        if let Some(found) = cause.downcast_ref::<rustls::Error>() {
            return Some(found);
        }
        cause = cause.downcast_ref::<io::Error>()?.get_ref()?;
    }
}

fn explain_tls(error: &rustls::Error) -> WireError {
    use rustls::{AlertDescription, CertificateError, Error, InvalidMessage};
    match error {
        Error::InvalidCertificate(CertificateError::UnknownIssuer) => {
            WireError::Untrusted("nobody whom we trust has signed it".to_owned())
        }
        Error::InvalidCertificate(
            CertificateError::NotValidForNameContext { .. } | CertificateError::NotValidForName,
        ) => WireError::Untrusted("it is for another name".to_owned()),
        Error::InvalidCertificate(CertificateError::ExpiredContext { .. } | CertificateError::Expired) => {
            WireError::Untrusted("it has expired".to_owned())
        }
        Error::InvalidCertificate(other) => WireError::Untrusted(shown(&other.to_string())),
        Error::InvalidMessage(InvalidMessage::InvalidContentType) => WireError::NoTls,
        Error::AlertReceived(AlertDescription::CertificateRequired | AlertDescription::AccessDenied) => {
            WireError::Untrusted("it asks for a certificate of ours".to_owned())
        }
        other => WireError::Broken(shown(&other.to_string())),
    }
}

/// What a tunnel through a proxy says when it cannot be made.
fn proxy_words(text: &str) -> Option<String> {
    let is_proxy = text.contains("tunnel") || text.contains("proxy");
    is_proxy.then(|| shown(text))
}

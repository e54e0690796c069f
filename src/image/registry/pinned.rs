//! Certificates are verified as everywhere, and one thing more is taken: a server's own certificate that the user named.
//!
//! A certificate that signs itself, as `openssl req -x509` makes it, calls itself an authority, and the usual verifier takes
//! no authority for a server. Docker and others do; registries in companies and homes have them. Such a one is taken where
//! it is, byte for byte, one of the files that the user gave for this registry, and its name is the server's.

use std::sync::Arc;

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{CertificateError, DigitallySignedStruct, Error, RootCertStore, SignatureScheme};

/// The verifier.
#[derive(Debug)]
pub(super) struct Pinned {
    usual: Option<Arc<WebPkiServerVerifier>>,
    /// Those of the user.
    own: Vec<CertificateDer<'static>>,
    provider: Arc<CryptoProvider>,
}

impl Pinned {
    /// A verifier that trusts authorities, and certificates of servers.
    pub(super) fn new(
        roots: RootCertStore,
        own: Vec<CertificateDer<'static>>,
        provider: &Arc<CryptoProvider>,
    ) -> Result<Self, String> {
        // Where there are no authorities at all nothing is trusted; that is told when it matters.
        let usual = match roots.is_empty() {
            true => None,
            false => {
                let builder = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), Arc::clone(provider));
                Some(builder.build().map_err(|error| error.to_string())?)
            }
        };
        Ok(Self { usual, own, provider: Arc::clone(provider) })
    }

    fn is_own(&self, certificate: &CertificateDer<'_>, name: &ServerName<'_>) -> bool {
        let is_named = || {
            let parsed = ParsedCertificate::try_from(certificate)?;
            rustls::client::verify_server_name(&parsed, name)
        };
        self.own.iter().any(|own| own.as_ref() == certificate.as_ref()) && is_named().is_ok()
    }
}

impl ServerCertVerifier for Pinned {
    fn verify_server_cert(
        &self,
        certificate: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let unknown = Error::InvalidCertificate(CertificateError::UnknownIssuer);
        let Some(usual) = &self.usual else { return Err(unknown) };
        match usual.verify_server_cert(certificate, intermediates, name, ocsp, now) {
            Err(Error::InvalidCertificate(CertificateError::Other(other))) => match self.is_own(certificate, name) {
                true => Ok(ServerCertVerified::assertion()),
                false => Err(Error::InvalidCertificate(CertificateError::Other(other))),
            },
            other => other,
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        rustls::crypto::verify_tls12_signature(message, certificate, signature, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, certificate, signature, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

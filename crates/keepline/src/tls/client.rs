//! TLS on the client's side: whom to trust, and how to start it on a stream.

use std::fmt;
use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{WebPkiSupportedAlgorithms, aws_lc_rs};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};
use rustls_platform_verifier::BuilderVerifierExt;
use tokio_rustls::TlsConnector;

use crate::error::{Error, ErrorKind};
use crate::net::Stream;

/// How a Transport speaks TLS. Cheap to clone; sessions are resumed among all clones.
#[derive(Clone)]
pub struct ClientTls {
    config: Arc<ClientConfig>,
}

/// Builds a [`ClientTls`].
#[derive(Debug, Default)]
pub struct ClientTlsBuilder {
    roots: Vec<CertificateDer<'static>>,
    bad_pem: Option<String>,
    skip_verification: bool,
}

impl ClientTls {
    /// Trusts what the operating system trusts.
    #[must_use]
    pub fn builder() -> ClientTlsBuilder {
        ClientTlsBuilder::default()
    }

    /// Starts TLS on a stream whose other end is to prove that it is `host`. Bounded by whoever
    /// calls; dropping the future closes the stream.
    pub(crate) async fn connect(&self, host: &str, stream: Stream) -> Result<Stream, Error> {
        let bare = host
            .strip_prefix('[')
            .and_then(|x| x.strip_suffix(']'))
            .unwrap_or(host);
        let name = ServerName::try_from(bare.to_owned())
            .map_err(|error| Error::caused(ErrorKind::InvalidRequest, error))?;
        let plain = stream
            .into_plain()
            .ok_or_else(|| Error::new(ErrorKind::Tls))?;
        let connector = TlsConnector::from(Arc::clone(&self.config));
        let tls = connector
            .connect(name, plain)
            .await
            .map_err(|error| Error::caused(ErrorKind::Tls, error))?;
        Ok(Stream::tls(tokio_rustls::TlsStream::Client(tls)))
    }
}

impl ClientTlsBuilder {
    /// Trusts these certificates (PEM, one or more) instead of the operating system's. May be
    /// called several times.
    #[must_use]
    pub fn root_pem(mut self, pem: &[u8]) -> Self {
        let before = self.roots.len();
        for certificate in CertificateDer::pem_slice_iter(pem) {
            match certificate {
                Ok(certificate) => self.roots.push(certificate),
                Err(error) => self.bad_pem = Some(error.to_string()),
            }
        }
        if self.roots.len() == before && self.bad_pem.is_none() {
            self.bad_pem = Some("there is no certificate in it".to_owned());
        }
        self
    }

    /// Accepts any certificate. The connection is encrypted and anybody may be at its other end.
    #[must_use]
    pub const fn danger_skip_verification(mut self) -> Self {
        self.skip_verification = true;
        self
    }

    /// Builds it.
    ///
    /// # Errors
    /// A root certificate is malformed, or the operating system's cannot be loaded.
    pub fn build(self) -> Result<ClientTls, Error> {
        if let Some(message) = self.bad_pem {
            return Err(Error::caused(
                ErrorKind::Tls,
                format!("bad root certificate: {message}"),
            ));
        }
        let tls_error = |error: rustls::Error| Error::caused(ErrorKind::Tls, error);
        // Passed explicitly: a process-wide default would be somebody else's to choose.
        let provider = Arc::new(aws_lc_rs::default_provider());
        let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()
            .map_err(tls_error)?;
        let mut config = if self.skip_verification {
            let verifier = Arc::new(AcceptAny(provider.signature_verification_algorithms));
            builder
                .dangerous()
                .with_custom_certificate_verifier(verifier)
                .with_no_client_auth()
        } else if self.roots.is_empty() {
            builder
                .with_platform_verifier()
                .map_err(tls_error)?
                .with_no_client_auth()
        } else {
            let mut roots = RootCertStore::empty();
            for certificate in self.roots {
                roots.add(certificate).map_err(tls_error)?;
            }
            builder.with_root_certificates(roots).with_no_client_auth()
        };
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(ClientTls {
            config: Arc::new(config),
        })
    }
}

impl fmt::Debug for ClientTls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientTls").finish_non_exhaustive()
    }
}

/// Accepts any certificate; signatures are still checked, so that the handshake is a real one.
#[derive(Debug)]
struct AcceptAny(WebPkiSupportedAlgorithms);

impl ServerCertVerifier for AcceptAny {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        rustls::crypto::verify_tls12_signature(message, certificate, signature, &self.0)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        rustls::crypto::verify_tls13_signature(message, certificate, signature, &self.0)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.supported_schemes()
    }
}

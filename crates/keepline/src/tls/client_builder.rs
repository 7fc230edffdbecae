//! The settings of a client's TLS.

use std::sync::Arc;

use rustls::client::Resumption;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore};
use rustls_platform_verifier::BuilderVerifierExt;

use super::client::ClientTls;
use super::identity::{TlsIdentity, TlsVersion, Trust};
use super::unverified::AcceptAny;
use crate::error::{BoxError, Error, ErrorKind};

/// Builds a [`ClientTls`].
#[derive(Debug)]
#[must_use]
pub struct ClientTlsBuilder {
    roots: Vec<CertificateDer<'static>>,
    client: Option<ClientCertificate>,
    /// What was wrong with a PEM text; the first is told.
    bad_pem: Option<String>,
    skip_verification: bool,
    sends_server_name: bool,
    resumes: bool,
    oldest: TlsVersion,
    newest: TlsVersion,
    alpn: Vec<Vec<u8>>,
}

#[derive(Debug)]
struct ClientCertificate {
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
}

impl Default for ClientTlsBuilder {
    fn default() -> Self {
        Self {
            roots: Vec::new(),
            client: None,
            bad_pem: None,
            skip_verification: false,
            sends_server_name: true,
            resumes: true,
            oldest: TlsVersion::Tls12,
            newest: TlsVersion::Tls13,
            alpn: vec![b"http/1.1".to_vec()],
        }
    }
}

impl ClientTlsBuilder {
    /// Trusts these certificates (PEM, one or more) instead of the operating system's. May be
    /// called several times.
    pub fn root_pem(mut self, pem: &[u8]) -> Self {
        match certificates(pem) {
            Ok(certificates) => self.roots.extend(certificates),
            Err(error) => self.note_bad("root certificate", &error),
        }
        self
    }

    /// Shows this certificate to a server that asks for one: the chain, the client's own first, and
    /// its private key, both PEM. Default: none is shown.
    pub fn client_certificate_pem(mut self, chain: &[u8], key: &[u8]) -> Self {
        let key = PrivateKeyDer::from_pem_slice(key).map_err(|error| error.to_string());
        match (certificates(chain), key) {
            (Ok(chain), Ok(key)) => self.client = Some(ClientCertificate { chain, key }),
            (Err(error), _) => self.note_bad("client certificate", &error),
            (_, Err(error)) => self.note_bad("client key", &error),
        }
        self
    }

    /// Accepts any certificate. The connection is encrypted and anybody may be at its other end.
    pub const fn danger_skip_verification(mut self) -> Self {
        self.skip_verification = true;
        self
    }

    /// Whether the server is told the name that it is asked for (SNI, RFC 6066 §3). Default on;
    /// never for an address. Without it the name is still verified.
    pub const fn send_server_name(mut self, send: bool) -> Self {
        self.sends_server_name = send;
        self
    }

    /// Whether sessions are resumed, which spares a handshake its certificates. Default on; the
    /// sessions of 256 server names are kept.
    pub const fn resumption(mut self, resume: bool) -> Self {
        self.resumes = resume;
        self
    }

    /// The versions that are offered. Default 1.2 to 1.3, as Go.
    pub const fn versions(mut self, oldest: TlsVersion, newest: TlsVersion) -> Self {
        self.oldest = oldest;
        self.newest = newest;
        self
    }

    /// The protocols that are offered by ALPN (RFC 7301), the preferred one first. Default
    /// `http/1.1`. Empty: no ALPN. A server that has none of them refuses the handshake.
    pub fn alpn<P: AsRef<[u8]>>(mut self, protocols: impl IntoIterator<Item = P>) -> Self {
        self.alpn = protocols.into_iter().map(|x| x.as_ref().to_vec()).collect();
        self
    }

    /// Builds it.
    ///
    /// # Errors
    /// [`ErrorKind::Tls`]: a certificate or key is malformed, they do not belong together, the
    /// versions are the wrong way round, or the operating system's roots cannot be loaded.
    pub fn build(self) -> Result<ClientTls, Error> {
        if let Some(message) = self.bad_pem {
            return Err(tls_error(message));
        }
        if self.oldest > self.newest {
            return Err(tls_error(
                "the oldest version of TLS is newer than the newest",
            ));
        }
        let trust = match self.skip_verification {
            true => Trust::Anybody,
            false if self.roots.is_empty() => Trust::System,
            false => Trust::Roots(self.roots),
        };
        let (chain, key) = self
            .client
            .map_or_else(Default::default, |client| (client.chain, Some(client.key)));
        let identity = TlsIdentity {
            trust,
            client: chain,
            sends_server_name: self.sends_server_name,
            resumes: self.resumes,
            oldest: self.oldest,
            newest: self.newest,
            alpn: self.alpn,
        };
        let config = configure(&identity, key)?;
        Ok(ClientTls::identified(config, identity))
    }

    fn note_bad(&mut self, what: &str, error: &str) {
        self.bad_pem
            .get_or_insert_with(|| format!("bad {what}: {error}"));
    }
}

fn configure(
    identity: &TlsIdentity,
    key: Option<PrivateKeyDer<'static>>,
) -> Result<ClientConfig, Error> {
    // Passed explicitly: a process-wide default would be somebody else's to choose.
    let provider = Arc::new(aws_lc_rs::default_provider());
    let algorithms = provider.signature_verification_algorithms;
    let (oldest, newest) = (identity.oldest, identity.newest);
    let versions: Vec<_> = [TlsVersion::Tls13, TlsVersion::Tls12]
        .into_iter()
        .filter(|version| (oldest..=newest).contains(version))
        .map(TlsVersion::of_rustls)
        .collect();
    let builder = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&versions)
        .map_err(tls_error)?;
    let builder = match &identity.trust {
        Trust::Anybody => builder
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(AcceptAny(algorithms))),
        Trust::System => builder.with_platform_verifier().map_err(tls_error)?,
        Trust::Roots(certificates) => {
            let mut roots = RootCertStore::empty();
            for certificate in certificates {
                roots.add(certificate.clone()).map_err(tls_error)?;
            }
            builder.with_root_certificates(roots)
        }
    };
    let mut config = match key {
        None => builder.with_no_client_auth(),
        Some(key) => builder
            .with_client_auth_cert(identity.client.clone(), key)
            .map_err(tls_error)?,
    };
    config.alpn_protocols.clone_from(&identity.alpn);
    config.enable_sni = identity.sends_server_name;
    if !identity.resumes {
        config.resumption = Resumption::disabled();
    }
    Ok(config)
}

fn certificates(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, String> {
    let certificates = CertificateDer::pem_slice_iter(pem)
        .collect::<Result<Vec<_>, _>>()
        .map_err(|error| error.to_string())?;
    if certificates.is_empty() {
        return Err("there is no certificate in it".to_owned());
    }
    Ok(certificates)
}

fn tls_error(error: impl Into<BoxError>) -> Error {
    Error::caused(ErrorKind::Tls, error)
}

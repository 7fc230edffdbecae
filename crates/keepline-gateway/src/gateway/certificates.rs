//! TLS towards clients: which certificate a name gets.
//!
//! The certificates of an address are those of its virtual servers, chosen by SNI as requests are by
//! Host. A reload puts others in their place; connections that are open keep theirs.

use std::fmt;
use std::fs;
use std::io;
use std::path::Path;
use std::sync::Arc;

use arc_swap::ArcSwap;
use keepline::tls::ServerTls;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls::{ServerConfig, crypto::aws_lc_rs, version};

use super::endpoint::Endpoint;
use super::start::StartError;
use crate::config::{Certificate, Http, TlsVersion};

/// Certificates of one virtual server: one for each kind of key.
type Keys = Vec<Arc<CertifiedKey>>;

/// The certificates of an address while it is listened on.
#[derive(Debug)]
pub(crate) struct BySni(ArcSwap<Certificates>);

/// The certificates of an address in one configuration.
pub(crate) struct Certificates {
    endpoint: Arc<Endpoint>,
    /// By the server's place in `http.servers`.
    of_server: Vec<(usize, Keys)>,
}

impl Certificates {
    /// Reads those of an address that speaks TLS; `None` for others.
    pub(crate) fn read(
        http: &Http,
        endpoint: &Arc<Endpoint>,
    ) -> Result<Option<Arc<Self>>, StartError> {
        if !endpoint.listen.is_tls {
            return Ok(None);
        }
        let mut of_server = Vec::new();
        for &number in endpoint.servers() {
            let tls = http.servers[number].tls.as_ref();
            let certificates = tls.map_or(&[][..], |tls| &tls.certificates);
            let keys = certificates.iter().map(read);
            of_server.push((number, keys.collect::<Result<Keys, _>>()?));
        }
        Ok(Some(Arc::new(Self {
            endpoint: Arc::clone(endpoint),
            of_server,
        })))
    }

    fn of(&self, number: usize) -> Option<&Keys> {
        let mut all = self.of_server.iter();
        let (_, keys) = all.find(|(server, _)| *server == number)?;
        Some(keys)
    }
}

impl BySni {
    pub(crate) fn new(certificates: Arc<Certificates>) -> Arc<Self> {
        Arc::new(Self(ArcSwap::new(certificates)))
    }

    /// Puts other certificates in the place of these.
    pub(crate) fn replace(&self, certificates: Arc<Certificates>) {
        self.0.store(certificates);
    }
}

impl ResolvesServerCert for BySni {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let certificates = self.0.load();
        let name = hello.server_name().unwrap_or_default().to_ascii_lowercase();
        let (number, _) = certificates.endpoint.server_of(name.as_bytes());
        let keys = certificates.of(number).filter(|keys| !keys.is_empty());
        let default = certificates.endpoint.default_server();
        let keys = keys.or_else(|| certificates.of(default))?;
        let schemes = hello.signature_schemes();
        let fits = |key: &&Arc<CertifiedKey>| key.key.choose_scheme(schemes).is_some();
        keys.iter().find(fits).or_else(|| keys.first()).cloned()
    }
}

/// How an address speaks TLS: the versions are those of its default server.
pub(crate) fn server_tls(
    http: &Http,
    endpoint: &Endpoint,
    certificates: Arc<BySni>,
) -> Result<ServerTls, StartError> {
    let tls = http.servers[endpoint.default_server()].tls.as_ref();
    let versions: Vec<_> = match tls {
        None => vec![&version::TLS12, &version::TLS13],
        Some(tls) => tls
            .versions
            .iter()
            .map(|version| match version {
                TlsVersion::V12 => &version::TLS12,
                TlsVersion::V13 => &version::TLS13,
            })
            .collect(),
    };
    let mut config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_protocol_versions(&versions)
        .map_err(StartError::tls)?
        .with_no_client_auth()
        .with_cert_resolver(certificates);
    config.alpn_protocols = vec![b"http/1.1".to_vec(), b"http/1.0".to_vec()];
    Ok(ServerTls::from_config(Arc::new(config)))
}

/// Reads a certificate and its key.
fn read(certificate: &Certificate) -> Result<Arc<CertifiedKey>, StartError> {
    let Certificate { chain, key } = certificate;
    let certs: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&file(chain)?).collect();
    let certs = certs.map_err(|error| StartError::certificate(chain, error))?;
    if certs.is_empty() {
        let error = io::Error::other("there is no certificate in it");
        return Err(StartError::certificate(chain, error));
    }
    let private = PrivateKeyDer::from_pem_slice(&file(key)?)
        .map_err(|error| StartError::certificate(key, error))?;
    let private = aws_lc_rs::sign::any_supported_type(&private)
        .map_err(|error| StartError::certificate(key, error))?;
    let certified = CertifiedKey::new(certs, private);
    match certified.keys_match() {
        // A kind of key whose public part cannot be told is found wrong by the first handshake.
        Ok(()) | Err(rustls::Error::InconsistentKeys(rustls::InconsistentKeys::Unknown)) => {
            Ok(Arc::new(certified))
        }
        Err(error) => Err(StartError::certificate(key, error)),
    }
}

fn file(path: &Path) -> Result<Vec<u8>, StartError> {
    fs::read(path).map_err(|error| StartError::certificate(path, error))
}

impl fmt::Debug for Certificates {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Certificates").finish_non_exhaustive()
    }
}

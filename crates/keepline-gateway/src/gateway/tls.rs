//! TLS towards clients: which certificate an address shows to whom.
//!
//! The name that a client asks for (SNI) chooses the virtual server, as its Host field will. Who has no
//! certificate shows that of the default server, as in nginx. Versions are those of the default server: they
//! are settled before the name is known. A configuration in force never changes; a reload makes new ones.

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::path::Path;
use std::sync::Arc;

use rustls::ServerConfig;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls::version::{TLS12, TLS13};

use super::{Endpoint, StartError};
use crate::config::{Certificate, Http, ListenAddress, Server, TlsVersion};

/// The TLS of all addresses that speak it.
pub(crate) fn of_addresses(
    http: &Http,
    endpoints: &BTreeMap<ListenAddress, Arc<Endpoint>>,
) -> Result<HashMap<ListenAddress, Arc<ServerConfig>>, StartError> {
    let keys = keys(http)?;
    let secure = endpoints
        .iter()
        .filter(|(_, endpoint)| endpoint.listen.is_tls);
    secure
        .map(|(address, endpoint)| {
            let default = &http.servers[endpoint.default_server()];
            let certificates = Certificates {
                endpoint: Arc::clone(endpoint),
                keys: Arc::clone(&keys),
            };
            Ok((address.clone(), config(default, certificates)?))
        })
        .collect()
}

/// The keys of each server, by its place in `http.servers`.
type Keys = HashMap<usize, Vec<Arc<CertifiedKey>>>;

fn keys(http: &Http) -> Result<Arc<Keys>, StartError> {
    let mut keys = Keys::new();
    for (number, server) in http.servers.iter().enumerate() {
        let certificates = server.tls.iter().flat_map(|tls| &tls.certificates);
        let of_server: Result<Vec<_>, _> = certificates.map(load).collect();
        let of_server = of_server?;
        if !of_server.is_empty() {
            keys.insert(number, of_server);
        }
    }
    Ok(Arc::new(keys))
}

fn load(certificate: &Certificate) -> Result<Arc<CertifiedKey>, StartError> {
    let read = |path: &Path| fs::read(path).map_err(|error| StartError::certificate(path, error));
    let chain = read(&certificate.chain)?;
    let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&chain).collect();
    let chain = chain.map_err(|error| StartError::certificate(&certificate.chain, error))?;
    let key = read(&certificate.key)?;
    let key = PrivateKeyDer::from_pem_slice(&key);
    let key = key.map_err(|error| StartError::certificate(&certificate.key, error))?;
    let key = CertifiedKey::from_der(chain, key, &aws_lc_rs::default_provider());
    key.map(Arc::new)
        .map_err(|error| StartError::certificate(&certificate.chain, error))
}

fn config(default: &Server, certificates: Certificates) -> Result<Arc<ServerConfig>, StartError> {
    let asked = default.tls.as_ref().map_or(&[][..], |tls| &tls.versions);
    let version = |version: &TlsVersion| match version {
        TlsVersion::V12 => &TLS12,
        TlsVersion::V13 => &TLS13,
    };
    let mut versions: Vec<_> = asked.iter().map(version).collect();
    if versions.is_empty() {
        versions = vec![&TLS12, &TLS13];
    }
    let builder = ServerConfig::builder_with_provider(aws_lc_rs::default_provider().into());
    let builder = builder
        .with_protocol_versions(&versions)
        .map_err(StartError::tls)?;
    let mut config = builder
        .with_no_client_auth()
        .with_cert_resolver(Arc::new(certificates));
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}

/// The certificates of an address.
#[derive(Debug)]
struct Certificates {
    endpoint: Arc<Endpoint>,
    keys: Arc<Keys>,
}

impl ResolvesServerCert for Certificates {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let default = self.endpoint.default_server();
        let server = hello.server_name().map_or(default, |name| {
            let name = name.to_ascii_lowercase();
            self.endpoint.server_of(name.as_bytes()).0
        });
        let keys = self.keys.get(&server).or_else(|| self.keys.get(&default))?;
        // Of several kinds of keys the first that the client knows.
        let schemes = hello.signature_schemes();
        let suits = |key: &&Arc<CertifiedKey>| key.key.choose_scheme(schemes).is_some();
        keys.iter().find(suits).map(Arc::clone)
    }
}

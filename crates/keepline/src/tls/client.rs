//! TLS on the client's side: how a handshake is made, and which configurations are the same.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio_rustls::TlsConnector;

use super::client_builder::ClientTlsBuilder;
use super::identity::TlsIdentity;
use crate::error::{Error, ErrorKind};
use crate::net::Stream;

/// How a client speaks TLS: whom it trusts, what it shows, what it negotiates. Cheap to clone;
/// sessions are resumed among all connections of it and of its clones.
///
/// Two of them are equal if they are configured alike, and connections of equal ones are
/// interchangeable. One made [from a configuration](Self::from_config) is equal to its clones only.
#[derive(Clone)]
pub struct ClientTls(Arc<Inner>);

struct Inner {
    config: Arc<ClientConfig>,
    /// `None`: the configuration was given, and nothing is known of it.
    identity: Option<TlsIdentity>,
}

impl ClientTls {
    /// Trusts what the operating system trusts.
    pub fn builder() -> ClientTlsBuilder {
        ClientTlsBuilder::default()
    }

    /// From a configuration of one's own, taken as it is: its ALPN list has to offer `http/1.1`
    /// (or nothing).
    #[must_use]
    pub fn from_config(config: Arc<ClientConfig>) -> Self {
        Self(Arc::new(Inner {
            config,
            identity: None,
        }))
    }

    /// The configuration, for handshakes that are made by hand.
    #[must_use]
    pub fn config(&self) -> Arc<ClientConfig> {
        Arc::clone(&self.0.config)
    }

    pub(super) fn identified(config: ClientConfig, identity: TlsIdentity) -> Self {
        Self(Arc::new(Inner {
            config: Arc::new(config),
            identity: Some(identity),
        }))
    }

    /// Starts TLS on a stream whose other end is to prove that it is `name`. Bounded by whoever
    /// calls; dropping the future closes the stream.
    pub(crate) async fn connect(
        &self,
        name: &PeerName,
        stream: Stream,
        offer: Offer,
    ) -> Result<Stream, Error> {
        let plain = stream.into_plain();
        let connector = TlsConnector::from(Arc::clone(&self.0.config));
        let name = name.0.clone();
        let connecting = match offer.protocols(&self.0.config.alpn_protocols) {
            Some(protocols) => connector.with_alpn(protocols).connect(name, plain),
            None => connector.connect(name, plain),
        };
        let tls = connecting
            .await
            .map_err(|error| Error::caused(ErrorKind::Tls, error))?;
        Ok(Stream::tls(tokio_rustls::TlsStream::Client(tls)))
    }
}

impl PartialEq for ClientTls {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
            || match (&self.0.identity, &other.0.identity) {
                (Some(one), Some(other)) => one == other,
                (None, None) => Arc::ptr_eq(&self.0.config, &other.0.config),
                _ => false,
            }
    }
}

impl Eq for ClientTls {}

impl Hash for ClientTls {
    fn hash<H: Hasher>(&self, state: &mut H) {
        match &self.0.identity {
            Some(identity) => identity.hash(state),
            None => Arc::as_ptr(&self.0.config).hash(state),
        }
    }
}

impl fmt::Debug for ClientTls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientTls").finish_non_exhaustive()
    }
}

/// What a connection offers by ALPN.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Offer {
    /// HTTP/1.1, whatever the configuration has besides.
    Http1,
    /// HTTP/2 before it, unless the configuration has a list of its own.
    #[cfg(feature = "http2")]
    Both,
    /// HTTP/2 alone.
    #[cfg(feature = "http2")]
    Http2,
}

impl Offer {
    /// What to offer instead of `configured`; `None`: just that.
    fn protocols(self, configured: &[Vec<u8>]) -> Option<Vec<Vec<u8>>> {
        match self {
            Self::Http1 => configured.iter().any(|x| x == b"h2").then(|| {
                let others = configured.iter().filter(|x| *x != b"h2");
                others.cloned().collect()
            }),
            #[cfg(feature = "http2")]
            Self::Both => (configured == [b"http/1.1".to_vec()])
                .then(|| vec![b"h2".to_vec(), b"http/1.1".to_vec()]),
            #[cfg(feature = "http2")]
            Self::Http2 => Some(vec![b"h2".to_vec()]),
        }
    }
}

/// The name that a server has to prove, and that it is told by SNI (not an address: RFC 6066 §3).
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct PeerName(ServerName<'static>);

impl PeerName {
    /// From a host as it stands in a URI, an IPv6 address perhaps in brackets.
    ///
    /// # Errors
    /// It is neither a DNS name nor an address.
    pub(crate) fn of_host(host: &str) -> Result<Self, Error> {
        let bare = host
            .strip_prefix('[')
            .and_then(|x| x.strip_suffix(']'))
            .unwrap_or(host);
        ServerName::try_from(bare.to_owned())
            .map(Self)
            .map_err(|error| Error::caused(ErrorKind::InvalidRequest, format!("{host}: {error}")))
    }
}

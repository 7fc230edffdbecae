//! TLS towards clients.

use std::path::PathBuf;
use std::time::Duration;

/// `ssl_certificate` with its `ssl_certificate_key`, in PEM.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Certificate {
    /// The chain, the server's own first.
    pub chain: PathBuf,
    /// The private key.
    pub key: PathBuf,
}

/// A version of TLS that is spoken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum TlsVersion {
    /// TLS 1.2.
    V12,
    /// TLS 1.3.
    V13,
}

/// `ssl_verify_client`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum VerifyClient {
    /// No certificate is asked for.
    #[default]
    Off,
    /// A certificate that is presented must be valid.
    Optional,
    /// One must be presented.
    Required,
}

/// What `ssl_*` sets for a virtual server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerTls {
    /// Several if they have different kinds of keys.
    pub certificates: Vec<Certificate>,
    /// `ssl_protocols`. Default TLSv1.2 and TLSv1.3.
    pub versions: Vec<TlsVersion>,
    /// `ssl_session_timeout`. Default 5 minutes.
    pub session_timeout: Duration,
    /// `ssl_session_tickets`. Default on.
    pub session_tickets: bool,
    /// `ssl_verify_client`. Default off.
    pub verify_client: VerifyClient,
    /// `ssl_client_certificate`: whose certificates are valid.
    pub client_ca: Option<PathBuf>,
}

impl Default for ServerTls {
    fn default() -> Self {
        Self {
            certificates: Vec::new(),
            versions: vec![TlsVersion::V12, TlsVersion::V13],
            session_timeout: Duration::from_secs(300),
            session_tickets: true,
            verify_client: VerifyClient::Off,
            client_ca: None,
        }
    }
}

//! What makes two TLS configurations interchangeable, compared by content.
//!
//! Two connections may be exchanged for each other only if the same servers would have been
//! believed, the same client shown, and the same things negotiated.

use rustls::pki_types::CertificateDer;

/// Everything that distinguishes TLS connections to one server name.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct TlsIdentity {
    pub(super) trust: Trust,
    /// The chain that the client shows. It stands for the private key too, which belongs to it.
    pub(super) client: Vec<CertificateDer<'static>>,
    pub(super) sends_server_name: bool,
    pub(super) resumes: bool,
    pub(super) oldest: TlsVersion,
    pub(super) newest: TlsVersion,
    pub(super) alpn: Vec<Vec<u8>>,
}

/// Which servers are believed.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) enum Trust {
    /// Whom the operating system trusts.
    System,
    /// Whom one of these has signed.
    Roots(Vec<CertificateDer<'static>>),
    /// Anybody.
    Anybody,
}

/// A version of TLS.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum TlsVersion {
    /// RFC 5246.
    Tls12,
    /// RFC 8446.
    Tls13,
}

impl TlsVersion {
    pub(super) const fn of_rustls(self) -> &'static rustls::SupportedProtocolVersion {
        match self {
            Self::Tls12 => &rustls::version::TLS12,
            Self::Tls13 => &rustls::version::TLS13,
        }
    }
}

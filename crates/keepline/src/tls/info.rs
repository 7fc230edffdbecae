//! What the handshake of an accepted connection settled, in words that need no rustls.

use std::fmt;

use rustls::{HandshakeKind, ProtocolVersion, ServerConnection};

/// What the TLS handshake of a server connection settled.
#[derive(Clone, Copy)]
pub struct TlsInfo<'c>(&'c ServerConnection);

impl<'c> TlsInfo<'c> {
    pub(crate) const fn new(session: &'c ServerConnection) -> Self {
        Self(session)
    }

    /// The name that the client asked for (SNI), if it did; in lower case.
    #[must_use]
    pub fn server_name(&self) -> Option<&'c str> {
        self.0.server_name()
    }

    /// The version, as OpenSSL and nginx write it: `TLSv1.2` or `TLSv1.3`.
    #[must_use]
    pub fn version(&self) -> &'static str {
        match self.0.protocol_version() {
            Some(ProtocolVersion::TLSv1_2) => "TLSv1.2",
            Some(ProtocolVersion::TLSv1_3) => "TLSv1.3",
            _ => "unknown",
        }
    }

    /// The cipher suite, by its name at IANA: `TLS_AES_128_GCM_SHA256`.
    #[must_use]
    pub fn cipher_suite(&self) -> Option<String> {
        let suite = self.0.negotiated_cipher_suite()?.suite();
        let name = suite.as_str()?;
        // rustls marks those of TLS 1.3.
        Some(name.replacen("TLS13_", "TLS_", 1))
    }

    /// The protocol that was agreed on by ALPN, if any.
    #[must_use]
    pub fn alpn(&self) -> Option<&'c [u8]> {
        self.0.alpn_protocol()
    }

    /// An earlier session was resumed.
    #[must_use]
    pub fn is_resumed(&self) -> bool {
        self.0.handshake_kind() == Some(HandshakeKind::Resumed)
    }

    /// The client's own certificate in DER, if it was asked for one and showed it.
    #[must_use]
    pub fn client_certificate(&self) -> Option<&'c [u8]> {
        let chain = self.0.peer_certificates()?;
        chain.first().map(|own| &own[..])
    }
}

impl fmt::Debug for TlsInfo<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TlsInfo")
            .field("server_name", &self.server_name())
            .field("version", &self.version())
            .finish_non_exhaustive()
    }
}

//! Where a program of the demo asks.

use std::net::SocketAddr;

use keepline::tls::ClientTls;

/// An address that answers.
#[derive(Debug, Clone)]
pub(crate) struct Place {
    pub(crate) address: SocketAddr,
    /// What a client has to trust, if https is spoken here.
    pub(crate) trust: Option<ClientTls>,
}

impl Place {
    pub(crate) fn scheme(&self) -> &'static str {
        if self.trust.is_some() {
            "https"
        } else {
            "http"
        }
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("{}://{}{path}", self.scheme(), self.address)
    }
}

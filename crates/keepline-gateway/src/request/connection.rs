//! The values of variables that are about the client's connection: its two ends, and what its TLS handshake
//! has settled.

use std::net::IpAddr;

use keepline::net::PeerAddr;

use super::append::append_display;
use super::evaluate::View;
use super::state::ip_of;
use crate::config::{ListenAddress, Variable};

impl View<'_> {
    /// The address of the client, unless it came by a Unix socket.
    pub(crate) fn remote(&self) -> Option<(IpAddr, u16)> {
        self.request
            .real_address
            .or_else(|| match self.info.peer() {
                PeerAddr::Tcp(address) => Some((ip_of(address), address.port())),
                _ => None,
            })
    }

    /// Where the client has connected to; only the kernel knows it where all addresses are listened on.
    pub(super) fn append_server_addr(&self, out: &mut Vec<u8>) {
        match &self.request.endpoint.listen.address {
            ListenAddress::Unix(path) => {
                append_display(&format_args!("unix:{}", path.display()), out);
            }
            ListenAddress::Inet(listened) if listened.ip().is_unspecified() => {
                let local = self.exchange.local_addr().unwrap_or(*listened);
                append_display(&local.ip().to_canonical(), out);
            }
            ListenAddress::Inet(listened) => append_display(&listened.ip(), out),
        }
    }

    /// What the handshake has settled; nothing without TLS.
    pub(super) fn append_tls(&self, variable: &Variable, out: &mut Vec<u8>) -> bool {
        let Some(tls) = self.exchange.tls() else {
            return false;
        };
        match variable {
            Variable::SslCipher => match tls.cipher_suite() {
                Some(name) => openssl_name(&name, out),
                None => return false,
            },
            Variable::SslServerName => match tls.server_name() {
                Some(name) => out.extend_from_slice(name.as_bytes()),
                None => return false,
            },
            Variable::SslSessionReused => out.push(if tls.is_resumed() { b'r' } else { b'.' }),
            _ => out.extend_from_slice(tls.version().as_bytes()),
        }
        true
    }
}

/// The name that OpenSSL, and so nginx, has for a cipher suite: those of TLS 1.3 are called as IANA calls them.
fn openssl_name(name: &str, out: &mut Vec<u8>) {
    let own = name
        .strip_prefix("TLS_")
        .and_then(|rest| rest.split_once("_WITH_"));
    let Some((exchange, cipher)) = own else {
        return out.extend_from_slice(name.as_bytes());
    };
    let cipher = cipher
        .replace("AES_", "AES")
        .replace("POLY1305_SHA256", "POLY1305");
    out.extend_from_slice(format!("{exchange}-{cipher}").replace('_', "-").as_bytes());
}

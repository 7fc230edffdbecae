//! A tunnel by SOCKS5 (RFC 1928), with a user name and a password (RFC 1929) or without.
//!
//! No byte is read that is not the proxy's own: what follows belongs to the tunnel. Every length
//! is bounded by the one byte that tells it.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::Proxy;
use super::credentials::Credentials;
use crate::error::{Error, ErrorKind, ProxyRefusal};
use crate::net::{Stream, literal};

const VERSION: u8 = 5;
const NO_AUTHENTICATION: u8 = 0;
const BY_PASSWORD: u8 = 2;
const CONNECT: u8 = 1;
const IPV4: u8 = 1;
const NAME: u8 = 3;
const IPV6: u8 = 4;

/// Where a tunnel leads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Destination {
    Address(IpAddr),
    /// Resolved by the proxy; at most 255 bytes.
    Name(Box<str>),
}

impl From<IpAddr> for Destination {
    fn from(address: IpAddr) -> Self {
        Self::Address(address)
    }
}

impl Destination {
    /// A host as it stands in a URI.
    ///
    /// # Errors
    /// It is a name too long for SOCKS.
    pub(super) fn of(host: &str) -> Result<Self, Error> {
        match literal(host) {
            Some(address) => Ok(Self::Address(address)),
            None if host.len() <= 255 => Ok(Self::Name(host.into())),
            None => Err(Error::caused(
                ErrorKind::InvalidRequest,
                "SOCKS takes names of at most 255 bytes",
            )),
        }
    }
}

/// Asks for a tunnel, and answers the stream when it stands.
pub(super) async fn open(
    proxy: &Proxy,
    mut stream: Stream,
    destination: Destination,
    port: u16,
) -> Result<Stream, Error> {
    let credentials = proxy.0.credentials.as_ref();
    stream.write_all(greeting(credentials)).await?;
    stream.flush().await?;
    let [version, method] = read(&mut stream).await?;
    check_version(version, VERSION)?;
    match (method, credentials) {
        (NO_AUTHENTICATION, _) => {}
        (BY_PASSWORD, Some(credentials)) => {
            stream.write_all(&password(credentials)?).await?;
            stream.flush().await?;
            let [version, status] = read(&mut stream).await?;
            // That of the negotiation, not of SOCKS.
            check_version(version, 1)?;
            if status != 0 {
                let text = "it does not accept the credentials";
                return Err(refused(ProxyRefusal::Authentication, text));
            }
        }
        _ => {
            let text = match credentials {
                Some(_) => "it accepts neither these credentials nor none",
                None => "it wants credentials",
            };
            return Err(refused(ProxyRefusal::Authentication, text));
        }
    }
    stream.write_all(&request(&destination, port)).await?;
    stream.flush().await?;
    read_reply(&mut stream).await?;
    Ok(stream)
}

/// The methods that we could use (RFC 1928 §3).
const fn greeting(credentials: Option<&Credentials>) -> &'static [u8] {
    match credentials {
        None => &[VERSION, 1, NO_AUTHENTICATION],
        Some(_) => &[VERSION, 2, NO_AUTHENTICATION, BY_PASSWORD],
    }
}

/// RFC 1929 §2.
fn password(credentials: &Credentials) -> Result<Vec<u8>, Error> {
    let mut message = vec![1];
    for text in [credentials.user(), credentials.password()] {
        let length = u8::try_from(text.len()).map_err(|_| {
            let message = "SOCKS takes a user name and a password of at most 255 bytes";
            Error::caused(ErrorKind::InvalidRequest, message)
        })?;
        message.push(length);
        message.extend(text.as_bytes());
    }
    Ok(message)
}

/// RFC 1928 §4.
fn request(destination: &Destination, port: u16) -> Vec<u8> {
    let mut message = vec![VERSION, CONNECT, 0];
    match destination {
        Destination::Address(IpAddr::V4(address)) => {
            message.push(IPV4);
            message.extend(address.octets());
        }
        Destination::Address(IpAddr::V6(address)) => {
            message.push(IPV6);
            message.extend(address.octets());
        }
        Destination::Name(name) => {
            let length = u8::try_from(name.len()).expect("names are checked when they are made");
            message.extend([NAME, length]);
            message.extend(name.as_bytes());
        }
    }
    message.extend(port.to_be_bytes());
    message
}

/// RFC 1928 §6: the reply, and the address that the proxy uses, which is not looked at.
async fn read_reply(stream: &mut Stream) -> Result<(), Error> {
    let [version, code, _, kind] = read(stream).await?;
    check_version(version, VERSION)?;
    if code != 0 {
        return Err(refused(ProxyRefusal::Socks(code), said(code)));
    }
    let length = match kind {
        IPV4 => size_of::<Ipv4Addr>(),
        IPV6 => size_of::<Ipv6Addr>(),
        NAME => {
            let [length] = read(stream).await?;
            usize::from(length)
        }
        _ => return Err(refused(ProxyRefusal::Protocol, "its reply is no SOCKS5")),
    };
    let mut rest = vec![0; length + size_of::<u16>()];
    stream.read_exact(&mut rest).await.map_err(cut)?;
    Ok(())
}

async fn read<const N: usize>(stream: &mut Stream) -> Result<[u8; N], Error> {
    let mut bytes = [0; N];
    stream.read_exact(&mut bytes).await.map_err(cut)?;
    Ok(bytes)
}

fn check_version(version: u8, expected: u8) -> Result<(), Error> {
    if version == expected {
        return Ok(());
    }
    Err(refused(ProxyRefusal::Protocol, "what it says is no SOCKS5"))
}

/// The replies of RFC 1928 §6.
const fn said(code: u8) -> &'static str {
    match code {
        1 => "it failed (reply 1)",
        2 => "its rules do not allow it (reply 2)",
        3 => "it cannot reach the network (reply 3)",
        4 => "it cannot reach the host (reply 4)",
        5 => "the host refused its connection (reply 5)",
        6 => "it waited too long (reply 6)",
        7 => "it does not know the command (reply 7)",
        8 => "it does not know that kind of address (reply 8)",
        _ => "it refused with a reply that RFC 1928 does not know",
    }
}

fn cut(error: std::io::Error) -> Error {
    if error.kind() == std::io::ErrorKind::UnexpectedEof {
        return refused(ProxyRefusal::Protocol, "it closed in the middle of a reply");
    }
    error.into()
}

fn refused(refusal: ProxyRefusal, text: &str) -> Error {
    Error::caused(ErrorKind::Proxy(refusal), text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_those_of_the_rfc() {
        for (host, bytes) in [
            (
                "192.0.2.1",
                &b"\x05\x01\x00\x01\xc0\x00\x02\x01\x01\xbb"[..],
            ),
            ("a.test", b"\x05\x01\x00\x03\x06a.test\x01\xbb"),
            (
                "[2001:db8::1]",
                b"\x05\x01\x00\x04\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\x01\x01\xbb",
            ),
        ] {
            let destination = Destination::of(host).unwrap();
            assert_eq!(request(&destination, 443), bytes, "{host}");
        }
        assert!(Destination::of(&"x".repeat(256)).is_err());
        let credentials = Credentials::new("me", "secret");
        assert_eq!(password(&credentials).unwrap(), b"\x01\x02me\x06secret");
        assert!(password(&Credentials::new("me", &"x".repeat(256))).is_err());
        assert_eq!(greeting(None), b"\x05\x01\x00");
        assert_eq!(greeting(Some(&credentials)), b"\x05\x02\x00\x02");
    }
}

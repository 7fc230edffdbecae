//! What makes two connections interchangeable.
//!
//! Equality decides, never a hash alone. The scheme, the host (case folded: `EXAMPLE.com` and
//! `example.com` are one, unlike in Go) and the port.

use std::cell::RefCell;
use std::fmt;
use std::sync::Arc;

use http::Uri;
use http::uri::{Authority, Scheme};

use crate::error::{Error, ErrorKind};

/// The key of a pool: requests with equal keys can use each other's connections.
#[derive(Clone, PartialEq, Eq, Hash)]
pub(crate) struct Key(Arc<Origin>);

/// Where a request goes: the scheme, host and port of its URI.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Origin {
    pub(crate) is_secure: bool,
    pub(crate) host: Box<str>,
    pub(crate) port: u16,
}

impl Origin {
    /// TLS is spoken to it: its scheme is https.
    #[must_use]
    pub const fn is_secure(&self) -> bool {
        self.is_secure
    }

    /// Its host in lower case; an IPv6 address in brackets.
    #[must_use]
    pub fn host(&self) -> &str {
        &self.host
    }

    /// Its port, that of the scheme if the URI gives none.
    #[must_use]
    pub const fn port(&self) -> u16 {
        self.port
    }
}

impl Key {
    /// The key of a URI.
    ///
    /// # Errors
    /// The URI has no scheme or host, or one that is not supported; the error says which.
    pub(crate) fn of(uri: &Uri) -> Result<Self, Error> {
        let (Some(scheme), Some(authority)) = (uri.scheme(), uri.authority()) else {
            return Err(invalid(
                "the URI needs a scheme and a host, as in http://example.com/",
            ));
        };
        let is_secure = is_secure(scheme)?;
        recent(is_secure, authority, || {
            if authority.as_str().contains('@') {
                return Err(invalid(
                    "user information in a URI is not supported; set the Authorization field",
                ));
            }
            let host = authority.host();
            if host.is_empty() {
                return Err(invalid("the URI has no host"));
            }
            let rest = authority.as_str().get(host.len()..).unwrap_or_default();
            let port = match rest.strip_prefix(':') {
                None | Some("") => default_port(is_secure),
                // `parse` would accept a sign.
                Some(port) if !port.bytes().all(|x| x.is_ascii_digit()) => {
                    return Err(invalid("the port is not a number"));
                }
                Some(port) => port
                    .parse()
                    .map_err(|_| invalid("the port is larger than 65535"))?,
            };
            let host = host.to_ascii_lowercase().into_boxed_str();
            Ok(Self(Arc::new(Origin {
                is_secure,
                host,
                port,
            })))
        })
    }

    pub(crate) fn origin(&self) -> &Origin {
        &self.0
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Origin {
            is_secure,
            host,
            port,
        } = &*self.0;
        write!(
            f,
            "{}://{host}:{port}",
            if *is_secure { "https" } else { "http" }
        )
    }
}

fn is_secure(scheme: &Scheme) -> Result<bool, Error> {
    if *scheme == Scheme::HTTP {
        Ok(false)
    } else if *scheme == Scheme::HTTPS {
        Ok(true)
    } else {
        Err(invalid("the scheme is neither http nor https"))
    }
}

pub(crate) const fn default_port(is_secure: bool) -> u16 {
    if is_secure { 443 } else { 80 }
}

fn invalid(message: &'static str) -> Error {
    Error::caused(ErrorKind::InvalidRequest, message)
}

/// The key that this thread made last, if it is the same again: most programs ask few hosts, and
/// this saves them two allocations a request.
fn recent(
    is_secure: bool,
    authority: &Authority,
    make: impl FnOnce() -> Result<Key, Error>,
) -> Result<Key, Error> {
    thread_local! {
        static LAST: RefCell<Option<(Authority, Key)>> = const { RefCell::new(None) };
    }
    let known = LAST.try_with(|last| match &*last.borrow() {
        Some((known, key)) if key.0.is_secure == is_secure && known == authority => {
            Some(key.clone())
        }
        _ => None,
    });
    if let Ok(Some(key)) = known {
        return Ok(key);
    }
    let key = make()?;
    let _ = LAST.try_with(|last| *last.borrow_mut() = Some((authority.clone(), key.clone())));
    Ok(key)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(uri: &str) -> Result<Key, Error> {
        Key::of(&uri.parse().unwrap())
    }

    #[test]
    fn equal_origins_have_equal_keys() {
        let plain = key("http://example.com/a").unwrap();
        for same in [
            "http://EXAMPLE.com",
            "http://example.com:80/b?c",
            "http://example.com:",
        ] {
            assert_eq!(key(same).unwrap(), plain, "{same}");
        }
        for other in [
            "https://example.com",
            "http://example.com:81",
            "http://example.org",
        ] {
            assert_ne!(key(other).unwrap(), plain, "{other}");
        }
        assert_eq!(
            key("http://[::1]:8080/").unwrap().origin().host.as_ref(),
            "[::1]"
        );
    }

    #[test]
    fn what_cannot_be_asked_is_an_error() {
        for bad in ["/path", "ftp://a/", "http://user:secret@a/"] {
            assert_eq!(
                key(bad).unwrap_err().kind(),
                ErrorKind::InvalidRequest,
                "{bad}"
            );
        }
    }
}

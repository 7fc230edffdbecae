//! What makes two connections interchangeable.
//!
//! Equality decides, never a hash alone. The scheme, the host (case folded: `EXAMPLE.com` and
//! `example.com` are one, unlike in Go) and the port; where the socket leads; how TLS is spoken;
//! from which local address; and a tag of whoever asks.

use std::cell::RefCell;
use std::fmt;
use std::hash::{BuildHasher, Hash, Hasher, RandomState};
use std::net::SocketAddr;
use std::path::Path;
use std::sync::{Arc, OnceLock};

use http::Uri;
use http::uri::{Authority, Scheme};

use super::proxy::Proxy;
use crate::error::{Error, ErrorKind};
#[cfg(feature = "tls")]
use crate::tls::{ClientTls, PeerName};

/// The key of a pool: requests with equal keys can use each other's connections. Cheap to clone;
/// its hash is computed once, and a clone is told equal by its address.
#[derive(Clone)]
pub(crate) struct Key(Arc<Keyed>);

struct Keyed {
    hash: u64,
    route: Route,
}

/// All that a connection depends on.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Route {
    pub(crate) origin: Origin,
    pub(crate) via: Via,
    #[cfg(feature = "tls")]
    pub(crate) tls: TlsRoute,
    /// The local address that the socket is bound to. Port 0: any.
    pub(crate) local: Option<SocketAddr>,
    /// The socket's buffers.
    pub(crate) buffers: SocketBuffers,
    /// Whatever keeps connections of one origin apart.
    pub(crate) tag: u64,
    /// HTTP/2 is offered to the server, or spoken without asking. Whoever needs HTTP/1.1 (the raw
    /// layer, an upgrade) has connections of its own, as in Go.
    pub(crate) http2: bool,
}

/// The sizes of a socket's buffers in bytes; `None` is what the system chooses, and changes as it sees fit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub(crate) struct SocketBuffers {
    pub(crate) receive: Option<usize>,
    pub(crate) send: Option<usize>,
}

/// Where the socket leads.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum Via {
    /// To an address of the origin's host.
    Host,
    /// To this address, whatever the host is.
    Address(SocketAddr),
    /// To a Unix socket.
    Unix(Box<Path>),
    /// To a proxy, which is the origin of the route, for requests in absolute form; they are shared by
    /// all of their origins.
    Forward(Proxy),
    /// Through a tunnel that this proxy opens.
    Tunnel(Proxy),
}

/// How TLS is spoken with the origin, where that differs from what the Transport does.
#[cfg(feature = "tls")]
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub(crate) struct TlsRoute {
    /// Instead of the Transport's.
    pub(crate) tls: Option<ClientTls>,
    /// The name that the server has to prove, if not the host.
    pub(crate) name: Option<PeerName>,
}

/// Where a request goes: the scheme, host and port of its URI.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Origin {
    pub(crate) is_secure: bool,
    pub(crate) host: Box<str>,
    pub(crate) port: u16,
}

impl Origin {
    /// From a URI.
    ///
    /// # Errors
    /// The URI has no scheme or host, or one that is not supported; the error says which.
    pub(crate) fn of(is_secure: bool, authority: &Authority) -> Result<Self, Error> {
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
        Ok(Self {
            is_secure,
            host: host.to_ascii_lowercase().into_boxed_str(),
            port,
        })
    }

    /// Host and port as in a URI or in Host: without the port that its scheme has anyway.
    #[must_use]
    pub fn authority(&self) -> String {
        if self.port == default_port(self.is_secure) {
            self.host.to_string()
        } else {
            format!("{}:{}", self.host, self.port)
        }
    }

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

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.is_secure { "https" } else { "http" };
        write!(f, "{scheme}://{}:{}", self.host, self.port)
    }
}

impl Route {
    /// To an address of the host of an origin, as the Transport does it.
    pub(crate) fn to(origin: Origin) -> Self {
        Self {
            origin,
            via: Via::Host,
            #[cfg(feature = "tls")]
            tls: TlsRoute::default(),
            local: None,
            buffers: SocketBuffers::default(),
            tag: 0,
            http2: false,
        }
    }

    /// To a proxy that is asked in absolute form.
    pub(crate) fn forwarded(proxy: &Proxy) -> Self {
        Self {
            #[cfg(feature = "tls")]
            tls: TlsRoute {
                tls: proxy.own_tls().cloned(),
                name: None,
            },
            via: Via::Forward(proxy.clone()),
            ..Self::to(proxy.origin())
        }
    }

    /// To the origin of a URI.
    ///
    /// # Errors
    /// The URI has no scheme or host, or one that is not supported; the error says which.
    pub(crate) fn of(uri: &Uri) -> Result<Self, Error> {
        let (is_secure, authority) = parts(uri)?;
        Origin::of(is_secure, authority).map(Self::to)
    }
}

impl From<Route> for Key {
    fn from(route: Route) -> Self {
        // Random for each process: nobody can choose hosts that collide.
        static HASHER: OnceLock<RandomState> = OnceLock::new();
        let hash = HASHER.get_or_init(RandomState::new).hash_one(&route);
        Self(Arc::new(Keyed { hash, route }))
    }
}

impl PartialEq for Key {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
            || (self.0.hash == other.0.hash && self.0.route == other.0.route)
    }
}

impl Eq for Key {}

impl Hash for Key {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u64(self.0.hash);
    }
}

impl Key {
    /// The key of a URI.
    ///
    /// # Errors
    /// The URI has no scheme or host, or one that is not supported; the error says which.
    pub(crate) fn of(uri: &Uri) -> Result<Self, Error> {
        let (is_secure, authority) = parts(uri)?;
        recent(0, is_secure, authority, || {
            Ok(Route::to(Origin::of(is_secure, authority)?).into())
        })
    }

    /// The same, with HTTP/2. Of the key that was asked last on this thread it is known already.
    #[cfg(feature = "http2")]
    pub(crate) fn with_http2(&self) -> Self {
        thread_local! {
            static LAST: RefCell<Option<(Key, Key)>> = const { RefCell::new(None) };
        }
        let known = LAST.try_with(|last| match &*last.borrow() {
            Some((plain, with)) if plain == self => Some(with.clone()),
            _ => None,
        });
        if let Ok(Some(with)) = known {
            return with;
        }
        let with = Self::from(Route {
            http2: true,
            ..self.route().clone()
        });
        let _ = LAST.try_with(|last| *last.borrow_mut() = Some((self.clone(), with.clone())));
        with
    }

    pub(crate) fn route(&self) -> &Route {
        &self.0.route
    }

    pub(crate) fn origin(&self) -> &Origin {
        &self.0.route.origin
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.origin().fmt(f)?;
        match &self.route().via {
            Via::Host => Ok(()),
            Via::Address(address) => write!(f, " at {address}"),
            Via::Unix(path) => write!(f, " at unix:{}", path.display()),
            Via::Forward(_) => f.write_str(" (proxy)"),
            Via::Tunnel(proxy) => write!(f, " via {proxy}"),
        }
    }
}

/// What of a URI decides where it leads.
pub(crate) fn parts(uri: &Uri) -> Result<(bool, &Authority), Error> {
    let (Some(scheme), Some(authority)) = (uri.scheme(), uri.authority()) else {
        return Err(invalid(
            "the URI needs a scheme and a host, as in http://example.com/",
        ));
    };
    Ok((is_secure(scheme)?, authority))
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
/// this saves them two allocations a request. `routing` tells those apart who make different keys.
pub(crate) fn recent(
    routing: u64,
    is_secure: bool,
    authority: &Authority,
    make: impl FnOnce() -> Result<Key, Error>,
) -> Result<Key, Error> {
    struct Last {
        routing: u64,
        is_secure: bool,
        authority: Authority,
        key: Key,
    }
    thread_local! {
        static LAST: RefCell<Option<Last>> = const { RefCell::new(None) };
    }
    let is_it = |last: &&Last| {
        last.routing == routing && last.is_secure == is_secure && last.authority == *authority
    };
    let known = LAST.try_with(|last| {
        let last = last.borrow();
        last.as_ref().filter(is_it).map(|last| last.key.clone())
    });
    if let Ok(Some(key)) = known {
        return Ok(key);
    }
    let key = make()?;
    let last = Last {
        routing,
        is_secure,
        authority: authority.clone(),
        key: key.clone(),
    };
    let _ = LAST.try_with(|place| *place.borrow_mut() = Some(last));
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

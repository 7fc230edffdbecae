//! What exchanges are asked of, made once and used for many.
//!
//! A typed request brings its URI, and the key of the pool is made from that. Whoever asks the same
//! servers over and over (a gateway its upstreams) makes a [`Target`] for each and asks that: no
//! URI, no parsing, no allocation for an exchange. A target also says what no URI can: an address
//! other than the host's, a Unix socket, a TLS identity, a local address.

use std::fmt;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use http::Uri;

use super::key::{Key, Origin, Route, SocketBuffers, Via};
use super::proxy::Proxy;
use crate::error::Error;
#[cfg(feature = "tls")]
use crate::tls::{ClientTls, PeerName};

/// Where exchanges go, and all that a connection for them depends on. Cheap to clone; connections
/// of equal targets are shared.
///
/// Equal are targets with equal scheme, host (case folded), port, address or path, TLS (whom it
/// trusts, what it shows, what it negotiates, and the server's name), local address and tag.
///
/// ```
/// use keepline::client::Target;
///
/// # fn example() -> Result<(), keepline::Error> {
/// let backend = Target::builder(&"http://backend.internal".parse().unwrap())
///     .address(([10, 0, 0, 7], 8080).into())
///     .tag(3)
///     .build()?;
/// # Ok(()) }
/// ```
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Target(Key);

impl Target {
    /// The origin of a URI, as the Transport asks it; the path doesn't matter.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidRequest`](crate::ErrorKind::InvalidRequest): the URI is not one of http
    /// or https.
    pub fn of(uri: &Uri) -> Result<Self, Error> {
        Key::of(uri).map(Self)
    }

    /// The origin of a URI, asked in another way.
    pub fn builder(uri: &Uri) -> TargetBuilder {
        TargetBuilder {
            route: Route::of(uri),
        }
    }

    /// Scheme, host and port.
    #[must_use]
    pub fn origin(&self) -> &Origin {
        self.0.origin()
    }

    pub(crate) const fn key(&self) -> &Key {
        &self.0
    }

    pub(crate) fn into_key(self) -> Key {
        self.0
    }
}

impl fmt::Debug for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Target").field(&self.0).finish()
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Builds a [`Target`].
#[derive(Debug)]
#[must_use]
pub struct TargetBuilder {
    /// What it leads to, or what is wrong with it first.
    route: Result<Route, Error>,
}

impl TargetBuilder {
    /// Connects to this address instead of resolving the host. TLS still proves the host's name.
    /// The Transport's `connector` is not asked. Of `address`, [`unix`](Self::unix) and
    /// [`proxy`](Self::proxy) the last counts.
    pub fn address(self, address: SocketAddr) -> Self {
        self.change(|route| route.via = Via::Address(address))
    }

    /// Connects to this Unix socket instead of resolving the host. The Transport's `connector` is
    /// not asked.
    pub fn unix(self, path: impl Into<PathBuf>) -> Self {
        let path: Box<Path> = path.into().into_boxed_path();
        self.change(|route| route.via = Via::Unix(path))
    }

    /// Goes through a tunnel that this proxy opens, for http too. Without it a target is direct,
    /// whatever the Transport's proxies.
    pub fn proxy(self, proxy: Proxy) -> Self {
        self.change(|route| route.via = Via::Tunnel(proxy))
    }

    /// Speaks TLS in this way instead of the Transport's. Without effect for http.
    #[cfg(feature = "tls")]
    pub fn tls(self, tls: ClientTls) -> Self {
        self.change(|route| {
            if route.origin.is_secure {
                route.tls.tls = Some(tls);
            }
        })
    }

    /// The name that the server has to prove, and is told by SNI, instead of the host; an address
    /// is proved and not told. Without effect for http.
    #[cfg(feature = "tls")]
    pub fn server_name(mut self, name: &str) -> Self {
        if let Ok(route) = &mut self.route
            && route.origin.is_secure
        {
            match PeerName::of_host(name) {
                // The host's own name makes no other key.
                Ok(name) => {
                    let own = PeerName::of_host(&route.origin.host).ok();
                    route.tls.name = Some(name).filter(|name| own.as_ref() != Some(name));
                }
                Err(error) => self.route = Err(error),
            }
        }
        self
    }

    /// Binds the socket to this local address; port 0 is any. Only addresses of its family are
    /// connected to, and none is an error of the dial. Without effect for a Unix socket. Default:
    /// what the system chooses.
    pub fn local_address(self, address: SocketAddr) -> Self {
        self.change(|route| route.local = Some(address))
    }

    /// Gives the socket buffers of these sizes in bytes (`SO_RCVBUF`, `SO_SNDBUF`), of which the system may make
    /// others. Default, and for `None`: it sizes them itself, as the connection needs. Without effect for a
    /// Unix socket.
    pub fn socket_buffers(self, receive: Option<usize>, send: Option<usize>) -> Self {
        self.change(|route| route.buffers = SocketBuffers { receive, send })
    }

    /// Keeps connections apart that would otherwise be shared: those of equal targets with
    /// different tags are not. Default 0, as for a typed request.
    pub fn tag(self, tag: u64) -> Self {
        self.change(|route| route.tag = tag)
    }

    /// Builds it.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidRequest`](crate::ErrorKind::InvalidRequest): the URI is not one of http
    /// or https, or the server name is neither a DNS name nor an address.
    pub fn build(self) -> Result<Target, Error> {
        let mut route = self.route?;
        if matches!(route.via, Via::Unix(_)) {
            route.local = None;
            route.buffers = SocketBuffers::default();
        }
        Ok(Target(route.into()))
    }

    fn change(mut self, change: impl FnOnce(&mut Route)) -> Self {
        if let Ok(route) = &mut self.route {
            change(route);
        }
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ErrorKind;

    fn builder(uri: &str) -> TargetBuilder {
        Target::builder(&uri.parse().unwrap())
    }

    fn proxy(url: &str) -> Proxy {
        url.parse().unwrap()
    }

    fn address(text: &str) -> SocketAddr {
        text.parse().unwrap()
    }

    /// Each differs from all others, and is equal to itself made again.
    #[test]
    fn targets_are_equal_only_in_everything() {
        let make: &[fn() -> TargetBuilder] = &[
            || builder("http://a"),
            || builder("http://b"),
            || builder("http://a:81"),
            || builder("https://a"),
            || builder("http://a").address(address("127.0.0.1:80")),
            || builder("http://a").address(address("127.0.0.1:81")),
            || builder("http://a").address(address("[::1]:80")),
            || builder("http://a").unix("/run/a"),
            || builder("http://a").unix("/run/b"),
            || builder("https://a").unix("/run/a"),
            || builder("http://a").local_address(address("127.0.0.1:0")),
            || builder("http://a").local_address(address("127.0.0.2:0")),
            || builder("http://a").socket_buffers(Some(4096), None),
            || builder("http://a").socket_buffers(None, Some(4096)),
            || builder("http://a").tag(1),
            || builder("http://a").proxy(proxy("http://p")),
            || builder("http://a").proxy(proxy("https://p")),
            || builder("http://a").proxy(proxy("http://p:81")),
            || builder("http://a").proxy(proxy("socks5://p")),
            || builder("http://a").proxy(proxy("http://me:secret@p")),
            || builder("https://a").proxy(proxy("http://p")),
            || builder("http://a").tag(u64::MAX),
            #[cfg(feature = "tls")]
            || builder("https://a").server_name("b"),
            #[cfg(feature = "tls")]
            || builder("https://a").server_name("127.0.0.1"),
            #[cfg(feature = "tls")]
            || builder("https://a").tls(unverified(&["http/1.1"])),
            #[cfg(feature = "tls")]
            || builder("https://a").tls(unverified(&["h2", "http/1.1"])),
        ];
        let built: Vec<_> = make.iter().map(|make| make().build().unwrap()).collect();
        for (place, one) in built.iter().enumerate() {
            let again = make[place]().build().unwrap();
            assert_eq!(*one, again);
            let mut map = std::collections::HashMap::from([(one.clone(), place)]);
            assert_eq!(
                map.remove(&again),
                Some(place),
                "{one} hashes as it compares"
            );
            for (other_place, other) in built.iter().enumerate() {
                assert_eq!(
                    one == other,
                    place == other_place,
                    "{place} and {other_place}"
                );
            }
        }
    }

    #[cfg(feature = "tls")]
    fn unverified(alpn: &[&str]) -> ClientTls {
        let tls = ClientTls::builder().danger_skip_verification();
        tls.alpn(alpn).build().unwrap()
    }

    #[test]
    fn what_makes_no_difference_makes_no_other_key() {
        for (one, other) in [
            (builder("http://a/x?y"), builder("http://A:80")),
            (
                builder("http://a").unix("/x").address(address("1.2.3.4:5")),
                builder("http://a").address(address("1.2.3.4:5")),
            ),
            (
                builder("http://a")
                    .unix("/x")
                    .local_address(address("1.2.3.4:0")),
                builder("http://a").unix("/x"),
            ),
            #[cfg(feature = "tls")]
            (builder("https://a").server_name("A"), builder("https://a")),
            #[cfg(feature = "tls")]
            (builder("http://a").server_name("b"), builder("http://a")),
            #[cfg(feature = "tls")]
            (
                builder("http://a").tls(unverified(&[])),
                builder("http://a"),
            ),
        ] {
            assert_eq!(one.build().unwrap(), other.build().unwrap());
        }
        let uri = "http://a/x".parse().unwrap();
        assert_eq!(
            Target::of(&uri).unwrap(),
            builder("http://a").build().unwrap()
        );
    }

    #[test]
    fn what_cannot_be_asked_is_an_error_of_the_builder() {
        for bad in [
            builder("/x").tag(1),
            builder("ftp://a/"),
            #[cfg(feature = "tls")]
            builder("https://a").server_name("no name"),
        ] {
            assert_eq!(bad.build().unwrap_err().kind(), ErrorKind::InvalidRequest);
        }
    }

    #[test]
    fn a_target_says_where_it_leads() {
        for (target, said) in [
            (builder("http://a"), "http://a:80"),
            (
                builder("https://a").address(address("1.2.3.4:5")),
                "https://a:443 at 1.2.3.4:5",
            ),
            (
                builder("http://a").unix("/run/a"),
                "http://a:80 at unix:/run/a",
            ),
            (
                builder("https://a").proxy(proxy("http://me:secret@p")),
                "https://a:443 via http://p:80",
            ),
        ] {
            assert_eq!(target.build().unwrap().to_string(), said);
        }
    }
}

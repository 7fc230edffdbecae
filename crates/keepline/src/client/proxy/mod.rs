//! Proxies: which one a request goes through, and how a connection is made through it.
//!
//! - [`Proxy`]: a proxy, and what it is shown;
//! - `rules`: which one the environment names for an origin, as a pure function;
//! - `connect`: CONNECT (RFC 9110 §9.3.6); `socks`: SOCKS5 (RFC 1928, RFC 1929).
//!
//! Plain http goes to an HTTP proxy in absolute form, on connections that all origins share. All
//! else goes through a tunnel, and the tunnel is pooled under its proxy and its origin.

mod connect;
mod credentials;
mod rules;
mod socks;

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use http::{HeaderName, HeaderValue};

use self::credentials::Credentials;
pub(crate) use self::rules::Rules;
use super::key::Origin;
use crate::error::{Error, ErrorKind};
use crate::net::{AnyResolver, Stream};
#[cfg(feature = "tls")]
use crate::tls::ClientTls;

/// A proxy: where it is, how it is spoken to, and what it is shown. Cheap to clone.
///
/// Made from a URL: `http://`, `https://` (TLS to the proxy too), `socks5://` (names are resolved
/// here) or `socks5h://` (by the proxy), with credentials perhaps; without a scheme it is `http://`.
/// The port is 80, 443 or 1080 unless given.
///
/// ```
/// use keepline::Transport;
/// use keepline::client::Proxy;
///
/// # fn example() -> Result<(), keepline::Error> {
/// let proxy: Proxy = "http://me:secret@proxy.internal:3128".parse()?;
/// let transport = Transport::builder().proxy(proxy).build()?;
/// # Ok(()) }
/// ```
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Proxy(Arc<Inner>);

#[derive(Clone, PartialEq, Eq, Hash)]
struct Inner {
    scheme: Scheme,
    host: Box<str>,
    port: u16,
    credentials: Option<Credentials>,
    /// Fields of CONNECT.
    fields: Vec<(HeaderName, HeaderValue)>,
    #[cfg(feature = "tls")]
    tls: Option<ClientTls>,
}

/// How a proxy is spoken to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Scheme {
    Http,
    Https,
    /// Names are resolved here.
    Socks5,
    /// Names are resolved by the proxy.
    Socks5h,
}

impl Scheme {
    const fn name(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Https => "https",
            Self::Socks5 => "socks5",
            Self::Socks5h => "socks5h",
        }
    }

    const fn default_port(self) -> u16 {
        match self {
            Self::Http => 80,
            Self::Https => 443,
            Self::Socks5 | Self::Socks5h => 1080,
        }
    }
}

impl Proxy {
    /// With these credentials, instead of those of the URL: Basic for HTTP (RFC 7617), user name and
    /// password for SOCKS5 (RFC 1929: each at most 255 bytes).
    #[must_use]
    pub fn credentials(mut self, user: &str, password: &str) -> Self {
        Arc::make_mut(&mut self.0).credentials = Some(Credentials::new(user, password));
        self
    }

    /// With this field in the head of CONNECT, also `Proxy-Authorization` of a scheme of one's own
    /// (Go: `ProxyConnectHeader`). Requests that go to the proxy in absolute form bring their own
    /// fields. Without effect for SOCKS.
    #[must_use]
    pub fn field(mut self, name: HeaderName, value: HeaderValue) -> Self {
        Arc::make_mut(&mut self.0).fields.push((name, value));
        self
    }

    /// Speaks TLS to an `https://` proxy in this way, instead of the Transport's. Whatever it is, TLS
    /// with the origin is not affected.
    #[cfg(feature = "tls")]
    #[must_use]
    pub fn tls(mut self, tls: ClientTls) -> Self {
        Arc::make_mut(&mut self.0).tls = Some(tls);
        self
    }

    /// Where the proxy is, as an origin.
    pub(crate) fn origin(&self) -> Origin {
        Origin {
            is_secure: self.0.scheme == Scheme::Https,
            host: self.0.host.clone(),
            port: self.0.port,
        }
    }

    #[cfg(feature = "tls")]
    pub(crate) fn own_tls(&self) -> Option<&ClientTls> {
        self.0.tls.as_ref()
    }

    /// It takes requests in absolute form.
    pub(crate) fn is_http(&self) -> bool {
        matches!(self.0.scheme, Scheme::Http | Scheme::Https)
    }

    /// `Proxy-Authorization` for an HTTP proxy.
    pub(crate) fn authorization(&self) -> Option<&HeaderValue> {
        self.0.credentials.as_ref().map(Credentials::basic)
    }

    /// Opens a tunnel to `origin` on a connection to the proxy.
    pub(crate) async fn open_tunnel(
        &self,
        stream: Stream,
        origin: &Origin,
        resolver: &AnyResolver,
        config: &Arc<keepline_proto::Config>,
    ) -> Result<Stream, Error> {
        match self.0.scheme {
            Scheme::Http | Scheme::Https => connect::open(self, stream, origin, config).await,
            Scheme::Socks5 => {
                let resolved = resolver.resolve(&origin.host).await.map_err(|error| {
                    Error::caused(ErrorKind::Resolve, format!("{}: {error}", origin.host))
                })?;
                let destination = resolved.addresses[0].into();
                socks::open(self, stream, destination, origin.port).await
            }
            Scheme::Socks5h => {
                let destination = socks::Destination::of(&origin.host)?;
                socks::open(self, stream, destination, origin.port).await
            }
        }
    }
}

impl FromStr for Proxy {
    type Err = Error;

    fn from_str(url: &str) -> Result<Self, Error> {
        let (scheme, rest) = url.split_once("://").unwrap_or(("http", url));
        let scheme = match scheme.to_ascii_lowercase().as_str() {
            "http" => Scheme::Http,
            "https" => Scheme::Https,
            "socks5" => Scheme::Socks5,
            "socks5h" => Scheme::Socks5h,
            _ => {
                return Err(invalid(
                    "its scheme is none of http, https, socks5, socks5h",
                ));
            }
        };
        let rest = rest.strip_suffix('/').unwrap_or(rest);
        if rest.contains(['/', '?', '#']) {
            return Err(invalid("there is something behind its host and port"));
        }
        let (userinfo, authority) = match rest.rsplit_once('@') {
            Some((userinfo, authority)) => (Some(userinfo), authority),
            None => (None, rest),
        };
        let authority = authority
            .parse()
            .map_err(|_| invalid("it has no valid host and port"))?;
        // Which ports there are is the same for all schemes; only the default differs.
        let mut origin = Origin::of(false, &authority)?;
        if authority.port().is_none() {
            origin.port = scheme.default_port();
        }
        let credentials = userinfo.map(Credentials::of_userinfo).transpose()?;
        Ok(Self(Arc::new(Inner {
            scheme,
            host: origin.host,
            port: origin.port,
            credentials,
            fields: Vec::new(),
            #[cfg(feature = "tls")]
            tls: None,
        })))
    }
}

/// Without the credentials.
impl fmt::Display for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}://{}:{}",
            self.0.scheme.name(),
            self.0.host,
            self.0.port
        )
    }
}

impl fmt::Debug for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Proxy").field(&self.to_string()).finish()
    }
}

fn invalid(message: &str) -> Error {
    // Never the URL itself: it may hold a password.
    Error::caused(
        ErrorKind::InvalidRequest,
        format!("the URL of the proxy cannot be used: {message}"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn proxy(url: &str) -> Proxy {
        url.parse().unwrap()
    }

    #[test]
    fn proxies_are_read_from_urls() {
        for (url, said) in [
            ("http://proxy", "http://proxy:80"),
            ("proxy:3128", "http://proxy:3128"),
            ("HTTPS://Proxy/", "https://proxy:443"),
            ("socks5://127.0.0.1", "socks5://127.0.0.1:1080"),
            ("socks5h://[::1]:9", "socks5h://[::1]:9"),
            ("http://me:secret@proxy:3128", "http://proxy:3128"),
        ] {
            assert_eq!(proxy(url).to_string(), said, "{url}");
        }
        for url in [
            "",
            "http://",
            "http://:80",
            "ftp://proxy",
            "socks4://proxy",
            "http://proxy:x",
            "http://proxy:65536",
            "http://proxy/path",
            "http://proxy?x",
            "http://a b",
            "http://me:%zz@proxy",
            "http://me:%00@proxy",
        ] {
            let error = url.parse::<Proxy>().expect_err(url);
            assert_eq!(error.kind(), ErrorKind::InvalidRequest, "{url}");
        }
    }

    #[test]
    fn credentials_are_shown_to_the_proxy_and_to_nobody_else() {
        let url = "http://me:se%40cret@proxy";
        let with = proxy(url);
        assert_eq!(with.authorization().unwrap(), "Basic bWU6c2VAY3JldA==");
        let other = proxy("http://proxy").credentials("me", "se@cret");
        assert_eq!(with, other);
        assert_ne!(with, proxy("http://proxy"));
        let error = "http://me:secret@proxy:x".parse::<Proxy>().unwrap_err();
        for said in [format!("{with:?} {with}"), format!("{error:?} {error}")] {
            assert!(!said.contains("cret") && !said.contains("bWU6"), "{said}");
        }
    }
}

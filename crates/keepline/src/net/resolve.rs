//! From a name to its addresses.

use std::fmt;
use std::future::Future;
use std::io;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

/// The addresses of a name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Resolved {
    /// In the order in which they are to be tried within their family.
    pub addresses: Vec<IpAddr>,
    /// How long the answer holds (the TTL of the records), if that is known.
    pub valid_for: Option<Duration>,
}

/// A name that is being resolved.
pub type Resolving = Pin<Box<dyn Future<Output = io::Result<Resolved>> + Send>>;

/// Resolves names. Hosts that are addresses never get here.
///
/// An error or an empty answer fails the dial with
/// [`ErrorKind::Resolve`](crate::ErrorKind::Resolve). The future is dropped when the connect
/// timeout passes. There is no cache above it: each dial asks.
pub trait Resolve: Send + Sync + 'static {
    /// The addresses of `host`, which is in lower case.
    fn resolve(&self, host: &str) -> Resolving;
}

/// Asks the operating system (`getaddrinfo`), which knows files, mDNS and whatever else is
/// configured, sorts by RFC 6724, and tells no TTL. Each question occupies a thread of the
/// runtime's blocking pool until it is answered.
#[derive(Debug, Clone, Copy, Default)]
pub struct GetAddrInfo;

impl Resolve for GetAddrInfo {
    fn resolve(&self, host: &str) -> Resolving {
        let host = host.to_owned();
        Box::pin(async move {
            let found = tokio::net::lookup_host((host.as_str(), 0)).await?;
            Ok(Resolved {
                addresses: found.map(|address| address.ip()).collect(),
                valid_for: None,
            })
        })
    }
}

/// A resolver that somebody gave.
#[derive(Clone)]
pub(crate) struct AnyResolver(Arc<dyn Resolve>);

impl AnyResolver {
    pub(crate) fn new(resolver: impl Resolve) -> Self {
        Self(Arc::new(resolver))
    }

    /// The addresses of a host as it stands in a URI; one that is an address is its own.
    ///
    /// # Errors
    /// Those of the resolver, and an answer without an address.
    pub(crate) async fn resolve(&self, host: &str) -> io::Result<Resolved> {
        if let Some(address) = literal(host) {
            return Ok(Resolved {
                addresses: vec![address],
                valid_for: None,
            });
        }
        let resolved = self.0.resolve(host).await?;
        if resolved.addresses.is_empty() {
            return Err(io::Error::new(io::ErrorKind::NotFound, "it has no address"));
        }
        Ok(resolved)
    }
}

/// The address that a host is, if it is one.
pub(crate) fn literal(host: &str) -> Option<IpAddr> {
    let bare = host
        .strip_prefix('[')
        .and_then(|host| host.strip_suffix(']'));
    bare.unwrap_or(host).parse().ok()
}

impl Default for AnyResolver {
    fn default() -> Self {
        Self::new(GetAddrInfo)
    }
}

impl fmt::Debug for AnyResolver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AnyResolver")
    }
}

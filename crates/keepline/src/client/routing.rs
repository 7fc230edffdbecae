//! From the URI of a typed request to the key of its connection.
//!
//! Three things decide: the targets that were given for an origin, the proxies, and else the origin
//! itself. Whoever asks with a target has decided already.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use http::Uri;
use http::uri::Authority;

use super::key::{Key, Origin, Route, Via, parts, recent};
use super::proxy::{Proxy, Rules};
use crate::error::{Error, ErrorKind};

/// How typed requests of one Transport are routed.
#[derive(Debug)]
pub(crate) struct Routing {
    /// Tells the Transports of a thread apart. 0: all that go straight to the origin.
    id: u64,
    given: HashMap<Origin, Key>,
    proxies: Proxies,
}

type Choose = dyn Fn(&Origin) -> Option<Proxy> + Send + Sync;

/// Which requests go through which proxy.
#[derive(Clone, Default)]
pub(crate) enum Proxies {
    /// None do.
    #[default]
    Off,
    /// Those that the environment says.
    Rules(Rules),
    /// Those that a function says.
    Chosen(Arc<Choose>),
}

impl fmt::Debug for Proxies {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Off => f.write_str("Off"),
            Self::Rules(rules) => rules.fmt(f),
            Self::Chosen(_) => f.write_str("Chosen"),
        }
    }
}

impl Proxies {
    pub(crate) fn of_environment() -> Self {
        let rules = Rules::of_environment();
        if rules.is_any() {
            Self::Rules(rules)
        } else {
            Self::Off
        }
    }

    fn choose(&self, origin: &Origin) -> Result<Option<Proxy>, Error> {
        match self {
            Self::Off => Ok(None),
            Self::Rules(rules) => rules.choose(origin),
            Self::Chosen(choose) => Ok(choose(origin)),
        }
    }
}

impl Routing {
    pub(crate) fn new(given: HashMap<Origin, Key>, proxies: Proxies) -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        let is_straight = given.is_empty() && matches!(proxies, Proxies::Off);
        Self {
            id: if is_straight {
                0
            } else {
                NEXT.fetch_add(1, Ordering::Relaxed)
            },
            given,
            proxies,
        }
    }

    /// The key for a request to `uri`.
    ///
    /// # Errors
    /// The URI is not one of http or https, or the environment names no usable proxy.
    pub(crate) fn key(&self, uri: &Uri) -> Result<Key, Error> {
        let (is_secure, authority) = parts(uri)?;
        recent(self.id, is_secure, authority, || {
            self.route(Origin::of(is_secure, authority)?)
        })
    }

    fn route(&self, origin: Origin) -> Result<Key, Error> {
        if let Some(key) = self.given.get(&origin) {
            return Ok(key.clone());
        }
        Ok(match self.proxies.choose(&origin)? {
            None => Route::to(origin),
            Some(proxy) if proxy.is_http() && !origin.is_secure => Route::forwarded(&proxy),
            Some(proxy) => Route {
                via: Via::Tunnel(proxy),
                ..Route::to(origin)
            },
        }
        .into())
    }

    /// The key for CONNECT to `far`: the connection to the proxy that would be used for https there.
    ///
    /// # Errors
    /// There is none, or it does not speak HTTP.
    pub(crate) fn key_to_proxy(&self, far: Option<&Authority>) -> Result<Key, Error> {
        let far = far.ok_or_else(|| invalid("CONNECT needs a host and a port as its URI"))?;
        let chosen = self.proxies.choose(&Origin::of(true, far)?)?;
        match chosen.filter(Proxy::is_http) {
            Some(proxy) => Ok(Route::forwarded(&proxy).into()),
            None => Err(invalid(
                "CONNECT needs somebody to ask: an HTTP proxy of the Transport, or a client::Target among the extensions of the request",
            )),
        }
    }
}

impl Default for Routing {
    /// Straight to the origin.
    fn default() -> Self {
        Self::new(HashMap::new(), Proxies::Off)
    }
}

fn invalid(message: &'static str) -> Error {
    Error::caused(ErrorKind::InvalidRequest, message)
}

//! The settings of a Transport that say how its connections are opened.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use super::builder::{TransportBuilder, bad};
use super::connect::{SocketSettings, connect_unix};
use super::connector::Connector;
use super::key::Origin;
use super::proxy::Proxy;
use super::routing::Proxies;
use super::target::Target;
use crate::error::Error;
use crate::net::{AnyResolver, Resolve, Stream, TcpKeepAlive};
#[cfg(feature = "tls")]
use crate::tls::ClientTls;

/// What a dial looks up.
#[derive(Debug)]
pub(crate) struct DialSettings {
    pub(crate) connect_timeout: Option<Duration>,
    pub(crate) tunnel_timeout: Option<Duration>,
    pub(crate) tls_timeout: Option<Duration>,
    pub(crate) connector: Option<Connector>,
    pub(crate) resolver: AnyResolver,
    pub(crate) follow_dns: Option<Duration>,
    pub(crate) socket: SocketSettings,
}

impl Default for DialSettings {
    fn default() -> Self {
        Self {
            connect_timeout: Some(Duration::from_secs(30)),
            tunnel_timeout: Some(Duration::from_secs(60)),
            tls_timeout: Some(Duration::from_secs(10)),
            connector: None,
            resolver: AnyResolver::default(),
            follow_dns: None,
            socket: SocketSettings::default(),
        }
    }
}

impl DialSettings {
    /// # Errors
    /// A setting makes no sense.
    pub(super) fn check(&self) -> Result<(), Error> {
        let SocketSettings {
            keep_alive,
            user_timeout,
            ..
        } = &self.socket;
        let timeouts = [
            self.connect_timeout,
            self.tunnel_timeout,
            self.tls_timeout,
            self.follow_dns,
            *user_timeout,
        ];
        if timeouts.contains(&Some(Duration::ZERO)) {
            return Err(bad("a timeout is 0: use None for no timeout"));
        }
        let second = Duration::from_secs(1);
        if keep_alive.is_some_and(|x| x.time < second || x.interval < second || x.retries == 0) {
            return Err(bad(
                "TCP keep-alive of less than a second or no retries: use None to switch it off",
            ));
        }
        if user_timeout.is_some() && !cfg!(any(target_os = "linux", target_os = "android")) {
            return Err(bad("tcp_user_timeout is known to Linux only"));
        }
        Ok(())
    }
}

/// Where connections lead.
impl TransportBuilder {
    /// Requests go through this proxy, all of them. Plain http goes to an HTTP proxy in absolute
    /// form, on connections that all origins share; all else goes through a tunnel, which is pooled
    /// under the proxy and the origin. Default: what the environment says, as Go.
    ///
    /// The environment says it with `HTTP_PROXY`, `HTTPS_PROXY`, `ALL_PROXY` and `NO_PROXY`, in upper
    /// or in lower case; they are read when the Transport is built. `localhost` and loopback
    /// addresses go through none. A value that cannot be used fails the requests it is for. A
    /// Transport with a `connector` does not ask the environment.
    pub fn proxy(self, proxy: Proxy) -> Self {
        self.proxies(move |_| Some(proxy.clone()))
    }

    /// Requests go through the proxy that `choose` names for their origin (Go: `Proxy`), or through
    /// none. It has to answer the same each time, and is not asked each time.
    pub fn proxies(
        mut self,
        choose: impl Fn(&Origin) -> Option<Proxy> + Send + Sync + 'static,
    ) -> Self {
        self.proxies = Some(Proxies::Chosen(Arc::new(choose)));
        self
    }

    /// Requests go through no proxy, whatever the environment says.
    pub fn no_proxy(mut self) -> Self {
        self.proxies = Some(Proxies::Off);
        self
    }

    /// Requests to the origin of `target` are asked of it: at its address or Unix socket, with its
    /// TLS, through its proxy. May be called for several origins; of several for one the last counts.
    /// A [`Target`] in the extensions of a request comes first.
    pub fn route(mut self, target: Target) -> Self {
        self.routes.push(target);
        self
    }

    /// Opens connections by `connect` instead of resolving the host and connecting a TCP socket
    /// (Go: `DialContext`): a tunnel, a resolver of one's own, an end of a pipe in a
    /// test. The connect timeout holds for it, and for https TLS is started on what it gives, unless
    /// that is [`Stream::secured`] (Go: `DialTLSContext`). It runs in a task of its own, and all requests of an origin share what it opens.
    ///
    /// ```
    /// use keepline::{Transport, net::Stream};
    /// use tokio::net::TcpStream;
    ///
    /// let tunnelled = Transport::builder()
    ///     .connector(|_| async { TcpStream::connect("127.0.0.1:2222").await.map(Stream::from) })
    ///     .build();
    /// ```
    pub fn connector<F, C>(mut self, connect: F) -> Self
    where
        F: Fn(Origin) -> C + Send + Sync + 'static,
        C: Future<Output = io::Result<Stream>> + Send + 'static,
    {
        self.settings.dial.connector = Some(Connector::new(connect));
        self
    }

    /// Opens connections to this Unix socket, whatever the host: a [`connector`](Self::connector).
    /// For some hosts only, give their requests a [`Target`].
    pub fn unix_socket(self, path: impl Into<PathBuf>) -> Self {
        let path: Arc<Path> = path.into().into();
        self.connector(move |_| {
            let path = Arc::clone(&path);
            async move { connect_unix(&path).await }
        })
    }
}

/// How connections are opened.
impl TransportBuilder {
    /// Time to resolve and connect, over all addresses. Default 30 s, as Go. Addresses of both
    /// families are tried in turn, each 300 ms after the one before or at once if that has failed
    /// (RFC 8305); each has an equal share of the time that is left, at least 2 s.
    pub fn connect_timeout(mut self, timeout: impl Into<Option<Duration>>) -> Self {
        self.settings.dial.connect_timeout = timeout.into();
        self
    }

    /// Resolves names. Default: [`GetAddrInfo`](crate::net::GetAddrInfo), the operating system. A
    /// `connector` resolves, if it does, itself.
    pub fn resolver(mut self, resolver: impl Resolve) -> Self {
        self.settings.dial.resolver = AnyResolver::new(resolver);
        self
    }

    /// Whether connections follow the addresses of their names. Then a name with connections is
    /// resolved again when the TTL of its answer has passed, or after `interval` where the resolver
    /// tells none (at most once a second); connections to addresses that are gone retire
    /// (`dns-changed`): idle ones are closed, the others after what they do. An error or an empty
    /// answer changes nothing. New connections go to the addresses that have the fewest.
    ///
    /// Default: off, as everywhere else. For names whose answers hold all of their addresses (a
    /// service of a cluster). Not for those that answer with a changing part of them, as some large
    /// services do: their connections would retire all the time.
    pub fn follow_dns(mut self, interval: impl Into<Option<Duration>>) -> Self {
        self.settings.dial.follow_dns = interval.into();
        self
    }

    /// The local address that sockets are bound to, unless a target says another; port 0 is any.
    /// Only addresses of its family are connected to. Default: what the system chooses.
    pub fn local_address(mut self, address: impl Into<Option<SocketAddr>>) -> Self {
        self.settings.dial.socket.local = address.into();
        self
    }

    /// TCP keep-alive. Default: after 30 s of silence, then every 15 s, 9 times, as Go. `None`: off.
    pub fn tcp_keep_alive(mut self, keep_alive: impl Into<Option<TcpKeepAlive>>) -> Self {
        self.settings.dial.socket.keep_alive = keep_alive.into();
        self
    }

    /// How long what was sent may stay unacknowledged before the connection is dead
    /// (`TCP_USER_TIMEOUT`, Linux only). Finds a peer that has vanished under a request; cuts one
    /// off, too, that does not read for so long. Where nothing is to be sent, probes of
    /// [TCP keep-alive](Self::tcp_keep_alive) are what is not acknowledged, and each of them looks
    /// whether the time is over. What is lost so is closed as `timeout`, and a request on it fails with
    /// [`ErrorKind::Io`](crate::ErrorKind::Io), of which [`is_timeout`](crate::Error::is_timeout) is true.
    /// Default: none, as Go: the system gives up after
    /// some 15 minutes.
    pub fn tcp_user_timeout(mut self, timeout: impl Into<Option<Duration>>) -> Self {
        self.settings.dial.socket.user_timeout = timeout.into();
        self
    }

    /// Time for the TLS handshake. Default 10 s, as Go.
    pub fn tls_handshake_timeout(mut self, timeout: impl Into<Option<Duration>>) -> Self {
        self.settings.dial.tls_timeout = timeout.into();
        self
    }

    /// Time that a proxy has to open a tunnel once it is connected; for a CONNECT of the program's
    /// own, also through a [`Target`], it counts instead of the response timeout. Then the error is
    /// [`Phase::Proxy`](crate::Phase::Proxy). Default 1 minute, as Go.
    pub fn tunnel_timeout(mut self, timeout: impl Into<Option<Duration>>) -> Self {
        self.settings.dial.tunnel_timeout = timeout.into();
        self
    }

    /// Whom to trust. Default: what the operating system trusts.
    #[cfg(feature = "tls")]
    pub fn tls(mut self, tls: ClientTls) -> Self {
        self.tls = Some(tls);
        self
    }
}

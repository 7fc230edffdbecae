//! Names by hickory: DNS in this process, with its TTLs.

use std::io;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use hickory_resolver::TokioResolver;
use hickory_resolver::config::{
    ConnectionConfig, LookupIpStrategy, NameServerConfig, ResolveHosts, ResolverConfig,
};
use hickory_resolver::net::NetError;
use hickory_resolver::net::runtime::TokioRuntimeProvider;

use super::resolve::{Resolve, Resolved, Resolving};
use crate::error::{BoxError, Error, ErrorKind};

/// Asks name servers itself. It knows how long an answer holds, keeps it for so long, and occupies
/// no thread; it reads the file of hosts, but knows neither mDNS nor what else `nsswitch` says.
/// Cheap to clone; clones share what they remember.
#[derive(Clone)]
pub struct Hickory(TokioResolver);

impl Hickory {
    /// Asks the name servers that the operating system is configured with (`/etc/resolv.conf`).
    ///
    /// # Errors
    /// [`ErrorKind::Resolve`]: the configuration cannot be read.
    pub fn system() -> Result<Self, Error> {
        let resolver = TokioResolver::builder_tokio().map_err(resolve_error)?;
        resolver.build().map(Self).map_err(resolve_error)
    }

    /// Asks these name servers, by UDP and where that does not do by TCP.
    ///
    /// # Errors
    /// [`ErrorKind::Resolve`]: the resolver cannot be set up.
    pub fn with_servers(servers: &[SocketAddr]) -> Result<Self, Error> {
        TokioResolver::builder_with_config(config(servers), TokioRuntimeProvider::default())
            .build()
            .map(Self)
            .map_err(resolve_error)
    }

    /// Asks these name servers and nothing else, as a gateway does whose configuration names them: no file of
    /// hosts, no search list, and an answer that there is nothing is not remembered. A server that is silent is
    /// asked again every 5 s, for a minute: a caller that has less time drops the question.
    ///
    /// # Errors
    /// [`ErrorKind::Resolve`]: the resolver cannot be set up.
    pub fn only(servers: &[SocketAddr], asks: Asks) -> Result<Self, Error> {
        let provider = TokioRuntimeProvider::default();
        let mut builder = TokioResolver::builder_with_config(config(servers), provider);
        let options = builder.options_mut();
        options.ip_strategy = match asks.families {
            Families::Both => LookupIpStrategy::Ipv4AndIpv6,
            Families::V4 => LookupIpStrategy::Ipv4Only,
            Families::V6 => LookupIpStrategy::Ipv6Only,
        };
        // Whoever asks knows how long it waits: until then a server that is silent is asked again.
        options.timeout = Duration::from_secs(5);
        options.attempts = 11;
        options.use_hosts_file = ResolveHosts::Never;
        options.positive_min_ttl = asks.valid;
        options.positive_max_ttl = asks.valid;
        options.negative_max_ttl = Some(Duration::ZERO);
        builder.build().map(Self).map_err(resolve_error)
    }
}

/// What [`Hickory::only`] asks for. The default: addresses of both families, for as long as they are
/// said to hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Asks {
    /// Which addresses.
    pub families: Families,
    /// An answer holds for so long, whatever its TTL.
    pub valid: Option<Duration>,
}

/// Families of addresses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Families {
    /// IPv4 and IPv6.
    #[default]
    Both,
    /// IPv4.
    V4,
    /// IPv6.
    V6,
}

fn config(servers: &[SocketAddr]) -> ResolverConfig {
    let servers = servers.iter().map(|server| {
        let connections = [ConnectionConfig::udp(), ConnectionConfig::tcp()];
        let connections = connections.map(|mut connection| {
            connection.port = server.port();
            connection
        });
        NameServerConfig::new(server.ip(), true, connections.into())
    });
    ResolverConfig::from_parts(None, Vec::new(), servers.collect())
}

/// There is no such name: `NotFound`; nobody has answered: `TimedOut`.
fn lookup_error(error: NetError) -> io::Error {
    let kind = match &error {
        NetError::Timeout => io::ErrorKind::TimedOut,
        _ if error.is_nx_domain() || error.is_no_records_found() => io::ErrorKind::NotFound,
        _ => io::ErrorKind::Other,
    };
    io::Error::new(kind, error)
}

impl Resolve for Hickory {
    fn resolve(&self, host: &str) -> Resolving {
        let (resolver, host) = (self.0.clone(), host.to_owned());
        Box::pin(async move {
            let found = resolver.lookup_ip(host).await.map_err(lookup_error)?;
            Ok(Resolved {
                addresses: found.iter().collect(),
                valid_for: Some(
                    found
                        .valid_until()
                        .saturating_duration_since(Instant::now()),
                ),
            })
        })
    }
}

impl std::fmt::Debug for Hickory {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Hickory")
    }
}

fn resolve_error(error: impl Into<BoxError>) -> Error {
    Error::caused(ErrorKind::Resolve, error)
}

//! Names by hickory: DNS in this process, with its TTLs.

use std::io;
use std::net::SocketAddr;
use std::time::Instant;

use hickory_resolver::TokioResolver;
use hickory_resolver::config::{ConnectionConfig, NameServerConfig, ResolverConfig};
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
        let servers = servers.iter().map(|server| {
            let connections = [ConnectionConfig::udp(), ConnectionConfig::tcp()];
            let connections = connections.map(|mut connection| {
                connection.port = server.port();
                connection
            });
            NameServerConfig::new(server.ip(), true, connections.into())
        });
        let config = ResolverConfig::from_parts(None, Vec::new(), servers.collect());
        TokioResolver::builder_with_config(config, TokioRuntimeProvider::default())
            .build()
            .map(Self)
            .map_err(resolve_error)
    }
}

impl Resolve for Hickory {
    fn resolve(&self, host: &str) -> Resolving {
        let (resolver, host) = (self.0.clone(), host.to_owned());
        Box::pin(async move {
            let found = resolver.lookup_ip(host).await.map_err(io::Error::other)?;
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

//! The idle timeouts of several servers, measured at the same time and without the other questions.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::task::JoinSet;

use super::target::Target;
use super::wire::PATIENCE;
use super::{Manners, first, idle, tls};
use crate::failure::Failure;
use crate::get::{self, TlsArgs};

/// What a server was seen to do.
#[derive(Debug)]
pub(crate) struct Found {
    /// The `Server` field of its answers.
    pub(crate) server: Option<String>,
    pub(crate) round_trip: Duration,
    /// The shortest time after which it closed.
    pub(crate) timeout: Option<Duration>,
    /// The longest time after which a connection was alive.
    pub(crate) alive_after: Duration,
}

/// Measures each of `servers`, which have a place and a URL, for `budget` at most.
pub(crate) async fn idle_timeouts(
    servers: &[(usize, String)],
    tls_args: &TlsArgs,
    budget: Duration,
) -> Result<Vec<(usize, Found)>, Failure> {
    let mut measuring = JoinSet::new();
    let end = Instant::now() + budget;
    for (place, url) in servers {
        let target = target(url, tls_args, end).await?;
        let (place, url) = (*place, url.clone());
        measuring.spawn(async move { (place, one(&url, Arc::new(target), end).await) });
    }
    let mut found = Vec::new();
    while let Some(measured) = measuring.join_next().await {
        let (place, one) =
            measured.map_err(|error| Failure::new(format!("a measurement has ended: {error}")))?;
        found.push((place, one?));
    }
    Ok(found)
}

/// The `Server` field of the answers at `url`; one request.
pub(crate) async fn server_field(url: &str, tls_args: &TlsArgs) -> Result<Option<String>, Failure> {
    let end = Instant::now() + PATIENCE;
    let target = Arc::new(target(url, tls_args, end).await?);
    Ok(first(url, &target, end).await?.server)
}

async fn target(url: &str, tls_args: &TlsArgs, end: Instant) -> Result<Target, Failure> {
    let uri = get::url(url)?;
    let tls = match uri.scheme_str() {
        Some("https") => Some(tls(&uri, tls_args)?),
        _ => None,
    };
    let connections = Manners::towards(false, None).connections;
    Target::new(&uri, tls, connections, end).await
}

async fn one(url: &str, target: Arc<Target>, end: Instant) -> Result<Found, Failure> {
    let answer = first(url, &target, end).await?;
    if answer.says_close {
        return Err(
            Failure::new(format!("{url} closes every connection after one answer"))
                .help("there is nothing to reuse, and no idle timeout: leave it out of the chain"),
        );
    }
    let scale = Manners::towards(target.addr.ip().is_loopback(), None).scale;
    let measured = idle::measure(&target, scale, end, target.round_trip(), |_| {}).await;
    Ok(Found {
        server: answer.server,
        round_trip: target.round_trip(),
        timeout: measured.edge.map(|edge| edge.low),
        alive_after: measured.alive_after,
    })
}

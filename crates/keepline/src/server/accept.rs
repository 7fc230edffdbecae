//! Accepting connections, through everything that can go wrong with it.
//!
//! Invariant: no error of `accept` ends the loop; those of a single connection are forgotten, all
//! others are waited out.

use std::future::{Future, poll_fn};
use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use rustix::io::Errno;

use super::census::Full;
use super::connection::serve_connection;
use super::registry::Shard;
use super::speaks::Speaks;
use crate::net::{Listener, PeerAddr, Stream};

/// The first pause after an error, and the longest (Go: the same).
const FIRST_PAUSE: Duration = Duration::from_millis(5);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// What an error of `accept` is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum AcceptError {
    /// A connection that failed before it was accepted: the next may be good.
    Connection,
    /// This process or machine: files, memory. It has to pass.
    System,
}

impl From<&io::Error> for AcceptError {
    /// "Linux accept() passes already-pending network errors on the new socket as an error code
    /// from accept(). […] For reliable operation the application should detect the network errors
    /// defined for the protocol after accept() and treat them like EAGAIN by retrying." (accept(2))
    fn from(error: &io::Error) -> Self {
        match Errno::from_io_error(error) {
            Some(
                Errno::CONNABORTED
                | Errno::CONNRESET
                | Errno::CONNREFUSED
                | Errno::NETDOWN
                | Errno::PROTO
                | Errno::NOPROTOOPT
                | Errno::HOSTDOWN
                | Errno::NONET
                | Errno::HOSTUNREACH
                | Errno::OPNOTSUPP
                | Errno::NETUNREACH
                | Errno::INTR
                | Errno::PERM,
            ) => Self::Connection,
            _ => Self::System,
        }
    }
}

/// The pause after the next error, given the last one.
fn next_pause(last: Option<Duration>) -> Duration {
    last.map_or(FIRST_PAUSE, |last| (last * 2).min(LONGEST_PAUSE))
}

/// Accepts until the server drains; each connection is served in a task of its own.
pub(super) async fn accept_loop<H: Speaks>(shard: &Arc<Shard>, listener: &Listener, handler: H) {
    let mut pause = None;
    while let Some(accepted) = next(shard, listener).await {
        match accepted {
            Ok((stream, peer)) => {
                pause = None;
                // Of a balancer's connection nobody knows yet whose it is.
                let known = (!listener.is_announced()).then_some(peer);
                match admit(shard, known).await {
                    Some(Ok(place)) => {
                        let mut registration = shard.open(peer, place);
                        registration.is_announced = listener.is_announced();
                        let serving = serve_connection(registration, stream, handler.clone());
                        tokio::spawn(serving);
                    }
                    Some(Err(Full::InAll | Full::OfPeer)) => shard.count_refused(),
                    None => return,
                }
            }
            Err(error) if AcceptError::from(&error) == AcceptError::Connection => {}
            Err(error) => {
                let time = next_pause(pause);
                tracing::warn!(%error, pause = ?time, "no connection can be accepted");
                pause = Some(time);
                if let Some(census) = &shard.hub.census {
                    // What is short may be files: whoever has been idle longest gives its own back.
                    census.make_room();
                }
                unless_draining(shard, tokio::time::sleep(time)).await;
            }
        }
    }
}

/// The next connection, once there is room for one. `None`: no more are to be accepted.
async fn next(shard: &Shard, listener: &Listener) -> Option<io::Result<(Stream, PeerAddr)>> {
    if let Some(census) = &shard.hub.census {
        unless_draining(shard, poll_fn(|cx| census.poll_room(cx))).await?;
    }
    unless_draining(shard, poll_fn(|cx| listener.poll_accept(cx))).await
}

/// Enters an accepted connection into the census, if there is one.
async fn admit(shard: &Shard, peer: Option<PeerAddr>) -> Option<Result<Option<usize>, Full>> {
    let Some(census) = &shard.hub.census else {
        return Some(Ok(None));
    };
    let address = peer.and_then(PeerAddr::counted_as);
    loop {
        match census.admit(address) {
            // Another worker was faster: it waits for the next room.
            Err(Full::InAll) => unless_draining(shard, poll_fn(|cx| census.poll_room(cx))).await?,
            Err(Full::OfPeer) => return Some(Err(Full::OfPeer)),
            Ok(place) => return Some(Ok(Some(place))),
        }
    }
}

/// Serves a connection in a task of its own.
pub(super) fn start<H: Speaks>(
    shard: &Arc<Shard>,
    stream: Stream,
    peer: PeerAddr,
    handler: H,
) -> tokio::task::JoinHandle<crate::CloseReason> {
    tokio::spawn(serve_connection(shard.open(peer, None), stream, handler))
}

async fn unless_draining<F: Future>(shard: &Shard, future: F) -> Option<F::Output> {
    let mut future = pin!(future);
    poll_fn(|cx| {
        if shard.poll_draining(cx).is_ready() {
            return Poll::Ready(None);
        }
        future.as_mut().poll(cx).map(Some)
    })
    .await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_of_one_connection_do_not_pause_the_others() {
        let of = |errno: Errno| AcceptError::from(&io::Error::from(errno));
        for errno in [Errno::CONNABORTED, Errno::PROTO, Errno::NETUNREACH] {
            assert_eq!(of(errno), AcceptError::Connection);
        }
        for errno in [Errno::MFILE, Errno::NFILE, Errno::NOBUFS, Errno::NOMEM] {
            assert_eq!(of(errno), AcceptError::System);
        }
        let unknown = io::Error::other("no number");
        assert_eq!(AcceptError::from(&unknown), AcceptError::System);
    }

    #[test]
    fn pauses_double_up_to_a_second() {
        let pauses =
            std::iter::successors(Some(next_pause(None)), |&last| Some(next_pause(Some(last))));
        let millis: Vec<_> = pauses.take(10).map(|pause| pause.as_millis()).collect();
        assert_eq!(millis, [5, 10, 20, 40, 80, 160, 320, 640, 1000, 1000]);
    }
}

//! The life of one connection, in one task: wait, be busy, wait again, end.
//!
//! Between requests the task holds a stream, a deadline and a few numbers ([`Core`]). Everything
//! that an exchange needs lives in one box ([`serve_requests`]) from the first byte of a request
//! until the connection has been at rest for a moment. That is why an idle connection is small.
//!
//! Invariant: bytes that have been read are never lost between the two: input that is part of a
//! request keeps the connection busy.

use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::Arc;
use std::task::Poll;

#[cfg(all(feature = "http2", feature = "tls"))]
use bytes::BytesMut;

use super::busy::{Rest, serve_requests};
use super::linger::linger;
use super::registry::{Hub, Phase, Registration};
use super::rest::{First, poll_first};
use super::speaks::Speaks;
use super::state::ConnectionState;
use super::wire::Core;
use crate::CloseReason;
use crate::net::Stream;

/// Serves one connection to its end.
pub(super) fn serve_connection<H: Speaks>(
    registration: Registration,
    mut stream: Stream,
    mut handler: H,
) -> impl Future<Output = CloseReason> + Send + use<H> {
    let hub = Arc::clone(&registration.shard.hub);
    let mut core = Core::new(registration);
    core.wait_for_first(&hub.receptions.look().reception);
    // What the block captures it uses in place: moved into variables of the block, each would
    // take room twice in every idle task.
    async move {
        watch(&core.registration).await;
        if core.registration.is_announced {
            let reading = Box::pin(super::announced::read_announced(&mut core, &mut stream));
            match unless_aborted(&hub, reading).await {
                Some(Ok(())) => core.wait_for_first(&hub.receptions.look().reception),
                Some(Err(reason)) => return finish(core, stream, reason),
                None => return CloseReason::Shutdown,
            }
        }
        #[cfg(feature = "tls")]
        let tls = if H::HTTP2 {
            &hub.typed_tls
        } else {
            &hub.settings.tls
        };
        #[cfg(feature = "tls")]
        if let Some(tls) = tls {
            let shaken = Box::pin(super::handshake::shake_hands(tls, stream, &hub));
            match unless_aborted(&hub, shaken).await {
                Some(Ok(tls)) => stream = tls,
                Some(Err(reason)) => return finish(core, Stream::gone(), reason),
                None => return CloseReason::Shutdown,
            }
            core.wait_for_first(&hub.receptions.look().reception);
            #[cfg(feature = "http2")]
            if H::HTTP2
                && stream
                    .tls_info()
                    .is_some_and(|tls| tls.alpn() == Some(b"h2"))
            {
                core.registration.change(ConnectionState::Active);
                return Box::pin(http2(core, stream, BytesMut::new(), handler)).await;
            }
        }
        let last = loop {
            let input = match poll_fn(|cx| poll_first(&mut core, &mut stream, None, cx)).await {
                First::Input(input) => input,
                First::End(reason) => break Rest::Close(reason),
                First::Cooled => continue,
            };
            core.note_busy();
            core.registration.change(ConnectionState::Active);
            let busy = Box::pin(serve_requests(core, stream, input, &mut handler));
            let Some((rest, idle_core, idle_stream)) = unless_aborted(&hub, busy).await else {
                return CloseReason::Shutdown;
            };
            (core, stream) = (idle_core, idle_stream);
            match rest {
                Rest::Idle => core.deadline.set_at(core.rests_until),
                last => break last,
            }
        };
        Box::pin(end(core, stream, last, &hub)).await
    }
}

/// Serves HTTP/2 on the connection to its end.
#[cfg(all(feature = "http2", feature = "tls"))]
async fn http2<H: Speaks>(
    mut core: Core,
    stream: Stream,
    input: BytesMut,
    mut handler: H,
) -> CloseReason {
    let hub = Arc::clone(&core.registration.shard.hub);
    let settings = hub.settings.http2.unwrap_or_default();
    let session = Box::pin(handler.serve_http2(&mut core, stream, input, settings));
    match unless_aborted(&hub, session).await {
        Some((rest, stream)) => end(core, stream, rest, &hub).await,
        None => CloseReason::Shutdown,
    }
}

/// Closes a connection as its last busy period, or its rest, has ended.
async fn end(mut core: Core, mut stream: Stream, rest: Rest, hub: &Hub) -> CloseReason {
    let reason = match rest {
        // Nobody who goes on resting is asked to end.
        Rest::Idle => CloseReason::Shutdown,
        Rest::Abort(reason) => reason,
        Rest::Close(reason) => {
            say_goodbye(&mut stream).await;
            reason
        }
        Rest::Linger(reason, limits) => {
            let linger = linger(&mut stream, &mut core, limits);
            unless_aborted(hub, Box::pin(linger)).await;
            reason
        }
    };
    finish(core, stream, reason)
}

/// Whoever shuts the server down wakes this task from now on.
async fn watch(registration: &Registration) {
    poll_fn(|cx| {
        registration.watch(cx);
        Poll::Ready(())
    })
    .await;
}

/// Without waiting: close_notify where TLS is spoken. A plain socket is only dropped.
async fn say_goodbye(stream: &mut Stream) {
    if stream.is_tls() || stream.tcp().is_none() {
        poll_fn(|cx| {
            let _ = stream.poll_shutdown(cx);
            Poll::Ready(())
        })
        .await;
    }
}

/// The connection is over: from here on it is counted as closed.
fn finish(mut core: Core, stream: Stream, reason: CloseReason) -> CloseReason {
    drop(stream);
    core.registration.end(reason);
    reason
}

/// Polls `future` until the server drops what is left. The phase is looked at first: whoever sets
/// it wakes all tasks.
async fn unless_aborted<F: Future + Unpin>(hub: &Hub, mut future: F) -> Option<F::Output> {
    poll_fn(|cx| {
        if hub.phase() == Phase::Aborting {
            return Poll::Ready(None);
        }
        Pin::new(&mut future).poll(cx).map(Some)
    })
    .await
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::time::Instant;

    use super::super::exchange::Handler;
    use super::super::settings::Settings;
    use super::super::speaks::Raw;
    use super::super::wire::expiry;
    use super::*;

    /// Answers nothing; as large as a service behind an `Arc`.
    #[derive(Clone)]
    struct Silent(#[expect(dead_code, reason = "it stands for what a handler holds")] Arc<()>);

    impl Handler for Silent {
        async fn handle(&mut self, _: &mut super::super::Exchange<'_>) -> Result<(), crate::Error> {
            // Whatever a handler needs lives in the box of a busy connection.
            let held = [0_u8; 10_000];
            tokio::task::yield_now().await;
            assert_eq!(held.len(), 10_000);
            Ok(())
        }
    }

    #[tokio::test]
    async fn an_idle_connection_is_small() {
        let hub = Arc::new(Hub::new(Settings::default()));
        let registration = Arc::new(super::super::registry::Shard::new(hub));
        let registration = registration.open(crate::net::PeerAddr::Unknown, None);
        let silent = Raw(Silent(Arc::new(())));
        let future = serve_connection(registration, Stream::gone(), silent);
        assert!(size_of_val(&future) <= 320, "{}", size_of_val(&future));
    }

    #[tokio::test(start_paused = true)]
    async fn each_connection_draws_its_own_age() {
        let (age, jitter) = (Duration::from_secs(60), Duration::from_secs(20));
        let settings = Settings {
            max_age: Some(age),
            age_jitter: jitter,
            ..Settings::default()
        };
        let opened = Instant::now();
        let ages: Vec<_> = (0..100)
            .filter_map(|id| expiry(&settings, id, opened))
            .map(|at| at - opened)
            .collect();
        assert_eq!(ages.len(), 100);
        assert!(ages.iter().all(|&own| own <= age && own >= age - jitter));
        let spread = ages
            .iter()
            .max()
            .unwrap()
            .abs_diff(*ages.iter().min().unwrap());
        assert!(spread > jitter / 2, "{spread:?}");
        assert_eq!(expiry(&Settings::default(), 1, opened), None);
    }
}

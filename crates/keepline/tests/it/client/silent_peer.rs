//! A peer that has vanished without a word: packets really go nowhere, and what is left is
//! `TCP_USER_TIMEOUT`. Without it each of these tests would take minutes.

use std::sync::Arc;
use std::time::{Duration, Instant};

use keepline::client::{Event, TransportBuilder};
use keepline::net::TcpKeepAlive;
use keepline::{CloseReason, Error, ErrorKind, Phase, Transport};
use keepline_testkit::peer::{Peer, Script};
use keepline_testkit::{Link, within};
use tokio::runtime::Builder;

use super::support::{
    always, answer, closed, fetch, frame, get, head, ok, piece, request, stats, until_closed,
};

/// The kernel gives a peer up that has acknowledged nothing for so long.
const USER_TIMEOUT: Duration = Duration::from_millis(700);

/// Without probes only what was sent shows that nobody is there.
fn transport() -> TransportBuilder {
    Transport::builder()
        .tcp_keep_alive(None)
        .tcp_user_timeout(Some(USER_TIMEOUT))
        .connect_timeout(Duration::from_millis(300))
}

/// Probes after a second, and so many that they alone would take minutes.
fn probing() -> TransportBuilder {
    let every = Duration::from_secs(1);
    transport().tcp_keep_alive(Some(TcpKeepAlive {
        time: every,
        interval: every,
        retries: 120,
    }))
}

/// Plays a test on a runtime at the near end of a link, against a peer at its far end.
fn across<F: Future<Output = ()>>(script: Script, test: impl FnOnce(Arc<Link>, Peer) -> F + Send) {
    let Some(link) = Link::require().map(Arc::new) else {
        return;
    };
    let peer = Peer::accept_from(link.listen_there(), [script]);
    link.run_here(|| {
        let runtime = Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(test(Arc::clone(&link), peer));
    });
}

/// The error of a request that nobody acknowledges, not before its time.
async fn lost(transport: &Transport, request: http::Request<keepline::Body>) -> Error {
    let started = Instant::now();
    let error = within("an error", transport.send(request))
        .await
        .unwrap_err();
    // The kernel counts in ticks, of which the last may not be whole.
    let passed = started.elapsed() + Duration::from_millis(50);
    assert!(passed >= USER_TIMEOUT, "{error} after {passed:?}");
    error
}

fn assert_given_up(error: &Error) {
    assert_eq!(error.kind(), ErrorKind::Io, "{error}");
    assert!(error.is_timeout() && error.is_closed_early(), "{error}");
    assert!(!error.is_connect());
}

#[test]
fn an_idle_connection_whose_peer_has_vanished_is_closed_by_its_probes() {
    across(always(ok("x")), async |link, peer| {
        let transport = probing().build().unwrap();
        fetch(&transport, &peer).await.unwrap();
        link.fall_silent();
        until_closed(&transport, CloseReason::Timeout, 1).await;
        // The next one is told that it is not the first, and finds the peer gone before it is sent.
        let error = fetch(&transport, &peer).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Timeout(Phase::Connect), "{error}");
        assert_eq!(stats(&transport).retries, 0);
        assert_eq!(closed(&transport), [(CloseReason::Timeout, 1)]);
    });
}

#[test]
fn what_looks_idle_and_is_dead_fails_a_request_that_bears_no_repetition() {
    across(always(ok("x")), async |link, peer| {
        let transport = transport().build().unwrap();
        fetch(&transport, &peer).await.unwrap();
        link.fall_silent();
        let error = lost(&transport, request("POST", &peer.url("/"), "content")).await;
        assert_given_up(&error);
        let info = error.connection().unwrap();
        assert!(info.reused && info.bytes_written > 0 && info.bytes_read == 0);
        assert_eq!(closed(&transport), [(CloseReason::Timeout, 1)]);
    });
}

/// The flow may be forgotten by something in between while the server is well: a new connection is
/// tried, once.
#[test]
fn what_looks_idle_and_is_dead_makes_a_request_that_bears_it_dial() {
    across(always(ok("x")), async |link, peer| {
        let transport = transport().build().unwrap();
        fetch(&transport, &peer).await.unwrap();
        link.fall_silent();
        let error = lost(&transport, get(&peer.url("/"))).await;
        assert_eq!(error.kind(), ErrorKind::Timeout(Phase::Connect), "{error}");
        let stats = stats(&transport);
        assert_eq!((stats.retries, stats.dial_failures), (1, 1));
        assert_eq!(closed(&transport), [(CloseReason::Timeout, 1)]);
    });
}

/// All of the request has been acknowledged: only probes can tell.
#[test]
fn a_request_in_flight_fails_when_its_peer_vanishes() {
    across(Script::new().expect_head().hold(), async |link, peer| {
        let transport = probing().build().unwrap();
        let asked = tokio::spawn({
            let (transport, asked) = (transport.clone(), get(&peer.url("/")));
            async move { transport.send(asked).await }
        });
        peer.heads_received(0, 1).await;
        link.fall_silent();
        let error = within("an error", asked).await.unwrap().unwrap_err();
        assert_given_up(&error);
        assert!(!error.connection().unwrap().reused);
        assert_eq!(stats(&transport).retries, 0, "a new connection is no race");
        assert_eq!(closed(&transport), [(CloseReason::Timeout, 1)]);
    });
}

#[test]
fn a_body_fails_when_its_peer_vanishes() {
    let half = answer("HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhalf.");
    across(half.hold(), async |link, peer| {
        let transport = probing().build().unwrap();
        let mut body = head(&transport, &peer).await.into_body();
        assert_eq!(piece(&mut body).await, "half.");
        link.fall_silent();
        let error = within("an error", frame(&mut body)).await;
        assert_given_up(&error.unwrap().unwrap_err());
        assert_eq!(closed(&transport), [(CloseReason::Timeout, 1)]);
    });
}

/// A pipeline that is lost with its way tells nothing about the server.
#[test]
fn pipelined_requests_are_moved_when_their_peer_vanishes() {
    across(always(ok("x")), async |link, peer| {
        let transport = transport().pipeline(4).build().unwrap();
        for _ in 0..4 {
            fetch(&transport, &peer).await.unwrap();
        }
        link.fall_silent();
        let mut events = transport.events();
        let asked: Vec<_> = (0..3)
            .map(|_| {
                let (transport, asked) = (transport.clone(), get(&peer.url("/")));
                tokio::spawn(async move { transport.send(asked).await })
            })
            .collect();
        for asked in asked {
            let error = within("an error", asked).await.unwrap().unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Timeout(Phase::Connect), "{error}");
        }
        assert_eq!(closed(&transport), [(CloseReason::Timeout, 1)]);
        while let Some(event) = events.try_next() {
            assert!(!matches!(event, Event::Pipelining { .. }), "{event:?}");
        }
    });
}

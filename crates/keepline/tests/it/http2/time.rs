//! The times of a session: without a stream, in all, and without a sign of life.

use std::time::Duration;

use h2::server::Builder;
use keepline::client::Http2;
use keepline::net::Stream;
use keepline::{CloseReason, ErrorKind, OpenReason, Phase};
use keepline_testkit::peer::{Peer, Script};
use keepline_testkit::{Gate, until, within};
use tokio::net::TcpStream;

use super::support::{Server, echo_path, get, prior};
use crate::client::support::{closed, opened, stats, until_closed};

const SHORT: Duration = Duration::from_millis(50);

/// What a client sends first.
pub(super) const PREFACE: &str = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// SETTINGS without a setting, and the acknowledgement of the client's.
pub(super) const SETTINGS: &[u8] = &[0, 0, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 4, 1, 0, 0, 0, 0];
/// `:status: 204` and the end of a stream.
pub(super) fn no_content(stream: u8) -> Vec<u8> {
    vec![0, 0, 1, 1, 5, 0, 0, 0, stream, 0x89]
}

#[tokio::test]
async fn sessions_age_as_connections_do() {
    type Change = fn(keepline::client::TransportBuilder) -> keepline::client::TransportBuilder;
    let rows: [(Change, CloseReason, OpenReason); 3] = [
        (
            |x| x.idle_timeout(SHORT),
            CloseReason::IdleTimeout,
            OpenReason::IdleTimeout,
        ),
        (
            |x| x.lifetime(SHORT, 0.0),
            CloseReason::Lifetime,
            OpenReason::Lifetime,
        ),
        (
            |x| x.max_requests(1),
            CloseReason::MaxRequests,
            OpenReason::MaxRequests,
        ),
    ];
    for (change, close, open) in rows {
        let server = Server::answering(Builder::new(), echo_path).await;
        let transport = change(prior()).build().unwrap();
        for count in 1..=2 {
            let response = transport.send(get(&server.url())).await.unwrap();
            response.into_body().text(10).await.unwrap();
            until_closed(&transport, close, count).await;
        }
        assert_eq!(opened(&transport), [(OpenReason::First, 1), (open, 1)]);
    }
}

/// A transport that asks a session that has rested at all whether it is alive.
fn asking(change: impl FnOnce(&mut Http2)) -> keepline::Transport {
    let mut http2 = Http2::default();
    http2.ping_timeout = SHORT;
    change(&mut http2);
    prior().http2(http2).build().unwrap()
}

#[tokio::test]
async fn a_session_that_has_rested_is_asked_before_it_is_used() {
    let server = Server::answering(Builder::new(), echo_path).await;
    let transport = asking(|x| x.ping_after = Some(Duration::from_nanos(1)));
    for _ in 0..3 {
        let response = within("an answer", transport.send(get(&server.url())))
            .await
            .unwrap();
        response.into_body().text(10).await.unwrap();
    }
    assert_eq!(server.accepted(), 1);
}

#[tokio::test]
async fn one_that_does_not_answer_is_replaced_and_nobody_notices() {
    // Answers the first request, and then nothing any more.
    let silent = || {
        Script::new()
            .expect(PREFACE)
            .send(SETTINGS)
            .read_exactly(60)
            .send(no_content(1))
            .hold()
    };
    let peer = Peer::start_each([silent(), silent()]);
    let transport = asking(|x| x.ping_after = Some(Duration::from_nanos(1)));
    for _ in 0..2 {
        let response = within("an answer", transport.send(get(&peer.url("/"))))
            .await
            .unwrap();
        assert_eq!(response.status(), 204);
    }
    assert_eq!(peer.accepted(), 2);
    assert_eq!(closed(&transport), [(CloseReason::Timeout, 1)]);
    assert_eq!(stats(&transport).acquired, 2);
}

#[tokio::test]
async fn a_peer_that_dies_silently_is_noticed_while_requests_wait() {
    let peer = Peer::start(Script::new().expect(PREFACE).send(SETTINGS).hold());
    let transport = asking(|x| x.ping_interval = Some(SHORT));
    let error = within("an error", transport.send(get(&peer.url("/"))))
        .await
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Timeout(Phase::Ping), "{error}");
    assert!(error.connection().is_some());
    assert_eq!(closed(&transport), [(CloseReason::Timeout, 1)]);
    assert_eq!(peer.accepted(), 1, "it is not tried again");
}

#[tokio::test]
async fn a_peer_that_sends_no_settings_fails_in_the_handshake() {
    let peer = Peer::start(Script::new().expect(PREFACE).hold());
    let transport = prior().tls_handshake_timeout(SHORT).build().unwrap();
    let error = within("an error", transport.send(get(&peer.url("/"))))
        .await
        .unwrap_err();
    assert_eq!(
        error.kind(),
        ErrorKind::Timeout(Phase::Handshake),
        "{error}"
    );
    assert_eq!(peer.accepted(), 1);
}

#[tokio::test]
async fn a_head_that_does_not_come_is_given_up_and_the_session_goes_on() {
    let server = Server::answering(
        Builder::new(),
        |request: http::Request<h2::RecvStream>, respond| async move {
            if request.uri().path() == "/slow" {
                std::future::pending::<()>().await;
            }
            echo_path(request, respond).await;
        },
    )
    .await;
    let transport = prior().response_timeout(SHORT).build().unwrap();
    let slow = transport.send(get(&format!("{}slow", server.url())));
    let error = within("an error", slow).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Timeout(Phase::Head), "{error}");
    transport.send(get(&server.url())).await.unwrap();
    assert_eq!(server.accepted(), 1);
}

/// Who asked gives up within the dial, and the session that comes of it is idle for no time at all:
/// it is closed, and the next request gets another one.
#[tokio::test]
async fn a_request_that_gives_up_within_the_dial_of_a_session_that_expires_at_once() {
    let server = Server::answering(Builder::new(), echo_path).await;
    let (gate, addr) = (Gate::new("the dial"), server.addr());
    let held = gate.clone();
    let transport = prior()
        .idle_timeout(Duration::from_nanos(1))
        .connector(move |_| {
            let held = held.clone();
            async move {
                held.opened().await;
                TcpStream::connect(addr).await.map(Stream::from)
            }
        })
        .build()
        .unwrap();
    let asked = tokio::spawn({
        let (transport, url) = (transport.clone(), server.url());
        async move { transport.send(get(&url)).await.map(drop) }
    });
    until("the dial", || {
        (stats(&transport).dialling == 1).then_some(())
    })
    .await;
    asked.abort();
    assert!(asked.await.unwrap_err().is_cancelled());
    gate.open();
    until_closed(&transport, CloseReason::IdleTimeout, 1).await;
    let response = transport.send(get(&server.url())).await.unwrap();
    assert_eq!(response.into_body().text(10).await.unwrap(), "/");
    until_closed(&transport, CloseReason::IdleTimeout, 2).await;
}

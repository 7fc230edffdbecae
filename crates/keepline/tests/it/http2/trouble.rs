//! Peers that break the protocol: one clear error, no loop, nothing left behind.

use std::time::Duration;

use keepline::{CloseReason, ErrorKind, Fault};
use keepline_testkit::peer::{Peer, Script};
use keepline_testkit::within;

use super::support::{get, prior};
use super::time::{PREFACE, SETTINGS, no_content};
use crate::client::support::{closed, stats, until_closed};

fn frame(kind: u8, flags: u8, stream: u8, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    let head = [
        length[1], length[2], length[3], kind, flags, 0, 0, 0, stream,
    ];
    [&head, payload].concat()
}

#[tokio::test]
async fn a_peer_that_breaks_the_protocol_fails_what_is_open_once() {
    let speaks_http1 = b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n".to_vec();
    let rows: [(&str, Vec<u8>, bool); 6] = [
        ("HTTP/1.1", speaks_http1, false),
        (
            "a frame that is too large",
            frame(4, 0, 0, &[0; 20_000]),
            true,
        ),
        ("DATA on stream 0", frame(0, 0, 0, b"x"), true),
        (
            "HEADERS that cannot be decoded",
            frame(1, 5, 1, &[0xff; 8]),
            true,
        ),
        (
            "a response to what was not asked",
            frame(1, 5, 9, &[0x89]),
            true,
        ),
        ("a PING of the wrong size", frame(6, 0, 0, b"short"), true),
    ];
    for (what, sent, settles) in rows {
        let script = Script::new()
            .expect(PREFACE)
            .send(if settles { SETTINGS } else { b"" });
        let peer = Peer::start(script.send(sent).hold());
        let transport = prior().build().unwrap();
        let error = within(what, transport.send(get(&peer.url("/"))))
            .await
            .unwrap_err();
        assert_eq!(
            (error.kind(), error.fault()),
            (ErrorKind::Http2, Fault::Remote),
            "{what}: {error}"
        );
        assert!(error.connection().is_some(), "{what}");
        until_closed(&transport, CloseReason::ProtocolError, 1).await;
        assert_eq!(
            (peer.accepted(), stats(&transport).open()),
            (1, 0),
            "{what}"
        );
        within("the socket to be closed", peer.connection_closed(0)).await;
    }
}

#[tokio::test]
async fn a_connection_that_ends_fails_what_is_open_and_is_not_tried_for_ever() {
    let peer = Peer::start_each([
        Script::new()
            .expect(PREFACE)
            .send(SETTINGS)
            .read_exactly(60)
            .close(),
        Script::new()
            .expect(PREFACE)
            .send(SETTINGS)
            .read_exactly(60)
            .send(no_content(1))
            .hold(),
    ]);
    let transport = prior().build().unwrap();
    let error = within("an error", transport.send(get(&peer.url("/"))))
        .await
        .unwrap_err();
    assert!(error.is_closed_early(), "{error:?}");
    assert_eq!(closed(&transport), [(CloseReason::PeerClosed, 1)]);
    assert_eq!(peer.accepted(), 1, "a new connection that fails is no race");
    within("an answer", transport.send(get(&peer.url("/"))))
        .await
        .unwrap();
}

#[tokio::test]
async fn an_idle_session_that_the_peer_closes_is_noticed_without_a_request() {
    let gate = keepline_testkit::Gate::new("go on");
    let peer = Peer::start_each([
        Script::new()
            .expect(PREFACE)
            .send(SETTINGS)
            .read_exactly(60)
            .send(no_content(1))
            .wait_for(&gate)
            .close(),
        Script::new()
            .expect(PREFACE)
            .send(SETTINGS)
            .read_exactly(60)
            .send(no_content(1))
            .hold(),
    ]);
    let transport = prior().build().unwrap();
    within("an answer", transport.send(get(&peer.url("/"))))
        .await
        .unwrap();
    gate.open();
    until_closed(&transport, CloseReason::PeerClosed, 1).await;
    assert_eq!(stats(&transport).open(), 0);
    within("an answer", transport.send(get(&peer.url("/"))))
        .await
        .unwrap();
}

#[tokio::test]
async fn floods_of_settings_and_pings_do_not_stop_an_answer_nor_pile_up() {
    for flood in [frame(6, 0, 0, b"12345678"), frame(4, 0, 0, &[])] {
        let peer = Peer::start(
            Script::new()
                .expect(PREFACE)
                .send(SETTINGS)
                .read_exactly(60)
                .send(flood.repeat(10_000))
                .send(no_content(1))
                .hold(),
        );
        let transport = prior()
            .response_timeout(Duration::from_secs(5))
            .build()
            .unwrap();
        // Either is well: it answers them all, or has had enough of them.
        match within("an end", transport.send(get(&peer.url("/")))).await {
            Ok(response) => assert_eq!(response.status(), 204),
            Err(error) => assert_eq!(error.kind(), ErrorKind::Http2, "{error}"),
        }
        transport.shutdown().await;
        assert_eq!((peer.accepted(), stats(&transport).open()), (1, 0));
    }
}

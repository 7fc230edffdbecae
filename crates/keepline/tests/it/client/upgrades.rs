//! Connections that go on to speak another protocol.

use keepline::upgrade::OnUpgrade;
use keepline::{CloseReason, ErrorKind, Transport};
use keepline_proto::RemoteError;
use keepline_testkit::peer::{Peer, Script};
use keepline_testkit::within;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::support::{answer, closed, exchange, get, text};

const SWITCH: &str =
    "HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: echo\r\n\r\n";

fn upgrading(peer: &Peer) -> http::Request<keepline::Body> {
    let mut request = get(&peer.url("/"));
    for (name, value) in [("connection", "upgrade"), ("upgrade", "echo")] {
        request
            .headers_mut()
            .insert(name, http::HeaderValue::from_static(value));
    }
    request
}

/// The first bytes of the new protocol come in one piece with the head: none is lost.
#[tokio::test]
async fn an_upgrade_hands_the_connection_over_with_its_early_bytes() {
    let script = answer(format!("{SWITCH}hello"))
        .expect("ping")
        .send("pong")
        .close();
    let peer = Peer::start(script);
    let transport = Transport::default();
    let mut response = transport.send(upgrading(&peer)).await.unwrap();
    assert_eq!(response.status(), 101);
    let on_upgrade = response.extensions_mut().remove::<OnUpgrade>().unwrap();
    let mut connection = within("the connection", on_upgrade).await.unwrap();
    let mut early = [0; 5];
    connection.read_exact(&mut early).await.unwrap();
    assert_eq!(&early, b"hello");
    connection.write_all(b"ping").await.unwrap();
    let mut rest = Vec::new();
    within("the end", connection.read_to_end(&mut rest))
        .await
        .unwrap();
    assert_eq!(rest, b"pong");
    assert_eq!(closed(&transport), [(CloseReason::Upgraded, 1)]);
}

#[tokio::test]
async fn a_refused_upgrade_is_an_answer_like_any_other() {
    let no = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nno";
    let peer = Peer::start(Script::new().repeat_forever(answer(no)));
    let transport = Transport::default();
    for _ in 0..2 {
        let response = transport.send(upgrading(&peer)).await.unwrap();
        assert!(response.extensions().get::<OnUpgrade>().is_none());
        assert_eq!(text(response.into_body()).await.unwrap(), "no");
    }
    assert_eq!(peer.accepted(), 1);
}

#[tokio::test]
async fn a_switch_that_nobody_asked_for_is_refused() {
    let peer = Peer::start(answer(SWITCH).hold());
    let transport = Transport::default();
    let error = exchange(&transport, get(&peer.url("/"))).await.unwrap_err();
    assert_eq!(
        error.kind(),
        ErrorKind::Protocol(RemoteError::UnexpectedUpgrade)
    );
    assert_eq!(closed(&transport), [(CloseReason::ProtocolError, 1)]);
}

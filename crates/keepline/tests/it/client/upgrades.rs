//! Connections that go on to speak another protocol.

use std::time::Duration;

use keepline::client::{Target, TransportBuilder};
use keepline::upgrade::OnUpgrade;
use keepline::{Body, CloseReason, ErrorKind, Phase, Transport};
use keepline_proto::{LocalError, RemoteError};
use keepline_testkit::peer::{Peer, Script};
use keepline_testkit::within;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::support::{Pipes, answer, closed, exchange, get, text};

const SWITCH: &str =
    "HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: echo\r\n\r\n";

fn upgrading(peer: &Peer) -> http::Request<Body> {
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

/// CONNECT to `far` for a peer that is a proxy.
fn connecting(peer: &Peer, far: &str) -> http::Request<Body> {
    let proxy = Target::of(&peer.url("/").parse().unwrap()).unwrap();
    http::Request::connect(far)
        .extension(proxy)
        .body(Body::empty())
        .unwrap()
}

/// RFC 9110 §9.3.6: whatever 2xx it is, and whatever length it claims.
#[tokio::test]
async fn a_tunnel_is_handed_over_with_its_early_bytes() {
    for head in [
        "HTTP/1.1 200 Connection established\r\n\r\n",
        "HTTP/1.1 204 No Content\r\ncontent-length: 1000\r\n\r\n",
        "HTTP/1.0 200 OK\r\ntransfer-encoding: chunked\r\n\r\n",
    ] {
        let script = answer(format!("{head}220 ready"))
            .expect("QUIT")
            .send("bye");
        let peer = Peer::start(script.close());
        let transport = Transport::default();
        let asked = connecting(&peer, "mail.invalid:25");
        let mut response = transport.send(asked).await.unwrap();
        assert!(response.status().is_success());
        let tunnel = response.extensions_mut().remove::<OnUpgrade>().unwrap();
        assert_eq!(text(response.into_body()).await.unwrap(), "");
        let mut tunnel = within("the tunnel", tunnel).await.unwrap();
        let mut early = [0; 9];
        tunnel.read_exact(&mut early).await.unwrap();
        assert_eq!(&early, b"220 ready");
        tunnel.write_all(b"QUIT").await.unwrap();
        let mut rest = Vec::new();
        within("the end", tunnel.read_to_end(&mut rest))
            .await
            .unwrap();
        assert_eq!(rest, b"bye");
        assert_eq!(closed(&transport), [(CloseReason::Upgraded, 1)]);
        assert_eq!(
            peer.heads(0),
            ["CONNECT mail.invalid:25 HTTP/1.1\r\nhost: mail.invalid:25\r\n\r\n"]
        );
    }
}

#[tokio::test]
async fn a_refused_tunnel_is_an_answer_and_the_last_of_its_connection() {
    let no = "HTTP/1.1 407 Proxy Authentication Required\r\ncontent-length: 2\r\n\r\nno";
    let peer = Peer::start(Script::new().repeat_forever(answer(no)));
    let transport = Transport::default();
    for _ in 0..2 {
        let response = transport.send(connecting(&peer, "a:443")).await.unwrap();
        assert_eq!(response.status(), 407);
        assert!(response.extensions().get::<OnUpgrade>().is_none());
        assert_eq!(text(response.into_body()).await.unwrap(), "no");
    }
    assert_eq!(peer.accepted(), 2);
}

/// It has a minute unless told otherwise, and the response timeout is not for it.
#[tokio::test(start_paused = true)]
async fn a_tunnel_that_is_not_answered_is_given_up() {
    type Set = fn(TransportBuilder) -> TransportBuilder;
    let seconds = Duration::from_secs;
    let cases: [(Set, _); 3] = [
        (|builder| builder, 60),
        (
            |builder| builder.response_timeout(Duration::from_secs(1)),
            60,
        ),
        (|builder| builder.tunnel_timeout(Duration::from_secs(7)), 7),
    ];
    for (set, expected) in cases {
        let (builder, mut pipes) = Pipes::new(4096);
        let transport = set(builder).build().unwrap();
        let proxy = Target::of(&"http://proxy/".parse().unwrap()).unwrap();
        let asked = http::Request::connect("a:443").extension(proxy);
        let asked = asked.body(Body::empty()).unwrap();
        let asking = tokio::spawn({
            let transport = transport.clone();
            async move { transport.send(asked).await }
        });
        let mut far = pipes.accept().await;
        far.read_head().await;
        let written = tokio::time::Instant::now();
        let error = asking.await.unwrap().unwrap_err();
        assert_eq!(written.elapsed(), seconds(expected));
        assert_eq!(error.kind(), ErrorKind::Timeout(Phase::Proxy));
        // It was sent: this is no failure to connect.
        assert!(!error.is_connect() && error.connection().is_some());
        assert_eq!(closed(&transport), [(CloseReason::Timeout, 1)]);
    }
}

#[tokio::test]
async fn a_tunnel_that_cannot_be_asked_for_is_an_error() {
    let peer = Peer::start(Script::new().hold());
    let transport = Transport::default();
    let mut to_nobody = connecting(&peer, "a:443");
    to_nobody.extensions_mut().clear();
    let error = transport.send(to_nobody).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidRequest);
    let no_port = connecting(&peer, "a");
    let error = transport.send(no_port).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Misuse(LocalError::InvalidTarget));
    let with_content = connecting(&peer, "a:443").map(|_| Body::from("x"));
    let error = transport.send(with_content).await.unwrap_err();
    assert_eq!(
        error.kind(),
        ErrorKind::Misuse(LocalError::ContentInConnect)
    );
}

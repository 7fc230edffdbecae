//! Targets: exchanges that lead elsewhere than their host says, and what they do not share.

use std::future::poll_fn;
use std::net::SocketAddr;

use http::{Method, Request};
use keepline::client::{Exchange, Freshness, Head, Target, TargetBuilder};
use keepline::net::PeerAddr;
use keepline::{Body, CloseReason, ErrorKind, Transport};
use keepline_proto::{BodyLength, Field, RequestLine};
use keepline_testkit::peer::{Peer, Script};
use keepline_testkit::{ScratchDir, within};
use tokio::net::UnixListener;

use super::support::{always, exchange, get, ok, opened, stats, until_closed};

fn to(uri: &str) -> TargetBuilder {
    Target::builder(&uri.parse().unwrap())
}

fn local(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

/// A request to a target, by its path only.
fn ask(target: &Target) -> Request<Body> {
    Request::get("/x")
        .extension(target.clone())
        .body(Body::empty())
        .unwrap()
}

/// One raw exchange with an empty request, whose answer is "x"; the local address it came from.
async fn raw(transport: &Transport, target: &Target, freshness: Freshness) -> Exchange {
    let asked = transport.exchange_with(target, freshness);
    let mut exchange = within("a connection", asked).await.unwrap();
    let line = RequestLine::new(&Method::GET, b"/");
    let host = Field::new(b"host", b"a").unwrap();
    exchange
        .send_head(line, [host], BodyLength::Known(0))
        .unwrap();
    exchange.send_end(None).unwrap();
    poll_fn(|cx| exchange.poll_flush(cx)).await;
    let head = within("a head", poll_fn(|cx| exchange.poll_head(cx))).await;
    assert!(matches!(head, Ok(Head::Final(_))));
    while let Some(piece) = within("a piece", poll_fn(|cx| exchange.poll_piece(cx)))
        .await
        .unwrap()
    {
        assert_eq!(piece, "x");
    }
    exchange
}

#[tokio::test]
async fn an_address_is_dialled_whatever_the_host_is() {
    let peer = Peer::start(always(ok("x")));
    // A name that has no address (RFC 6761 §6.4).
    let target = to("http://nowhere.invalid:81/")
        .address(peer.addr())
        .build()
        .unwrap();
    let transport = Transport::default();
    for number in 1..=3 {
        let exchange = raw(&transport, &target, Freshness::Any).await;
        let info = exchange.connection();
        assert_eq!((info.id, info.exchange_number), (1, number));
        assert_eq!(info.peer, PeerAddr::Tcp(peer.addr()));
        exchange.end();
    }
    // A typed request shares the connection, and names the host.
    let (_, info) = exchange(&transport, ask(&target)).await.unwrap();
    assert_eq!((info.id, info.exchange_number), (1, 4));
    let head = &peer.heads(0)[3];
    assert_eq!(head, "GET /x HTTP/1.1\r\nhost: nowhere.invalid:81\r\n\r\n");
}

#[tokio::test]
async fn a_unix_socket_is_dialled_whatever_the_host_is() {
    let scratch = ScratchDir::new("target");
    let path = scratch.path().join("socket");
    let listener = UnixListener::bind(&path).unwrap();
    let transport = Transport::default();
    let target = to("http://docker/").unix(&path).build().unwrap();
    let served = tokio::spawn(async move {
        let (stream, _) = listener.accept().await.unwrap();
        let mut far = keepline_testkit::RawClient::over(stream);
        for _ in 0..2 {
            far.read_head().await;
            far.send(ok("x")).await;
        }
        far
    });
    for reused in [false, true] {
        let (body, info) = exchange(&transport, ask(&target)).await.unwrap();
        assert_eq!((body.as_str(), info.reused), ("x", reused));
        assert_eq!(info.peer, PeerAddr::Unix);
    }
    drop(served.await.unwrap());
    until_closed(&transport, CloseReason::PeerClosed, 1).await;
    let gone = to("http://docker/")
        .unix(scratch.path().join("none"))
        .build()
        .unwrap();
    let error = transport.send(ask(&gone)).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Connect);
    assert!(error.to_string().contains("/none"), "{error}");
}

/// Each of these has connections of its own, though all lead to one port.
#[tokio::test]
async fn what_differs_is_not_shared() {
    let peer = Peer::start(always(ok("x")));
    let here = |uri: &str| to(uri).address(peer.addr());
    let targets = [
        here("http://a/"),
        here("http://b/"),
        here("http://a/").tag(1),
        here("http://a/").tag(2),
        here("http://a/").local_address(local("127.0.0.1:0")),
        here("http://a/").local_address(local("127.0.0.2:0")),
        to(&peer.url("/")),
    ];
    let targets = targets.map(|target| target.build().unwrap());
    let transport = Transport::default();
    for round in 1..=2 {
        for (place, target) in targets.iter().enumerate() {
            let exchange = raw(&transport, target, Freshness::Any).await;
            let info = exchange.connection();
            assert_eq!(info.id, place as u64 + 1, "{target}");
            assert_eq!(info.exchange_number, round);
            exchange.end();
        }
    }
    assert_eq!(stats(&transport).idle, targets.len());
}

#[tokio::test]
async fn the_local_address_is_the_one_that_was_asked_for() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    let transport = Transport::default();
    let target = |local_address| {
        let target = to("http://a/").address(addr).local_address(local_address);
        target.build().unwrap()
    };
    let from_two = target(local("127.0.0.2:0"));
    let served = tokio::spawn(async move {
        let (stream, from) = listener.accept().await.unwrap();
        let mut far = keepline_testkit::RawClient::over(stream);
        far.read_head().await;
        far.send(ok("x")).await;
        from
    });
    exchange(&transport, ask(&from_two)).await.unwrap();
    assert_eq!(served.await.unwrap().ip().to_string(), "127.0.0.2");
    // An address of the other family cannot be reached from there.
    let error = transport
        .send(ask(&target(local("[::1]:0"))))
        .await
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Connect);
    assert!(error.to_string().contains("family"), "{error}");
}

/// `Any` believes the runtime, `Checked` asks the kernel, `New` wants neither.
#[tokio::test]
async fn a_caller_says_how_fresh_a_connection_has_to_be() {
    let peer = Peer::start(always(ok("x")));
    let transport = Transport::default();
    let target = Target::of(&peer.url("/").parse().unwrap()).unwrap();
    for (freshness, id) in [
        (Freshness::Any, 1),
        (Freshness::Any, 1),
        (Freshness::Checked, 1),
        (Freshness::New, 2),
    ] {
        let exchange = raw(&transport, &target, freshness).await;
        assert_eq!(exchange.connection().id, id, "{freshness:?}");
        exchange.end();
    }
    assert_eq!(stats(&transport).idle, 2);
}

/// The settings of a target hold for it alone.
#[tokio::test]
async fn a_target_has_settings_of_its_own() {
    let peer = Peer::start(Script::new().repeat_forever(super::support::answer(ok("x"))));
    let here = |tag| {
        let target = to("http://a/").address(peer.addr()).tag(tag);
        target.build().unwrap()
    };
    let keeps_none = keepline::client::KeySettings::new().max_idle(0);
    let transport = Transport::builder()
        .for_target(here(1), keeps_none)
        .build()
        .unwrap();
    for tag in [1, 2] {
        raw(&transport, &here(tag), Freshness::Any).await.end();
    }
    assert_eq!(stats(&transport).idle, 1);
    assert_eq!(opened(&transport).iter().map(|x| x.1).sum::<u64>(), 2);
    exchange(&transport, get(&peer.url("/"))).await.unwrap();
}

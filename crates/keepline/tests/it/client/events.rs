//! The events of a Transport tell the story of its connections, in order.

use keepline::client::{Event, Events};
use keepline::tls::ClientTls;
use keepline::{CloseReason, OpenReason, Transport};
use keepline_testkit::certs;
use keepline_testkit::peer::Peer;

use super::support::{always, exchange, fetch, get, ok};
use super::tls_server::Server;

fn name(event: &Event) -> &'static str {
    match event {
        Event::Wanted { .. } => "wanted",
        Event::Acquired { reused: false, .. } => "acquired new",
        Event::Acquired { reused: true, .. } => "acquired reused",
        Event::Dialling {
            reason: OpenReason::First,
            ..
        } => "dialling",
        Event::Resolved { .. } => "resolved",
        Event::Connected { .. } => "connected",
        Event::Secured { .. } => "secured",
        Event::DialFailed { .. } => "dial failed",
        Event::Opened { .. } => "opened",
        Event::SentHead { .. } => "sent head",
        Event::SentRequest { .. } => "sent request",
        Event::Answered { .. } => "answered",
        Event::Returned { .. } => "returned",
        Event::Closed {
            reason: CloseReason::Shutdown,
            ..
        } => "closed",
        other => panic!("{other:?}"),
    }
}

fn told(events: &mut Events) -> Vec<&'static str> {
    std::iter::from_fn(|| events.try_next())
        .map(|event| name(&event))
        .collect()
}

#[tokio::test]
async fn two_requests_and_a_shutdown() {
    let peer = Peer::start(always(ok("x")));
    let transport = Transport::default();
    let mut events = transport.events();
    fetch(&transport, &peer).await.unwrap();
    fetch(&transport, &peer).await.unwrap();
    transport.shutdown().await;
    let told = told(&mut events);
    let expected = "wanted dialling resolved connected opened returned acquired new|\
        sent head sent request answered returned wanted acquired reused|\
        sent head sent request answered returned closed";
    assert_eq!(told.join(" "), expected.replace('|', " "));
    assert_eq!(events.missed(), 0);
}

/// A name, by the resolver of the system: the one name that needs no network.
#[tokio::test]
async fn the_look_up_of_a_name_is_told_with_its_addresses() {
    let peer = Peer::start(always(ok("x")));
    let transport = Transport::default();
    let mut events = transport.events();
    let url = format!("http://localhost:{}/", peer.addr().port());
    exchange(&transport, get(&url)).await.unwrap();
    let all: Vec<Event> = std::iter::from_fn(|| events.try_next()).collect();
    let names: Vec<_> = all.iter().take(4).map(name).collect();
    assert_eq!(names, ["wanted", "dialling", "resolved", "connected"]);
    let whose = url.trim_end_matches('/');
    match &all[2] {
        Event::Resolved { origin, addresses } => {
            assert_eq!(&**origin, whose);
            assert!(*addresses > 0);
        }
        other => panic!("{other:?}"),
    }
}

/// The handshake lies between the socket and the connection; one that fails is told as a failure.
#[tokio::test]
async fn the_handshake_is_told_where_it_begins_and_ends() {
    for (identity, is_good) in [(certs::server(), true), (certs::expired(), false)] {
        let mut server = Server::start(identity).await;
        let tls = ClientTls::builder().root_pem(certs::authority().pem.as_bytes());
        let transport = Transport::builder()
            .tls(tls.build().unwrap())
            .build()
            .unwrap();
        let mut events = transport.events();
        let asked = tokio::spawn({
            let (transport, asked) = (transport.clone(), get(&server.url()));
            async move { exchange(&transport, asked).await.is_ok() }
        });
        let begun = ["wanted", "dialling", "resolved", "connected"];
        if is_good {
            let mut far = server.accept().await;
            far.read_head().await;
            far.send(ok("x")).await;
            assert!(asked.await.unwrap());
            let rest = ["secured", "opened", "returned", "acquired new"];
            assert_eq!(told(&mut events)[..8], [begun, rest].concat());
        } else {
            assert!(!asked.await.unwrap());
            assert_eq!(told(&mut events), [&begun[..], &["dial failed"]].concat());
        }
    }
}

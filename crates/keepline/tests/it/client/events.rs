//! The events of a Transport tell the story of its connections, in order.

use keepline::client::Event;
use keepline::{CloseReason, OpenReason, Transport};
use keepline_testkit::peer::Peer;

use super::support::{always, fetch, ok};

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

#[tokio::test]
async fn two_requests_and_a_shutdown() {
    let peer = Peer::start(always(ok("x")));
    let transport = Transport::default();
    let mut events = transport.events();
    fetch(&transport, &peer).await.unwrap();
    fetch(&transport, &peer).await.unwrap();
    transport.shutdown().await;
    let mut told = Vec::new();
    while let Some(event) = events.try_next() {
        told.push(name(&event));
    }
    let expected = "wanted dialling resolved connected opened returned acquired new|\
        sent head sent request answered returned wanted acquired reused|\
        sent head sent request answered returned closed";
    assert_eq!(told.join(" "), expected.replace('|', " "));
    assert_eq!(events.missed(), 0);
}

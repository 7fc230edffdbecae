//! What lets a connection be used again, and what does not.

use keepline::{CloseReason, OpenReason, Transport};
use keepline_testkit::peer::{Peer, Script};

use super::support::{always, fetch, ok};

#[tokio::test]
async fn sequential_requests_share_one_connection() {
    let peer = Peer::start(always(ok("hello")));
    let transport = Transport::default();
    for number in 1..=5 {
        let (body, info) = fetch(&transport, &peer).await.unwrap();
        assert_eq!(body, "hello");
        assert_eq!((info.id, info.exchange_number), (1, number));
        assert_eq!(info.reused, number > 1);
        assert_eq!(info.open_reason, OpenReason::First);
    }
    assert_eq!(peer.accepted(), 1);
    let stats = transport.stats();
    assert_eq!((stats.acquired, stats.reused, stats.first_use), (5, 4, 1));
    assert_eq!((stats.idle, stats.busy, stats.open()), (1, 0, 1));
}

#[tokio::test]
async fn a_server_that_says_close_is_believed() {
    let close = "HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 2\r\n\r\nhi";
    let peer = Peer::start(Script::new().expect_head().send(close).hold());
    let transport = Transport::default();
    for _ in 0..3 {
        assert_eq!(fetch(&transport, &peer).await.unwrap().0, "hi");
    }
    let stats = transport.stats();
    assert_eq!(stats.opened.of(OpenReason::First), 1);
    assert_eq!(stats.opened.of(OpenReason::PeerAskedClose), 2);
    assert_eq!(stats.closed.of(CloseReason::PeerAskedClose), 3);
    assert_eq!(peer.accepted(), 3);
}

//! What lets a connection be used again, and what does not.

use keepline::{CloseReason, OpenReason, Transport};
use keepline_testkit::peer::{Peer, Script};

use super::support::{always, answer, closed, exchange, fetch, get, ok, until_closed};

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

/// Said by hand; the server need not repeat it.
#[tokio::test]
async fn a_request_that_says_close_is_the_last() {
    let peer = Peer::start(always(ok("x")));
    let transport = Transport::default();
    for number in 1..=2 {
        let mut asked = get(&peer.url("/"));
        let value = http::HeaderValue::from_static("close");
        asked.headers_mut().insert("connection", value);
        exchange(&transport, asked).await.unwrap();
        assert_eq!(closed(&transport), [(CloseReason::LocalAskedClose, number)]);
        let head = peer.heads(number as usize - 1).remove(0);
        assert_eq!(head.matches("close").count(), 1, "{head}");
    }
}

/// Go: TransportRespectRequestWantsClose. A transport without reuse closes, and does not say so.
#[tokio::test]
async fn close_is_said_once_by_the_request_that_asks_for_it_and_by_no_setting() {
    for max_idle in [0, 8] {
        for asks in [false, true] {
            let peer = Peer::start(always(ok("x")));
            let transport = Transport::builder().max_idle(max_idle).build().unwrap();
            let mut asked = get(&peer.url("/"));
            if asks {
                let value = http::HeaderValue::from_static("close");
                asked.headers_mut().insert("connection", value);
            }
            exchange(&transport, asked).await.unwrap();
            let head = peer.heads(0).remove(0).to_ascii_lowercase();
            let said = head.matches("connection: close\r\n").count();
            assert_eq!(said, usize::from(asks), "{max_idle} idle: {head}");
            assert_eq!(head.matches("connection").count(), said, "{head}");
            assert_eq!(closed(&transport).len(), usize::from(asks || max_idle == 0));
        }
    }
}

#[tokio::test]
async fn each_origin_has_its_own_connections() {
    let peers = [Peer::start(always(ok("a"))), Peer::start(always(ok("b")))];
    let transport = Transport::default();
    for _ in 0..3 {
        assert_eq!(fetch(&transport, &peers[0]).await.unwrap().0, "a");
        assert_eq!(fetch(&transport, &peers[1]).await.unwrap().0, "b");
    }
    assert_eq!((peers[0].accepted(), peers[1].accepted()), (1, 1));
}

/// Unlike in Go, where `EXAMPLE.com` and `example.com` are two.
#[tokio::test]
async fn the_case_of_a_host_does_not_matter() {
    let peer = Peer::start(always(ok("x")));
    let transport = Transport::default();
    for host in ["localhost", "LOCALHOST", "LocalHost"] {
        let url = format!("http://{host}:{}/", peer.addr().port());
        exchange(&transport, get(&url)).await.unwrap();
    }
    assert_eq!(peer.accepted(), 1);
}

/// Go: Issue3644. However large the answer is that is the last one.
#[tokio::test]
async fn a_large_answer_that_says_close_is_read_to_its_end() {
    let large = "x".repeat(3 << 20);
    let head = format!(
        "HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: {}\r\n\r\n",
        large.len()
    );
    let peer = Peer::start(answer(head + &large).close());
    let transport = Transport::default();
    let (body, _) = fetch(&transport, &peer).await.unwrap();
    assert!(body == large);
    assert_eq!(closed(&transport), [(CloseReason::PeerAskedClose, 1)]);
}

/// Go: TransportIssue10457. A server that does not say so, and closes right behind its answer.
#[tokio::test]
async fn an_answer_arrives_though_the_server_closes_behind_it() {
    let scripts = (0..20).map(|_| answer(ok("answer")).close());
    let peer = Peer::start_each(scripts);
    let transport = Transport::default();
    for number in 1..=20 {
        let (body, info) = fetch(&transport, &peer).await.unwrap();
        assert_eq!((body.as_str(), info.id), ("answer", number));
        until_closed(&transport, CloseReason::PeerClosed, number).await;
    }
}

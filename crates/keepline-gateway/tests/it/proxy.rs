//! Requests that are passed on: heads, content, connections.

use keepline_gateway::config::{Cause, Causes};
use keepline_testkit::ScratchDir;
use keepline_testkit::peer::{Peer, Script};

use crate::support::{before, before_with, field};

const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

#[tokio::test]
async fn requests_of_one_client_use_one_upstream_connection() {
    let peer = Peer::start(
        Script::new()
            .repeat(3, Script::new().expect_head().send(OK))
            .hold(),
    );
    let gateway = before(&[peer.addr()]);
    let mut client = gateway.connect().await;
    for n in 0..3 {
        client
            .send(format!("GET /{n}?q HTTP/1.1\r\nHost: example.com\r\n\r\n"))
            .await;
        let head = client.read_head().await;
        assert!(head.starts_with("HTTP/1.1 200"), "{head}");
        assert_eq!(client.read_exactly(2).await, b"ok");
    }
    assert_eq!(peer.accepted(), 1);
    let heads = peer.heads(0);
    assert!(
        heads[2].starts_with("GET /2?q HTTP/1.1\r\n"),
        "{}",
        heads[2]
    );
    assert_eq!(field(&heads[2], "host"), Some("backend"));
}

#[tokio::test]
async fn clients_share_upstream_connections() {
    let peer = Peer::start(Script::new().repeat_forever(Script::new().expect_head().send(OK)));
    let gateway = before(&[peer.addr()]);
    for _ in 0..5 {
        let mut client = gateway.connect().await;
        client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
        client.read_head().await;
        client.read_exactly(2).await;
    }
    assert_eq!(peer.accepted(), 1);
}

#[tokio::test]
async fn connection_specific_fields_are_passed_neither_way() {
    let answer = "HTTP/1.1 200 OK\r\nConnection: keep-alive, X-Hop\r\nX-Hop: 1\r\nX-End: 2\r\n\
                  Keep-Alive: timeout=9\r\nServer: other\r\nX-Accel-Expires: 1\r\nContent-Length: 0\r\n\r\n";
    let peer = Peer::start(Script::new().expect_head().send(answer).hold());
    let gateway = before(&[peer.addr()]);
    let mut client = gateway.connect().await;
    let request = "GET / HTTP/1.1\r\nHost: a\r\nConnection: keep-alive, x-mine\r\nX-Mine: 1\r\n\
                   Keep-Alive: 5\r\nTE: trailers\r\nUpgrade: x\r\nX-Bad_Name: 1\r\nX-Kept: 2\r\n\r\n";
    client.send(request).await;
    let head = client.read_head().await;
    for (name, value) in [
        ("x-hop", None),
        ("x-end", Some("2")),
        ("x-accel-expires", None),
    ] {
        assert_eq!(field(&head, name), value, "{head}");
    }
    assert_ne!(field(&head, "server"), Some("other"));
    let sent = peer.heads(0).remove(0);
    for (name, value) in [
        ("connection", None),
        ("x-mine", None),
        ("keep-alive", None),
        ("te", None),
        ("upgrade", None),
        ("x-bad_name", None),
        ("x-kept", Some("2")),
    ] {
        assert_eq!(field(&sent, name), value, "{sent}");
    }
}

#[tokio::test]
async fn content_goes_both_ways() {
    let dir = ScratchDir::new("body");
    for request_buffering in [true, false] {
        let length = 300_000;
        let answer = format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n");
        let body = "x".repeat(length);
        let script = Script::new()
            .expect_head()
            .read_exactly(length)
            .send(answer)
            .send(&body);
        let peer = Peer::start(script.hold());
        let gateway = before_with(&[peer.addr()], |scope| {
            scope.proxy.request_buffering = request_buffering;
            scope.client.body_temp_path = dir.path().to_owned();
        });
        let mut client = gateway.connect().await;
        let head = format!("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: {length}\r\n\r\n");
        client.send(head).await;
        client.send(&body).await;
        client.read_head().await;
        assert_eq!(client.read_exactly(length).await, body.as_bytes());
        assert_eq!(field(&peer.heads(0)[0], "content-length"), Some("300000"));
    }
}

#[tokio::test]
async fn a_get_on_a_stale_connection_goes_to_a_new_one() {
    let stale = Script::new().expect_head().send(OK).expect_head().close();
    let fresh = Script::new().expect_head().send(OK).hold();
    let peer = Peer::start_each([stale, fresh]);
    let gateway = before(&[peer.addr()]);
    let mut client = gateway.connect().await;
    for _ in 0..2 {
        client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
        assert!(client.read_head().await.starts_with("HTTP/1.1 200"));
        client.read_exactly(2).await;
    }
    assert_eq!(peer.accepted(), 2);
}

#[tokio::test]
async fn a_post_that_may_have_been_carried_out_is_not_repeated() {
    let stale = Script::new().expect_head().send(OK).expect_head().close();
    let peer = Peer::start_each([stale, Script::new().hold()]);
    let gateway = before(&[peer.addr()]);
    let mut client = gateway.connect().await;
    for status in ["200", "502"] {
        client
            .send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n")
            .await;
        let head = client.read_head().await;
        assert_eq!(head.split(' ').nth(1), Some(status), "{head}");
        let length = field(&head, "content-length").unwrap().parse().unwrap();
        client.read_exactly(length).await;
    }
    assert_eq!(peer.accepted(), 1);
}

#[tokio::test]
async fn what_is_no_answer_is_502_and_its_connection_is_not_kept() {
    for answer in [
        "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
        "nonsense\r\n\r\n",
        "",
    ] {
        let peer = Peer::start(Script::new().expect_head().send(answer).close());
        let gateway = before(&[peer.addr()]);
        let mut client = gateway.connect().await;
        client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
        let head = client.read_head().await;
        assert!(head.starts_with("HTTP/1.1 502 "), "{answer}: {head}");
        peer.connection_closed(0).await;
    }
}

#[tokio::test]
async fn a_404_that_is_passed_over_leaves_its_connection_to_the_next_request() {
    let none = "HTTP/1.1 404 Not Found\r\nContent-Length: 4\r\n\r\nnone";
    let answers = |answer| Script::new().repeat_forever(Script::new().expect_head().send(answer));
    let (first, second) = (Peer::start(answers(none)), Peer::start(answers(OK)));
    let gateway = before_with(&[first.addr(), second.addr()], |scope| {
        scope.proxy.next_upstream = Causes::NONE.with(Cause::Http404);
    });
    let mut client = gateway.connect().await;
    for _ in 0..4 {
        client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
        let head = client.read_head().await;
        assert!(head.starts_with("HTTP/1.1 200"), "{head}");
        assert_eq!(client.read_exactly(2).await, b"ok");
    }
    assert_eq!(first.heads(0).len(), 2);
    assert_eq!((first.accepted(), second.accepted()), (1, 1));
}

#[tokio::test]
async fn a_404_whose_content_is_not_here_is_not_waited_for() {
    let head = "HTTP/1.1 404 Not Found\r\nContent-Length: 4\r\n\r\n";
    let first = Peer::start(Script::new().expect_head().send(head).hold());
    let second = Peer::start(Script::new().expect_head().send(OK).hold());
    let gateway = before_with(&[first.addr(), second.addr()], |scope| {
        scope.proxy.next_upstream = Causes::NONE.with(Cause::Http404);
    });
    let mut client = gateway.connect().await;
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
    assert!(client.read_head().await.starts_with("HTTP/1.1 200"));
    first.connection_closed(0).await;
}

//! A body that is dropped before its end: what is left is read within limits, or the connection is
//! closed. What is left of one response is never taken for another.

use std::thread;
use std::time::Duration;

use keepline::{CloseReason, Transport};
use keepline_testkit::Gate;
use keepline_testkit::peer::{Ending, Peer, Script};
use keepline_testkit::sockets::{Sockets, State};

use super::support::{
    Pipes, always, answer, chunked, closed, fetch, get, head, is_pending, ok, opened, piece, stats,
    until_closed, until_idle,
};

/// A long time: no test here waits for it.
const LONG: Duration = Duration::from_secs(600);

fn patient(bytes: u64) -> Transport {
    Transport::builder().drain(bytes, LONG).build().unwrap()
}

/// A response of which `first` is sent at once, and `rest` when the gate opens.
fn in_two_parts(first: &str, rest: impl AsRef<[u8]>, gate: &Gate) -> Script {
    answer(first).wait_for(gate).send(rest)
}

#[tokio::test]
async fn what_remains_of_a_dropped_body_decides() {
    let newline = "\n".to_owned();
    for (left, stays) in [
        (String::new(), true),
        ("x".to_owned(), true),
        (newline, true),
        ("x".repeat(64 << 10), true),
        ("x".repeat(256 << 10), true),
        ("x".repeat((256 << 10) + 1), false),
    ] {
        let body = format!("{{}}{left}");
        let first = format!(
            "HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{{}}",
            body.len()
        );
        let gate = Gate::new("the rest");
        let script = in_two_parts(&first, &left, &gate).repeat_forever(answer(ok("next")));
        let peer = Peer::start_each([script, always(ok("next"))]);
        let transport = patient(256 << 10);
        let mut body = head(&transport, &peer).await.into_body();
        assert_eq!(piece(&mut body).await, "{}");
        drop(body);
        gate.open();
        if stays {
            until_idle(&transport, 1).await;
        } else {
            // At once: it is known to be too much.
            assert_eq!(closed(&transport), [(CloseReason::NotDrained, 1)]);
        }
        let (next, info) = fetch(&transport, &peer).await.unwrap();
        assert_eq!(
            (next.as_str(), info.reused),
            ("next", stays),
            "{} left",
            left.len()
        );
        Sockets::to_port(peer.addr().port())
            .in_state(State::Established)
            .until(1)
            .await;
    }
}

#[tokio::test]
async fn a_chunked_rest_is_read_as_far_as_the_limit() {
    for (left, stays) in [(1, true), (64 << 10, true), (300 << 10, false)] {
        let gate = Gate::new("the rest");
        let first = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\n{}\r\n";
        let rest = format!("{left:x}\r\n{}\r\n0\r\nsum: 1\r\n\r\n", "x".repeat(left));
        let peer = Peer::start_each([
            in_two_parts(first, rest, &gate).repeat_forever(answer(ok("next"))),
            always(ok("next")),
        ]);
        let transport = patient(256 << 10);
        let mut body = head(&transport, &peer).await.into_body();
        assert_eq!(piece(&mut body).await, "{}");
        drop(body);
        gate.open();
        if stays {
            until_idle(&transport, 1).await;
        } else {
            until_closed(&transport, CloseReason::NotDrained, 1).await;
        }
        let (next, info) = fetch(&transport, &peer).await.unwrap();
        assert_eq!((next.as_str(), info.reused), ("next", stays), "{left} left");
    }
}

#[tokio::test]
async fn an_endless_body_is_cut_at_the_limit_of_bytes() {
    let chunk = format!("4000\r\n{}\r\n", "x".repeat(0x4000));
    let script = answer("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n")
        .repeat_forever(Script::new().send(chunk));
    let peer = Peer::start(script);
    let transport = patient(256 << 10);
    drop(head(&transport, &peer).await);
    until_closed(&transport, CloseReason::NotDrained, 1).await;
    assert_ne!(peer.connection_closed(0).await, Ending::PeerClosed);
}

#[tokio::test(start_paused = true)]
async fn a_rest_that_does_not_come_is_waited_for_until_the_limit_of_time() {
    let (builder, mut pipes) = Pipes::new(4096);
    let transport = builder.build().unwrap();
    let asked = tokio::spawn({
        let transport = transport.clone();
        async move { transport.send(get("http://a/")).await.unwrap() }
    });
    let mut far = pipes.accept().await;
    far.read_head().await;
    far.send("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nh")
        .await;
    drop(asked.await.unwrap());
    let dropped = tokio::time::Instant::now();
    assert_eq!(far.read_to_end().await.0, b"");
    assert_eq!(dropped.elapsed(), Duration::from_millis(50));
    assert_eq!(closed(&transport), [(CloseReason::NotDrained, 1)]);
}

#[tokio::test]
async fn with_draining_off_a_dropped_body_costs_its_connection() {
    let (first, rest) = ("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nh", "i");
    let gate = Gate::new("the rest");
    let peer = Peer::start(in_two_parts(first, rest, &gate));
    let transport = Transport::builder().drain(0, LONG).build().unwrap();
    for number in 1..=3 {
        let mut body = head(&transport, &peer).await.into_body();
        assert_eq!(piece(&mut body).await, "h");
        drop(body);
        assert_eq!(closed(&transport), [(CloseReason::NotDrained, number)]);
    }
    assert_eq!(peer.accepted(), 3);
    gate.open();
}

#[tokio::test]
async fn nothing_is_drained_on_a_connection_that_cannot_stay() {
    let first = "HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 2\r\n\r\nh";
    let peer = Peer::start(answer(first));
    let transport = patient(1000);
    drop(head(&transport, &peer).await);
    assert_eq!(closed(&transport), [(CloseReason::PeerAskedClose, 1)]);
}

#[tokio::test]
async fn a_rest_that_breaks_the_protocol_closes_the_connection() {
    let (first, rest) = (
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nhi\r\n",
        "no hex\r\n",
    );
    let gate = Gate::new("the rest");
    let peer = Peer::start(in_two_parts(first, rest, &gate));
    let transport = patient(1000);
    drop(head(&transport, &peer).await);
    gate.open();
    until_closed(&transport, CloseReason::ProtocolError, 1).await;
}

#[tokio::test]
async fn what_follows_a_drained_body_is_no_response() {
    let first = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nh";
    let gate = Gate::new("the rest");
    let peer = Peer::start_each([
        in_two_parts(
            first,
            "iHTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nevil",
            &gate,
        ),
        always(ok("next")),
    ]);
    let transport = patient(1000);
    drop(head(&transport, &peer).await);
    gate.open();
    until_closed(&transport, CloseReason::UnsolicitedBytes, 1).await;
    assert_eq!(fetch(&transport, &peer).await.unwrap().0, "next");
}

#[tokio::test]
async fn the_next_request_waits_for_a_connection_that_is_being_drained() {
    let first = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nh";
    let gate = Gate::new("the rest");
    let peer = Peer::start(in_two_parts(first, "i", &gate).repeat_forever(answer(ok("next"))));
    let transport = patient(1000);
    drop(head(&transport, &peer).await);
    let next = fetch(&transport, &peer);
    tokio::pin!(next);
    assert!(is_pending(&mut next).await, "it waits");
    assert_eq!(stats(&transport).waiting, 1);
    gate.open();
    let (body, info) = next.await.unwrap();
    assert_eq!((body.as_str(), info.reused, info.id), ("next", true, 1));
    assert_eq!(peer.accepted(), 1);
}

/// The drain fails long before its time is over: its waiter does not wait on.
#[tokio::test]
async fn a_failed_drain_sends_its_waiter_to_dial() {
    let first = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nh";
    let gate = Gate::new("the end");
    let peer = Peer::start_each([answer(first).wait_for(&gate).close(), always(ok("next"))]);
    let transport = patient(1000);
    drop(head(&transport, &peer).await);
    let next = fetch(&transport, &peer);
    tokio::pin!(next);
    assert!(is_pending(&mut next).await, "it waits");
    gate.open();
    assert_eq!(next.await.unwrap().0, "next");
    assert_eq!(opened(&transport).len(), 2);
}

#[tokio::test]
async fn a_body_may_be_dropped_outside_a_runtime() {
    let gate = Gate::new("the rest");
    let first = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nh";
    let peer = Peer::start(in_two_parts(first, "i", &gate).repeat_forever(answer(chunked("next"))));
    let transport = patient(1000);
    // With a rest that is not here yet, and with one that is.
    for round in 0..2 {
        let mut body = head(&transport, &peer).await.into_body();
        if round == 1 {
            assert_eq!(piece(&mut body).await, "next");
        }
        thread::spawn(move || drop(body)).join().unwrap();
        gate.open();
        until_idle(&transport, 1).await;
    }
    assert_eq!((peer.accepted(), closed(&transport).len()), (1, 0));
}

#[tokio::test]
async fn a_rest_that_is_here_is_drained_without_a_task() {
    let peer = Peer::start(always(chunked("hello")));
    let transport = Transport::default();
    for _ in 0..10 {
        let mut body = head(&transport, &peer).await.into_body();
        assert_eq!(piece(&mut body).await, "hello");
        drop(body);
        assert_eq!((stats(&transport).idle, stats(&transport).busy), (1, 0));
    }
    assert_eq!(peer.accepted(), 1);
}

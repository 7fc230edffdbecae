//! Idle connections: which one is used next, how long they are kept, and what the peer may do to
//! them meanwhile. The kernel is asked wherever the claim is that a socket is gone.

use std::time::{Duration, Instant};

use keepline::{Body, CloseReason, OpenReason, Transport};
use keepline_testkit::peer::{Ending, Peer, Script};
use keepline_testkit::sockets::{Sockets, State};
use keepline_testkit::{Gate, PATIENCE};

use super::support::{
    Pipes, always, answer, closed, exchange, fed_body, fetch, get, head, info, ok, opened, request,
    stats, text, until_closed, until_idle,
};

/// What a server does to an idle connection, and why that is then closed.
type Fate = (&'static str, fn(Script) -> Script, CloseReason);

const FATES: &[Fate] = &[
    ("FIN", Script::fin, CloseReason::PeerClosed),
    ("close", Script::close, CloseReason::PeerClosed),
    ("reset", Script::reset, CloseReason::PeerClosed),
    ("a byte", |x| x.send("x"), CloseReason::UnsolicitedBytes),
    (
        "a response",
        |x| x.send(ok("evil")),
        CloseReason::UnsolicitedBytes,
    ),
    (
        "408",
        |x| x.send("HTTP/1.1 408 Request Timeout\r\nconnection: close\r\n\r\n"),
        CloseReason::PeerAskedClose,
    ),
];

#[tokio::test]
async fn what_happens_to_an_idle_connection_is_noticed_without_a_request() {
    for (name, fate, reason) in FATES {
        let gate = Gate::new(name);
        let script = fate(answer(ok("first")).wait_for(&gate));
        let peer = Peer::start_each([script, always(ok("second"))]);
        let transport = Transport::default();
        fetch(&transport, &peer).await.unwrap();
        assert_eq!(stats(&transport).idle, 1);
        gate.open();
        until_closed(&transport, *reason, 1).await;
        let to_peer = Sockets::to_port(peer.addr().port());
        to_peer.in_state(State::Established).until(0).await;
        to_peer.in_state(State::CloseWait).until(0).await;
        let (body, info) = fetch(&transport, &peer).await.unwrap();
        assert_eq!(body, "second", "{name}");
        assert_eq!(info.open_reason, OpenReason::from(*reason), "{name}");
    }
}

/// The runtime has no chance to tell: what happened is in the kernel only. A request that cannot
/// be sent twice is not sent there.
#[tokio::test]
async fn what_happened_to_an_idle_connection_is_noticed_at_checkout() {
    for (name, fate, reason) in FATES {
        let (gate, done) = (Gate::new(name), Gate::new("done"));
        let script = answer(ok("first")).wait_for(&gate);
        // Nothing follows a close: its trace is in the kernel's table.
        let is_close = matches!(*name, "close" | "reset");
        let script = if is_close {
            fate(script)
        } else {
            fate(script).open(&done)
        };
        let peer = Peer::start_each([script, answer(ok("second"))]);
        let transport = Transport::default();
        fetch(&transport, &peer).await.unwrap();
        gate.open();
        let established = Sockets::to_port(peer.addr().port()).in_state(State::Established);
        block_until(|| done.is_open() || (is_close && established.count() == 0));
        // A stream, so nothing could be sent again.
        let (feed, body) = fed_body();
        drop(feed);
        let (body, info) = exchange(&transport, request("POST", &peer.url("/"), body))
            .await
            .unwrap();
        assert_eq!((body.as_str(), info.reused), ("second", false), "{name}");
        assert_eq!(closed(&transport), [(*reason, 1)], "{name}");
        assert_eq!((info.retries, stats(&transport).retries), (0, 0));
    }
}

/// Blocks the thread, and with it the runtime and all its tasks.
fn block_until(mut look: impl FnMut() -> bool) {
    let started = Instant::now();
    while !look() {
        assert!(started.elapsed() < PATIENCE);
        std::thread::yield_now();
    }
}

/// Also one that arrives while the connection is in use, behind the response.
#[tokio::test]
async fn bytes_behind_a_response_are_no_response() {
    let twice = format!("{}{}", ok("right"), ok("wrong"));
    let peer = Peer::start(always(twice));
    let transport = Transport::default();
    for number in 1..=3 {
        assert_eq!(fetch(&transport, &peer).await.unwrap().0, "right");
        assert_eq!(
            closed(&transport),
            [(CloseReason::UnsolicitedBytes, number)]
        );
    }
    assert_eq!(peer.accepted(), 3);
}

#[tokio::test]
async fn the_idle_timeout_closes_the_socket_without_a_request() {
    let peer = Peer::start(always(ok("x")));
    let transport = Transport::builder()
        .idle_timeout(Duration::from_millis(30))
        .build()
        .unwrap();
    fetch(&transport, &peer).await.unwrap();
    assert_eq!(peer.connection_closed(0).await, Ending::ClientClosed);
    assert_eq!(closed(&transport), [(CloseReason::IdleTimeout, 1)]);
    let (_, info) = fetch(&transport, &peer).await.unwrap();
    assert_eq!(info.open_reason, OpenReason::IdleTimeout);
}

/// Three connections become idle 10 s apart; each goes 90 s after that, and not a moment earlier.
#[tokio::test(start_paused = true)]
async fn each_connection_has_its_own_idle_time() {
    let (builder, mut pipes) = Pipes::new(4096);
    let transport = builder.build().unwrap();
    let started = tokio::time::Instant::now();
    let mut far_ends = Vec::new();
    for n in 0..3 {
        far_ends.push(open(&transport, &mut pipes, &format!("http://host{n}/")).await);
        tokio::time::advance(Duration::from_secs(10)).await;
    }
    for (far, after) in far_ends.iter_mut().zip([90, 100, 110]) {
        assert_eq!(far.read_to_end().await.0, b"");
        assert_eq!(started.elapsed().as_secs(), after);
    }
    assert_eq!(closed(&transport), [(CloseReason::IdleTimeout, 3)]);
}

/// The blocked runtime has no reaper; the timeout holds all the same.
#[tokio::test(start_paused = true)]
async fn the_idle_timeout_is_tested_at_checkout() {
    let (builder, mut pipes) = Pipes::new(4096);
    let transport = builder
        .idle_timeout(Duration::from_secs(5))
        .build()
        .unwrap();
    let _first = open(&transport, &mut pipes, "http://a/").await;
    // Nothing runs between this and the checkout.
    tokio::time::advance(Duration::from_secs(5)).await;
    let _second = open(&transport, &mut pipes, "http://a/").await;
    assert_eq!(closed(&transport), [(CloseReason::IdleTimeout, 1)]);
    assert_eq!(opened(&transport)[1], (OpenReason::IdleTimeout, 1));
}

/// One exchange on the next pipe, which stays idle.
async fn open(transport: &Transport, pipes: &mut Pipes, url: &str) -> super::support::Far {
    let asked = tokio::spawn({
        let (transport, url) = (transport.clone(), url.to_owned());
        async move { exchange(&transport, get(&url)).await.unwrap() }
    });
    let mut far = pipes.accept().await;
    far.read_head().await;
    far.send(ok("x")).await;
    asked.await.unwrap();
    far
}

/// `count` requests at once, so that there are as many connections; their bodies are read to the
/// end in the order of their connections' numbers.
async fn idle_connections(transport: &Transport, peer: &Peer, count: usize) {
    let mut responses = Vec::new();
    for _ in 0..count {
        responses.push(head(transport, peer).await);
    }
    responses.sort_by_key(|response| info(response).id);
    for response in responses {
        text(response.into_body()).await.unwrap();
    }
}

/// Answers chunked: unlike a body of known length it is not free before somebody reads it.
fn held() -> Script {
    always(super::support::chunked("x"))
}

#[tokio::test]
async fn the_connection_that_came_back_last_is_used_next() {
    let peer = Peer::start(held());
    let transport = Transport::default();
    idle_connections(&transport, &peer, 3).await;
    assert_eq!((peer.accepted(), stats(&transport).idle), (3, 3));
    for _ in 0..5 {
        assert_eq!(fetch(&transport, &peer).await.unwrap().1.id, 3);
    }
}

#[tokio::test]
async fn above_the_limit_of_a_key_its_oldest_is_closed() {
    let peer = Peer::start(held());
    let transport = Transport::builder().max_idle_per_key(2).build().unwrap();
    idle_connections(&transport, &peer, 4).await;
    assert_eq!(stats(&transport).idle, 2);
    assert_eq!(closed(&transport), [(CloseReason::IdleLimit, 2)]);
    for oldest in 0..2 {
        assert_eq!(peer.connection_closed(oldest).await, Ending::ClientClosed);
    }
    Sockets::to_port(peer.addr().port())
        .in_state(State::Established)
        .until(2)
        .await;
    assert_eq!(fetch(&transport, &peer).await.unwrap().1.id, 4);
}

#[tokio::test]
async fn above_the_total_limit_the_longest_idle_of_all_is_closed() {
    let peers: Vec<Peer> = (0..4).map(|_| Peer::start(always(ok("x")))).collect();
    let transport = Transport::builder().max_idle(3).build().unwrap();
    for peer in &peers {
        fetch(&transport, peer).await.unwrap();
    }
    assert_eq!(peers[0].connection_closed(0).await, Ending::ClientClosed);
    assert_eq!(closed(&transport), [(CloseReason::IdleLimit, 1)]);
    for peer in &peers[1..] {
        assert!(fetch(&transport, peer).await.unwrap().1.reused);
    }
    let (_, info) = fetch(&transport, &peers[0]).await.unwrap();
    assert_eq!(info.open_reason, OpenReason::Evicted);
}

#[tokio::test]
async fn with_reuse_off_nothing_is_kept_and_the_reason_says_so() {
    let peer = Peer::start(always(ok("x")));
    let transport = Transport::builder().max_idle(0).build().unwrap();
    for number in 1..=3 {
        let (_, info) = fetch(&transport, &peer).await.unwrap();
        assert_eq!((info.id, info.reused), (number, false));
    }
    let reasons = [(OpenReason::First, 1), (OpenReason::ReuseOff, 2)];
    assert_eq!(opened(&transport), reasons);
    assert_eq!(closed(&transport), [(CloseReason::IdleLimit, 3)]);
}

#[tokio::test]
async fn idle_connections_are_closed_on_demand_and_busy_ones_are_not() {
    let peer = Peer::start(held());
    let transport = Transport::default();
    let busy = head(&transport, &peer).await;
    fetch(&transport, &peer).await.unwrap();
    transport.close_idle();
    assert_eq!(peer.connection_closed(1).await, Ending::ClientClosed);
    assert_eq!((stats(&transport).idle, stats(&transport).busy), (0, 1));
    text(busy.into_body()).await.unwrap();
    until_idle(&transport, 1).await;
    let (_, info) = fetch(&transport, &peer).await.unwrap();
    assert_eq!((info.id, info.reused), (1, true));
}

#[tokio::test]
async fn the_last_transport_takes_its_idle_connections_along() {
    let peer = Peer::start(always(ok("x")));
    let transport = Transport::default();
    fetch(&transport, &peer).await.unwrap();
    let clone = transport.clone();
    drop(transport);
    assert!(fetch(&clone, &peer).await.unwrap().1.reused);
    drop(clone);
    assert_eq!(peer.connection_closed(0).await, Ending::ClientClosed);
}

#[tokio::test]
async fn what_is_told_about_a_connection_is_true() {
    let peer = Peer::start(always(ok("x")));
    let transport = Transport::default();
    let sent = request("GET", &peer.url("/"), Body::empty());
    let response = transport.send(sent).await.unwrap();
    let first = info(&response);
    assert_eq!((first.reused, first.idle_for), (false, None));
    assert_eq!(first.peer.to_string(), peer.addr().to_string());
    assert_eq!(first.bytes_written as usize, peer.received(0).len());
    assert_eq!(first.bytes_read as usize, ok("x").len());
    assert!(first.timings.connect.is_some() && first.timings.dns.is_some());
    assert!(first.timings.first_byte.is_some());
    let (_, second) = fetch(&transport, &peer).await.unwrap();
    assert!(second.reused && second.idle_for.is_some() && second.age >= first.age);
    assert_eq!(
        (second.exchange_number, second.open_reason),
        (2, OpenReason::First)
    );
    assert_eq!((second.timings.connect, second.timings.dns), (None, None));
}

//! How many connections there are at most, and who waits for them.

use std::time::Duration;

use keepline::client::{IdleOrder, KeySettings, OnMiss};
use keepline::{CloseReason, ErrorKind, OpenReason, Phase, Transport};
use keepline_testkit::peer::{Peer, Script};
use keepline_testkit::sockets::Sockets;
use keepline_testkit::{Gate, until, within};
use tokio::task::JoinSet;

use super::support::{
    Pipes, always, closed, exchange, fetch, get, ok, opened, stats, text, until_idle, until_waiting,
};

fn built(builder: keepline::client::TransportBuilder) -> Transport {
    builder.build().unwrap()
}

#[tokio::test]
async fn a_thousand_requests_share_ten_connections() {
    let peer = Peer::start(always(ok("hello")));
    let transport = built(Transport::builder().max_connections_per_key(10));
    let mut requests = JoinSet::new();
    for _ in 0..1000 {
        let (transport, url) = (transport.clone(), peer.url("/"));
        requests.spawn(async move { exchange(&transport, get(&url)).await.unwrap().0 });
    }
    while let Some(body) = within("a request", requests.join_next()).await {
        assert_eq!(body.unwrap(), "hello");
    }
    assert_eq!(peer.accepted(), 10);
    assert_eq!(Sockets::to_port(peer.addr().port()).count(), 10);
    let stats = stats(&transport);
    assert_eq!(
        (stats.acquired, stats.opened.total(), stats.waiting),
        (1000, 10, 0)
    );
}

/// And they get them in the order in which they came.
#[tokio::test]
async fn a_thousand_misses_are_served_in_their_order() {
    let (builder, mut pipes) = Pipes::new(1 << 12);
    let transport = built(builder.max_connections_per_key(10));
    let sent = std::sync::Arc::<std::sync::Mutex<Vec<usize>>>::default();
    let mut requests = JoinSet::new();
    for number in 0..1000 {
        let (transport, url) = (transport.clone(), format!("http://a/{number}"));
        requests.spawn(async move { exchange(&transport, get(&url)).await.unwrap().0 });
    }
    for _ in 0..10 {
        let (mut far, sent) = (pipes.accept().await, sent.clone());
        tokio::spawn(async move {
            loop {
                let head = far.read_head().await;
                let number = head.split(['/', ' ']).nth(2).unwrap().parse().unwrap();
                sent.lock().unwrap().push(number);
                far.send(ok("x")).await;
            }
        });
    }
    while let Some(body) = within("a request", requests.join_next()).await {
        assert_eq!(body.unwrap(), "x");
    }
    assert_eq!(*sent.lock().unwrap(), Vec::from_iter(0..1000));
    assert_eq!(stats(&transport).opened.total(), 10);
}

/// One connection, and ten who wait for it: served in the order in which they came.
#[tokio::test]
async fn waiters_are_served_in_their_order() {
    let (builder, mut pipes) = Pipes::new(1 << 12);
    let transport = built(builder.max_connections(1));
    let mut requests = Vec::new();
    for number in 0..10 {
        let (transport, url) = (transport.clone(), format!("http://a/{number}"));
        requests.push(tokio::spawn(async move {
            exchange(&transport, get(&url)).await
        }));
        until_waiting_or_busy(requests.len(), &requests).await;
    }
    let mut far = pipes.accept().await;
    for number in 0..10 {
        let head = far.read_head().await;
        assert!(head.starts_with(&format!("GET /{number} ")), "{head}");
        far.send(ok(&number.to_string())).await;
    }
    for (number, request) in requests.into_iter().enumerate() {
        assert_eq!(request.await.unwrap().unwrap().0, number.to_string());
    }
    assert_eq!(opened(&transport), [(OpenReason::First, 1)]);
}

/// The tasks before the last have asked: a turn of the runtime each is enough, since nothing is
/// awaited before the queue.
async fn until_waiting_or_busy<T>(count: usize, _: &[T]) {
    for _ in 0..count {
        tokio::task::yield_now().await;
    }
}

/// At the limit of all connections an idle one of another key makes room, and a busy one does not.
#[tokio::test]
async fn the_limit_of_all_evicts_the_idle_and_waits_for_the_busy() {
    let (builder, mut pipes) = Pipes::new(1 << 12);
    let transport = built(builder.max_connections(1));
    let ask = |url: &'static str| {
        let transport = transport.clone();
        tokio::spawn(async move { exchange(&transport, get(url)).await })
    };
    let a = ask("http://a/");
    let mut far = pipes.accept().await;
    far.read_head().await;
    let b = ask("http://b/");
    until_waiting(&transport, 1).await;
    // The connection to a comes back, and nobody there wants it: it goes, for b.
    far.send(ok("a")).await;
    assert_eq!(a.await.unwrap().unwrap().0, "a");
    let mut far = pipes.accept().await;
    far.read_head().await;
    far.send(ok("b")).await;
    assert_eq!(b.await.unwrap().unwrap().0, "b");
    until_idle(&transport, 1).await;
    // Now b's is idle, and a evicts it.
    let a = ask("http://a/");
    let mut far = pipes.accept().await;
    far.read_head().await;
    far.send(ok("a")).await;
    a.await.unwrap().unwrap();
    assert_eq!(closed(&transport), [(CloseReason::IdleLimit, 2)]);
    assert_eq!(stats(&transport).opened.of(OpenReason::Evicted), 1);
}

#[tokio::test(start_paused = true)]
async fn an_acquire_timeout_is_an_error_of_its_own_and_leaves_nothing() {
    let (builder, mut pipes) = Pipes::new(1 << 12);
    let transport = built(
        builder
            .max_connections(1)
            .acquire_timeout(Duration::from_millis(200)),
    );
    let holder = tokio::spawn({
        let transport = transport.clone();
        async move { exchange(&transport, get("http://a/")).await }
    });
    let mut far = pipes.accept().await;
    far.read_head().await;
    let error = exchange(&transport, get("http://a/")).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Timeout(Phase::Acquire));
    assert_eq!(stats(&transport).waiting, 0);
    far.send(ok("late")).await;
    assert_eq!(holder.await.unwrap().unwrap().0, "late");
}

#[tokio::test]
async fn a_burst_of_misses_stays_under_the_cap_on_dials() {
    let peer = Peer::start(always(ok("x")));
    let transport = built(Transport::builder().max_dials_per_key(8).max_idle(1000));
    let mut requests = JoinSet::new();
    for _ in 0..1000 {
        let (transport, url) = (transport.clone(), peer.url("/"));
        requests.spawn(async move { exchange(&transport, get(&url)).await.unwrap() });
    }
    let mut most = 0;
    while let Some(done) = within("a request", requests.join_next()).await {
        done.unwrap();
        most = most.max(stats(&transport).dialling);
    }
    assert!(most <= 8, "{most}");
    assert_eq!(stats(&transport).acquired, 1000);
}

#[tokio::test]
async fn warm_connections_are_there_before_the_first_request() {
    let peer = Peer::start(always(ok("x")));
    let transport = built(Transport::builder().max_connections_per_key(3));
    let uri = peer.url("/").parse().unwrap();
    assert_eq!(transport.warm(&uri, 5).unwrap(), 3);
    until_idle(&transport, 3).await;
    let (_, info) = fetch(&transport, &peer).await.unwrap();
    assert_eq!((info.open_reason, info.reused), (OpenReason::WarmUp, false));
    assert_eq!(peer.accepted(), 3);
}

/// A key that wants two ready gets another one as soon as one is taken.
#[tokio::test]
async fn a_minimum_of_idle_connections_is_kept() {
    let peer = Peer::start(always(ok("x")));
    let transport = built(Transport::builder().for_every_key(KeySettings::new().min_idle(2)));
    fetch(&transport, &peer).await.unwrap();
    fetch(&transport, &peer).await.unwrap();
    until("two ready", || (stats(&transport).idle >= 2).then_some(())).await;
    assert!(stats(&transport).opened.of(OpenReason::WarmUp) >= 1);
}

#[tokio::test]
async fn the_order_of_use_is_the_last_or_the_first() {
    for (order, expected) in [(IdleOrder::Lifo, 2), (IdleOrder::Fifo, 1)] {
        let (builder, mut pipes) = Pipes::new(1 << 12);
        let transport = built(builder.for_every_key(KeySettings::new().idle_order(order)));
        let first = transport.send(get("http://a/"));
        let (first, mut one) = tokio::join!(first, served(&mut pipes, "1"));
        let second = transport.send(get("http://a/"));
        // The first body is still unread, so the second request needs another connection.
        let (second, mut two) = tokio::join!(second, served(&mut pipes, "2"));
        one.send("x").await;
        assert_eq!(text(first.unwrap().into_body()).await.unwrap(), "1x");
        two.send("x").await;
        assert_eq!(text(second.unwrap().into_body()).await.unwrap(), "2x");
        let third = tokio::spawn({
            let transport = transport.clone();
            async move { exchange(&transport, get("http://a/")).await }
        });
        let far = if expected == 1 { &mut one } else { &mut two };
        far.read_head().await;
        far.send(ok("again")).await;
        assert_eq!(third.await.unwrap().unwrap().1.id, expected, "{order:?}");
    }
}

/// Accepts a connection and answers with the head and the first of two bytes.
async fn served(pipes: &mut Pipes, byte: &str) -> super::support::Far {
    let mut far = pipes.accept().await;
    far.read_head().await;
    far.send(format!(
        "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{byte}"
    ))
    .await;
    far
}

/// `Wait` takes the connection that comes back instead of dialling, and dials when none does.
#[tokio::test]
async fn a_miss_waits_as_long_as_told() {
    for (patience, dials) in [
        (Duration::from_secs(3600), 1),
        (Duration::from_millis(1), 2),
    ] {
        let (builder, mut pipes) = Pipes::new(1 << 12);
        let patient = KeySettings::new().on_miss(OnMiss::Wait(patience));
        let transport = built(builder.for_every_key(patient));
        let ask = || {
            let transport = transport.clone();
            tokio::spawn(async move { exchange(&transport, get("http://a/")).await })
        };
        let one = ask();
        let mut far = pipes.accept().await;
        far.read_head().await;
        let two = ask();
        let mut other = if dials == 1 {
            until_waiting(&transport, 1).await;
            None
        } else {
            Some(pipes.accept().await)
        };
        if let Some(other) = &mut other {
            other.read_head().await;
            other.send(ok("2")).await;
            assert_eq!(two.await.unwrap().unwrap().1.id, 2);
            far.send(ok("1")).await;
        } else {
            far.send(ok("1")).await;
            far.read_head().await;
            far.send(ok("2")).await;
            assert_eq!(two.await.unwrap().unwrap().1.id, 1);
        }
        assert_eq!(one.await.unwrap().unwrap().0, "1");
        assert_eq!(stats(&transport).opened.total(), dials);
    }
}

/// `DialOnly` takes idle connections, and else its own dial, whoever comes back first.
#[tokio::test]
async fn a_miss_only_dials_as_told() {
    let (builder, mut pipes) = Pipes::new(1 << 12);
    let alone = KeySettings::new().on_miss(OnMiss::DialOnly);
    let transport = built(builder.for_every_key(alone));
    let ask = || {
        let transport = transport.clone();
        tokio::spawn(async move { exchange(&transport, get("http://a/")).await })
    };
    let one = ask();
    let mut far = pipes.accept().await;
    far.read_head().await;
    let two = ask();
    let mut other = pipes.accept().await;
    far.send(ok("1")).await;
    one.await.unwrap().unwrap();
    other.read_head().await;
    other.send(ok("2")).await;
    assert_eq!(two.await.unwrap().unwrap().1.id, 2);
    assert_eq!(stats(&transport).idle, 2);
}

/// Go: TransportMaxConnsPerHostIncludeDialInProgress.
#[tokio::test]
async fn a_dial_in_progress_counts_as_a_connection() {
    let (gate, peer) = (Gate::new("the dial"), Peer::start(always(ok("x"))));
    let dials = std::sync::Arc::<std::sync::atomic::AtomicUsize>::default();
    let (count, addr, dial) = (dials.clone(), peer.addr(), gate.clone());
    let connector = move |_| {
        count.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let gate = dial.clone();
        async move {
            gate.opened().await;
            let tcp = tokio::net::TcpStream::connect(addr).await?;
            Ok(keepline::net::Stream::from(tcp))
        }
    };
    let builder = Transport::builder().connector(connector);
    let transport = built(builder.max_connections_per_key(1));
    let mut requests = JoinSet::new();
    for _ in 0..3 {
        let transport = transport.clone();
        requests.spawn(async move { exchange(&transport, get("http://a/")).await.unwrap().0 });
    }
    until_waiting(&transport, 3).await;
    assert_eq!(dials.load(std::sync::atomic::Ordering::Relaxed), 1);
    gate.open();
    while let Some(body) = within("a request", requests.join_next()).await {
        assert_eq!(body.unwrap(), "x");
    }
    assert_eq!(dials.load(std::sync::atomic::Ordering::Relaxed), 1);
}

/// Go: TransportRemovesConnsAfterBroken.
#[tokio::test]
async fn a_broken_connection_leaves_its_place_to_the_next() {
    let broken = || {
        Script::new()
            .expect_head()
            .send("HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nshort")
            .reset()
    };
    let peer = Peer::start_each([broken(), broken(), always(ok("x"))]);
    let transport = built(Transport::builder().max_connections_per_key(1).max_idle(1));
    for _ in 0..2 {
        exchange(&transport, get(&peer.url("/"))).await.unwrap_err();
    }
    let (body, info) = exchange(&transport, get(&peer.url("/"))).await.unwrap();
    assert_eq!((body.as_str(), info.id), ("x", 3));
}

/// Two addresses with two connections each: they are used in turn, whichever came back last.
#[tokio::test]
async fn the_least_used_address_comes_first_as_told() {
    let one = Peer::start(always(ok("x")));
    let other = Peer::start(always(ok("x")));
    let addresses = [one.addr(), one.addr(), other.addr(), other.addr()];
    let next = std::sync::Arc::<std::sync::atomic::AtomicUsize>::default();
    let connector = move |_| {
        let number = next.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let dialled = tokio::net::TcpStream::connect(addresses[number]);
        async move { dialled.await.map(keepline::net::Stream::from) }
    };
    // An answer keeps its connection until it has been read.
    let transport = Transport::builder()
        .connector(connector)
        .drain(0, Duration::ZERO)
        .for_every_key(KeySettings::new().idle_order(IdleOrder::LeastUsed));
    let transport = built(transport);
    let held = async |count: usize| {
        let mut held = Vec::new();
        for _ in 0..count {
            let response = transport.send(get("http://a/")).await.unwrap();
            let peer = super::support::info(&response).peer;
            held.push((peer, response));
        }
        held
    };
    for (_, response) in held(4).await {
        text(response.into_body()).await.unwrap();
    }
    for _ in 0..3 {
        let used = held(4).await;
        assert_ne!(used[0].0, used[1].0);
        assert_ne!(used[2].0, used[3].0);
        for (_, response) in used {
            text(response.into_body()).await.unwrap();
        }
    }
    assert_eq!(stats(&transport).opened.total(), 4);
}

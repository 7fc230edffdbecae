//! How long a connection is used: lifetime, requests, hints, and what is learned.

use std::time::Duration;

use keepline::client::TransportBuilder;
use keepline::{CloseReason, OpenReason, Transport};
use keepline_testkit::within;

use super::support::{Far, Pipes, closed, exchange, get, opened, stats, until_idle};

/// A Transport, and one request on it that is answered with these fields.
async fn ask(transport: &Transport, far: &mut Far, fields: &str) -> u64 {
    let request = tokio::spawn({
        let transport = transport.clone();
        async move { exchange(&transport, get("http://a/")).await }
    });
    far.read_head().await;
    far.send(format!(
        "HTTP/1.1 200 OK\r\n{fields}content-length: 1\r\n\r\nx"
    ))
    .await;
    within("the answer", request).await.unwrap().unwrap().1.id
}

async fn first(builder: TransportBuilder, pipes: &mut Pipes, fields: &str) -> (Transport, Far) {
    let transport = builder.build().unwrap();
    let request = tokio::spawn({
        let transport = transport.clone();
        async move { exchange(&transport, get("http://a/")).await }
    });
    let mut far = pipes.accept().await;
    far.read_head().await;
    far.send(format!(
        "HTTP/1.1 200 OK\r\n{fields}content-length: 1\r\n\r\nx"
    ))
    .await;
    request.await.unwrap().unwrap();
    (transport, far)
}

#[tokio::test(start_paused = true)]
async fn max_requests_retires_a_connection_softly() {
    let (builder, mut pipes) = Pipes::new(1 << 12);
    let (transport, mut far) = first(builder.max_requests(3), &mut pipes, "").await;
    assert_eq!(ask(&transport, &mut far, "").await, 1);
    assert_eq!(ask(&transport, &mut far, "").await, 1);
    assert_eq!(closed(&transport), [(CloseReason::MaxRequests, 1)]);
    let mut next = tokio::spawn({
        let transport = transport.clone();
        async move { exchange(&transport, get("http://a/")).await }
    });
    let mut far = pipes.accept().await;
    far.read_head().await;
    far.send("HTTP/1.1 204 No Content\r\n\r\n").await;
    assert_eq!(
        (&mut next).await.unwrap().unwrap().1.open_reason,
        OpenReason::MaxRequests
    );
}

#[tokio::test(start_paused = true)]
async fn a_lifetime_ends_between_exchanges() {
    let (builder, mut pipes) = Pipes::new(1 << 12);
    let builder = builder.lifetime(Duration::from_secs(10), 0.0);
    let (transport, mut far) = first(builder, &mut pipes, "").await;
    tokio::time::advance(Duration::from_secs(9)).await;
    assert_eq!(ask(&transport, &mut far, "").await, 1);
    // It leaves the pool by itself when its time has come.
    tokio::time::sleep(Duration::from_millis(1100)).await;
    assert_eq!(closed(&transport), [(CloseReason::Lifetime, 1)]);
    assert_eq!(far.read_to_end().await.0, b"");
}

/// Connections that were opened together are not closed together, and no request is lost meanwhile.
#[tokio::test(start_paused = true)]
async fn lifetimes_that_began_together_end_apart() {
    const CONNECTIONS: usize = 1000;
    let (builder, mut pipes) = Pipes::new(1 << 12);
    let transport = builder
        .lifetime(Duration::from_secs(10), 0.2)
        .idle_timeout(None)
        .max_idle(CONNECTIONS)
        .max_dials_per_key(CONNECTIONS)
        .build()
        .unwrap();
    let uri = "http://a/".parse().unwrap();
    assert_eq!(transport.warm(&uri, CONNECTIONS).unwrap(), CONNECTIONS);
    tokio::spawn(async move {
        loop {
            let mut far = pipes.accept().await;
            tokio::spawn(async move {
                // Until its connection is closed, which this does not survive.
                while !far.read_head().await.is_empty() {
                    far.send(super::support::ok("x")).await;
                }
            });
        }
    });
    until_idle(&transport, CONNECTIONS).await;
    let mut seen = Vec::new();
    for _ in 0..20 {
        tokio::time::sleep(Duration::from_millis(500)).await;
        let (_, info) = exchange(&transport, get("http://a/")).await.unwrap();
        assert!(info.age <= Duration::from_secs(10));
        seen.push(stats(&transport).closed.of(CloseReason::Lifetime));
    }
    // None before 8 s; then about a quarter in each half of a second, until all have gone.
    let [
        ..,
        seven_and_a_half,
        _,
        eight_and_a_half,
        nine,
        nine_and_a_half,
        ten,
    ] = seen[..]
    else {
        panic!("twenty looks");
    };
    assert_eq!(seven_and_a_half, 0, "{seen:?}");
    for (count, quarters) in [(eight_and_a_half, 1), (nine, 2), (nine_and_a_half, 3)] {
        let expected = 250 * quarters;
        assert!(
            (expected - 120..expected + 150).contains(&count),
            "{seen:?}"
        );
    }
    assert!(ten >= 990, "{seen:?}");
}

/// What a server says in Keep-Alive, in any spelling: seconds, not milliseconds, less a margin.
#[tokio::test(start_paused = true)]
async fn hints_are_honoured() {
    for (fields, idle_ms, reason) in [
        ("Keep-Alive: timeout=5\r\n", 3_900, None),
        (
            "Keep-Alive: timeout=5\r\n",
            4_100,
            Some(CloseReason::KeepAliveHint),
        ),
        (
            "kEEP-aLIVE: max=9 ,Timeout = \"5\"\r\n",
            4_100,
            Some(CloseReason::KeepAliveHint),
        ),
        (
            "keep-alive: timeout=0\r\n",
            0,
            Some(CloseReason::KeepAliveHint),
        ),
        (
            "keep-alive: timeout=1\r\n",
            0,
            Some(CloseReason::KeepAliveHint),
        ),
        ("keep-alive: timeout=1000000000000\r\n", 80_000, None),
        ("keep-alive: timeout=-1\r\n", 80_000, None),
        ("keep-alive: timeout=abc, max=-3\r\n", 80_000, None),
        ("keep-alive: max=0\r\n", 0, Some(CloseReason::MaxRequests)),
        ("keep-alive: max=1\r\n", 0, Some(CloseReason::MaxRequests)),
        ("keep-alive: max=2\r\n", 0, None),
    ] {
        let (builder, mut pipes) = Pipes::new(1 << 12);
        let (transport, far) = first(builder, &mut pipes, fields).await;
        tokio::time::sleep(Duration::from_millis(idle_ms)).await;
        let expected: Vec<_> = reason.into_iter().map(|reason| (reason, 1)).collect();
        assert_eq!(closed(&transport), expected, "{fields}");
        drop(far);
    }
}

/// `Keep-Alive: timeout=5, max=3`: the fourth request is on a new connection.
#[tokio::test(start_paused = true)]
async fn max_counts_the_requests_that_are_left() {
    let (builder, mut pipes) = Pipes::new(1 << 12);
    let hint = |left| format!("keep-alive: timeout=5, max={left}\r\n");
    let (transport, mut far) = first(builder, &mut pipes, &hint(3)).await;
    assert_eq!(ask(&transport, &mut far, &hint(2)).await, 1);
    assert_eq!(ask(&transport, &mut far, &hint(1)).await, 1);
    assert_eq!(closed(&transport), [(CloseReason::MaxRequests, 1)]);
}

/// A server that closes idle connections after two seconds, without saying so: after two closes
/// its connections are given up before.
#[tokio::test(start_paused = true)]
async fn an_idle_limit_is_learned_from_closes() {
    let (builder, mut pipes) = Pipes::new(1 << 12);
    let (transport, far) = first(builder, &mut pipes, "").await;
    let mut far = Some(far);
    for round in 1..=2 {
        tokio::time::sleep(Duration::from_secs(2)).await;
        drop(far.take());
        until_idle(&transport, 0).await;
        assert_eq!(stats(&transport).closed.of(CloseReason::PeerClosed), round);
        let request = tokio::spawn({
            let transport = transport.clone();
            async move { exchange(&transport, get("http://a/")).await }
        });
        let mut next = pipes.accept().await;
        next.read_head().await;
        next.send("HTTP/1.1 204 No Content\r\n\r\n").await;
        request.await.unwrap().unwrap();
        far = Some(next);
    }
    tokio::time::sleep(Duration::from_millis(1790)).await;
    assert_eq!(stats(&transport).idle, 1);
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert_eq!(
        stats(&transport).closed.of(CloseReason::LearnedIdleLimit),
        1
    );
    assert_eq!(
        opened(&transport),
        [(OpenReason::First, 1), (OpenReason::PeerClosed, 2)]
    );
}

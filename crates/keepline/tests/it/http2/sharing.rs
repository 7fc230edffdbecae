//! Requests share sessions, within what the peer allows.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use h2::server::Builder;
use http::Version;
use keepline::client::{Event, KeySettings};
use keepline::{CloseReason, ErrorKind, OpenReason, Phase, Transport};
use keepline_testkit::{Gate, within};

use super::support::{Server, echo_path, get, prior, say, strict};
use crate::client::support::{closed, info, opened, stats, until_closed, until_waiting};

/// A server that allows so many streams and counts how many there are at most in a session.
async fn limited(streams: u32, most: &Arc<AtomicUsize>) -> Server {
    let mut builder = Builder::new();
    builder.max_concurrent_streams(streams);
    let most = Arc::clone(most);
    Server::start(builder, move |_, mut session| {
        let (most, open) = (Arc::clone(&most), Arc::new(AtomicUsize::new(0)));
        async move {
            while let Some(Ok((request, respond))) = session.accept().await {
                let now = open.fetch_add(1, Ordering::Relaxed) + 1;
                most.fetch_max(now, Ordering::Relaxed);
                let open = Arc::clone(&open);
                tokio::spawn(async move {
                    for _ in 0..5 {
                        tokio::task::yield_now().await;
                    }
                    // Before the answer: its reader may ask again at once.
                    open.fetch_sub(1, Ordering::Relaxed);
                    echo_path(request, respond).await;
                });
            }
        }
    })
    .await
}

async fn ask_200(transport: &Transport, server: &Server) -> HashSet<u64> {
    let mut requests = tokio::task::JoinSet::new();
    for number in 0..200 {
        let (transport, url) = (transport.clone(), format!("{}{number}", server.url()));
        requests.spawn(async move {
            let response = transport.send(get(&url)).await.unwrap();
            let connection = info(&response).id;
            let text = response.into_body().text(100).await.unwrap();
            assert_eq!(text, format!("/{number}"));
            connection
        });
    }
    within("200 answers", requests.join_all())
        .await
        .into_iter()
        .collect()
}

#[tokio::test]
async fn two_hundred_requests_finish_against_a_peer_that_allows_ten_streams() {
    let most = Arc::default();
    let server = limited(10, &most).await;
    let transport = prior().max_connections_per_key(4).build().unwrap();
    let connections = ask_200(&transport, &server).await;
    assert!(connections.len() <= 4, "{connections:?}");
    assert!(most.load(Ordering::Relaxed) <= 10, "{most:?}");
    // A dial that nobody waits for any more is not waited for either.
    until_waiting(&transport, 0).await;
    let stats = stats(&transport);
    assert_eq!((stats.acquired, stats.retries, stats.busy), (200, 0, 0));
    assert_eq!(stats.first_use, stats.opened.total());
    transport.shutdown().await;
    assert_eq!(closed(&transport).len(), 1);
}

#[tokio::test]
async fn a_strict_client_waits_for_streams_on_one_connection() {
    let most = Arc::default();
    let server = limited(10, &most).await;
    let transport = strict();
    let connections = ask_200(&transport, &server).await;
    assert_eq!((connections.len(), server.accepted()), (1, 1));
    assert!(most.load(Ordering::Relaxed) <= 10, "{most:?}");
}

#[tokio::test]
async fn a_session_is_told_of_as_any_connection() {
    let server = Server::answering(Builder::new(), echo_path).await;
    let transport = prior().build().unwrap();
    let mut events = transport.events();
    for number in 1..=3 {
        let response = transport.send(get(&server.url())).await.unwrap();
        assert_eq!(response.version(), Version::HTTP_2);
        let info = info(&response);
        assert_eq!(
            (info.id, info.exchange_number, info.reused),
            (1, number, number > 1)
        );
        assert_eq!(info.idle_for.is_some(), number > 1);
        assert_eq!(info.timings.connect.is_some(), number == 1);
        assert_eq!(response.into_body().text(10).await.unwrap(), "/");
        // It rests before its reader sees the end.
        let stats = stats(&transport);
        assert_eq!((stats.idle, stats.busy, stats.acquired), (1, 0, number));
    }
    transport.shutdown().await;
    assert_eq!(opened(&transport), [(OpenReason::First, 1)]);
    assert_eq!(closed(&transport), [(CloseReason::Shutdown, 1)]);
    let mut told = Vec::new();
    while let Some(event) = events.try_next() {
        told.push(match event {
            Event::Wanted { .. } => "wanted",
            Event::Acquired { .. } => "acquired",
            Event::SentRequest { .. } => "sent",
            Event::Answered { .. } => "answered",
            Event::Closed { .. } => "closed",
            _ => continue,
        });
    }
    let exchange = "wanted acquired sent answered ";
    assert_eq!(told.join(" "), format!("{}closed", exchange.repeat(3)));
}

#[tokio::test]
async fn misses_share_one_dial_and_its_failure() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    drop(listener);
    let transport = prior().build().unwrap();
    let mut requests = tokio::task::JoinSet::new();
    for _ in 0..20 {
        let (transport, url) = (transport.clone(), url.clone());
        requests.spawn(async move { transport.send(get(&url)).await.unwrap_err() });
    }
    for error in within("20 errors", requests.join_all()).await {
        assert_eq!(error.kind(), ErrorKind::Connect, "{error}");
    }
    assert_eq!(stats(&transport).dial_failures, 1);
}

#[tokio::test]
async fn who_waits_for_a_stream_waits_no_longer_than_it_may_and_in_order() {
    let gate = Gate::new("go on");
    let mut builder = Builder::new();
    builder.max_concurrent_streams(1);
    let held = gate.clone();
    let server = Server::answering(builder, move |request, respond| {
        let held = held.clone();
        async move {
            held.opened().await;
            echo_path(request, respond).await;
        }
    })
    .await;
    let transport = prior()
        .max_connections_per_key(1)
        .acquire_timeout(Duration::from_millis(100))
        .build()
        .unwrap();
    let first = tokio::spawn({
        let (transport, url) = (transport.clone(), server.url());
        async move { transport.send(get(&url)).await }
    });
    keepline_testkit::until("the first to have its stream", || {
        (transport.stats().acquired == 1).then_some(())
    })
    .await;
    let error = transport.send(get(&server.url())).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Timeout(Phase::Acquire));
    // Nothing of it is left in the queue.
    until_waiting(&transport, 0).await;
    gate.open();
    first.await.unwrap().unwrap();
    transport.send(get(&server.url())).await.unwrap();
    assert_eq!(server.accepted(), 1);
}

#[tokio::test]
async fn requests_that_are_dropped_give_their_streams_back() {
    let (begun, ended) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let mut builder = Builder::new();
    builder.max_concurrent_streams(2);
    let (count, resets) = (Arc::clone(&begun), Arc::clone(&ended));
    let server = Server::answering(builder, move |request, mut respond| {
        let (count, resets) = (Arc::clone(&count), Arc::clone(&resets));
        async move {
            if request.uri().path() == "/answer" {
                return say(respond, Bytes::from_static(b"x"));
            }
            count.fetch_add(1, Ordering::Relaxed);
            let reset = std::future::poll_fn(|cx| respond.poll_reset(cx)).await;
            assert_eq!(reset.unwrap(), h2::Reason::CANCEL);
            resets.fetch_add(1, Ordering::Relaxed);
        }
    })
    .await;
    let transport = strict();
    for round in 1..=50 {
        let pending = tokio::spawn(request_of(transport.clone(), server.url()));
        keepline_testkit::until("the request to arrive", || {
            (begun.load(Ordering::Relaxed) == round).then_some(())
        })
        .await;
        pending.abort();
    }
    let last = transport.send(get(&format!("{}answer", server.url())));
    within("an answer", last).await.unwrap();
    keepline_testkit::until("all resets", || {
        (ended.load(Ordering::Relaxed) == 50).then_some(())
    })
    .await;
    assert_eq!((server.accepted(), stats(&transport).busy), (1, 0));
}

async fn request_of(transport: Transport, url: String) {
    let _ = transport.send(get(&url)).await;
}

#[tokio::test]
async fn limits_and_settings_of_a_key_hold_for_its_sessions() {
    let server = Server::answering(Builder::new(), echo_path).await;
    let none_kept = KeySettings::new().max_idle(0);
    let transport = prior().for_key(&server.url().parse().unwrap(), none_kept);
    let transport = transport.build().unwrap();
    for count in 1..=2 {
        let response = transport.send(get(&server.url())).await.unwrap();
        response.into_body().text(10).await.unwrap();
        until_closed(&transport, CloseReason::IdleLimit, count).await;
    }
    assert_eq!(server.accepted(), 2);
    assert_eq!(
        opened(&transport),
        [(OpenReason::First, 1), (OpenReason::ReuseOff, 1)]
    );
}

#[tokio::test]
async fn a_session_without_streams_makes_room_for_another_server() {
    let one = Server::answering(Builder::new(), echo_path).await;
    let other = Server::answering(Builder::new(), echo_path).await;
    let transport = prior().max_connections(1).build().unwrap();
    for server in [&one, &other, &one] {
        let asked = transport.send(get(&server.url()));
        let response = within("an answer", asked).await.unwrap();
        response.into_body().text(10).await.unwrap();
    }
    assert_eq!(closed(&transport), [(CloseReason::IdleLimit, 2)]);
    assert_eq!(
        opened(&transport),
        [(OpenReason::First, 2), (OpenReason::Evicted, 1)]
    );
}

#[tokio::test]
async fn a_session_can_be_opened_ahead_of_need() {
    let server = Server::answering(Builder::new(), echo_path).await;
    let uri = server.url().parse().unwrap();
    let transport = prior().build().unwrap();
    assert_eq!(transport.warm(&uri, 1).unwrap(), 1);
    until_sessions(&transport, 1).await;
    for _ in 0..3 {
        let response = transport.send(get(&server.url())).await.unwrap();
        assert_eq!(info(&response).open_reason, OpenReason::WarmUp);
        response.into_body().text(10).await.unwrap();
    }
    assert_eq!((server.accepted(), stats(&transport).idle), (1, 1));
}

async fn until_sessions(transport: &Transport, count: usize) {
    keepline_testkit::until(format!("{count} sessions"), || {
        (stats(transport).open() == count).then_some(())
    })
    .await;
}

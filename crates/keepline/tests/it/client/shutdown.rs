//! The end of a Transport: what is idle is closed, what waits is told, what is in use is waited
//! for, and the counts add up to nothing.

use std::time::Duration;

use keepline::{CloseReason, ErrorKind, Transport};
use keepline_testkit::peer::{Ending, Peer};
use keepline_testkit::sockets::{Sockets, State};
use keepline_testkit::{Gate, within};

use super::support::{
    always, answer, chunked, closed, fed_body, fetch, gated, get, head, ok, opened, request, stats,
    text, until_waiting,
};

#[tokio::test]
async fn it_ends_when_the_last_body_has_and_everything_is_closed() {
    let peer = Peer::start(always(chunked("x")));
    let transport = Transport::default();
    let busy = head(&transport, &peer).await;
    fetch(&transport, &peer).await.unwrap();
    let ending = tokio::spawn({
        let transport = transport.clone();
        async move { transport.shutdown().await }
    });
    assert_eq!(peer.connection_closed(1).await, Ending::ClientClosed);
    assert!(!ending.is_finished());
    let refused = fetch(&transport, &peer).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Shutdown);
    assert_eq!(text(busy.into_body()).await.unwrap(), "x");
    within("the end", ending).await.unwrap();
    let stats = stats(&transport);
    assert_eq!((stats.open(), stats.dialling, stats.waiting), (0, 0, 0));
    assert_eq!(stats.opened.total(), 2);
    assert_eq!(closed(&transport), [(CloseReason::Shutdown, 2)]);
    Sockets::to_port(peer.addr().port())
        .in_state(State::Established)
        .until(0)
        .await;
}

#[tokio::test]
async fn who_waits_is_told_and_dials_are_given_up() {
    let gate = Gate::new("never");
    let peer = Peer::start(always(chunked("x")));
    let (transport, _) = gated(&gate, &peer, 2);
    let busy = transport.send(get("http://a/")).await.unwrap();
    let waiters: Vec<_> = (0..5)
        .map(|_| {
            let transport = transport.clone();
            tokio::spawn(async move { transport.send(get("http://a/")).await })
        })
        .collect();
    until_waiting(&transport, 5).await;
    let ending = tokio::spawn({
        let transport = transport.clone();
        async move { transport.shutdown().await }
    });
    for waiter in waiters {
        let error = within("an error", waiter).await.unwrap().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Shutdown);
    }
    drop(busy);
    within("the end", ending).await.unwrap();
    let stats = stats(&transport);
    assert_eq!((stats.open(), stats.dialling, stats.waiting), (0, 0, 0));
    gate.open();
}

#[tokio::test]
async fn a_drain_in_progress_is_waited_for() {
    let peer = Peer::start(answer("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nh"));
    let transport = Transport::builder()
        .drain(100, Duration::from_millis(20))
        .build()
        .unwrap();
    drop(head(&transport, &peer).await);
    within("the end", transport.shutdown()).await;
    assert_eq!(closed(&transport), [(CloseReason::NotDrained, 1)]);
    assert_eq!(peer.connection_closed(0).await, Ending::ClientClosed);
}

#[tokio::test]
async fn it_may_be_called_twice_cancelled_and_called_with_nothing_to_do() {
    let transport = Transport::default();
    within("the end", transport.shutdown()).await;
    within("the end", transport.shutdown()).await;
    let peer = Peer::start(always(chunked("x")));
    let transport = Transport::default();
    let busy = head(&transport, &peer).await;
    let ending = tokio::time::timeout(Duration::ZERO, transport.shutdown()).await;
    assert!(ending.is_err());
    assert!(
        fetch(&transport, &peer).await.is_err(),
        "the shutdown stays"
    );
    drop(busy);
    within("the end", transport.shutdown()).await;
    assert_eq!(stats(&transport).open(), 0);
}

/// All that can be in progress at once, and then the sum.
#[tokio::test]
async fn the_closed_add_up_to_the_opened() {
    let peer = Peer::start(always(ok("x")));
    let chunks = Peer::start(always(chunked("x")));
    let close = "HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 0\r\n\r\n";
    let closing = Peer::start(always(close));
    let transport = Transport::builder().max_idle_per_key(2).build().unwrap();
    let mut bodies = Vec::new();
    for _ in 0..5 {
        fetch(&transport, &peer).await.unwrap();
        fetch(&transport, &closing).await.unwrap();
        bodies.push(head(&transport, &chunks).await);
    }
    for (number, body) in bodies.into_iter().enumerate() {
        if number % 2 == 0 {
            text(body.into_body()).await.unwrap();
        }
    }
    let (feed, body) = fed_body();
    let cancelled = tokio::spawn({
        let (transport, asked) = (transport.clone(), request("POST", &peer.url("/"), body));
        async move { transport.send(asked).await }
    });
    tokio::task::yield_now().await;
    cancelled.abort();
    drop(feed);
    within("the end", transport.shutdown()).await;
    let sum = |counts: &[u64]| counts.iter().sum::<u64>();
    let opened: Vec<u64> = opened(&transport).iter().map(|x| x.1).collect();
    let closed: Vec<u64> = closed(&transport).iter().map(|x| x.1).collect();
    assert_eq!(sum(&opened), sum(&closed));
    assert_eq!(stats(&transport).open(), 0);
}

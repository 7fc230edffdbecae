//! A Transport that several runtimes share, as a static one does. A runtime may end at any time,
//! and takes along what lives on it and nothing else.

use std::time::Duration;

use keepline::{CloseReason, OpenReason, Transport};
use keepline_testkit::Gate;
use keepline_testkit::peer::{Ending, Peer, Script};
use tokio::runtime::{Builder, Runtime};

use super::support::{
    always, answer, chunked, closed, exchange, fetch, gated, get, head, ok, opened, stats, text,
    until_idle, until_waiting,
};

fn current_thread() -> Runtime {
    Builder::new_current_thread().enable_all().build().unwrap()
}

#[test]
fn a_dead_runtimes_connections_are_dropped_and_the_next_one_dials() {
    for kind in ["current thread", "multi thread"] {
        let make = || match kind {
            "current thread" => current_thread(),
            _ => Runtime::new().unwrap(),
        };
        let peer = Peer::start(always(ok("x")));
        let transport = Transport::default();
        let first = make();
        let (_, info) = first.block_on(fetch(&transport, &peer)).unwrap();
        assert_eq!(info.id, 1, "{kind}");
        drop(first);
        assert_eq!(closed(&transport), [(CloseReason::Shutdown, 1)], "{kind}");
        let second = make();
        let (body, info) = second.block_on(fetch(&transport, &peer)).unwrap();
        assert_eq!((body.as_str(), info.id, info.reused), ("x", 2, false));
        assert_eq!(opened(&transport), [(OpenReason::First, 2)]);
        assert!(second.block_on(fetch(&transport, &peer)).unwrap().1.reused);
        assert_eq!(
            second.block_on(peer.connection_closed(0)),
            Ending::ClientClosed
        );
    }
}

/// A runtime takes the connections of another one only if it has none itself, whichever came back
/// last.
#[test]
fn a_runtime_uses_its_own_connections_first() {
    let (mine, other) = (current_thread(), current_thread());
    let peer = Peer::start(always(ok("hello")));
    // An answer keeps its connection until it has been read.
    let transport = Transport::builder().drain(0, Duration::ZERO).build();
    let transport = transport.unwrap();
    // The first stays busy, so that the other runtime dials too.
    let held = mine.block_on(head(&transport, &peer));
    let (_, info_of_other) = other.block_on(fetch(&transport, &peer)).unwrap();
    let own = super::support::info(&held).id;
    mine.block_on(text(held.into_body())).unwrap();
    for _ in 0..3 {
        let (_, info) = other.block_on(fetch(&transport, &peer)).unwrap();
        assert_eq!(info.id, info_of_other.id);
        let (_, info) = mine.block_on(fetch(&transport, &peer)).unwrap();
        assert_eq!(info.id, own);
    }
    assert_eq!(stats(&transport).opened.total(), 2);
    // With its own in use, it takes the other one.
    let held = mine.block_on(head(&transport, &peer));
    let (_, info) = mine.block_on(fetch(&transport, &peer)).unwrap();
    assert_eq!(info.id, info_of_other.id);
    drop(held);
}

/// And works there when the runtime that opened it has gone.
#[test]
fn a_connection_moves_to_the_runtime_that_uses_it() {
    let peer = Peer::start(always(ok("x")));
    let transport = Transport::default();
    let (first, second) = (current_thread(), current_thread());
    first.block_on(fetch(&transport, &peer)).unwrap();
    let (_, info) = second.block_on(fetch(&transport, &peer)).unwrap();
    assert_eq!((info.id, info.reused), (1, true));
    drop(first);
    let (_, info) = second.block_on(fetch(&transport, &peer)).unwrap();
    assert_eq!((info.id, info.exchange_number), (1, 3));
    assert_eq!((peer.accepted(), stats(&transport).closed.total()), (1, 0));
}

/// The runtime that opened it never runs again, so it cannot tell; the kernel can.
#[test]
fn what_arrived_on_a_sleeping_runtimes_connection_is_noticed() {
    let (gate, done) = (Gate::new("idle"), Gate::new("done"));
    let evil = answer(ok("x")).wait_for(&gate).send(ok("evil")).open(&done);
    let peer = Peer::start_each([evil, always(ok("good"))]);
    let transport = Transport::default();
    let (first, second) = (current_thread(), current_thread());
    first.block_on(fetch(&transport, &peer)).unwrap();
    gate.open();
    second.block_on(done.opened());
    let (body, _) = second.block_on(fetch(&transport, &peer)).unwrap();
    assert_eq!(body, "good");
    assert_eq!(closed(&transport), [(CloseReason::UnsolicitedBytes, 1)]);
}

/// The reaper that knows of an idle connection first may never run again.
#[test]
fn each_runtime_cares_for_its_own_idle_connections() {
    let peers = [Peer::start(always(ok("x"))), Peer::start(always(ok("x")))];
    let transport = Transport::builder()
        .idle_timeout(Duration::from_millis(50))
        .build()
        .unwrap();
    let (sleeping, awake) = (current_thread(), current_thread());
    // Let the second runtime's reaper find nothing to care for.
    awake.block_on(async {
        fetch(&transport, &peers[1]).await.unwrap();
        peers[1].connection_closed(0).await;
        tokio::task::yield_now().await;
    });
    sleeping.block_on(fetch(&transport, &peers[0])).unwrap();
    awake.block_on(async {
        fetch(&transport, &peers[1]).await.unwrap();
        assert_eq!(peers[1].connection_closed(1).await, Ending::ClientClosed);
    });
    drop(sleeping);
}

/// Waiters of another runtime ask again, and dial on their own.
#[test]
fn a_dial_that_dies_with_its_runtime_leaves_nobody_waiting() {
    let gate = Gate::new("the second dial");
    let peer = Peer::start(always(chunked("x")));
    let (transport, dials) = gated(&gate, &peer, 1);
    let (dying, living) = (current_thread(), current_thread());
    let busy = living.block_on(head_of(&transport));
    let doomed = transport.clone();
    dying.spawn(async move { doomed.send(get("http://a/")).await });
    dying.block_on(until_waiting(&transport, 1));
    dying.block_on(async { tokio::task::yield_now().await });
    let waiters: Vec<_> = (0..3)
        .map(|_| {
            let transport = transport.clone();
            living.spawn(async move { exchange(&transport, get("http://a/")).await.unwrap().0 })
        })
        .collect();
    living.block_on(until_waiting(&transport, 4));
    drop(dying);
    gate.open();
    living.block_on(async {
        for waiter in waiters {
            let served = keepline_testkit::within("a waiter", waiter).await;
            assert_eq!(served.unwrap(), "x");
        }
    });
    drop(busy);
    let _ = dials;
    living.block_on(async {
        keepline_testkit::until("no dial is left", || {
            (stats(&transport).dialling == 0).then_some(())
        })
        .await;
    });
    assert_eq!(stats(&transport).waiting, 0);
}

async fn head_of(transport: &Transport) -> http::Response<keepline::Body> {
    transport.send(get("http://a/")).await.unwrap()
}

#[test]
fn a_body_outlives_the_runtime_it_came_from() {
    let first = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nh";
    for is_read in [true, false] {
        let peer = Peer::start_each([answer(first), always(ok("next"))]);
        let transport = Transport::default();
        let (dying, living) = (current_thread(), current_thread());
        let body = dying.block_on(head(&transport, &peer)).into_body();
        drop(dying);
        if is_read {
            let error = living.block_on(text(body)).unwrap_err();
            assert_eq!(error.fault(), keepline::Fault::Network);
        } else {
            drop(body);
        }
        assert_eq!(stats(&transport).busy, 0);
        let (next, _) = living.block_on(fetch(&transport, &peer)).unwrap();
        assert_eq!(next, "next");
    }
}

/// A drain runs on the connection's runtime, wherever its body was dropped.
#[test]
fn a_drain_dies_with_its_runtime_and_is_counted() {
    let first = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nh";
    let peer = Peer::start(Script::new().expect_head().send(first));
    let transport = Transport::builder()
        .drain(100, Duration::from_secs(600))
        .build()
        .unwrap();
    let (dying, living) = (current_thread(), current_thread());
    let body = dying.block_on(head(&transport, &peer)).into_body();
    living.block_on(async { drop(body) });
    assert_eq!(stats(&transport).busy, 1);
    drop(dying);
    assert_eq!(closed(&transport), [(CloseReason::NotDrained, 1)]);
    living.block_on(transport.shutdown());
}

/// A runtime that ends before anything on it was polled once more.
#[test]
fn a_runtime_may_end_right_after_its_request() {
    let peer = Peer::start(always(ok("x")));
    let transport = Transport::default();
    for number in 1..=20 {
        let runtime = current_thread();
        let (_, info) = runtime.block_on(fetch(&transport, &peer)).unwrap();
        assert_eq!((info.id, info.reused), (number, false));
        drop(runtime);
        assert_eq!(stats(&transport).idle, 0);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn workers_of_one_runtime_share_connections() {
    let peer = std::sync::Arc::new(Peer::start(always(chunked("x"))));
    let transport = Transport::default();
    let workers: Vec<_> = (0..8)
        .map(|_| {
            let (transport, peer) = (transport.clone(), peer.clone());
            tokio::spawn(async move {
                for _ in 0..100 {
                    assert_eq!(fetch(&transport, &peer).await.unwrap().0, "x");
                }
            })
        })
        .collect();
    for worker in workers {
        worker.await.unwrap();
    }
    let counts = stats(&transport);
    assert_eq!((counts.acquired, counts.retries, counts.busy), (800, 0, 0));
    until_idle(&transport, stats(&transport).idle).await;
    assert!(peer.accepted() < 100, "{} connections", peer.accepted());
}

//! Requests that wait: for a connection that comes back, or for a dial, whichever is first.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use keepline::net::Stream;
use keepline::{CloseReason, OpenReason, Transport};
use keepline_testkit::peer::{Peer, Script};
use keepline_testkit::{Gate, until, within};

use super::support::{
    always, answer, chunked, exchange, fetch, gated, get, head, ok, opened, stats, text,
    until_idle, until_waiting,
};

fn ask(transport: &Transport) -> tokio::task::JoinHandle<(String, keepline::ConnectionInfo)> {
    let transport = transport.clone();
    tokio::spawn(async move { exchange(&transport, get("http://a/")).await.unwrap() })
}

/// Go: a freed connection goes to the request that dials; the spare one becomes idle.
#[tokio::test]
async fn a_waiter_takes_a_connection_that_comes_back_and_its_dial_feeds_the_pool() {
    let gate = Gate::new("the second dial");
    let peer = Peer::start(always(chunked("x")));
    let (transport, dials) = gated(&gate, &peer, 64);
    let busy = transport.send(get("http://a/")).await.unwrap();
    let waiter = ask(&transport);
    until_waiting(&transport, 1).await;
    assert_eq!(stats(&transport).dialling, 1);
    text(busy.into_body()).await.unwrap();
    let (_, info) = waiter.await.unwrap();
    assert_eq!((info.id, info.reused, info.idle_for), (1, true, None));
    gate.open();
    until_idle(&transport, 2).await;
    assert_eq!(dials.load(Ordering::Relaxed), 2);
    assert_eq!(
        opened(&transport),
        [(OpenReason::First, 1), (OpenReason::AllBusy, 1)]
    );
    // It is the newest, and has carried nothing: that is no reuse.
    let (_, info) = exchange(&transport, get("http://a/")).await.unwrap();
    assert_eq!((info.id, info.reused, info.exchange_number), (2, false, 1));
    let stats = stats(&transport);
    assert_eq!((stats.acquired, stats.reused, stats.first_use), (3, 1, 2));
}

#[tokio::test]
async fn waiters_are_served_in_the_order_in_which_they_came() {
    let gate = Gate::new("further dials");
    let script = Script::new().repeat_forever(answer(chunked("x")));
    let peer = Peer::start(script);
    let (transport, _) = gated(&gate, &peer, 64);
    let busy = transport.send(get("http://a/")).await.unwrap();
    let mut waiters = Vec::new();
    for number in 0..5 {
        let asked = get(&format!("http://a/{number}"));
        let cloned = transport.clone();
        waiters.push(tokio::spawn(async move {
            exchange(&cloned, asked).await.unwrap().1.id
        }));
        until_waiting(&transport, number + 1).await;
    }
    text(busy.into_body()).await.unwrap();
    for waiter in waiters {
        assert_eq!(waiter.await.unwrap(), 1);
    }
    let asked: Vec<String> = peer.heads(0).iter().map(|x| x[4..7].to_owned()).collect();
    assert_eq!(asked, ["/ H", "/0 ", "/1 ", "/2 ", "/3 ", "/4 "]);
    gate.open();
}

#[tokio::test]
async fn no_more_dials_than_allowed_are_in_progress_and_everybody_is_served() {
    let gate = Gate::new("further dials");
    let peer = Peer::start(always(chunked("x")));
    let (transport, dials) = gated(&gate, &peer, 3);
    let busy = transport.send(get("http://a/")).await.unwrap();
    let waiters: Vec<_> = (0..10).map(|_| ask(&transport)).collect();
    until_waiting(&transport, 10).await;
    assert_eq!(
        (stats(&transport).dialling, dials.load(Ordering::Relaxed)),
        (3, 4)
    );
    gate.open();
    for waiter in waiters {
        assert_eq!(within("a waiter", waiter).await.unwrap().0, "x");
    }
    drop(busy);
    until("the end of all dials", || {
        (stats(&transport).dialling == 0).then_some(())
    })
    .await;
}

/// The dials that fail are those of the queue; each failure is told once, and the next starts.
#[tokio::test]
async fn a_failed_dial_is_told_to_one_and_the_next_one_starts() {
    let transport = Transport::builder()
        .connector(|_| async { Err(std::io::ErrorKind::ConnectionRefused.into()) })
        .max_dials_per_key(2)
        .build()
        .unwrap();
    let asked: Vec<_> = (0..20)
        .map(|_| {
            let transport = transport.clone();
            tokio::spawn(async move { transport.send(get("http://a/")).await })
        })
        .collect();
    for asked in asked {
        let error = within("an error", asked).await.unwrap().unwrap_err();
        assert_eq!(error.kind(), keepline::ErrorKind::Connect);
    }
    let stats = stats(&transport);
    assert_eq!(
        (stats.dial_failures, stats.dialling, stats.waiting),
        (20, 0, 0)
    );
}

#[tokio::test]
async fn a_thousand_misses_at_once_are_all_served() {
    const REQUESTS: usize = 1000;
    let peer = Peer::start(always(ok("x")));
    let transport = Transport::builder().max_idle(REQUESTS).build().unwrap();
    let most = Arc::new(AtomicUsize::new(0));
    let asked: Vec<_> = (0..REQUESTS)
        .map(|_| {
            let (transport, most) = (transport.clone(), Arc::clone(&most));
            let asked = get(&peer.url("/"));
            tokio::spawn(async move {
                let answer = exchange(&transport, asked).await;
                most.fetch_max(transport.stats().dialling, Ordering::Relaxed);
                answer.unwrap().0
            })
        })
        .collect();
    for asked in asked {
        assert_eq!(asked.await.unwrap(), "x");
    }
    assert!(most.load(Ordering::Relaxed) <= 64);
    until("the end of all dials", || {
        (stats(&transport).dialling == 0).then_some(())
    })
    .await;
    let stats = stats(&transport);
    assert_eq!((stats.acquired, stats.waiting, stats.busy), (1000, 0, 0));
    assert_eq!(stats.idle as u64, stats.opened.total());
    peer.connections_accepted(stats.idle).await;
    assert_eq!(peer.accepted(), stats.idle);
}

/// A retry dials beside the queue. Its dial feeds nobody, so nobody may count on it.
#[tokio::test]
async fn a_dial_beside_the_queue_takes_no_place_of_the_queue() {
    let gate = Gate::new("further dials");
    let first = answer(ok("x")).expect_head().close();
    let peer = Peer::start_each([first, always(ok("new"))]);
    let (transport, _) = gated(&gate, &peer, 2);
    exchange(&transport, get("http://a/")).await.unwrap();
    // Sent on the idle connection, which dies of it; the retry dials, and stops at the gate.
    let retried = ask(&transport);
    until("the retry", || {
        (transport.stats().retries == 1).then_some(())
    })
    .await;
    until("its dial", || {
        (stats(&transport).dialling == 1).then_some(())
    })
    .await;
    let other = ask(&transport);
    until("the other's dial", || {
        (stats(&transport).dialling == 2).then_some(())
    })
    .await;
    retried.abort();
    assert!(retried.await.is_err());
    gate.open();
    assert_eq!(within("the other", other).await.unwrap().0, "new");
}

/// One dial at a time, a drain that fails, and a server that keeps no connection: nobody is left.
#[tokio::test]
async fn nobody_waits_in_vain_for_a_drain_that_fails() {
    let (gate, cut) = (
        Gate::new("further dials"),
        Gate::new("the end of the drain"),
    );
    let half = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nh";
    let close = "HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 1\r\n\r\nx";
    let peer = Peer::start_each([answer(half).wait_for(&cut).close(), answer(close)]);
    let (transport, _) = gated(&gate, &peer, 1);
    let body = transport.send(get("http://a/")).await.unwrap().into_body();
    let one = ask(&transport);
    until_waiting(&transport, 1).await;
    drop(body);
    let other = ask(&transport);
    until_waiting(&transport, 2).await;
    gate.open();
    assert_eq!(within("one", one).await.unwrap().0, "x");
    cut.open();
    assert_eq!(within("the other", other).await.unwrap().0, "x");
}

/// A server that accepts only to close: each such connection would be dialled again for ever.
#[tokio::test]
async fn a_connection_that_is_dead_on_arrival_fails_its_request() {
    let dials = Arc::new(AtomicUsize::new(0));
    for (greeting, unsolicited) in [("", false), ("220 ready\r\n", true)] {
        let count = Arc::clone(&dials);
        let transport = Transport::builder()
            .connector(move |_| {
                count.fetch_add(1, Ordering::Relaxed);
                let (near, far) = keepline_testkit::stream::duplex(64);
                async move {
                    use tokio::io::AsyncWriteExt;
                    let mut far = far;
                    far.write_all(greeting.as_bytes()).await?;
                    drop(far);
                    Ok(Stream::new(near))
                }
            })
            .build()
            .unwrap();
        let error = within("an error", transport.send(get("http://a/")))
            .await
            .unwrap_err();
        assert_eq!(error.fault(), keepline::Fault::Remote);
        let info = error.connection().expect("there was one");
        assert_eq!((info.reused, info.bytes_written), (false, 0));
        let reason = if unsolicited {
            CloseReason::UnsolicitedBytes
        } else {
            CloseReason::PeerClosed
        };
        assert_eq!(super::support::closed(&transport), [(reason, 1)]);
    }
    assert_eq!(dials.load(Ordering::Relaxed), 2);
}

#[tokio::test]
async fn one_connection_serves_one_request_at_a_time() {
    const WORKERS: usize = 16;
    let script = Script::new().repeat_forever(answer(chunked("x")));
    let peer = Arc::new(Peer::start(script));
    let transport = Transport::default();
    let workers: Vec<_> = (0..WORKERS)
        .map(|_| {
            let (transport, peer) = (transport.clone(), Arc::clone(&peer));
            tokio::spawn(async move {
                for _ in 0..30 {
                    let response = head(&transport, &peer).await;
                    tokio::task::yield_now().await;
                    assert_eq!(text(response.into_body()).await.unwrap(), "x");
                }
            })
        })
        .collect();
    for worker in workers {
        worker.await.unwrap();
    }
    fetch(&transport, &peer).await.unwrap();
    let served: usize = (0..peer.accepted()).map(|n| peer.heads(n).len()).sum();
    assert_eq!(served, WORKERS * 30 + 1);
    assert_eq!(stats(&transport).acquired as usize, served);
}

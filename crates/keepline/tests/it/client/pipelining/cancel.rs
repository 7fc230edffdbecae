//! Requests that are given up, at every point on their way.

use std::time::Duration;

use keepline::{CloseReason, Transport};
use keepline_testkit::{until, within};
use tokio::runtime::Builder;

use super::super::support::{Pipes, exchange, get, is_pending, ok, stats, text, until_idle};
use super::{
    answered, ask, ask_all, closed_for, leaves_nothing, path, paths, serve, tokens, trusting,
    trusting_with,
};

#[tokio::test]
async fn one_that_waits_leaves_nothing_behind() {
    let (builder, mut pipes) = Pipes::new(1 << 16);
    let transport = builder.pipeline(4).build().unwrap();
    let first = ask(&transport, "a");
    let mut far = pipes.accept().await;
    path(&mut far).await;
    {
        let mut waits = std::pin::pin!(transport.send(get("http://a/gone")));
        assert!(is_pending(&mut waits).await);
    }
    let next = ask(&transport, "b");
    far.send(ok("a")).await;
    assert_eq!(answered(first).await.unwrap().0, "a");
    assert_eq!(path(&mut far).await, "b");
    far.send(ok("b")).await;
    assert_eq!(answered(next).await.unwrap().0, "b");
    leaves_nothing(&transport).await;
}

#[tokio::test]
async fn one_that_waits_for_the_dial_leaves_nothing_behind() {
    let (builder, mut pipes) = Pipes::new(1 << 16);
    let transport = builder.pipeline(4).build().unwrap();
    {
        let mut waits = std::pin::pin!(transport.send(get("http://a/gone")));
        assert!(is_pending(&mut waits).await);
    }
    // The dial feeds the pool.
    let _far = pipes.accept().await;
    until_idle(&transport, 1).await;
    assert_eq!(stats(&transport).acquired, 0);
    leaves_nothing(&transport).await;
}

/// Its answer is received and thrown away, and the others get theirs.
#[tokio::test]
async fn one_on_its_way_is_answered_for_nobody() {
    for gone in 0..3 {
        let (transport, _pipes, mut far) = trusting(8).await;
        let mut asked = ask_all(&transport, ["a", "b", "c"]);
        paths(&mut far, 3).await;
        let cancelled = asked.remove(gone);
        cancelled.abort();
        assert!(cancelled.await.unwrap_err().is_cancelled());
        far.send(tokens(&["a", "b", "c"])).await;
        let mut names = vec!["a", "b", "c"];
        names.remove(gone);
        assert_eq!(super::texts(asked).await, names);
        until_idle(&transport, 1).await;
        assert_eq!(stats(&transport).opened.total(), 1);
        leaves_nothing(&transport).await;
    }
}

/// An answer that nobody wants and that does not come holds the others up for the drain time, no
/// longer: the connection is cut, and they are sent again.
#[tokio::test(start_paused = true)]
async fn the_first_one_is_waited_for_as_long_as_a_drain_may_take() {
    let (transport, mut pipes, mut far) = trusting(8).await;
    let mut asked = ask_all(&transport, ["a", "b"]);
    paths(&mut far, 2).await;
    let started = tokio::time::Instant::now();
    asked.remove(0).abort();
    let mut next = pipes.accept().await;
    assert_eq!(started.elapsed().as_millis(), 50);
    serve(&mut next, 1).await;
    assert_eq!(super::texts(asked).await, ["b"]);
    assert_eq!(closed_for(&transport, CloseReason::Cancelled), 1);
    leaves_nothing(&transport).await;
}

#[tokio::test]
async fn with_draining_off_a_cancelled_answer_cuts_the_connection() {
    let off = |x: keepline::client::TransportBuilder| x.drain(0, Duration::ZERO);
    let (transport, mut pipes, mut far) = trusting_with(8, off).await;
    let mut asked = ask_all(&transport, ["a", "b"]);
    paths(&mut far, 2).await;
    asked.remove(0).abort();
    let mut next = pipes.accept().await;
    serve(&mut next, 1).await;
    assert_eq!(super::texts(asked).await, ["b"]);
    assert_eq!(closed_for(&transport, CloseReason::Cancelled), 1);
}

/// However far an answer has come when its asker goes.
#[tokio::test]
async fn an_answer_may_be_dropped_after_any_byte() {
    let whole = ok("0123456789");
    for sent in 0..=whole.len() {
        let (transport, _pipes, mut far) = trusting(8).await;
        let asked = ask(&transport, "a");
        let behind = ask(&transport, "b");
        paths(&mut far, 2).await;
        far.send(&whole[..sent]).await;
        for _ in 0..10 {
            tokio::task::yield_now().await;
        }
        asked.abort();
        let _ = asked.await;
        far.send([&whole[sent..], &ok("b")].concat()).await;
        assert_eq!(answered(behind).await.unwrap().0, "b", "after {sent} bytes");
        until_idle(&transport, 1).await;
        leaves_nothing(&transport).await;
    }
}

/// The runtime of a line ends: who asked there, and is driven elsewhere, asks again.
#[test]
fn a_line_that_dies_with_its_runtime_leaves_nobody_waiting() {
    for retry in [true, false] {
        let make = || Builder::new_current_thread().enable_all().build().unwrap();
        let (first, second) = (make(), make());
        let (transport, mut pipes, mut far) = first.block_on(trusting_with(8, |x| x.retry(retry)));
        let mut asked = std::pin::pin!(exchange(&transport, get("http://a/a")));
        first.block_on(async {
            assert!(is_pending(&mut asked).await);
            assert_eq!(path(&mut far).await, "a");
        });
        drop(first);
        second.block_on(async {
            let server = async {
                let mut next = pipes.accept().await;
                serve(&mut next, 1).await;
                next
            };
            let (answer, _next) = tokio::join!(asked, server);
            assert_eq!(answer.unwrap().0, "a");
            // Its connection was not lost by the server: it is sent again in any case, and counted.
            assert_eq!(stats(&transport).retries, 1);
            leaves_nothing(&transport).await;
        });
    }
}

/// A runtime that lives, and that nobody drives, keeps its own requests waiting, no others.
#[test]
fn a_line_on_a_runtime_that_stands_still_keeps_nobody_waiting() {
    let make = || Builder::new_current_thread().enable_all().build().unwrap();
    let (still, driven) = (make(), make());
    let (transport, mut pipes, mut far) = still.block_on(trusting(8));
    let held = {
        let _guard = still.enter();
        ask(&transport, "held")
    };
    still.block_on(async { assert_eq!(path(&mut far).await, "held") });
    driven.block_on(async {
        let asked = ask_all(&transport, ["a", "b"]);
        let mut own = pipes.accept().await;
        // What was learned of the server is known here too.
        assert_eq!(paths(&mut own, 2).await, ["a", "b"]);
        own.send(tokens(&["a", "b"])).await;
        assert_eq!(super::texts(asked).await, ["a", "b"]);
        until("its connection rests", || {
            (stats(&transport).idle == 1).then_some(())
        })
        .await;
    });
    still.block_on(async {
        far.send(ok("held")).await;
        assert_eq!(answered(held).await.unwrap().0, "held");
        until_idle(&transport, 2).await;
    });
    driven.block_on(leaves_nothing(&transport));
}

/// Many requests that are given up at random points, over real sockets.
#[tokio::test]
async fn cancels_at_random_leave_nothing_behind() {
    use keepline_testkit::peer::Peer;
    let peer = Peer::start(super::super::support::always(ok("content")));
    let transport = Transport::builder().pipeline(8).build().unwrap();
    let mut seed = 7_u64;
    let mut random = move |below: u64| {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (seed >> 33) % below
    };
    for _ in 0..200 {
        let steps: Vec<u64> = (0..10).map(|_| random(20)).collect();
        let asked: Vec<_> = steps
            .into_iter()
            .map(|steps| {
                let (transport, url) = (transport.clone(), peer.url("/"));
                tokio::spawn(async move {
                    let whole = async {
                        let response = transport.send(get(&url)).await.unwrap();
                        text(response.into_body()).await.unwrap()
                    };
                    let mut whole = std::pin::pin!(whole);
                    for _ in 0..steps {
                        if !is_pending(&mut whole).await {
                            return;
                        }
                        tokio::task::yield_now().await;
                    }
                })
            })
            .collect();
        for asked in asked {
            within("a worker", asked).await.unwrap();
        }
    }
    leaves_nothing(&transport).await;
}

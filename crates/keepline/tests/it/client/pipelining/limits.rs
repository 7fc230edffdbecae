//! Limits, times and the shutdown, as they hold for requests that share connections.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use keepline::{Body, CloseReason, ErrorKind, OpenReason, Phase};
use keepline_testkit::peer::Peer;
use keepline_testkit::within;
use tokio::time::Instant;

use super::super::support::{
    Pipes, always, exchange, fetch, get, ok, opened, request, stats, until_closed,
};
use super::{
    answered, ask, ask_all, leaves_nothing, path, paths, post, serve, texts, tokens, trusting,
    trusting_with,
};

/// With the limit of one connection everything goes over it, in the order in which it was asked.
#[tokio::test]
async fn the_limit_on_connections_holds() {
    let (builder, mut pipes) = Pipes::new(1 << 16);
    let transport = builder
        .pipeline(4)
        .max_connections_per_key(1)
        .build()
        .unwrap();
    let names: Vec<String> = (0..50).map(|x| x.to_string()).collect();
    let asked = ask_all(&transport, names.iter().map(String::as_str));
    let mut far = pipes.accept().await;
    let server = tokio::spawn(async move {
        let mut seen = Vec::new();
        while seen.len() < 50 {
            let path = path(&mut far).await;
            far.send(ok(&path)).await;
            seen.push(path);
        }
        (far, seen)
    });
    assert_eq!(texts(asked).await, names);
    let (_far, seen) = server.await.unwrap();
    assert_eq!(seen, names);
    assert_eq!(opened(&transport), [(OpenReason::First, 1)]);
    leaves_nothing(&transport).await;
}

/// What a connection can still carry is counted on, not the depth: the others do not wait for it.
#[tokio::test]
async fn a_connection_is_counted_on_for_no_more_than_its_number_of_requests() {
    let (transport, mut pipes, mut far) = trusting_with(8, |x| x.max_requests(5)).await;
    let asked = ask_all(&transport, ["a", "b", "c", "d"]);
    // It has carried three, and answers no further one for now.
    assert_eq!(paths(&mut far, 2).await, ["a", "b"]);
    let mut next = pipes.accept().await;
    serve(&mut next, 2).await;
    far.send(tokens(&["a", "b"])).await;
    assert_eq!(texts(asked).await, ["a", "b", "c", "d"]);
    until_closed(&transport, CloseReason::MaxRequests, 1).await;
    assert_eq!(stats(&transport).retries, 0);
}

/// A server that says how many it still takes is believed, also by what is on its way.
#[tokio::test]
async fn a_hint_of_the_server_bounds_what_is_sent() {
    let (transport, mut pipes, mut far) = trusting(8).await;
    let asked = ask(&transport, "a");
    path(&mut far).await;
    far.send("HTTP/1.1 200 OK\r\nkeep-alive: timeout=60, max=3\r\ncontent-length: 1\r\n\r\na")
        .await;
    answered(asked).await.unwrap();
    let asked = ask_all(&transport, ["b", "c", "d"]);
    assert_eq!(paths(&mut far, 2).await, ["b", "c"]);
    far.send(tokens(&["b", "c"])).await;
    let mut next = pipes.accept().await;
    serve(&mut next, 1).await;
    assert_eq!(texts(asked).await, ["b", "c", "d"]);
    until_closed(&transport, CloseReason::MaxRequests, 1).await;
}

/// A new connection that may carry nothing, here because it is too old at once, is not dialled for
/// again and again: the requests go the usual way.
#[tokio::test]
async fn connections_that_can_carry_nothing_are_given_up() {
    let peer = Peer::start(always(ok("x")));
    let transport = keepline::Transport::builder()
        .pipeline(4)
        .lifetime(Duration::from_nanos(1), 0.0)
        .build()
        .unwrap();
    for _ in 0..3 {
        let before = stats(&transport).opened.total();
        assert_eq!(fetch(&transport, &peer).await.unwrap().0, "x");
        assert!(stats(&transport).opened.total() - before <= 3);
    }
    leaves_nothing(&transport).await;
}

/// A server that keeps no connection longer than its answer is not waited for.
#[tokio::test]
async fn a_server_that_wants_one_request_on_each_connection_is_asked_so() {
    let (builder, mut pipes) = Pipes::new(1 << 16);
    let transport = builder.pipeline(8).build().unwrap();
    let asked = ask_all(&transport, ["a", "b", "c", "d", "e", "f"]);
    let server = tokio::spawn(async move {
        loop {
            let mut far = pipes.accept().await;
            tokio::spawn(async move {
                let name = path(&mut far).await;
                let head = "HTTP/1.1 200 OK\r\nkeep-alive: timeout=1\r\ncontent-length: 1\r\n\r\n";
                far.send(format!("{head}{name}")).await;
                far.read_to_end().await;
            });
        }
    });
    assert_eq!(texts(asked).await, ["a", "b", "c", "d", "e", "f"]);
    assert_eq!(stats(&transport).pipelined, 0);
    until_closed(&transport, CloseReason::KeepAliveHint, 6).await;
    server.abort();
}

/// Whoever cannot share a connection gets its turn under a limit, however many share it.
#[tokio::test]
async fn a_busy_line_gives_way_to_who_waits_for_a_connection() {
    let peer = Peer::start(always(ok("x")));
    let transport = keepline::Transport::builder()
        .pipeline(2)
        .max_connections_per_key(1)
        .build()
        .unwrap();
    let is_over = Arc::new(AtomicBool::new(false));
    let workers: Vec<_> = (0..6)
        .map(|_| {
            let (transport, url) = (transport.clone(), peer.url("/"));
            let is_over = Arc::clone(&is_over);
            tokio::spawn(async move {
                while !is_over.load(Ordering::Relaxed) {
                    assert_eq!(exchange(&transport, get(&url)).await.unwrap().0, "x");
                }
            })
        })
        .collect();
    for _ in 0..20 {
        let delete = request("DELETE", &peer.url("/"), Body::empty());
        let answer = exchange(&transport, delete).await.unwrap();
        assert_eq!(answer.0, "x");
    }
    is_over.store(true, Ordering::Relaxed);
    for worker in workers {
        within("a worker", worker).await.unwrap();
    }
    assert_eq!(peer.accepted(), 1);
    leaves_nothing(&transport).await;
}

/// A request's time to get a connection is its own: that a line has not got one fails nobody who
/// came later.
#[tokio::test(start_paused = true)]
async fn each_request_waits_for_a_connection_for_its_own_time() {
    let time = Duration::from_secs(3);
    let (builder, mut pipes) = Pipes::new(1 << 16);
    let transport = builder
        .pipeline(4)
        .max_connections_per_key(1)
        .acquire_timeout(time)
        .build()
        .unwrap();
    let cloned = transport.clone();
    let busy = tokio::spawn(async move { exchange(&cloned, post("busy")).await });
    let mut far = pipes.accept().await;
    path(&mut far).await;
    let timed = |path: &'static str| {
        let transport = transport.clone();
        tokio::spawn(async move {
            let started = Instant::now();
            let url = format!("http://a/{path}");
            let outcome = exchange(&transport, get(&url)).await;
            (outcome, started.elapsed())
        })
    };
    let mut asked = Vec::new();
    for path in ["a", "b", "c", "d", "e", "f"] {
        asked.push(timed(path));
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    // The connection comes back when three have given up, and a fourth is about to.
    far.read_exactly(7).await;
    far.send(ok("busy")).await;
    assert_eq!(answered(busy).await.unwrap().0, "busy");
    let server = tokio::spawn(async move {
        serve(&mut far, 3).await;
        far
    });
    for (number, asked) in asked.into_iter().enumerate() {
        let (outcome, took) = asked.await.unwrap();
        match outcome {
            Ok((text, _)) => assert_eq!(text, ["d", "e", "f"][number - 3]),
            Err(error) => {
                assert!(number <= 3, "{number}: {error}");
                assert_eq!(error.kind(), ErrorKind::Timeout(Phase::Acquire));
                assert_eq!(took, time);
            }
        }
    }
    server.abort();
}

#[tokio::test(start_paused = true)]
async fn waiting_for_a_connection_has_its_time() {
    let time = Duration::from_millis(300);
    let (builder, mut pipes) = Pipes::new(1 << 16);
    let transport = builder
        .pipeline(2)
        .max_connections_per_key(1)
        .acquire_timeout(time)
        .build()
        .unwrap();
    let first = ask(&transport, "a");
    let mut far = pipes.accept().await;
    path(&mut far).await;
    let started = Instant::now();
    let error = transport.send(get("http://a/b")).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Timeout(Phase::Acquire));
    assert_eq!(started.elapsed(), time);
    // The time of the one that has been sent is another matter.
    tokio::time::sleep(time).await;
    far.send(ok("a")).await;
    assert_eq!(answered(first).await.unwrap().0, "a");
}

#[tokio::test]
async fn shutdown_answers_what_is_on_its_way_and_fails_what_comes() {
    let (transport, _pipes, mut far) = trusting(8).await;
    let asked = ask_all(&transport, ["a", "b"]);
    paths(&mut far, 2).await;
    let cloned = transport.clone();
    let shutdown = tokio::spawn(async move { cloned.shutdown().await });
    tokio::task::yield_now().await;
    let late = ask(&transport, "late");
    assert_eq!(
        answered(late).await.unwrap_err().kind(),
        ErrorKind::Shutdown
    );
    far.send(tokens(&["a", "b"])).await;
    assert_eq!(texts(asked).await, ["a", "b"]);
    within("the shutdown", shutdown).await.unwrap();
    let error = transport.send(get("http://a/")).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Shutdown);
    leaves_nothing(&transport).await;
}

/// What has not been sent fails at once, however long the answer before it takes.
#[tokio::test]
async fn shutdown_fails_what_waits_behind_a_busy_connection() {
    let (builder, mut pipes) = Pipes::new(1 << 16);
    let transport = builder.pipeline(4).build().unwrap();
    let first = ask(&transport, "first");
    let mut far = pipes.accept().await;
    assert_eq!(path(&mut far).await, "first");
    // A server that is not known yet is asked one thing.
    let waits = ask(&transport, "waits");
    tokio::task::yield_now().await;
    let cloned = transport.clone();
    let shutdown = tokio::spawn(async move { cloned.shutdown().await });
    let error = answered(waits).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Shutdown);
    let error = answered(ask(&transport, "late")).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Shutdown);
    far.send(ok("first")).await;
    assert_eq!(answered(first).await.unwrap().0, "first");
    within("the shutdown", shutdown).await.unwrap();
    leaves_nothing(&transport).await;
}

//! Whether a server bears pipelining: how it is found out, and what follows.

use std::time::Duration;

use keepline::client::Event;
use keepline::{CloseReason, Transport};

use super::super::support::{Pipes, ok, stats};
use super::{Asked, answered, ask_all, closed_for, path, paths, serve, texts, tokens, trusting};

/// What a Transport has said about pipelining.
fn said(events: &mut keepline::client::Events) -> Vec<bool> {
    let mut said = Vec::new();
    while let Some(event) = events.try_next() {
        if let Event::Pipelining { is_borne, .. } = event {
            said.push(is_borne);
        }
    }
    said
}

fn new(depth: usize) -> (Transport, Pipes) {
    let (builder, pipes) = Pipes::new(1 << 16);
    (builder.pipeline(depth).build().unwrap(), pipes)
}

#[tokio::test]
async fn a_new_server_is_asked_one_thing_then_two_then_all() {
    let (transport, mut pipes) = new(8);
    let mut events = transport.events();
    let names = ["a", "b", "c", "d", "e", "f"];
    let asked = ask_all(&transport, names);
    let mut far = pipes.accept().await;
    assert_eq!(path(&mut far).await, "a");
    nothing_more(&transport, 1).await;
    far.send(ok("a")).await;
    assert_eq!(paths(&mut far, 2).await, ["b", "c"]);
    nothing_more(&transport, 3).await;
    far.send(ok("b")).await;
    assert_eq!(path(&mut far).await, "d");
    nothing_more(&transport, 4).await;
    assert!(said(&mut events).is_empty());
    far.send(ok("c")).await;
    assert_eq!(paths(&mut far, 2).await, ["e", "f"]);
    assert_eq!(said(&mut events), [true]);
    far.send(tokens(&["d", "e", "f"])).await;
    assert_eq!(texts(asked).await, names);
    assert_eq!(stats(&transport).opened.total(), 1);
}

/// So many requests have been sent, and stay the only ones.
async fn nothing_more(transport: &Transport, count: u64) {
    for _ in 0..50 {
        tokio::task::yield_now().await;
    }
    assert_eq!(stats(transport).acquired, count);
}

/// A connection of the usual way answers one request.
async fn serve_alone(pipes: &mut Pipes, count: usize) -> Vec<super::super::support::Far> {
    let mut all = Vec::new();
    for _ in 0..count {
        let mut far = pipes.accept().await;
        serve(&mut far, 1).await;
        all.push(far);
    }
    all
}

/// It drops what it has read ahead, as some servers do.
#[tokio::test(start_paused = true)]
async fn a_server_that_ignores_the_second_request_is_asked_one_at_a_time() {
    let (transport, mut pipes) = new(8);
    let mut events = transport.events();
    let asked = ask_all(&transport, ["a", "b", "c", "d"]);
    let mut far = pipes.accept().await;
    serve(&mut far, 1).await;
    assert_eq!(paths(&mut far, 2).await, ["b", "c"]);
    far.send(ok("b")).await;
    // It never answers "c", behind which "d" has been sent.
    let started = tokio::time::Instant::now();
    let _others = serve_alone(&mut pipes, 2).await;
    assert_eq!(started.elapsed().as_secs(), 1);
    assert_eq!(texts(asked).await, ["a", "b", "c", "d"]);
    assert_eq!(said(&mut events), [false]);
    assert_eq!(closed_for(&transport, CloseReason::Timeout), 1);
    // And it stays so.
    let before = stats(&transport).pipelined;
    let asked: Vec<Asked> = ask_all(&transport, ["e", "f"]);
    tokio::task::yield_now().await;
    assert_eq!(stats(&transport).busy, 2);
    drop(_others);
    drop(asked);
    assert_eq!(stats(&transport).pipelined, before);
}

#[tokio::test]
async fn a_server_of_http_1_0_is_asked_one_at_a_time() {
    let (transport, mut pipes) = new(8);
    let mut events = transport.events();
    let asked = ask_all(&transport, ["a", "b", "c"]);
    let mut far = pipes.accept().await;
    path(&mut far).await;
    far.send("HTTP/1.0 200 OK\r\nconnection: keep-alive\r\ncontent-length: 1\r\n\r\na")
        .await;
    // Its connection persists, and is used by one of them.
    serve(&mut far, 1).await;
    let _others = serve_alone(&mut pipes, 1).await;
    assert_eq!(texts(asked).await, ["a", "b", "c"]);
    assert_eq!(
        (said(&mut events), stats(&transport).pipelined),
        (vec![false], 0)
    );
}

/// A server that closes after each answer would make each request wait for the one before.
#[tokio::test]
async fn a_server_that_closes_after_each_answer_is_not_waited_for() {
    let (transport, mut pipes) = new(8);
    let asked = ask_all(&transport, ["a", "b", "c", "d", "e"]);
    let close =
        |x: &str| format!("HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 1\r\n\r\n{x}");
    for _ in 0..2 {
        let mut far = pipes.accept().await;
        let path = path(&mut far).await;
        far.send(close(&path)).await;
    }
    // Two strikes: the other three go at once, each on its own connection.
    let mut rest = Vec::new();
    for _ in 0..3 {
        rest.push(pipes.accept().await);
    }
    for far in &mut rest {
        let path = path(far).await;
        far.send(close(&path)).await;
    }
    assert_eq!(texts(asked).await, ["a", "b", "c", "d", "e"]);
    assert_eq!(stats(&transport).pipelined, 0);
}

/// Two connections in a row that are closed on a pipeline, without an answer in it.
#[tokio::test]
async fn two_strikes_end_it_and_nothing_is_lost() {
    let (transport, mut pipes) = new(8);
    let mut events = transport.events();
    let asked = ask_all(&transport, ["a", "b", "c", "d"]);
    for names in [["a", "b", "c"], ["b", "c", "d"]] {
        let mut far = pipes.accept().await;
        assert_eq!(path(&mut far).await, names[0]);
        far.send(ok(names[0])).await;
        assert_eq!(paths(&mut far, 2).await, names[1..]);
        // It closes.
    }
    let _others = serve_alone(&mut pipes, 2).await;
    assert_eq!(texts(asked).await, ["a", "b", "c", "d"]);
    assert_eq!(said(&mut events), [false]);
}

/// The expected race with a server that closes idle connections is no strike.
#[tokio::test]
async fn the_idle_race_is_retried_and_tells_nothing() {
    let (transport, mut pipes, mut far) = trusting(8).await;
    for _ in 0..5 {
        let asked = ask_all(&transport, ["a", "b", "c"]);
        paths(&mut far, 3).await;
        drop(far);
        far = pipes.accept().await;
        assert_eq!(path(&mut far).await, "a");
        far.send(ok("a")).await;
        assert_eq!(paths(&mut far, 2).await, ["b", "c"]);
        far.send(tokens(&["b", "c"])).await;
        assert_eq!(texts(asked).await, ["a", "b", "c"]);
        super::super::support::until_idle(&transport, 1).await;
    }
}

/// What was learned of a server is known when its next connection opens.
#[tokio::test]
async fn a_server_that_bears_it_is_trusted_on_a_new_connection() {
    let (transport, mut pipes, far) = trusting(8).await;
    drop(far);
    super::super::support::until_closed(&transport, CloseReason::PeerClosed, 1).await;
    let asked = ask_all(&transport, ["a", "b", "c"]);
    let mut far = pipes.accept().await;
    assert_eq!(paths(&mut far, 3).await, ["a", "b", "c"]);
    far.send(tokens(&["a", "b", "c"])).await;
    assert_eq!(texts(asked).await, ["a", "b", "c"]);
}

/// A refusal is tried again after ten minutes.
#[tokio::test(start_paused = true)]
async fn a_refusal_is_not_for_ever() {
    let (transport, mut pipes) = new(8);
    let asked = ask_all(&transport, ["a", "b"]);
    let mut far = pipes.accept().await;
    path(&mut far).await;
    far.send("HTTP/1.0 200 OK\r\ncontent-length: 1\r\n\r\na")
        .await;
    let others = serve_alone(&mut pipes, 1).await;
    assert_eq!(texts(asked).await, ["a", "b"]);
    drop(others);
    super::super::support::until_idle(&transport, 0).await;
    for (minutes, connections) in [(9, 2), (2, 1)] {
        tokio::time::sleep(Duration::from_secs(minutes * 60)).await;
        let before = stats(&transport).opened.total();
        let asked = ask_all(&transport, ["a", "b"]);
        let mut fars = Vec::new();
        for _ in 0..connections {
            let mut far = pipes.accept().await;
            serve(&mut far, 2 / connections).await;
            fars.push(far);
        }
        assert_eq!(texts(asked).await, ["a", "b"]);
        assert_eq!(
            stats(&transport).opened.total() - before,
            connections as u64
        );
        drop(fars);
        super::super::support::until_idle(&transport, 0).await;
    }
    let _ = answered;
}

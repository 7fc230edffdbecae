//! Readers of content that is not here yet: slow ones, and those that go.

use std::time::Duration;

use keepline::CloseReason;

use super::super::support::{frame, get, is_pending, ok, piece, stats, text, until_idle};
use super::{answered, ask, closed_for, leaves_nothing, path, paths, serve, trusting};

#[tokio::test]
async fn content_is_read_as_it_comes() {
    let (transport, _pipes, mut far) = trusting(8).await;
    let cloned = transport.clone();
    let asked = tokio::spawn(async move { cloned.send(get("http://a/a")).await });
    path(&mut far).await;
    far.send("HTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\nabc")
        .await;
    let mut body = asked.await.unwrap().unwrap().into_body();
    assert_eq!(piece(&mut body).await, "abc");
    let behind = ask(&transport, "b");
    assert_eq!(path(&mut far).await, "b");
    far.send(format!("def{}", ok("b"))).await;
    assert_eq!(piece(&mut body).await, "def");
    assert!(frame(&mut body).await.is_none());
    assert_eq!(answered(behind).await.unwrap().0, "b");
    until_idle(&transport, 1).await;
}

/// A program that asks for a second thing before it reads the first, which is too large to be kept
/// for it, would wait for itself.
#[tokio::test(start_paused = true)]
async fn content_that_nobody_reads_keeps_nobody_waiting() {
    let (transport, mut pipes, mut far) = trusting(8).await;
    let cloned = transport.clone();
    let asked = tokio::spawn(async move { cloned.send(get("http://a/large")).await });
    path(&mut far).await;
    let behind = ask(&transport, "behind");
    path(&mut far).await;
    let large = "x".repeat(400_000);
    let answers = [ok(&large), ok("behind, but too late")].concat();
    let server = tokio::spawn(async move {
        // As far as it is taken.
        let _ = far.try_send(answers).await;
        far
    });
    let body = asked.await.unwrap().unwrap().into_body();
    let started = tokio::time::Instant::now();
    let mut next = pipes.accept().await;
    assert_eq!(started.elapsed().as_millis(), 250);
    serve(&mut next, 1).await;
    assert_eq!(answered(behind).await.unwrap().0, "behind");
    // And what is asked now does not go behind it either.
    let later = ask(&transport, "later");
    serve(&mut next, 1).await;
    assert_eq!(answered(later).await.unwrap().0, "later");
    // The reader comes, and gets all of it. What follows is nobody's.
    assert_eq!(text(body).await.unwrap(), large);
    server.await.unwrap();
    super::super::support::until_closed(&transport, CloseReason::NotDrained, 1).await;
    leaves_nothing(&transport).await;
}

#[tokio::test]
async fn content_that_is_dropped_is_drained_within_limits() {
    let (transport, mut pipes, mut far) = trusting(8).await;
    for (length, is_kept) in [(200_000, true), (300_000, false)] {
        let cloned = transport.clone();
        let asked = tokio::spawn(async move { cloned.send(get("http://a/a")).await });
        path(&mut far).await;
        far.send(format!(
            "HTTP/1.1 200 OK\r\ncontent-length: {length}\r\n\r\n"
        ))
        .await;
        drop(asked.await.unwrap().unwrap());
        let behind = ask(&transport, "b");
        if is_kept {
            assert_eq!(path(&mut far).await, "b");
            far.send(["x".repeat(length), ok("b")].concat()).await;
            assert_eq!(answered(behind).await.unwrap().0, "b");
            until_idle(&transport, 1).await;
        } else {
            let mut next = pipes.accept().await;
            serve(&mut next, 1).await;
            assert_eq!(answered(behind).await.unwrap().0, "b");
            assert_eq!(closed_for(&transport, CloseReason::NotDrained), 1);
        }
    }
    leaves_nothing(&transport).await;
}

/// Dropped content that does not come is waited for as long as a drain may take.
#[tokio::test(start_paused = true)]
async fn a_drain_has_its_time() {
    let (transport, mut pipes, mut far) = trusting(8).await;
    let cloned = transport.clone();
    let asked = tokio::spawn(async move { cloned.send(get("http://a/a")).await });
    path(&mut far).await;
    far.send("HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nabc")
        .await;
    let response = asked.await.unwrap().unwrap();
    let behind = ask(&transport, "b");
    path(&mut far).await;
    let started = tokio::time::Instant::now();
    drop(response);
    let mut next = pipes.accept().await;
    assert_eq!(started.elapsed().as_millis(), 50);
    serve(&mut next, 1).await;
    assert_eq!(answered(behind).await.unwrap().0, "b");
    assert_eq!(closed_for(&transport, CloseReason::NotDrained), 1);
    assert_eq!(stats(&transport).retries, 1);
}

/// A body outlives its request by far, and waits when there is nothing.
#[tokio::test]
async fn a_reader_waits_for_the_next_piece() {
    let (transport, _pipes, mut far) = trusting(8).await;
    let cloned = transport.clone();
    let asked = tokio::spawn(async move { cloned.send(get("http://a/a")).await });
    paths(&mut far, 1).await;
    far.send("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n")
        .await;
    let body = asked.await.unwrap().unwrap().into_body();
    let mut whole = std::pin::pin!(text(body));
    assert!(is_pending(&mut whole).await);
    far.send("3\r\nabc\r\n").await;
    assert!(is_pending(&mut whole).await);
    far.send("0\r\n\r\n").await;
    assert_eq!(whole.await.unwrap(), "abc");
    tokio::time::sleep(Duration::ZERO).await;
    until_idle(&transport, 1).await;
}

//! Answers that take their time, and what becomes of those behind them.

use std::time::Duration;

use keepline::client::TransportBuilder;
use keepline::{CloseReason, Transport};
use tokio::time::Instant;

use super::super::support::{Pipes, exchange, get, ok, piece, request, stats, text};
use super::{
    Asked, answered, ask, ask_all, closed_for, leaves_nothing, path, paths, serve, texts, tokens,
    trusting, trusting_with,
};

/// The head of an answer whose end does not come, and its first event.
const ENDLESS: &str = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\
                       transfer-encoding: chunked\r\n\r\n5\r\nevent\r\n";

fn stream(transport: &Transport) -> tokio::task::JoinHandle<keepline::Body> {
    let transport = transport.clone();
    tokio::spawn(async move {
        let response = transport.send(get("http://a/stream")).await.unwrap();
        response.into_body()
    })
}

/// A server of which nothing is known, whose first answer does not end: the others wait for it as
/// long as a trial may take, then they go the usual way.
#[tokio::test(start_paused = true)]
async fn an_endless_first_answer_keeps_others_waiting_for_a_second() {
    let (builder, mut pipes) = Pipes::new(1 << 16);
    let transport = builder.pipeline(8).build().unwrap();
    let body = stream(&transport);
    let mut far = pipes.accept().await;
    path(&mut far).await;
    far.send(ENDLESS).await;
    let mut body = body.await.unwrap();
    assert_eq!(piece(&mut body).await, "event");
    let started = Instant::now();
    let asked = ask_all(&transport, ["a", "b", "c"]);
    let mut others = Vec::new();
    for _ in 0..3 {
        let mut other = pipes.accept().await;
        assert_eq!(started.elapsed().as_secs(), 1);
        serve(&mut other, 1).await;
        others.push(other);
    }
    assert_eq!(texts(asked).await, ["a", "b", "c"]);
    // And nothing is asked behind it any more.
    let later = ask(&transport, "later");
    serve(&mut others[2], 1).await;
    assert_eq!(answered(later).await.unwrap().0, "later");
    assert!(started.elapsed().as_secs() < 2);
    far.send("0\r\n\r\n").await;
    assert_eq!(text(body).await.unwrap(), "");
    assert_eq!(stats(&transport).retries, 0);
    leaves_nothing(&transport).await;
}

/// Nor does one whose head does not come.
#[tokio::test(start_paused = true)]
async fn a_slow_first_answer_keeps_others_waiting_for_a_second() {
    let (builder, mut pipes) = Pipes::new(1 << 16);
    let transport = builder.pipeline(8).build().unwrap();
    let first = ask(&transport, "first");
    let mut far = pipes.accept().await;
    path(&mut far).await;
    let started = Instant::now();
    let asked = ask(&transport, "a");
    let mut other = pipes.accept().await;
    assert_eq!(started.elapsed().as_secs(), 1);
    serve(&mut other, 1).await;
    assert_eq!(answered(asked).await.unwrap().0, "a");
    far.send(ok("first")).await;
    assert_eq!(answered(first).await.unwrap().0, "first");
    leaves_nothing(&transport).await;
}

/// A server that bears pipelining: what was sent behind an endless answer is sent again elsewhere,
/// and what comes later is not sent behind it.
#[tokio::test(start_paused = true)]
async fn an_endless_answer_keeps_nobody_behind_it_for_long() {
    for retry in [true, false] {
        let retries = |x: TransportBuilder| x.retry(retry);
        let (transport, mut pipes, mut far) = trusting_with(8, retries).await;
        let body = stream(&transport);
        path(&mut far).await;
        far.send(ENDLESS).await;
        let mut body = body.await.unwrap();
        assert_eq!(piece(&mut body).await, "event");
        let started = Instant::now();
        let behind = ask(&transport, "behind");
        assert_eq!(path(&mut far).await, "behind");
        let mut other = pipes.accept().await;
        assert_eq!(started.elapsed().as_secs(), 1);
        serve(&mut other, 1).await;
        assert_eq!(answered(behind).await.unwrap().0, "behind");
        assert_eq!(stats(&transport).retries, 1);
        let later = ask(&transport, "later");
        serve(&mut other, 1).await;
        assert_eq!(answered(later).await.unwrap().0, "later");
        // Its end comes, and what follows is nobody's.
        far.send(["0\r\n\r\n", &ok("behind")].concat()).await;
        assert_eq!(text(body).await.unwrap(), "");
        leaves_nothing(&transport).await;
        assert_eq!(closed_for(&transport, CloseReason::NotDrained), 1);
    }
}

/// One that nobody has sent anything behind is left alone, and its connection is used again.
#[tokio::test(start_paused = true)]
async fn a_long_answer_with_nothing_behind_it_costs_nothing() {
    let (transport, mut pipes, mut far) = trusting(8).await;
    let body = stream(&transport);
    path(&mut far).await;
    far.send(ENDLESS).await;
    let mut body = body.await.unwrap();
    assert_eq!(piece(&mut body).await, "event");
    tokio::time::sleep(Duration::from_secs(60)).await;
    // It goes to another connection at once.
    let asked = ask(&transport, "a");
    let mut other = pipes.accept().await;
    serve(&mut other, 1).await;
    assert_eq!(answered(asked).await.unwrap().0, "a");
    far.send("0\r\n\r\n").await;
    assert_eq!(text(body).await.unwrap(), "");
    super::super::support::until_idle(&transport, 2).await;
    assert_eq!(stats(&transport).retries, 0);
}

/// The head says that the answer is the last one: those behind it do not wait for its end.
#[tokio::test]
async fn what_is_behind_a_last_answer_is_sent_again_at_its_head() {
    for retry in [true, false] {
        for length in ["content-length: 6\r\nconnection: close\r\n", ""] {
            let retries = |x: TransportBuilder| x.retry(retry);
            let (transport, mut pipes, mut far) = trusting_with(8, retries).await;
            let asked = ask_all(&transport, ["a", "b", "c"]);
            assert_eq!(paths(&mut far, 3).await, ["a", "b", "c"]);
            far.send(format!("HTTP/1.1 200 OK\r\n{length}\r\nabc"))
                .await;
            let mut next = pipes.accept().await;
            assert_eq!(path(&mut next).await, "b");
            next.send(ok("b")).await;
            assert_eq!(path(&mut next).await, "c");
            next.send(ok("c")).await;
            // What is asked now does not wait for it either.
            let later: Asked = ask(&transport, "d");
            serve(&mut next, 1).await;
            assert_eq!(answered(later).await.unwrap().0, "d");
            far.send("def").await;
            drop(far);
            assert_eq!(texts(asked).await, ["abcdef", "b", "c"]);
            leaves_nothing(&transport).await;
        }
    }
}

/// With retries off, too, what somebody else gives up is no failure of those behind.
#[tokio::test(start_paused = true)]
async fn with_retries_off_nobody_fails_for_somebody_else() {
    // One is cancelled.
    let settings = |x: TransportBuilder| x.retry(false).drain(0, Duration::ZERO);
    let (transport, mut pipes, mut far) = trusting_with(8, settings).await;
    let mut asked = ask_all(&transport, ["a", "b", "c"]);
    paths(&mut far, 3).await;
    asked.remove(0).abort();
    let mut next = pipes.accept().await;
    serve(&mut next, 2).await;
    assert_eq!(texts(asked).await, ["b", "c"]);
    leaves_nothing(&transport).await;
    // One is not read.
    let (transport, mut pipes, mut far) = trusting_with(8, |x| x.retry(false)).await;
    let body = stream(&transport);
    path(&mut far).await;
    let behind = ask(&transport, "b");
    path(&mut far).await;
    let large = ok(&"x".repeat(400_000));
    let server = tokio::spawn(async move {
        let _ = far.try_send(large).await;
    });
    let body = body.await.unwrap();
    let mut next = pipes.accept().await;
    serve(&mut next, 1).await;
    assert_eq!(answered(behind).await.unwrap().0, "b");
    assert_eq!(text(body).await.unwrap().len(), 400_000);
    server.await.unwrap();
    leaves_nothing(&transport).await;
}

/// A request cannot be moved for ever: in the end it goes the usual way, on its own connection.
#[tokio::test]
async fn a_request_is_moved_three_times_at_most() {
    let (transport, mut pipes, far) = trusting(16).await;
    drop(far);
    super::super::support::until_idle(&transport, 0).await;
    // The third answer on each connection is the last one.
    let server = tokio::spawn(async move {
        loop {
            let mut far = pipes.accept().await;
            tokio::spawn(async move {
                serve(&mut far, 2).await;
                let name = path(&mut far).await;
                let head = "HTTP/1.1 200 OK\r\nconnection: close\r\n";
                far.send(format!(
                    "{head}content-length: {}\r\n\r\n{name}",
                    name.len()
                ))
                .await;
                far.read_to_end().await;
            });
        }
    });
    let names: Vec<String> = (0..16).map(|x| x.to_string()).collect();
    let asked = ask_all(&transport, names.iter().map(String::as_str));
    let (mut most, mut all) = (0, 0);
    for (asked, name) in asked.into_iter().zip(&names) {
        let (text, info) = answered(asked).await.unwrap();
        assert_eq!(text, *name);
        most = most.max(info.retries);
        all += u64::from(info.retries);
    }
    // Those that went alone in the end tell how often they were sent before, as the others do.
    assert_eq!((most, all), (3, stats(&transport).retries));
    leaves_nothing(&transport).await;
    server.abort();
}

/// Requests that do not fit into one write follow when it is done, not when something is answered.
#[tokio::test]
async fn large_requests_do_not_wait_for_answers() {
    let (transport, _pipes, mut far) = trusting(8).await;
    let content = "x".repeat(16 * 1024);
    let asked: Vec<Asked> = (0..6)
        .map(|number| {
            let url = format!("http://a/{number}");
            let (transport, content) = (transport.clone(), content.clone());
            tokio::spawn(async move { exchange(&transport, request("GET", &url, content)).await })
        })
        .collect();
    let mut names = Vec::new();
    for _ in 0..6 {
        names.push(path(&mut far).await);
        assert_eq!(far.read_exactly(16 * 1024).await, content.as_bytes());
    }
    far.send(tokens(&names)).await;
    assert_eq!(texts(asked).await, names);
    leaves_nothing(&transport).await;
}

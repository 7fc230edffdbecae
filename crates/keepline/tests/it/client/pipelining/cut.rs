//! Pipelines that are cut: what was not answered is sent again, the first of it alone.

use std::time::Duration;

use keepline::{CloseReason, ErrorKind, Transport};
use keepline_testkit::peer::{Peer, Script};
use tokio::time::timeout;

use super::super::support::{Far, Pipes, answer, exchange, get, ok, stats, until_idle};
use super::{
    answered, ask, ask_all, closed_for, leaves_nothing, path, paths, serve, texts, tokens,
    trusting, trusting_with,
};

/// Serves what is sent again: the first alone, then the others together.
async fn serve_again(pipes: &mut Pipes, names: &[&str]) -> Far {
    let mut next = pipes.accept().await;
    let Some((first, rest)) = names.split_first() else {
        return next;
    };
    assert_eq!(path(&mut next).await, *first);
    next.send(ok(first)).await;
    assert_eq!(paths(&mut next, rest.len()).await, rest);
    next.send(tokens(rest)).await;
    next
}

#[tokio::test]
async fn a_server_that_closes_after_some_answers_gets_the_rest_again() {
    const NAMES: [&str; 5] = ["a", "b", "c", "d", "e"];
    for answers in 0..=NAMES.len() {
        let (transport, mut pipes, mut far) = trusting(8).await;
        let asked = ask_all(&transport, NAMES);
        assert_eq!(paths(&mut far, 5).await, NAMES);
        far.send(tokens(&NAMES[..answers])).await;
        drop(far);
        let rest = &NAMES[answers..];
        let next = match rest {
            [] => None,
            rest => Some(serve_again(&mut pipes, rest).await),
        };
        assert_eq!(texts(asked).await, NAMES, "{answers} answers");
        assert_eq!(stats(&transport).retries, rest.len() as u64);
        until_idle(&transport, usize::from(next.is_some())).await;
        assert_eq!(closed_for(&transport, CloseReason::PeerClosed), 1);
        leaves_nothing(&transport).await;
    }
}

/// RFC 9112 §9.3.2: the client "MUST NOT pipeline immediately after connection establishment" then.
#[tokio::test(start_paused = true)]
async fn nothing_is_sent_behind_the_first_one_until_it_is_answered() {
    let (transport, mut pipes, mut far) = trusting(8).await;
    let asked = ask_all(&transport, ["a", "b", "c"]);
    paths(&mut far, 3).await;
    drop(far);
    let mut next = pipes.accept().await;
    assert_eq!(path(&mut next).await, "a");
    // Paused time passes when there is nothing else to do.
    let more = timeout(Duration::from_millis(100), next.read_head()).await;
    assert!(more.is_err(), "{more:?} came behind it");
    next.send(ok("a")).await;
    assert_eq!(paths(&mut next, 2).await, ["b", "c"]);
    next.send(tokens(&["b", "c"])).await;
    assert_eq!(texts(asked).await, ["a", "b", "c"]);
}

#[tokio::test]
async fn newer_requests_wait_behind_what_is_sent_again() {
    let (transport, mut pipes, mut far) = trusting(4).await;
    let asked = ask_all(&transport, ["a", "b"]);
    paths(&mut far, 2).await;
    drop(far);
    let mut next = pipes.accept().await;
    assert_eq!(path(&mut next).await, "a");
    let newer = ask_all(&transport, ["c", "d"]);
    tokio::task::yield_now().await;
    next.send(ok("a")).await;
    assert_eq!(paths(&mut next, 3).await, ["b", "c", "d"]);
    next.send(tokens(&["b", "c", "d"])).await;
    assert_eq!(texts(asked).await, ["a", "b"]);
    assert_eq!(texts(newer).await, ["c", "d"]);
}

/// The server says that an answer is the last one: what follows it was not processed.
#[tokio::test]
async fn what_follows_a_last_answer_is_sent_again() {
    let (transport, mut pipes, mut far) = trusting(8).await;
    let asked = ask_all(&transport, ["a", "b", "c"]);
    paths(&mut far, 3).await;
    let last = "HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 1\r\n\r\nb";
    // What it sends behind that is no answer to anything.
    far.send([ok("a").as_str(), last, &ok("foreign")].concat())
        .await;
    let _next = serve_again(&mut pipes, &["c"]).await;
    assert_eq!(texts(asked).await, ["a", "b", "c"]);
    assert_eq!(closed_for(&transport, CloseReason::PeerAskedClose), 1);
}

#[tokio::test]
async fn content_that_ends_with_the_connection_is_whole_and_the_rest_is_sent_again() {
    let (transport, mut pipes, mut far) = trusting(8).await;
    let asked = ask_all(&transport, ["a", "b"]);
    paths(&mut far, 2).await;
    far.send("HTTP/1.1 200 OK\r\n\r\nuntil the end").await;
    far.half_close().await;
    let _next = serve_again(&mut pipes, &["b"]).await;
    assert_eq!(texts(asked).await, ["until the end", "b"]);
    assert_eq!(closed_for(&transport, CloseReason::NotPersistent), 1);
}

/// A close inside an answer: that one is lost, the others are sent again.
#[tokio::test]
async fn a_close_inside_an_answer_fails_it_alone() {
    let whole = ok("0123456789");
    for cut in 1..whole.len() {
        let (transport, mut pipes, mut far) = trusting(8).await;
        let asked = ask_all(&transport, ["a", "b", "c"]);
        paths(&mut far, 3).await;
        far.send([&ok("a"), &whole[..cut]].concat()).await;
        drop(far);
        let _next = serve_again(&mut pipes, &["c"]).await;
        assert_eq!(texts(asked).await, ["a", "!", "c"], "cut at {cut}");
        leaves_nothing(&transport).await;
    }
}

#[tokio::test]
async fn what_is_no_answer_is_never_taken_for_one() {
    for (what, nonsense) in [
        ("text", "stray bytes that are no answer\r\n\r\n"),
        (
            "two lengths",
            "HTTP/1.1 200 OK\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\nxx",
        ),
        (
            "length and chunks",
            "HTTP/1.1 200 OK\r\ncontent-length: 4\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
        ),
        (
            "a switch",
            "HTTP/1.1 101 Switching Protocols\r\nupgrade: x\r\nconnection: upgrade\r\n\r\n",
        ),
    ] {
        let (transport, mut pipes, mut far) = trusting(8).await;
        let asked = ask_all(&transport, ["a", "b", "c"]);
        paths(&mut far, 3).await;
        far.send([&ok("a"), nonsense].concat()).await;
        // Nothing is pipelined to such a server: the last goes the usual way.
        let mut next = pipes.accept().await;
        serve(&mut next, 1).await;
        let mut asked = asked.into_iter();
        assert_eq!(answered(asked.next().unwrap()).await.unwrap().0, "a");
        let error = answered(asked.next().unwrap()).await.unwrap_err();
        assert!(
            matches!(error.kind(), ErrorKind::Protocol(_)),
            "{what}: {error}"
        );
        assert_eq!(error.connection().map(|x| x.id), Some(1));
        assert_eq!(
            answered(asked.next().unwrap()).await.unwrap().0,
            "c",
            "{what}"
        );
        assert_eq!(
            closed_for(&transport, CloseReason::ProtocolError),
            1,
            "{what}"
        );
        leaves_nothing(&transport).await;
    }
}

/// One answer more than was asked for is nobody's, and ends the connection.
#[tokio::test]
async fn a_surplus_answer_answers_nothing() {
    let (transport, mut pipes, mut far) = trusting(8).await;
    let asked = ask_all(&transport, ["a", "b"]);
    paths(&mut far, 2).await;
    far.send(tokens(&["a", "b", "surplus"])).await;
    assert_eq!(texts(asked).await, ["a", "b"]);
    let next = ask(&transport, "c");
    let mut other = pipes.accept().await;
    serve(&mut other, 1).await;
    assert_eq!(answered(next).await.unwrap().0, "c");
    assert_eq!(closed_for(&transport, CloseReason::UnsolicitedBytes), 1);
}

/// Nor does it answer whoever asks at once, while the line still has the connection.
#[tokio::test]
async fn a_surplus_answer_is_not_the_next_ones_either() {
    let (transport, mut pipes, mut far) = trusting(8).await;
    let asking = tokio::spawn({
        let transport = transport.clone();
        async move {
            let mut texts = Vec::new();
            for path in ["a", "b"] {
                let asked = get(&format!("http://a/{path}"));
                texts.push(exchange(&transport, asked).await.unwrap().0);
            }
            texts
        }
    });
    assert_eq!(path(&mut far).await, "a");
    far.send(tokens(&["a", "surplus"])).await;
    let mut other = pipes.accept().await;
    serve(&mut other, 1).await;
    assert_eq!(asking.await.unwrap(), ["a", "b"]);
    assert_eq!(closed_for(&transport, CloseReason::UnsolicitedBytes), 1);
}

#[tokio::test]
async fn with_retries_off_what_was_not_answered_fails() {
    let (transport, _pipes, mut far) = trusting_with(8, |x| x.retry(false)).await;
    let asked = ask_all(&transport, ["a", "b", "c"]);
    paths(&mut far, 3).await;
    far.send(ok("a")).await;
    drop(far);
    assert_eq!(texts(asked).await, ["a", "!", "!"]);
    assert_eq!(stats(&transport).retries, 0);
    leaves_nothing(&transport).await;
}

/// A new connection that dies before it answers fails its first request: to go on would not end.
#[tokio::test]
async fn a_server_that_answers_nothing_fails_each_request_in_the_end() {
    let (builder, mut pipes) = Pipes::new(1 << 16);
    let transport = builder.pipeline(8).build().unwrap();
    let asked = ask_all(&transport, ["a", "b", "c"]);
    let server = tokio::spawn(async move {
        for count in 1.. {
            let mut far = pipes.accept().await;
            path(&mut far).await;
            if count == 3 {
                return pipes;
            }
        }
        unreachable!()
    });
    assert_eq!(texts(asked).await, ["!", "!", "!"]);
    server.await.unwrap();
    leaves_nothing(&transport).await;
}

/// The response timeout counts from when a request is the next to be answered.
#[tokio::test(start_paused = true)]
async fn a_request_that_is_not_answered_in_time_fails_alone() {
    use std::time::Duration;
    let time = Duration::from_secs(7);
    let (transport, mut pipes, mut far) = trusting_with(8, |x| x.response_timeout(time)).await;
    let asked = ask_all(&transport, ["a", "b", "c"]);
    paths(&mut far, 3).await;
    tokio::time::sleep(Duration::from_secs(6)).await;
    far.send(ok("a")).await;
    let mut asked = asked.into_iter();
    answered(asked.next().unwrap()).await.unwrap();
    let start = tokio::time::Instant::now();
    let error = asked.next().unwrap().await.unwrap().unwrap_err();
    assert!(error.is_timeout(), "{error}");
    assert_eq!(start.elapsed().as_secs(), 7);
    let _next = serve_again(&mut pipes, &["c"]).await;
    assert_eq!(answered(asked.next().unwrap()).await.unwrap().0, "c");
    assert_eq!(closed_for(&transport, CloseReason::Timeout), 1);
}

#[tokio::test]
async fn resets_of_real_sockets_are_retried_too() {
    let dies = Script::new()
        .repeat(3, answer(ok("x")))
        .expect_head()
        .reset();
    let lives = Script::new().repeat_forever(answer(ok("x")));
    let peer = Peer::start_each([dies.clone(), dies, lives]);
    let transport = Transport::builder().pipeline(4).build().unwrap();
    let url = peer.url("/");
    for _ in 0..10 {
        let asked: Vec<_> = (0..4)
            .map(|_| {
                let (transport, url) = (transport.clone(), url.clone());
                tokio::spawn(async move { exchange(&transport, get(&url)).await })
            })
            .collect();
        assert_eq!(texts(asked).await, ["x", "x", "x", "x"]);
    }
    leaves_nothing(&transport).await;
}

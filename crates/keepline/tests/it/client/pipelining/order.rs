//! Who gets which answer, on how many connections, and what is never pipelined.

use keepline::client::KeySettings;
use keepline::{Body, CloseReason, Transport};
use keepline_testkit::peer::{Peer, Script};
use keepline_testkit::within;

use super::super::support::{
    Pipes, always, answer, chunked, exchange, get, is_pending, ok, request, stats, text, until_idle,
};
use super::{
    answered, ask, ask_all, leaves_nothing, path, paths, post, serve, texts, tokens, trusting,
};

#[tokio::test]
async fn many_requests_share_few_connections_and_each_gets_its_own_answer() {
    let (builder, mut pipes) = Pipes::new(1 << 16);
    let transport = builder.pipeline(8).build().unwrap();
    let names: Vec<String> = (0..200).map(|x| x.to_string()).collect();
    let asked = ask_all(&transport, names.iter().map(String::as_str));
    let server = tokio::spawn(async move {
        let mut count = 0;
        let mut serving = tokio::task::JoinSet::new();
        loop {
            let mut far = pipes.accept().await;
            count += 1;
            serving.spawn(async move { serve(&mut far, usize::MAX).await });
            if count == 25 {
                return (count, serving);
            }
        }
    });
    assert_eq!(texts(asked).await, names);
    // As many connections as it takes to hold them all, and no more.
    let (count, mut serving) = within("the connections", server).await.unwrap();
    assert_eq!((count, stats(&transport).opened.total()), (25, 25));
    let stats = stats(&transport);
    assert_eq!(
        (stats.acquired, stats.first_use, stats.retries),
        (200, 25, 0)
    );
    serving.abort_all();
    leaves_nothing(&transport).await;
}

#[tokio::test]
async fn what_is_asked_at_once_is_on_its_way_before_anything_is_answered() {
    let (transport, mut pipes, mut far) = trusting(4).await;
    let asked = ask_all(&transport, ["a", "b", "c", "d", "e", "f"]);
    // Four on the connection that there is, two on another one.
    assert_eq!(paths(&mut far, 4).await, ["a", "b", "c", "d"]);
    let mut other = pipes.accept().await;
    assert_eq!(paths(&mut other, 2).await, ["e", "f"]);
    other.send(tokens(&["e", "f"])).await;
    far.send(tokens(&["a", "b", "c", "d"])).await;
    assert_eq!(texts(asked).await, ["a", "b", "c", "d", "e", "f"]);
    until_idle(&transport, 2).await;
    assert_eq!(stats(&transport).opened.total(), 2);
    leaves_nothing(&transport).await;
}

#[tokio::test]
async fn the_account_of_each_request_is_true() {
    let (transport, _pipes, mut far) = trusting(8).await;
    let asked = ask_all(&transport, ["a", "bb"]);
    let heads = [far.read_head().await, far.read_head().await];
    let answers = [ok("a"), ok("bb")];
    far.send(answers.concat()).await;
    for (number, asked) in asked.into_iter().enumerate() {
        let (_, info) = answered(asked).await.unwrap();
        assert_eq!((info.id, info.reused), (1, true));
        assert_eq!(info.exchange_number, 4 + number as u64);
        assert_eq!(info.bytes_written, heads[number].len() as u64);
        assert_eq!(info.idle_for.is_some(), number == 0);
        assert_eq!(info.timings.dns, None);
        assert!(info.timings.first_byte.is_some());
        assert!(info.bytes_read > 0 && info.bytes_read <= answers[number].len() as u64);
    }
    until_idle(&transport, 1).await;
    let stats = stats(&transport);
    assert_eq!((stats.acquired, stats.reused, stats.pipelined), (5, 4, 2));
}

/// Interim responses, answers without content, content in chunks, a large one.
#[tokio::test]
async fn answers_of_every_form_are_told_apart() {
    let (transport, _pipes, mut far) = trusting(8).await;
    let head = request("HEAD", "http://a/head", Body::empty());
    let cloned = transport.clone();
    let first = ask(&transport, "a");
    tokio::task::yield_now().await;
    let head = tokio::spawn(async move { exchange(&cloned, head).await });
    tokio::task::yield_now().await;
    let rest = ask_all(&transport, ["chunked", "empty", "large", "last"]);
    assert_eq!(paths(&mut far, 6).await[1], "head");
    let large = "x".repeat(300_000);
    let answers = [
        format!("HTTP/1.1 103 Early Hints\r\nlink: </x>\r\n\r\n{}", ok("a")),
        "HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\n".into(),
        chunked("in chunks"),
        "HTTP/1.1 204 No Content\r\n\r\n".into(),
        ok(&large),
        ok("last"),
    ];
    far.send(answers.concat()).await;
    assert_eq!(answered(first).await.unwrap().0, "a");
    assert_eq!(answered(head).await.unwrap().0, "");
    assert_eq!(texts(rest).await, ["in chunks", "", &large, "last"]);
    until_idle(&transport, 1).await;
}

#[tokio::test]
async fn trailers_reach_their_reader() {
    let (transport, _pipes, mut far) = trusting(8).await;
    let cloned = transport.clone();
    let asked = tokio::spawn(async move { cloned.send(get("http://a/t")).await });
    path(&mut far).await;
    far.send("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n1\r\nx\r\n0\r\nsum: 7\r\n\r\n")
        .await;
    let response = within("a response", asked).await.unwrap().unwrap();
    let mut body = response.into_body();
    assert_eq!(super::super::support::piece(&mut body).await, "x");
    let frame = super::super::support::frame(&mut body)
        .await
        .unwrap()
        .unwrap();
    assert_eq!(frame.into_trailers().unwrap()["sum"], "7");
}

/// However the answers are cut into pieces.
#[tokio::test]
async fn every_split_of_the_answers_gives_the_same() {
    let (transport, _pipes, mut far) = trusting(8).await;
    let whole = [ok("a"), chunked("b"), ok("")].concat();
    for split in 0..=whole.len() {
        let asked = ask_all(&transport, ["a", "b", "c"]);
        assert_eq!(paths(&mut far, 3).await, ["a", "b", "c"]);
        far.send(&whole[..split]).await;
        for _ in 0..10 {
            tokio::task::yield_now().await;
        }
        far.send(&whole[split..]).await;
        assert_eq!(texts(asked).await, ["a", "b", ""], "split at {split}");
    }
    let asked = ask_all(&transport, ["a", "b", "c"]);
    paths(&mut far, 3).await;
    far.dribble(&whole, 1).await;
    assert_eq!(texts(asked).await, ["a", "b", ""]);
    assert_eq!(stats(&transport).opened.total(), 1);
}

#[tokio::test]
async fn what_may_not_be_done_twice_is_never_pipelined() {
    let (transport, mut pipes, mut far) = trusting(8).await;
    let held = ask(&transport, "held");
    path(&mut far).await;
    let stream = request("GET", "http://a/stream", Body::from_factory(|| "x".into()));
    let large = request("GET", "http://a/large", vec![b'x'; 16 * 1024 + 1]);
    let with = |name: &'static str, value: &str, mut request: http::Request<Body>| {
        request.headers_mut().insert(name, value.parse().unwrap());
        request
    };
    let closing = with("connection", "close", get("http://a/closing"));
    let expecting = request("GET", "http://a/expecting", "x");
    let expecting = with("expect", "100-continue", expecting);
    // Idempotent, but not safe: a second copy could undo what was written after the first.
    let put = request("PUT", "http://a/put", "x");
    let delete = request("DELETE", "http://a/delete", Body::empty());
    // Whatever a request says of itself.
    let keyed = with("idempotency-key", "7", post("keyed"));
    let others = [
        post("post"),
        keyed,
        put,
        delete,
        stream,
        large,
        closing,
        expecting,
    ];
    for (number, other) in others.into_iter().enumerate() {
        let cloned = transport.clone();
        let asked = tokio::spawn(async move { exchange(&cloned, other).await });
        let mut own = pipes.accept().await;
        let path = path(&mut own).await;
        own.send("HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 0\r\n\r\n")
            .await;
        answered(asked).await.unwrap();
        assert_eq!(
            stats(&transport).opened.total(),
            2 + number as u64,
            "{path}"
        );
    }
    assert_eq!(stats(&transport).pipelined, 1);
    far.send(ok("held")).await;
    assert_eq!(answered(held).await.unwrap().0, "held");
    // Small content that lies in memory is.
    let cloned = transport.clone();
    let small = request("GET", "http://a/small", "content");
    let asked = tokio::spawn(async move { exchange(&cloned, small).await });
    tokio::task::yield_now().await;
    let behind = ask(&transport, "behind");
    path(&mut far).await;
    assert_eq!(far.read_exactly(7).await, b"content");
    assert_eq!(path(&mut far).await, "behind");
    far.send(tokens(&["small", "behind"])).await;
    assert_eq!(answered(asked).await.unwrap().0, "small");
    assert_eq!(answered(behind).await.unwrap().0, "behind");
}

#[tokio::test]
async fn a_key_may_pipeline_alone_or_be_the_only_one_that_does_not() {
    for (for_all, of_key, expected) in [(1, 4, 1), (4, 1, 2)] {
        let peer = Peer::start(Script::new().repeat_forever(answer(ok("x"))));
        let uri = peer.url("/").parse().unwrap();
        let transport = Transport::builder()
            .pipeline(for_all)
            .for_key(&uri, KeySettings::new().pipeline(of_key))
            .build()
            .unwrap();
        let mut first = std::pin::pin!(exchange(&transport, get(&peer.url("/"))));
        let mut second = std::pin::pin!(exchange(&transport, get(&peer.url("/"))));
        assert!(is_pending(&mut first).await && is_pending(&mut second).await);
        let (first, second) = tokio::join!(first, second);
        assert_eq!(
            (first.unwrap().0, second.unwrap().0),
            ("x".into(), "x".into())
        );
        assert_eq!(stats(&transport).opened.total(), expected);
    }
}

/// A request of the usual way and pipelined ones use the same connections.
#[tokio::test]
async fn between_requests_the_connection_is_an_idle_one_like_others() {
    let (transport, _pipes, mut far) = trusting(8).await;
    let cloned = transport.clone();
    let asked = tokio::spawn(async move { exchange(&cloned, post("p")).await });
    path(&mut far).await;
    assert_eq!(far.read_exactly(7).await, b"content");
    far.send(ok("p")).await;
    let (_, info) = answered(asked).await.unwrap();
    assert_eq!((info.id, info.exchange_number), (1, 4));
    // What arrives while it is idle closes it.
    far.send("stray").await;
    super::super::support::until_closed(&transport, CloseReason::UnsolicitedBytes, 1).await;
}

#[tokio::test]
async fn a_host_that_is_down_fails_every_request_once() {
    let transport = Transport::builder()
        .connector(|_| async { Err(std::io::ErrorKind::ConnectionRefused.into()) })
        .pipeline(4)
        .build()
        .unwrap();
    for asked in ask_all(&transport, ["1", "2", "3", "4", "5", "6", "7"]) {
        let error = answered(asked).await.unwrap_err();
        assert_eq!(error.kind(), keepline::ErrorKind::Connect);
    }
    leaves_nothing(&transport).await;
}

/// A real server, real sockets.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_works_over_sockets_and_threads() {
    let peer = Peer::start(always(ok("x")));
    let transport = Transport::builder().pipeline(16).build().unwrap();
    let workers: Vec<_> = (0..32)
        .map(|_| {
            let (transport, url) = (transport.clone(), peer.url("/"));
            tokio::spawn(async move {
                for _ in 0..100 {
                    let response = transport.send(get(&url)).await.unwrap();
                    assert_eq!(text(response.into_body()).await.unwrap(), "x");
                }
            })
        })
        .collect();
    for worker in workers {
        within("a worker", worker).await.unwrap();
    }
    let stats = stats(&transport);
    assert_eq!((stats.acquired, stats.retries), (3200, 0));
    assert!(
        stats.opened.total() <= 4 && stats.pipelined > 0,
        "{stats:?}"
    );
    leaves_nothing(&transport).await;
}

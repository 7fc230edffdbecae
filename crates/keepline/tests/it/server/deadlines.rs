//! Every deadline, on a paused clock: when it strikes, and what it leaves alone.

use std::time::Duration;

use keepline::CloseReason::{IdleTimeout, NotDrained, Timeout};
use tokio::time::Instant;

use super::*;

const SECOND: Duration = Duration::from_secs(1);

/// Waits for the end; says how long that took.
async fn ends(ended: JoinHandle<CloseReason>, since: Instant) -> (CloseReason, Duration) {
    let reason = ended.await.expect("no panic");
    (reason, since.elapsed())
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_says_nothing_is_closed_without_a_word() {
    let start = Instant::now();
    let (mut client, ended) = client();
    assert_eq!(rest(&mut client).await, "");
    assert_eq!(ends(ended, start).await, (Timeout, 10 * SECOND));
}

#[tokio::test(start_paused = true)]
async fn empty_lines_are_nothing() {
    let start = Instant::now();
    let (mut client, ended) = client();
    tokio::time::sleep(4 * SECOND).await;
    client.send("\r\n").await;
    tokio::time::sleep(4 * SECOND).await;
    client.send("\r\n").await;
    assert_eq!(rest(&mut client).await, "");
    assert_eq!(ends(ended, start).await, (Timeout, 10 * SECOND));
}

#[tokio::test(start_paused = true)]
async fn a_slow_head_is_cut_however_busy_it_is() {
    let (mut client, ended) = client();
    tokio::time::sleep(9 * SECOND).await;
    let start = Instant::now();
    // A byte a second: each is progress, none moves the deadline.
    for byte in b"GET / HTTP" {
        client.send([*byte]).await;
        tokio::time::sleep(SECOND).await;
    }
    let answer = answer(&mut client).await;
    assert_eq!((answer.status(), answer.says_close()), (408, true));
    assert_eq!(rest(&mut client).await, "");
    assert_eq!(start.elapsed(), 10 * SECOND);
    drop(client);
    assert_eq!(ended.await.unwrap(), Timeout);
}

#[tokio::test(start_paused = true)]
async fn the_head_deadline_ends_with_the_head() {
    let (mut client, _ended) = client();
    client
        .send("POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 40\r\n\r\n")
        .await;
    for _ in 0..40 {
        tokio::time::sleep(2 * SECOND).await;
        client.send("x").await;
    }
    assert_eq!(answer(&mut client).await.content.len(), 40);
}

#[tokio::test(start_paused = true)]
async fn each_further_head_has_its_own_deadline() {
    let (mut client, ended) = client();
    for _ in 0..3 {
        assert_persists(&mut client).await;
        tokio::time::sleep(20 * SECOND).await;
    }
    client.send("GET / HT").await;
    let start = Instant::now();
    assert_eq!(answer(&mut client).await.status(), 408);
    assert_eq!(start.elapsed(), 10 * SECOND);
    drop(client);
    assert_eq!(ended.await.unwrap(), Timeout);
}

#[tokio::test(start_paused = true)]
async fn a_pipelined_head_has_its_deadline_from_its_first_byte() {
    let (mut client, ended) = client();
    client
        .send("GET /1 HTTP/1.1\r\nHost: a\r\n\r\nGET /2")
        .await;
    let start = Instant::now();
    assert_eq!(answer(&mut client).await.content, "/1");
    assert_eq!(answer(&mut client).await.status(), 408);
    assert_eq!(start.elapsed(), 10 * SECOND);
    drop(client);
    assert_eq!(ended.await.unwrap(), Timeout);
}

/// The time that draining or reading a body was given says nothing about the next head.
#[tokio::test(start_paused = true)]
async fn a_head_after_a_drained_body_has_its_own_deadline() {
    let (mut client, _ended) = client();
    let unread = "POST /unread HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\n";
    assert_eq!(ask(&mut client, unread).await.content, "unread");
    tokio::time::sleep(4 * SECOND).await;
    client.send("xyGET /ne").await;
    tokio::time::sleep(9 * SECOND).await;
    client.send("xt HTTP/1.1\r\nHost: a\r\n\r\n").await;
    assert_eq!(answer(&mut client).await.content, "/next");
}

#[tokio::test(start_paused = true)]
async fn an_idle_connection_is_closed_and_each_request_starts_the_time_anew() {
    let (mut client, ended) = client();
    for _ in 0..4 {
        assert_persists(&mut client).await;
        tokio::time::sleep(74 * SECOND).await;
    }
    assert_persists(&mut client).await;
    let start = Instant::now();
    // Empty lines, as some clients send after a body, do not count as a request.
    tokio::time::sleep(30 * SECOND).await;
    client.send("\r\n").await;
    assert_eq!(rest(&mut client).await, "");
    assert_eq!(ends(ended, start).await, (IdleTimeout, 75 * SECOND));
}

#[tokio::test(start_paused = true)]
async fn a_body_that_stops_is_given_up_after_no_progress() {
    let (mut client, ended) = client();
    client
        .send("POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 90\r\n\r\n")
        .await;
    for _ in 0..5 {
        tokio::time::sleep(29 * SECOND).await;
        client.send("progress").await;
    }
    let start = Instant::now();
    let answer = answer(&mut client).await;
    assert_eq!(start.elapsed(), 30 * SECOND);
    assert!(answer.says_close());
    assert_eq!(answer.content, "failed: timed out waiting for the body");
    assert_eq!(rest(&mut client).await, "");
    drop(client);
    assert_eq!(ended.await.unwrap(), Timeout);
}

#[tokio::test(start_paused = true)]
async fn a_service_that_fails_because_the_body_stopped_answers_408() {
    async fn reads(request: Request<Body>) -> Result<Response<Body>, keepline::Error> {
        request
            .into_body()
            .bytes(100)
            .await
            .map(|content| Response::new(content.into()))
    }
    let (mut client, ended) = client_of(&server(), service_fn(reads));
    client
        .send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 90\r\n\r\nx")
        .await;
    let answer = answer(&mut client).await;
    assert_eq!((answer.status(), answer.says_close()), (408, true));
    drop(client);
    assert_eq!(ended.await.unwrap(), Timeout);
}

#[tokio::test(start_paused = true)]
async fn a_client_that_does_not_read_is_given_up_after_no_progress() {
    async fn large(_: Request<Body>) -> Result<Response<Body>, Infallible> {
        Ok(Response::new(Body::from("y".repeat(100_000))))
    }
    let (ours, theirs) = duplex(1000);
    let ended = server().serve_connection(keepline::net::Stream::new(theirs), service_fn(large));
    let mut client = RawClient::over(ours);
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
    for _ in 0..5 {
        tokio::time::sleep(29 * SECOND).await;
        client.read_exactly(900).await;
    }
    let start = Instant::now();
    assert_eq!(ends(ended, start).await, (Timeout, 30 * SECOND));
    let (left, _) = client.read_to_end().await;
    assert!(left.len() < 10_000);
}

#[tokio::test(start_paused = true)]
async fn a_slow_service_has_no_deadline() {
    let service = service_fn(|request: Request<Body>| async {
        tokio::time::sleep(3600 * SECOND).await;
        routes(request).await
    });
    let (mut client, _ended) = client_of(&server(), service);
    assert_eq!(
        ask(&mut client, "GET /slow HTTP/1.1\r\nHost: a\r\n\r\n")
            .await
            .content,
        "/slow"
    );
}

#[tokio::test(start_paused = true)]
async fn draining_is_bounded_in_time_and_then_lingers() {
    let (mut client, ended) = client();
    let start = Instant::now();
    client
        .send("POST /unread HTTP/1.1\r\nHost: a\r\nContent-Length: 1000\r\n\r\nx")
        .await;
    let answer = answer(&mut client).await;
    assert_eq!((&*answer.content, answer.says_close()), ("unread", false));
    // Nothing more comes: 5 s of draining, then our FIN, then 5 s without a byte.
    assert_eq!(rest(&mut client).await, "");
    assert_eq!(start.elapsed(), 5 * SECOND);
    assert_eq!(ends(ended, start).await, (NotDrained, 10 * SECOND));
}

#[tokio::test(start_paused = true)]
async fn lingering_is_bounded_without_a_byte_and_in_all() {
    let (mut client, ended) = client();
    let start = Instant::now();
    client
        .send("POST /unread HTTP/1.1\r\nHost: a\r\nContent-Length: 999999\r\n\r\n")
        .await;
    assert!(answer(&mut client).await.says_close());
    while client.try_send("x").await.is_ok() {
        tokio::time::sleep(4 * SECOND).await;
    }
    assert_eq!(ends(ended, start).await.0, NotDrained);
    assert!(start.elapsed() >= 30 * SECOND && start.elapsed() <= 34 * SECOND);
}

/// Also for a client that never stops: its bytes are always there, and no timer has its turn.
#[tokio::test]
async fn lingering_ends_for_a_client_that_sends_without_end() {
    let limit = Duration::from_millis(200);
    let server = builder().linger(limit, limit).build().unwrap();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(server.serve(listener, service_fn(routes)));
    let mut client = RawClient::connect(address).await;
    client
        .send("POST /unread HTTP/1.1\r\nHost: a\r\nContent-Length: 99999999999999\r\n\r\n")
        .await;
    let piece = vec![0; 1024 * 1024];
    keepline_testkit::within("the end of lingering", async {
        while client.try_send(&piece).await.is_ok() {}
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn without_limits_nothing_is_cut() {
    let server = builder()
        .head_timeout(None)
        .body_timeout(None)
        .write_timeout(None)
        .idle_timeout(None)
        .build()
        .unwrap();
    let (mut client, _ended) = client_of(&server, service_fn(routes));
    let day = 86_400 * SECOND;
    tokio::time::sleep(day).await;
    for part in [
        "POST /ec",
        "ho HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\n",
        "h",
        "i",
    ] {
        client.send(part).await;
        tokio::time::sleep(day).await;
    }
    assert_eq!(answer(&mut client).await.content, "hi");
    tokio::time::sleep(day).await;
    assert_persists(&mut client).await;
}

/// A client that reads a byte now and then is served where each byte counts, and only there.
#[tokio::test(start_paused = true)]
async fn a_client_that_takes_too_little_is_cut_where_enough_is_asked_for() {
    for (progress, cut) in [(1, false), (100, true)] {
        let server = builder().write_progress(progress).build().unwrap();
        let large = service_fn(async |_: Request<Body>| {
            Ok::<_, Infallible>(Response::new(Body::from(vec![b'x'; 100_000])))
        });
        // Not a byte more than the client reads.
        let (ours, theirs) = duplex(1);
        let stream = keepline::net::Stream::new(theirs);
        let ended = server.serve_connection(stream, large);
        let mut client = RawClient::over(ours);
        client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
        for _ in 0..20 {
            tokio::time::sleep(5 * SECOND).await;
            if ended.is_finished() {
                break;
            }
            client.read_exactly(1).await;
        }
        assert_eq!(ended.is_finished(), cut, "{progress}");
        if cut {
            assert_eq!(ended.await.unwrap(), Timeout);
        }
    }
}

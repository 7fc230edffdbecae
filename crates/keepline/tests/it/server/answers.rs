//! What an answer looks like on the wire, whatever the service declares and however the request was
//! framed; and what a request is to the service in the cases that are easily forgotten.

use std::time::Duration;

use super::*;

const KEPT: &str = "HTTP/1.0\r\nConnection: keep-alive\r\n";
const HTTP11: &str = "HTTP/1.1\r\nHost: a\r\n";

/// Answers with content of the size that the path says, and the fields that the query says.
async fn declared(request: Request<Body>) -> Result<Response<Body>, keepline::BoxError> {
    let size: usize = request.uri().path()[1..].parse()?;
    let content = Bytes::from("c".repeat(size));
    let mut response = Response::new(if request.uri().query().is_some() {
        Body::new(Frames {
            frames: [Frame::data(content)].into(),
            fails: false,
        })
    } else {
        content.into()
    });
    if let Some((name, value)) = request
        .uri()
        .query()
        .and_then(|field| field.split_once('='))
    {
        let name = http::HeaderName::from_bytes(name.as_bytes())?;
        response.headers_mut().insert(name, value.parse()?);
    }
    request.into_body().bytes(usize::MAX).await?;
    Ok(response)
}

/// Go's HeadBody, GetBody and the `H12_Head…` family.
#[tokio::test(start_paused = true)]
async fn head_and_get_have_the_same_head_whatever_the_request_brings() {
    let (mut client, _ended) = client_of(&server(), service_fn(declared));
    for body in [
        "\r\n",
        "Content-Length: 4\r\n\r\nbody",
        "Transfer-Encoding: chunked\r\n\r\n4\r\nbody\r\n0\r\n\r\n",
    ] {
        for target in ["/0", "/5", "/100000", "/5?content-length=5"] {
            let got = ask(&mut client, &format!("GET {target} {HTTP11}{body}")).await;
            let size = target[1..].split('?').next();
            assert_eq!(got.field("content-length"), size, "{target}");
            client.send(format!("HEAD {target} {HTTP11}{body}")).await;
            // An empty body may be one that was spared because nobody would get it: as in Go,
            // its length is not claimed to be that of a GET.
            let expected = got.head.replace("content-length: 0\r\n", "");
            assert_eq!(client.read_head().await, expected, "{target}");
        }
    }
    // A content byte behind a head would be taken for this answer.
    client.send(format!("GET /3 {HTTP11}\r\n")).await;
    client.half_close().await;
    assert!(rest(&mut client).await.ends_with("\r\n\r\nccc"));
}

#[tokio::test(start_paused = true)]
async fn an_empty_answer_has_a_length_of_zero_in_both_versions() {
    for version in [HTTP11, KEPT] {
        let (mut client, _ended) = client_of(&server(), service_fn(declared));
        for _ in 0..2 {
            let empty = ask(&mut client, &format!("GET /0 {version}\r\n")).await;
            assert_eq!(empty.field("content-length"), Some("0"), "{}", empty.head);
            assert_eq!(empty.field("transfer-encoding"), None, "{}", empty.head);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn an_empty_post_ends_at_once_time_after_time() {
    let (mut client, _ended) = client();
    for framing in [
        "",
        "Content-Length: 0\r\n",
        "Transfer-Encoding: chunked\r\n",
    ] {
        let end = if framing.starts_with('T') {
            "0\r\n\r\n"
        } else {
            ""
        };
        for _ in 0..5 {
            let post = format!("POST /echo {HTTP11}{framing}\r\n{end}");
            assert_eq!(ask(&mut client, &post).await.content, "", "{framing}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn an_answer_of_unknown_length_has_one_framing_field() {
    let (mut client, _ended) = client_of(&server(), service_fn(declared));
    for target in ["/5?x-is=streamed", "/5?transfer-encoding=chunked"] {
        let answer = ask(&mut client, &format!("GET {target} {HTTP11}\r\n")).await;
        assert_eq!(answer.content, "ccccc");
        assert_eq!(answer.field("content-length"), None);
        assert_eq!(answer.head.matches("transfer-encoding: chunked").count(), 1);
    }
}

/// Go's `ServerBufferedChunking` merges small writes; here each piece keeps its chunk, as its sender may
/// mean it, and what is ready at once leaves at once.
#[tokio::test(start_paused = true)]
async fn pieces_that_are_ready_together_leave_in_one_write() {
    let (ours, theirs) = duplex(1024 * 1024);
    let writes = Arc::default();
    let stream = keepline::net::Stream::new(Counted {
        stream: theirs,
        writes: Arc::clone(&writes),
    });
    let _ended = server().serve_connection(stream, service_fn(routes));
    let mut client = RawClient::over(ours);
    assert_eq!(
        ask(&mut client, &format!("GET /stream {HTTP11}\r\n"))
            .await
            .content,
        "one, two, three"
    );
    assert_eq!(writes.lock().unwrap().len(), 1);
}

/// Go guesses a Content-Type, and takes a service's away from 304; what the service says is sent here.
#[tokio::test(start_paused = true)]
async fn the_content_type_is_the_services_and_no_other() {
    async fn typed(request: Request<Body>) -> Result<Response<Body>, keepline::BoxError> {
        let mut response = Response::new(Body::empty());
        *response.status_mut() = request.uri().path()[1..].parse()?;
        if request.uri().query().is_some() {
            let html = http::HeaderValue::from_static("text/html");
            response.headers_mut().insert("content-type", html);
        }
        Ok(response)
    }
    let (mut client, _ended) = client_of(&server(), service_fn(typed));
    for status in [200, 204, 304, 404] {
        for (query, expected) in [("", None), ("?typed", Some("text/html"))] {
            client
                .send(format!("GET /{status}{query} {HTTP11}\r\n"))
                .await;
            let answer = Answer {
                head: client.read_head().await,
                content: String::new(),
            };
            assert_eq!(answer.status(), status);
            assert_eq!(answer.field("content-type"), expected, "{status}");
            assert_eq!(answer.field("transfer-encoding"), None, "{status}");
        }
    }
}

/// An interim status is no answer, and none that is at hand in its place would be meant.
#[tokio::test(start_paused = true)]
async fn a_service_that_answers_with_an_interim_status_is_at_fault() {
    async fn interim(_: Request<Body>) -> Result<Response<Body>, Infallible> {
        let mut response = Response::new(Body::empty());
        *response.status_mut() = StatusCode::EARLY_HINTS;
        Ok(response)
    }
    let (mut client, _ended) = client_of(&server(), service_fn(interim));
    let answer = ask(&mut client, &format!("GET / {HTTP11}\r\n")).await;
    assert_eq!((answer.status(), answer.says_close()), (500, true));
    assert_eq!(rest(&mut client).await, "");
}

#[tokio::test(start_paused = true)]
async fn the_expectation_reaches_the_service() {
    async fn expects(request: Request<Body>) -> Result<Response<Body>, keepline::BoxError> {
        let expect = request.headers().get("expect").ok_or("none")?.clone();
        request.into_body().bytes(9).await?;
        Ok(Response::new(expect.to_str()?.to_owned().into()))
    }
    let (mut client, _ended) = client_of(&server(), service_fn(expects));
    client
        .send(format!(
            "POST / {HTTP11}Expect: 100-Continue\r\nContent-Length: 2\r\n\r\n"
        ))
        .await;
    assert_eq!(client.read_head().await, "HTTP/1.1 100 Continue\r\n\r\n");
    client.send("ok").await;
    assert_eq!(answer(&mut client).await.content, "100-Continue");
}

/// Go's `ServerReadAfterHandlerDone100Continue` and `…Abort…`: who waited for the content when the
/// service ended is told, and the client is told nothing.
#[tokio::test(start_paused = true)]
async fn nobody_is_told_to_continue_when_the_service_is_through() {
    for path in ["/", "/fail", "/panic"] {
        let (kept, mut bodies) = tokio::sync::mpsc::unbounded_channel();
        let service = service_fn(move |request: Request<Body>| {
            let (parts, body) = request.into_parts();
            kept.send(body).expect("the test goes on");
            routes(Request::from_parts(parts, Body::empty()))
        });
        let (mut client, _ended) = client_of(&server(), service);
        client
            .send(format!(
                "POST {path} {HTTP11}Expect: 100-continue\r\nContent-Length: 2\r\n\r\n"
            ))
            .await;
        let answer = answer(&mut client).await;
        assert!(answer.says_close(), "{path}: {}", answer.head);
        let body = bodies.recv().await.expect("a body");
        assert!(body.bytes(9).await.is_err(), "{path}");
        assert_eq!(rest(&mut client).await, "", "{path}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_client_that_ends_without_a_word_gets_none() {
    let (mut client, ended) = client();
    client.half_close().await;
    assert_eq!(rest(&mut client).await, "");
    assert_eq!(ended.await.unwrap(), CloseReason::PeerClosed);
}

/// Go's `KeepAliveFinalChunkWithEOF`: who reads a value and stops has not seen the last chunk.
#[tokio::test(start_paused = true)]
async fn content_that_is_read_up_to_its_last_chunk_keeps_the_connection() {
    async fn value(request: Request<Body>) -> Result<Response<Body>, keepline::BoxError> {
        let frame = request.into_body().frame().await.ok_or("no content")??;
        let value = frame.into_data().map_err(|_| "no data")?;
        Ok(Response::new(value.into()))
    }
    let post = format!("POST / {HTTP11}Transfer-Encoding: chunked\r\n\r\n2\r\n{{}}\r\n");
    let (mut client, _ended) = client_of(&server(), service_fn(value));
    for _ in 0..3 {
        assert_eq!(ask(&mut client, &post).await.content, "{}");
        client.send("0\r\n\r\n").await;
    }
    for _ in 0..3 {
        let whole = format!("{post}0\r\n\r\n");
        assert_eq!(ask(&mut client, &whole).await.content, "{}");
    }
}

/// Go's `RequestBodyCloseDoesntBlock`: an upload that stands still holds up no answer.
#[tokio::test(start_paused = true)]
async fn a_stalled_upload_that_says_close_is_answered_at_once() {
    let (mut client, _ended) = client();
    let start = tokio::time::Instant::now();
    client
        .send(format!(
            "POST /unread {HTTP11}Connection: close\r\nContent-Length: 1000000\r\n\r\nx"
        ))
        .await;
    let answer = answer(&mut client).await;
    assert_eq!((&*answer.content, answer.says_close()), ("unread", true));
    assert_eq!(start.elapsed(), Duration::ZERO);
    assert_eq!(rest(&mut client).await, "");
    assert_eq!(start.elapsed(), Duration::ZERO);
}

/// As many fields as a head may have, a trailer section may have.
#[tokio::test(start_paused = true)]
async fn more_trailers_than_fields_are_allowed_fail_the_content() {
    for (count, is_allowed) in [(256, true), (257, false)] {
        let (mut client, _ended) = client();
        client
            .send(format!(
                "POST /echo {HTTP11}Transfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n{}\r\n",
                "X: 1\r\n".repeat(count)
            ))
            .await;
        let answer = answer(&mut client).await;
        assert_eq!(answer.content == "hi", is_allowed, "{}", answer.content);
        assert_eq!(answer.says_close(), !is_allowed);
    }
}

/// Go's `TimeoutHandler…`: within its time a service is as it would be without, and a panic too.
#[tokio::test(start_paused = true)]
async fn a_service_within_its_time_is_not_changed_by_it() {
    let limit = Some(Duration::from_secs(7));
    let timed = builder().handler_timeout(limit).build().unwrap();
    for path in ["/empty", "/x", "/stream", "/trailers", "/fail", "/panic"] {
        let get = format!("GET {path} {HTTP11}\r\n");
        let (mut with, _ended) = client_of(&timed, service_fn(routes));
        let (mut without, _ended) = client();
        let expected = ask(&mut without, &get).await;
        assert_eq!(ask(&mut with, &get).await, expected);
    }
}

/// Go's `TimeoutHandlerContextCanceled` and `…Race…`: a service whose time is over is dropped, so nothing of
/// it comes late.
#[tokio::test(start_paused = true)]
async fn a_service_whose_time_is_over_is_dropped() {
    let held = Arc::new(());
    let service = service_fn({
        let held = Arc::clone(&held);
        move |_: Request<Body>| {
            let held = Arc::clone(&held);
            async move {
                std::future::pending::<()>().await;
                drop(held);
                Ok::<_, Infallible>(Response::new(Body::from("late")))
            }
        }
    });
    let server = builder()
        .handler_timeout(Some(Duration::from_secs(7)))
        .build()
        .unwrap();
    let (mut client, _ended) = client_of(&server, service);
    let idle = Arc::strong_count(&held);
    let answer = ask(&mut client, &format!("GET / {HTTP11}\r\n")).await;
    assert_eq!(answer.status(), 503);
    assert_eq!(Arc::strong_count(&held), idle);
}

/// Go's `WriteDeadlineEnforcedPerStream`, `ServerKeepAliveAfterWriteError`: a connection that stopped taking
/// its second answer serves no third.
#[tokio::test(start_paused = true)]
async fn each_answer_is_watched_and_what_failed_serves_no_other() {
    let (ours, theirs) = duplex(1024);
    let stream = keepline::net::Stream::new(theirs);
    let server = server();
    let ended = server.serve_connection(stream, service_fn(declared));
    let mut client = RawClient::over(ours);
    let small = ask(&mut client, &format!("GET /5 {HTTP11}\r\n")).await;
    assert_eq!(small.content, "ccccc");
    tokio::time::sleep(Duration::from_secs(20)).await;
    let start = tokio::time::Instant::now();
    client
        .send(format!("GET /100000 {HTTP11}\r\nGET /5 {HTTP11}\r\n"))
        .await;
    assert_eq!(ended.await.unwrap(), CloseReason::Timeout);
    assert_eq!(start.elapsed(), Duration::from_secs(30));
    let (received, _) = client.read_to_end().await;
    assert!(received.len() < 100_000);
    assert_eq!(server.stats().requests, 2);
}

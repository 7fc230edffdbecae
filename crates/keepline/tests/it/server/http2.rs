//! HTTP/2: the same service, deadlines and limits, by the h2 crate's client.

use std::future::poll_fn;
use std::time::Duration;

use h2::client::SendRequest;
use h2::{Reason, RecvStream};
use keepline::server::{Http2, RequestInfo};
use keepline_testkit::Gate;
use tokio::time::Instant;

use super::*;

/// A session's sender, and the task that drives it, which ends with what ended the session.
type Session = (
    SendRequest<Bytes>,
    JoinHandle<Result<(), h2::Error>>,
    JoinHandle<CloseReason>,
);

fn http2_builder() -> ServerBuilder {
    builder().http2(Http2::default())
}

async fn session<S>(server: &Server, service: S) -> Session
where
    S: Service<Request<Body>, Response = Response<Body>> + Clone + Send + 'static,
    S::Future: Send + 'static,
    S::Error: Into<keepline::BoxError> + 'static,
{
    let (ours, theirs) = duplex(1024 * 1024);
    let ended = server.serve_connection(keepline::net::Stream::new(theirs), service);
    let (sender, connection) = h2::client::handshake(ours).await.unwrap();
    let sender = sender.ready().await.unwrap();
    (sender, tokio::spawn(connection), ended)
}

fn get(path: &str) -> Request<()> {
    let uri = format!("http://a.example{path}");
    Request::get(uri).body(()).unwrap()
}

async fn content(mut body: RecvStream) -> String {
    let mut content = Vec::new();
    while let Some(piece) = body.data().await {
        let piece = piece.unwrap();
        body.flow_control().release_capacity(piece.len()).unwrap();
        content.extend_from_slice(&piece);
    }
    String::from_utf8(content).unwrap()
}

/// Status and content of the answer to a request without content.
async fn ask2(sender: &mut SendRequest<Bytes>, request: Request<()>) -> (u16, String) {
    let (response, _) = sender.send_request(request, true).unwrap();
    let response = response.await.unwrap();
    let status = response.status().as_u16();
    (status, content(response.into_body()).await)
}

#[tokio::test]
async fn the_same_service_answers_by_prior_knowledge() {
    let server = http2_builder().build().unwrap();
    let (mut sender, driving, ended) = session(&server, service_fn(routes)).await;
    assert_eq!(ask2(&mut sender, get("/x")).await, (200, "/x".into()));
    assert_eq!(ask2(&mut sender, get("/stream")).await.1, "one, two, three");
    // What concerns HTTP/1.1 connections is left out, and breaks nothing.
    let (response, _) = sender.send_request(get("/close"), true).unwrap();
    let response = response.await.unwrap();
    assert_eq!(response.headers().get("connection"), None);
    assert_eq!(response.headers()["content-length"], "6");
    let head = Request::head("http://a.example/x").body(()).unwrap();
    assert_eq!(ask2(&mut sender, head).await, (200, String::new()));
    // Trailers.
    let (response, _) = sender.send_request(get("/trailers"), true).unwrap();
    let mut body = response.await.unwrap().into_body();
    while body.data().await.is_some() {}
    assert_eq!(body.trailers().await.unwrap().unwrap()["x-sum"], "7");
    driving.abort();
    assert_eq!(ended.await.unwrap(), CloseReason::PeerClosed);
}

#[tokio::test]
async fn large_content_goes_both_ways() {
    let server = http2_builder().build().unwrap();
    let (mut sender, _driving, _ended) = session(&server, service_fn(routes)).await;
    let large = Bytes::from("0123456789".repeat(300_000));
    let request = Request::post("http://a.example/echo").body(()).unwrap();
    let (response, mut sending) = sender.send_request(request, false).unwrap();
    sending.send_data(large.clone(), true).unwrap();
    let echoed = content(response.await.unwrap().into_body()).await;
    assert!(echoed.as_bytes() == large);
}

#[tokio::test]
async fn the_service_is_told_of_the_connection_and_the_host() {
    let server = http2_builder().build().unwrap();
    let tells = service_fn(|request: Request<Body>| async move {
        let info = *request.extensions().get::<RequestInfo>().unwrap();
        let host = request.headers()["host"].to_str()?;
        let text = format!("{} {} {host}", info.connection(), info.number());
        Ok::<_, keepline::BoxError>(Response::new(Body::from(text)))
    });
    let (mut sender, _driving, _ended) = session(&server, tells).await;
    for number in 1..3 {
        let told = ask2(&mut sender, get("/")).await.1;
        assert_eq!(told, format!("1 {number} a.example"));
    }
    let differs = Request::get("http://a.example/").header("host", "b.example");
    assert_eq!(ask2(&mut sender, differs.body(()).unwrap()).await.0, 400);
    assert_eq!(server.stats().requests, 3);
}

#[tokio::test(start_paused = true)]
async fn the_preface_may_dribble_and_other_beginnings_are_http1() {
    let server = http2_builder().build().unwrap();
    let (mut client, _ended) = client_of(&server, service_fn(routes));
    client.dribble("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 1).await;
    client.send(b"\0\0\0\x04\0\0\0\0\0").await;
    // SETTINGS come back, and then their acknowledgement.
    assert_eq!(client.read_exactly(9).await[3], 4);
    for request in [
        "PROPFIND / HTTP/1.1\r\nHost: a\r\n\r\n",
        "P / HTTP/1.1\r\nHost: a\r\n\r\n",
    ] {
        let (mut client, _ended) = client_of(&server, service_fn(routes));
        client.dribble(request, 1).await;
        assert_eq!(answer(&mut client).await.content, "/");
    }
    for (beginning, status) in [("PRI", 408), ("PRI * HTTP/2.0\r\n\r\nXX", 505)] {
        let (mut client, _ended) = client_of(&server, service_fn(routes));
        client.send(beginning).await;
        assert_eq!(answer(&mut client).await.status(), status, "{beginning}");
    }
    // Not offered, not spoken.
    let (mut client, _ended) = client_of(&super::server(), service_fn(routes));
    client.send("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").await;
    assert_eq!(answer(&mut client).await.status(), 505);
}

#[tokio::test(start_paused = true)]
async fn a_session_ends_for_the_reasons_for_which_a_connection_does() {
    let seconds = Duration::from_secs;
    let idle = http2_builder().idle_timeout(Some(seconds(5)));
    let old = http2_builder().max_age(Some(seconds(7)), Duration::ZERO);
    let few = http2_builder().max_requests(Some(2));
    for (builder, after, reason) in [
        (idle, 5, CloseReason::IdleTimeout),
        (old, 7, CloseReason::Lifetime),
        (few, 0, CloseReason::MaxRequests),
    ] {
        let server = builder.build().unwrap();
        let (mut sender, driving, ended) = session(&server, service_fn(routes)).await;
        let start = Instant::now();
        for _ in 0..2 {
            assert_eq!(ask2(&mut sender, get("/x")).await.0, 200);
        }
        assert_eq!(ended.await.unwrap(), reason);
        assert!(
            start.elapsed().abs_diff(seconds(after)) < seconds(1),
            "{reason}"
        );
        driving.await.unwrap().unwrap();
    }
}

/// Answers when the gate is open.
fn gated(
    gate: &Gate,
) -> impl Service<
    Request<Body>,
    Response = Response<Body>,
    Error = keepline::BoxError,
    Future: Send + 'static,
> + Clone
+ Send
+ 'static {
    let gate = gate.clone();
    service_fn(move |request: Request<Body>| {
        let gate = gate.clone();
        async move {
            if request.uri().path() != "/free" {
                gate.opened().await;
            }
            routes(request).await
        }
    })
}

#[tokio::test(start_paused = true)]
async fn shutdown_answers_what_is_in_progress_and_closes_what_is_idle() {
    let server = http2_builder().build().unwrap();
    let gate = Gate::new("the answer");
    let (mut busy, _driving, busy_ended) = session(&server, gated(&gate)).await;
    let (mut idle, idle_driving, idle_ended) = session(&server, gated(&gate)).await;
    assert_eq!(ask2(&mut idle, get("/free")).await.0, 200);
    let (response, _) = busy.send_request(get("/x"), true).unwrap();
    tokio::time::sleep(Duration::from_millis(1)).await;
    server.handle().shutdown();
    assert_eq!(idle_ended.await.unwrap(), CloseReason::Shutdown);
    idle_driving.await.unwrap().unwrap();
    tokio::time::sleep(Duration::from_secs(100)).await;
    gate.open();
    assert_eq!(content(response.await.unwrap().into_body()).await, "/x");
    assert_eq!(busy_ended.await.unwrap(), CloseReason::Shutdown);
}

#[tokio::test(start_paused = true)]
async fn a_client_that_answers_no_goaway_is_not_waited_for() {
    let server = http2_builder().build().unwrap();
    let (mut client, ended) = client_of(&server, service_fn(routes));
    client
        .send("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0")
        .await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    let start = Instant::now();
    server.handle().shutdown();
    assert_eq!(ended.await.unwrap(), CloseReason::Shutdown);
    assert!(start.elapsed() <= Duration::from_secs(6));
}

#[tokio::test(start_paused = true)]
async fn what_the_client_takes_back_is_cancelled() {
    let server = http2_builder().build().unwrap();
    let gate = Gate::new("never");
    let held = Arc::new(());
    let service = {
        let held = Arc::downgrade(&held);
        let gate = gate.clone();
        service_fn(move |request: Request<Body>| {
            let (held, gate) = (held.upgrade(), gate.clone());
            async move {
                gate.opened().await;
                drop(held);
                routes(request).await
            }
        })
    };
    let (mut sender, _driving, _ended) = session(&server, service).await;
    let (response, mut stream) = sender.send_request(get("/x"), true).unwrap();
    tokio::time::sleep(Duration::from_millis(1)).await;
    assert_eq!(Arc::strong_count(&held), 2);
    stream.send_reset(Reason::CANCEL);
    drop(response);
    tokio::time::sleep(Duration::from_millis(1)).await;
    assert_eq!(Arc::strong_count(&held), 1);
}

#[tokio::test(start_paused = true)]
async fn a_panic_and_a_failure_end_their_request_only() {
    let server = http2_builder().build().unwrap();
    let (mut sender, _driving, _ended) = session(&server, service_fn(routes)).await;
    assert_eq!(ask2(&mut sender, get("/panic")).await.0, 500);
    assert_eq!(ask2(&mut sender, get("/fail")).await.0, 500);
    // A response that has begun is cut visibly. (A reset overtakes what is still queued.)
    let (response, _) = sender.send_request(get("/broken"), true).unwrap();
    let cut = async { response.await?.into_body().data().await.transpose() }.await;
    assert_eq!(cut.unwrap_err().reason(), Some(Reason::INTERNAL_ERROR));
    assert_eq!(ask2(&mut sender, get("/x")).await.1, "/x");
}

#[tokio::test(start_paused = true)]
async fn the_limits_of_the_server_hold_for_streams() {
    let gate = Gate::new("never");
    let server = http2_builder()
        .max_body(Some(5))
        .body_timeout(Some(Duration::from_secs(3)))
        .handler_timeout(Some(Duration::from_secs(7)))
        .max_requests_in_progress(Some(1))
        .build()
        .unwrap();
    let (mut sender, _driving, _ended) = session(&server, gated(&gate)).await;
    let post = |length: Option<&str>| {
        let request = Request::post("http://a.example/free");
        match length {
            Some(length) => request.header("content-length", length),
            None => request,
        }
        .body(())
        .unwrap()
    };
    let (response, _sending) = sender.send_request(post(Some("6")), false).unwrap();
    assert_eq!(response.await.unwrap().status(), 413);
    let (late, _) = sender.send_request(get("/x"), true).unwrap();
    tokio::time::sleep(Duration::from_millis(1)).await;
    let (status, _) = ask2(&mut sender, get("/free")).await;
    assert_eq!(status, 503);
    assert_eq!(late.await.unwrap().status(), 503);
    assert_eq!(ask2(&mut sender, get("/free")).await.0, 200);
}

#[tokio::test]
async fn as_many_streams_as_are_set_and_no_larger_heads() {
    let mut settings = Http2::default();
    settings.max_streams = 3;
    settings.max_header_list = 1024;
    let server = builder().http2(settings).build().unwrap();
    let (mut sender, _driving, _ended) = session(&server, service_fn(routes)).await;
    assert_eq!(ask2(&mut sender, get("/x")).await.0, 200);
    assert_eq!(sender.current_max_send_streams(), 3);
    let large = Request::get("http://a.example/").header("x", "x".repeat(2000));
    assert_eq!(ask2(&mut sender, large.body(()).unwrap()).await.0, 431);
    assert_eq!(ask2(&mut sender, get("/x")).await.0, 200);
}

#[tokio::test(start_paused = true)]
async fn a_rapid_reset_ends_its_session_and_no_other() {
    let server = http2_builder().build().unwrap();
    let gate = Gate::new("never");
    let (mut honest, _honest_driving, _honest_ended) = session(&server, gated(&gate)).await;
    let (mut sender, driving, ended) = session(&server, gated(&gate)).await;
    let mut sent = 0;
    while sent < 5000 {
        let Ok(ready) = sender.clone().ready().await else {
            break;
        };
        sender = ready;
        let Ok((_response, mut stream)) = sender.send_request(get("/x"), true) else {
            break;
        };
        // Long enough for the server to have begun.
        tokio::task::yield_now().await;
        stream.send_reset(Reason::CANCEL);
        sent += 1;
        if sent % 50 == 0 {
            assert_eq!(ask2(&mut honest, get("/free")).await.0, 200);
        }
    }
    assert!(sent < 1000, "{sent}");
    assert_eq!(ended.await.unwrap(), CloseReason::ProtocolError);
    let error = driving.await.unwrap().unwrap_err();
    assert_eq!(error.reason(), Some(Reason::ENHANCE_YOUR_CALM));
    assert_eq!(ask2(&mut honest, get("/free")).await.0, 200);
}

/// Answers with the status and the content of the path, and a length that the query declares; of unknown
/// length to PUT.
async fn shaped(request: Request<Body>) -> Result<Response<Body>, keepline::BoxError> {
    let (path, length) = (request.uri().path(), request.uri().query());
    let (status, content) = path[1..].split_once('/').ok_or("no such path")?;
    let content = Bytes::from(content.to_owned());
    let is_known = length.is_none() && request.method() != Method::PUT;
    let mut response = Response::new(if is_known {
        content.into()
    } else {
        Body::new(Frames {
            frames: [Frame::data(content)].into(),
            fails: false,
        })
    });
    *response.status_mut() = status.parse()?;
    if let Some(length) = length {
        let length = length.parse()?;
        response.headers_mut().insert("content-length", length);
    }
    Ok(response)
}

/// Go's `H12_…`, `H2_204NoBody` and the like.
#[tokio::test]
async fn answers_have_the_same_shape_over_both_protocols() {
    let server = http2_builder().build().unwrap();
    let (mut sender, _driving, _ended) = session(&server, service_fn(shaped)).await;
    let (mut client, _ended) = client_of(&server, service_fn(shaped));
    for method in [Method::GET, Method::HEAD, Method::PUT] {
        for target in [
            "/200/",
            "/204/",
            "/304/",
            "/404/",
            "/404/text",
            "/200/text",
            "/200/text?4",
        ] {
            let what = format!("{method} {target}");
            client
                .send(format!(
                    "{what} HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n"
                ))
                .await;
            let is_bodiless = method == Method::HEAD || ["/204/", "/304/"].contains(&target);
            let one = if is_bodiless {
                let head = client.read_head().await;
                let content = String::new();
                Answer { head, content }
            } else {
                answer(&mut client).await
            };
            let request = Request::builder().method(&method);
            let request = request.uri(format!("http://a.example{target}"));
            let (two, _) = sender
                .send_request(request.body(()).unwrap(), true)
                .unwrap();
            let (two, body) = two.await.unwrap().into_parts();
            assert_eq!(two.status, one.status(), "{what}");
            let length = two.headers.get("content-length");
            let length = length.map(|length| length.to_str().unwrap());
            assert_eq!(length, one.field("content-length"), "{what}");
            assert_eq!(content(body).await, one.content, "{what}");
        }
    }
}

/// A reset, even one with `NO_ERROR`, makes some clients lose the answer (curl 7.88 does).
#[tokio::test(start_paused = true)]
async fn content_that_nobody_read_is_drained_after_the_answer_within_the_limits() {
    let server = http2_builder()
        .drain(10_000, Duration::from_secs(5))
        .build()
        .unwrap();
    let (mut sender, _driving, _ended) = session(&server, service_fn(routes)).await;
    let second = Duration::from_secs(1);
    let ask = async |sender: &mut SendRequest<Bytes>, length: &str| {
        let request = Request::post("http://a.example/x").header("content-length", length);
        let (response, sending) = sender
            .send_request(request.body(()).unwrap(), false)
            .unwrap();
        let response = response.await.unwrap();
        assert_eq!(content(response.into_body()).await, "/x");
        sending
    };
    let reset_within = async |sending: &mut h2::SendStream<Bytes>, time| {
        let reset = poll_fn(|cx| sending.poll_reset(cx));
        let reset = tokio::time::timeout(time, reset).await;
        reset.ok().map(Result::unwrap)
    };
    // All of it comes, late and in pieces.
    let mut sending = ask(&mut sender, "10000").await;
    assert_eq!(reset_within(&mut sending, second).await, None);
    sending.send_data(vec![b'u'; 4_000].into(), false).unwrap();
    assert_eq!(reset_within(&mut sending, second).await, None);
    sending.send_data(vec![b'u'; 6_000].into(), true).unwrap();
    // It doesn't come.
    let mut sending = ask(&mut sender, "10000").await;
    let began = Instant::now();
    let reset = reset_within(&mut sending, second * 60).await;
    assert_eq!(reset, Some(Reason::NO_ERROR));
    assert_eq!(began.elapsed().as_secs(), 5);
    // It is too much.
    let mut sending = ask(&mut sender, "10001").await;
    let began = Instant::now();
    let reset = reset_within(&mut sending, second * 60).await;
    assert_eq!(reset, Some(Reason::NO_ERROR));
    assert_eq!(began.elapsed(), Duration::ZERO);
    assert_eq!(ask2(&mut sender, get("/x")).await.1, "/x");
}

#[tokio::test]
async fn content_that_breaks_its_word_on_its_length_fails_its_stream_only() {
    let server = http2_builder().build().unwrap();
    let (mut sender, _driving, _ended) = session(&server, service_fn(shaped)).await;
    for target in ["/200/text?9", "/200/text?2"] {
        let (response, _) = sender.send_request(get(target), true).unwrap();
        let mut received = 0;
        let failed = match response.await {
            Err(_) => true,
            Ok(response) => {
                let mut body = response.into_body();
                loop {
                    match body.data().await {
                        Some(Ok(piece)) => received += piece.len(),
                        Some(Err(_)) => break true,
                        None => break false,
                    }
                }
            }
        };
        assert!(failed && received <= 4, "{target}: {received}");
    }
    assert_eq!(ask2(&mut sender, get("/200/ok")).await.1, "ok");
}

/// Go's `ServerUnencryptedHTTP2HeaderTimeout`: the beginning that tells the protocols apart has the time of a head.
#[tokio::test(start_paused = true)]
async fn a_preface_that_stops_has_the_time_of_a_head() {
    let server = http2_builder().build().unwrap();
    for (beginning, status) in [
        ("P", 408),
        ("PRI * HTTP/2.0\r\n", 408),
        // To HTTP/1.1 this is a request.
        ("PRI * HTTP/2.0\r\n\r\nSM", 505),
    ] {
        let (mut client, ended) = client_of(&server, service_fn(routes));
        let start = Instant::now();
        client.send(beginning).await;
        let answer = rest(&mut client).await;
        assert_eq!(answer[9..12], status.to_string(), "{beginning:?}");
        assert_eq!(start.elapsed(), Duration::from_secs(10), "{beginning:?}");
        drop(client);
        let reason = ended.await.unwrap();
        assert_eq!(reason == CloseReason::Timeout, status == 408, "{reason}");
    }
}

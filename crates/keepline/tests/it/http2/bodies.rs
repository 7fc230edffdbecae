//! Content in both directions: flow control, trailers, interim responses, early answers.

use std::sync::{Arc, Mutex};

use bytes::Bytes;
use h2::server::Builder;
use http::{HeaderMap, HeaderValue, Request, Response, StatusCode};
use http_body::Frame;
use keepline::ErrorKind;
use keepline::client::OnInterim;
use keepline_testkit::peer::{Peer, Script};
use keepline_testkit::within;

use super::support::{Server, echo_path, get, prior, say};
use super::time::{PREFACE, SETTINGS};
use crate::client::support::{
    body_failure, data, fed_body, frame, piece, request, stats, until_idle,
};

/// Answers with what it gets, piece by piece, and with the trailers.
async fn echo(request: Request<h2::RecvStream>, mut respond: h2::server::SendResponse<Bytes>) {
    let mut body = request.into_body();
    let mut stream = respond.send_response(Response::new(()), false).unwrap();
    while let Some(piece) = body.data().await {
        let Ok(mut piece) = piece else { return };
        body.flow_control().release_capacity(piece.len()).unwrap();
        while !piece.is_empty() {
            stream.reserve_capacity(piece.len());
            let Some(Ok(room)) = std::future::poll_fn(|cx| stream.poll_capacity(cx)).await else {
                return;
            };
            stream
                .send_data(piece.split_to(room.min(piece.len())), false)
                .unwrap();
        }
    }
    match body.trailers().await {
        Ok(Some(trailers)) => stream.send_trailers(trailers).unwrap(),
        _ => stream.send_data(Bytes::new(), true).unwrap(),
    }
}

#[tokio::test]
async fn megabytes_go_both_ways_within_the_windows() {
    let server = Server::answering(Builder::new(), echo).await;
    let transport = prior().build().unwrap();
    let content: Vec<u8> = (0..3 << 20)
        .map(|x: u32| x.to_le_bytes()[x as usize % 3])
        .collect();
    let upload = request("POST", &server.url(), content.clone());
    let response = within("a response", transport.send(upload)).await.unwrap();
    let received = within("the body", response.into_body().bytes(4 << 20))
        .await
        .unwrap();
    assert!(received == content, "it came back changed");
    until_idle(&transport, 1).await;
}

#[tokio::test]
async fn both_directions_stream_at_the_same_time_and_end_with_trailers() {
    let server = Server::answering(Builder::new(), echo).await;
    let transport = prior().build().unwrap();
    let (feed, body) = fed_body();
    let upload = request("POST", &server.url(), body);
    let mut received = within("a head", transport.send(upload))
        .await
        .unwrap()
        .into_body();
    for text in ["one", "two", "three"] {
        feed.send(data(text)).unwrap();
        assert_eq!(piece(&mut received).await, text);
    }
    let mut trailers = HeaderMap::new();
    trailers.insert("x-sum", HeaderValue::from_static("3"));
    feed.send(Ok(Frame::trailers(trailers.clone()))).unwrap();
    drop(feed);
    let last = frame(&mut received).await.unwrap().unwrap();
    assert_eq!(last.into_trailers().unwrap(), trailers);
    assert!(frame(&mut received).await.is_none());
    until_idle(&transport, 1).await;
}

#[tokio::test]
async fn a_body_that_fails_resets_its_stream_and_is_the_error() {
    let server = Server::answering(Builder::new(), echo).await;
    let transport = prior().build().unwrap();
    let (feed, body) = fed_body();
    let upload = request("POST", &server.url(), body);
    let mut received = transport.send(upload).await.unwrap().into_body();
    feed.send(data("begun")).unwrap();
    assert_eq!(piece(&mut received).await, "begun");
    feed.send(Err(body_failure())).unwrap();
    let error = frame(&mut received).await.unwrap().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Body, "{error}");
    assert_eq!(error.connection().unwrap().bytes_written, 5);
    until_idle(&transport, 1).await;
    let wrong = request("POST", &server.url(), "four");
    let (mut parts, body) = wrong.into_parts();
    parts
        .headers
        .insert("content-length", HeaderValue::from_static("5"));
    let error = transport
        .send(Request::from_parts(parts, body))
        .await
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidRequest, "{error}");
}

#[tokio::test]
async fn a_dropped_body_costs_its_stream_and_not_the_session() {
    let server = Server::answering(
        Builder::new(),
        |_, mut respond: h2::server::SendResponse<Bytes>| async move {
            let mut stream = respond.send_response(Response::new(()), false).unwrap();
            // More than any window, so it never ends by itself.
            stream.send_data(vec![b'x'; 64 << 20].into(), true).unwrap();
        },
    )
    .await;
    let transport = prior().build().unwrap();
    for exchange in 1..=3 {
        let mut body = transport
            .send(get(&server.url()))
            .await
            .unwrap()
            .into_body();
        assert!(!piece(&mut body).await.is_empty());
        drop(body);
        let stats = stats(&transport);
        assert_eq!((stats.idle, stats.acquired), (1, exchange));
    }
    assert_eq!(server.accepted(), 1);
}

#[tokio::test]
async fn an_early_answer_ends_the_upload() {
    // `:status: 413` and the end of the stream, then a reset that says that nothing is wrong.
    let refusal = [
        &[0, 0, 5, 1, 5, 0, 0, 0, 1, 8, 3][..],
        b"413",
        &[0, 0, 4, 3, 0, 0, 0, 0, 1, 0, 0, 0, 0],
    ];
    let script = Script::new()
        .expect(PREFACE)
        .send(SETTINGS)
        .read_exactly(60);
    let peer = Peer::start(script.send(refusal.concat()).hold());
    let transport = prior().build().unwrap();
    let upload = request("POST", &peer.url("/"), vec![0; 8 << 20]);
    let response = within("an answer", transport.send(upload)).await.unwrap();
    assert_eq!(response.status(), StatusCode::PAYLOAD_TOO_LARGE);
    assert!(response.into_body().bytes(10).await.unwrap().is_empty());
    until_idle(&transport, 1).await;
}

#[tokio::test]
async fn interim_responses_are_told_and_100_continue_lets_the_body_go() {
    let server = Server::answering(Builder::new(), |request: Request<h2::RecvStream>, mut respond: h2::server::SendResponse<Bytes>| async move {
        let interim = |status| Response::builder().status(status).header("link", "</a>").body(()).unwrap();
        respond.send_informational(interim(103)).unwrap();
        let mut body = request.into_body();
        // Nothing comes before it is asked for.
        let nothing = std::future::poll_fn(|cx| std::task::Poll::Ready(body.poll_data(cx).is_pending())).await;
        assert!(nothing);
        respond.send_informational(interim(100)).unwrap();
        let content = body.data().await.unwrap().unwrap();
        say(respond, content);
    })
    .await;
    let transport = prior().build().unwrap();
    let told = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&told);
    let mut upload = request("POST", &server.url(), "content");
    upload
        .headers_mut()
        .insert("expect", HeaderValue::from_static("100-continue"));
    upload
        .extensions_mut()
        .insert(OnInterim::new(move |status, fields: &HeaderMap| {
            seen.lock()
                .unwrap()
                .push((status.as_u16(), fields.contains_key("link")));
        }));
    let response = within("an answer", transport.send(upload)).await.unwrap();
    assert_eq!(response.into_body().text(10).await.unwrap(), "content");
    assert_eq!(*told.lock().unwrap(), [(103, true), (100, true)]);
}

#[tokio::test]
async fn hosts_and_connection_fields_are_made_what_they_are_in_http2() {
    let server = Server::answering(
        Builder::new(),
        |request: Request<h2::RecvStream>, respond| async move {
            assert_eq!(request.uri().authority().unwrap(), "virtual.example");
            for gone in ["host", "connection", "keep-alive", "transfer-encoding"] {
                assert!(!request.headers().contains_key(gone), "{gone}");
            }
            echo_path(request, respond).await;
        },
    )
    .await;
    let transport = prior().build().unwrap();
    let mut asked = get(&server.url());
    for (name, value) in [
        ("host", "virtual.example"),
        ("connection", "keep-alive"),
        ("keep-alive", "timeout=5"),
    ] {
        asked
            .headers_mut()
            .insert(name, HeaderValue::from_static(value));
    }
    let response = transport.send(asked).await.unwrap();
    assert_eq!(response.into_body().text(10).await.unwrap(), "/");
}

//! Connections that are handed over: Upgrade and CONNECT.

use std::time::Duration;

use keepline::server::{Exchange, Handler};
use keepline::upgrade::OnUpgrade;
use keepline_proto::{BodyLength, Field};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::*;

const UPGRADE: &str = "GET / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: shout\r\n\r\n";
const CONNECT: &str = "CONNECT b:1 HTTP/1.1\r\nHost: b:1\r\n\r\n";

/// Agrees to everything, and then answers in capitals.
async fn shout(mut request: Request<Body>) -> Result<Response<Body>, Infallible> {
    let mut response = Response::new(Body::empty());
    if *request.method() != Method::CONNECT {
        *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
        response
            .headers_mut()
            .insert("connection", "upgrade".parse().unwrap());
        response
            .headers_mut()
            .insert("upgrade", "shout".parse().unwrap());
    }
    let on_upgrade = request.extensions_mut().remove::<OnUpgrade>();
    if request.uri().query() != Some("forgets")
        && let Some(on_upgrade) = on_upgrade
    {
        tokio::spawn(async move {
            let mut connection = on_upgrade.await.expect("it was agreed to");
            let mut text = String::new();
            connection.read_to_string(&mut text).await.expect("text");
            connection
                .write_all(text.to_uppercase().as_bytes())
                .await
                .expect("a reader");
            connection.shutdown().await.expect("an end");
        });
    }
    Ok(response)
}

#[tokio::test(start_paused = true)]
async fn the_connection_is_handed_over_with_what_came_early() {
    for (request, expected) in [
        (
            UPGRADE,
            "HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: shout\r\n\r\n",
        ),
        (CONNECT, "HTTP/1.1 200 OK\r\n\r\n"),
    ] {
        let server = server();
        let (mut client, ended) = client_of(&server, service_fn(shout));
        client.send(format!("{request}early, ")).await;
        assert_eq!(client.read_head().await, expected);
        assert_eq!(ended.await.unwrap(), CloseReason::Upgraded);
        assert_eq!(server.stats().open, 0);
        // No deadline of ours cuts it.
        tokio::time::sleep(Duration::from_secs(1000)).await;
        client.send("late").await;
        client.half_close().await;
        assert_eq!(rest(&mut client).await, "EARLY, LATE");
    }
}

#[tokio::test(start_paused = true)]
async fn what_nobody_takes_over_is_not_agreed_to() {
    let upgrade = UPGRADE.replace("GET /", "GET /?forgets");
    let (mut client, ended) = client_of(&server(), service_fn(shout));
    let refusal = ask(&mut client, &upgrade).await;
    assert_eq!(refusal.status(), 501);
    // It is an answer as any other.
    assert_eq!(ask(&mut client, &upgrade).await.status(), 501);
    drop(client);
    assert_eq!(ended.await.unwrap(), CloseReason::PeerClosed);
}

#[tokio::test(start_paused = true)]
async fn who_did_not_ask_is_not_switched() {
    async fn switches(_: Request<Body>) -> Result<Response<Body>, Infallible> {
        let mut response = Response::new(Body::empty());
        *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
        Ok(response)
    }
    let (mut client, _ended) = client_of(&server(), service_fn(switches));
    let answer = ask(&mut client, "GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
    assert_eq!((answer.status(), answer.says_close()), (500, true));
}

#[tokio::test(start_paused = true)]
async fn a_refused_connect_closes_and_a_refused_upgrade_does_not() {
    async fn refuses(request: Request<Body>) -> Result<Response<Body>, Infallible> {
        assert!(request.extensions().get::<OnUpgrade>().is_some());
        let mut response = Response::new(Body::from("no"));
        *response.status_mut() = StatusCode::FORBIDDEN;
        Ok(response)
    }
    let (mut client, _ended) = client_of(&server(), service_fn(refuses));
    assert!(!ask(&mut client, UPGRADE).await.says_close());
    let connect = ask(&mut client, CONNECT).await;
    assert_eq!((connect.status(), &*connect.content), (403, "no"));
    assert!(connect.says_close());
    assert_eq!(rest(&mut client).await, "");
}

#[derive(Clone)]
struct RawShout;

impl Handler for RawShout {
    async fn handle(&mut self, exchange: &mut Exchange<'_>) -> Result<(), keepline::Error> {
        assert!(exchange.upgrade().await.is_err());
        let fields = [
            Field::new(b"connection", b"upgrade")?,
            Field::new(b"upgrade", b"shout")?,
        ];
        exchange.send_head(
            StatusCode::SWITCHING_PROTOCOLS,
            fields,
            BodyLength::Known(0),
        )?;
        let (mut stream, early) = exchange.upgrade().await?.into_parts();
        // It is not ours any more.
        assert!(exchange.upgrade().await.is_err());
        for piece in ["", "late"] {
            assert!(exchange.send_piece(piece.into()).is_err(), "{piece:?}");
        }
        let text = String::from_utf8_lossy(&early).to_uppercase();
        stream.write_all(text.as_bytes()).await?;
        stream.shutdown().await?;
        Ok(())
    }
}

#[tokio::test(start_paused = true)]
async fn a_raw_handler_takes_it_over_inside_its_own_future() {
    let (ours, theirs) = duplex(4096);
    let stream = keepline::net::Stream::new(theirs);
    let ended = server().serve_connection_raw(stream, RawShout);
    let mut client = RawClient::over(ours);
    client.send(format!("{UPGRADE}early")).await;
    assert!(client.read_head().await.starts_with("HTTP/1.1 101 "));
    assert_eq!(rest(&mut client).await, "EARLY");
    assert_eq!(ended.await.unwrap(), CloseReason::Upgraded);
}

#[tokio::test(start_paused = true)]
async fn early_bytes_of_any_size_are_handed_over() {
    for size in [1, 8 * 1024, 100 * 1024] {
        for request in [UPGRADE, CONNECT] {
            // What would be the last request of its connection is handed over as any other.
            let server = builder().max_requests(Some(1)).build().unwrap();
            let (mut client, _ended) = client_of(&server, service_fn(shout));
            client.send(format!("{request}{}", "e".repeat(size))).await;
            let head = client.read_head().await;
            assert!(!head.contains("close"), "{head}");
            client.half_close().await;
            let shouted = rest(&mut client).await;
            assert!(shouted == "E".repeat(size), "{size}: {}", shouted.len());
        }
    }
}

#[derive(Clone)]
struct TakesAndPanics;

impl Handler for TakesAndPanics {
    async fn handle(&mut self, exchange: &mut Exchange<'_>) -> Result<(), keepline::Error> {
        let fields = [
            Field::new(b"connection", b"upgrade")?,
            Field::new(b"upgrade", b"shout")?,
        ];
        let switch = StatusCode::SWITCHING_PROTOCOLS;
        exchange.send_head(switch, fields, BodyLength::Known(0))?;
        let _connection = exchange.upgrade().await?;
        panic!("as it was asked to");
    }
}

#[tokio::test(start_paused = true)]
async fn a_panic_after_the_hand_over_ends_what_was_handed_over_and_nothing_else() {
    let server = server();
    let (mut other, _ended) = client_of(&server, service_fn(routes));
    assert_persists(&mut other).await;
    let (ours, theirs) = duplex(4096);
    let ended = server.serve_connection_raw(keepline::net::Stream::new(theirs), TakesAndPanics);
    let mut client = RawClient::over(ours);
    client.send(UPGRADE).await;
    let (sent, _) = client.read_to_end().await;
    let sent = String::from_utf8(sent).unwrap();
    assert!(sent.starts_with("HTTP/1.1 101 ") && sent.ends_with("\r\n\r\n"));
    ended.await.expect("the panic stays in its connection");
    assert_persists(&mut other).await;
    assert_eq!(server.stats().open, 1);
}

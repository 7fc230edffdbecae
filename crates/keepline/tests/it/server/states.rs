//! The state hook: what it is told, in which order (Go: ServerConnState).

use keepline::server::{ConnectionState, StateChange};
use tokio::sync::mpsc;

use super::*;

/// A server whose hook's words can be read.
fn watched() -> (Server, mpsc::UnboundedReceiver<StateChange>) {
    let (sender, receiver) = mpsc::unbounded_channel();
    let server = builder()
        .on_state(move |change| {
            let _ = sender.send(change);
        })
        .build()
        .unwrap();
    (server, receiver)
}

async fn words(mut changes: mpsc::UnboundedReceiver<StateChange>, server: Server) -> String {
    drop(server);
    let mut words = Vec::new();
    while let Some(change) = changes.recv().await {
        assert_eq!(change.connection, 1);
        words.push(match change.state {
            ConnectionState::Closed(reason) => format!("closed {reason}"),
            other => format!("{other:?}").to_lowercase(),
        });
    }
    words.join(", ")
}

const GET: &str = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";
const CLOSE: &str = "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";

#[tokio::test(start_paused = true)]
async fn sequences_of_states() {
    for (requests, expected) in [
        (&[][..], "new, closed peer-closed"),
        (&[GET], "new, active, idle, closed peer-closed"),
        (
            &[GET, "GET /close HTTP/1.1\r\nHost: a\r\n\r\n"],
            "new, active, idle, active, closed local-asked-close",
        ),
        (
            &[GET, CLOSE],
            "new, active, idle, active, closed peer-asked-close",
        ),
        (&["garbage\r\n\r\n"], "new, active, closed protocol-error"),
        (
            &["GET /panic HTTP/1.1\r\nHost: a\r\n\r\n"],
            "new, active, closed local-asked-close",
        ),
        (
            &[GET, GET, GET],
            "new, active, idle, active, idle, active, idle, closed peer-closed",
        ),
    ] {
        let (server, changes) = watched();
        let (mut client, ended) = client_of(&server, service_fn(routes));
        for request in requests {
            ask(&mut client, request).await;
        }
        client.half_close().await;
        ended.await.unwrap();
        assert_eq!(words(changes, server).await, expected, "{requests:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_pipelined_batch_is_one_active_period() {
    let (server, changes) = watched();
    let (mut client, ended) = client_of(&server, service_fn(routes));
    client.send(GET.repeat(5)).await;
    for _ in 0..5 {
        answer(&mut client).await;
    }
    client.half_close().await;
    ended.await.unwrap();
    assert_eq!(
        words(changes, server).await,
        "new, active, idle, closed peer-closed"
    );
}

#[tokio::test(start_paused = true)]
async fn active_begins_with_the_first_byte() {
    let (server, mut changes) = watched();
    let (mut client, _ended) = client_of(&server, service_fn(routes));
    let mut next = async || changes.recv().await.map(|change| change.state);
    assert_eq!(next().await, Some(ConnectionState::New));
    client.send("G").await;
    assert_eq!(next().await, Some(ConnectionState::Active));
    client.send(&GET[1..]).await;
    assert_eq!(next().await, Some(ConnectionState::Idle));
}

#[tokio::test(start_paused = true)]
async fn counts_add_up_and_say_why() {
    let server = server();
    let mut open = Vec::new();
    for request in [GET, CLOSE, "garbage\r\n\r\n", GET] {
        let (mut client, ended) = client_of(&server, service_fn(routes));
        ask(&mut client, request).await;
        open.push((client, ended));
        let now = server.stats();
        assert_eq!(now.opened - now.open, now.closed.total());
    }
    for (mut client, ended) in open {
        client.half_close().await;
        ended.await.unwrap();
        let now = server.stats();
        assert_eq!(now.opened - now.open, now.closed.total());
    }
    let end = server.stats();
    assert_eq!((end.opened, end.open, end.requests), (4, 0, 3));
    assert_eq!(end.closed.of(CloseReason::PeerClosed), 2);
    assert_eq!(end.closed.of(CloseReason::PeerAskedClose), 1);
    assert_eq!(end.closed.of(CloseReason::ProtocolError), 1);
}

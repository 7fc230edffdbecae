//! How many connections and requests there may be at a time, and how large or slow they may be.

use std::net::SocketAddr;
use std::time::Duration;

use keepline::net;
use keepline_testkit::{End, until};
use tokio::net::TcpSocket;
use tokio::sync::Semaphore;
use tokio::time::Instant;

use super::*;

/// Answers `/held` when the gate lets it, everything else at once.
fn held(gate: &Arc<Semaphore>) -> impl Routes {
    let gate = Arc::clone(gate);
    service_fn(move |request: Request<Body>| {
        let gate = Arc::clone(&gate);
        async move {
            if request.uri().path() == "/held" {
                gate.acquire().await?.forget();
            }
            routes(request).await
        }
    })
}

trait Routes:
    Service<
        Request<Body>,
        Response = Response<Body>,
        Error = keepline::BoxError,
        Future: Send + 'static,
    > + Clone
    + Send
    + 'static
{
}

impl<S> Routes for S where
    S: Service<
            Request<Body>,
            Response = Response<Body>,
            Error = keepline::BoxError,
            Future: Send + 'static,
        > + Clone
        + Send
        + 'static
{
}

fn listening(server: &Server, service: impl Routes) -> SocketAddr {
    let listener = net::bind("127.0.0.1:0".parse().unwrap(), Default::default()).unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(server.serve(listener, service));
    address
}

const GET: &str = "GET /a HTTP/1.1\r\nHost: a\r\n\r\n";
const HELD: &str = "GET /held HTTP/1.1\r\nHost: a\r\n\r\n";

type TcpClient = RawClient<tokio::net::TcpStream>;

async fn connected_from(address: SocketAddr, from: &str) -> TcpClient {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind(format!("{from}:0").parse().unwrap()).unwrap();
    RawClient::over(socket.connect(address).await.unwrap())
}

#[tokio::test]
async fn the_longest_idle_connection_makes_room_for_the_next() {
    let server = builder().max_connections(Some(3)).build().unwrap();
    let address = listening(&server, service_fn(routes));
    let mut clients = Vec::new();
    for _ in 0..3 {
        let mut client = RawClient::connect(address).await;
        assert_eq!(ask(&mut client, GET).await.content, "/a");
        clients.push(client);
    }
    // The second is the longest idle now.
    ask(&mut clients[0], GET).await;
    let mut next = RawClient::connect(address).await;
    assert_eq!(ask(&mut next, GET).await.content, "/a");
    assert_eq!(
        clients.remove(1).read_to_end().await,
        (Vec::new(), End::Fin)
    );
    for client in &mut clients {
        assert_eq!(ask(client, GET).await.content, "/a");
    }
    until("the eviction to be counted", || {
        (server.stats().closed.of(CloseReason::IdleLimit) == 1).then_some(())
    })
    .await;
    assert_eq!(server.stats().open, 3);
}

#[tokio::test]
async fn a_connection_that_says_nothing_makes_room_too() {
    let server = builder().max_connections(Some(2)).build().unwrap();
    let address = listening(&server, service_fn(routes));
    let mut silent = Vec::new();
    for _ in 0..20 {
        silent.push(RawClient::connect(address).await);
        let mut client = RawClient::connect(address).await;
        assert_eq!(ask(&mut client, GET).await.content, "/a");
    }
    assert!(server.stats().open <= 2);
}

#[tokio::test]
async fn no_busy_connection_is_closed_and_the_next_waits_in_the_kernel() {
    let gate = Arc::new(Semaphore::new(0));
    let server = builder().max_connections(Some(2)).build().unwrap();
    let address = listening(&server, held(&gate));
    let mut clients = Vec::new();
    for _ in 0..2 {
        let mut client = RawClient::connect(address).await;
        client.send(HELD).await;
        clients.push(client);
    }
    until("both to be busy", || {
        (server.stats().requests == 2).then_some(())
    })
    .await;
    let mut third = RawClient::connect(address).await;
    third.send(GET).await;
    // It is not even accepted, until one has been answered and is idle.
    assert_eq!(server.stats().opened, 2);
    gate.add_permits(1);
    assert_eq!(answer(&mut third).await.content, "/a");
    assert_eq!(server.stats().opened, 3);
    gate.add_permits(1);
    let mut answered = 0;
    for client in &mut clients {
        answered += usize::from(answer(client).await.content == "/held");
    }
    assert_eq!(answered, 2);
}

#[tokio::test]
async fn a_peer_with_too_many_connections_makes_room_itself_or_is_refused() {
    let gate = Arc::new(Semaphore::new(0));
    let server = builder().max_connections_per_peer(Some(2)).build().unwrap();
    let address = listening(&server, held(&gate));
    let mut busy = connected_from(address, "127.0.0.1").await;
    busy.send(HELD).await;
    let mut idle = connected_from(address, "127.0.0.1").await;
    ask(&mut idle, GET).await;
    let mut third = connected_from(address, "127.0.0.1").await;
    third.send(HELD).await;
    assert_eq!(idle.read_to_end().await.1, End::Fin);
    until("both to be busy", || {
        (server.stats().requests == 3).then_some(())
    })
    .await;
    // Both are busy now.
    let refused = connected_from(address, "127.0.0.1")
        .await
        .read_to_end()
        .await;
    assert_eq!(refused, (Vec::new(), End::Fin));
    assert_eq!(server.stats().refused, 1);
    // Others are not concerned.
    let mut other = connected_from(address, "127.0.0.2").await;
    assert_eq!(ask(&mut other, GET).await.content, "/a");
    gate.add_permits(2);
    assert_eq!(answer(&mut busy).await.content, "/held");
    assert_eq!(answer(&mut third).await.content, "/held");
}

#[tokio::test(start_paused = true)]
async fn too_many_requests_in_progress_are_told_to_come_again() {
    let gate = Arc::new(Semaphore::new(0));
    let server = builder().max_requests_in_progress(Some(1)).build().unwrap();
    let (mut first, _ended) = client_of(&server, held(&gate));
    let (mut second, _ended) = client_of(&server, held(&gate));
    first.send(HELD).await;
    tokio::task::yield_now().await;
    let refused = ask(&mut second, GET).await;
    assert_eq!((refused.status(), refused.says_close()), (503, false));
    assert_eq!(refused.field("retry-after"), Some("1"));
    gate.add_permits(1);
    assert_eq!(answer(&mut first).await.content, "/held");
    assert_eq!(ask(&mut second, GET).await.content, "/a");
}

#[tokio::test(start_paused = true)]
async fn a_service_that_takes_too_long_is_answered_for() {
    let gate = Arc::new(Semaphore::new(0));
    let limit = Duration::from_secs(7);
    let server = builder().handler_timeout(Some(limit)).build().unwrap();
    let (mut client, _ended) = client_of(&server, held(&gate));
    for _ in 0..2 {
        let start = Instant::now();
        let late = ask(&mut client, HELD).await;
        assert_eq!((late.status(), late.says_close()), (503, false));
        assert_eq!(start.elapsed(), limit);
        // What it left of the request is drained; the connection serves on.
        let post = "POST /held HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc";
        assert_eq!(ask(&mut client, post).await.status(), 503);
        assert_eq!(ask(&mut client, GET).await.content, "/a");
    }
}

#[tokio::test(start_paused = true)]
async fn content_above_the_limit_is_answered_with_413() {
    let server = builder().max_body(Some(5)).build().unwrap();
    for (framing, status) in [
        ("Content-Length: 5\r\n\r\nhello", 200),
        (
            "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
            200,
        ),
        // Before the service sees it, and before it is sent.
        ("Content-Length: 6\r\n\r\n", 413),
        ("Content-Length: 6\r\nExpect: 100-continue\r\n\r\n", 413),
        (
            "Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n3\r\ndef\r\n0\r\n\r\n",
            413,
        ),
    ] {
        let service = service_fn(|request: Request<Body>| async {
            let content = request.into_body().bytes(usize::MAX).await?;
            Ok::<_, keepline::BoxError>(Response::new(Body::from(content)))
        });
        let (mut client, _ended) = client_of(&server, service);
        client
            .send(format!("POST /echo HTTP/1.1\r\nHost: a\r\n{framing}"))
            .await;
        let answer = answer(&mut client).await;
        assert_eq!(answer.status(), status, "{framing:?}");
        // What is small enough is drained; what is held back, or has no end, is not waited for.
        let closes = status == 413 && !framing.starts_with("Content-Length: 6\r\n\r\n");
        assert_eq!(answer.says_close(), closes, "{framing:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn an_upload_that_dribbles_or_takes_too_long_is_given_up() {
    let seconds = Duration::from_secs;
    let slow = || builder().body_timeout(Some(seconds(10)));
    for (builder, ends) in [
        (slow(), None),
        (slow().body_progress(100), Some(10)),
        (slow().body_deadline(Some(seconds(25))), Some(25)),
    ] {
        let server = builder.build().unwrap();
        let (mut client, _ended) = client_of(&server, service_fn(routes));
        client
            .send("POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 60\r\n\r\n")
            .await;
        let start = Instant::now();
        let mut sent = 0;
        // A byte each 900 ms, until there is an answer.
        let answer = loop {
            match tokio::time::timeout(Duration::from_millis(900), client.read_head()).await {
                Ok(head) => break head,
                Err(_) if sent < 60 => {
                    sent += 1;
                    client.send("x").await;
                }
                Err(_) => {}
            }
        };
        let (elapsed, closes) = (start.elapsed(), answer.contains("close"));
        match ends {
            None => assert!(elapsed >= seconds(54) && !closes, "{answer}"),
            Some(ends) => assert!(
                elapsed.abs_diff(seconds(ends)) < Duration::from_millis(2) && closes,
                "{elapsed:?} {answer}"
            ),
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_client_that_does_not_bear_reuse_is_told_to_close() {
    let old =
        |head: &keepline_proto::RequestHead| head.fields().value("user-agent") != Some(b"Old/1");
    let server = builder().persist_if(old).build().unwrap();
    let (mut client, ended) = client_of(&server, service_fn(routes));
    assert!(!ask(&mut client, GET).await.says_close());
    let last = "GET /a HTTP/1.1\r\nHost: a\r\nUser-Agent: Old/1\r\n\r\n";
    assert!(ask(&mut client, last).await.says_close());
    assert_eq!(rest(&mut client).await, "");
    drop(client);
    assert_eq!(ended.await.unwrap(), CloseReason::NotPersistent);
}

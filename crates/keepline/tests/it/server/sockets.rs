//! What only the kernel can judge: resets, listeners, workers.

use std::time::Duration;

use keepline::net;
use keepline_testkit::sockets::{Sockets, State};
use keepline_testkit::{End, until};

use super::*;

/// A server on a real port.
fn listening(server: &Server) -> std::net::SocketAddr {
    let listener = net::bind("127.0.0.1:0".parse().unwrap(), Default::default()).unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(server.serve(listener, service_fn(refuses)));
    address
}

async fn refuses(request: Request<Body>) -> Result<Response<Body>, keepline::BoxError> {
    let mut response = routes(request).await?;
    if response.headers().get("connection").is_none() {
        *response.status_mut() = StatusCode::PAYLOAD_TOO_LARGE;
    }
    Ok(response)
}

/// The hardest case of an early answer: the client writes all of 64 MiB before it reads.
#[tokio::test]
async fn an_answer_to_a_large_unread_upload_arrives() {
    let server = server();
    let address = listening(&server);
    for framing in [
        "Content-Length: 67108864\r\n\r\n",
        "Transfer-Encoding: chunked\r\n\r\n4000000\r\n",
    ] {
        let mut client = RawClient::connect(address).await;
        client
            .send(format!("POST /unread HTTP/1.1\r\nHost: a\r\n{framing}"))
            .await;
        let piece = vec![0; 1024 * 1024];
        for _ in 0..64 {
            client.send(&piece).await;
        }
        let refusal = answer(&mut client).await;
        assert_eq!((refusal.status(), &*refusal.content), (413, "unread"));
        assert_eq!(client.read_to_end().await, (Vec::new(), End::Fin));
    }
    until("both to be counted", || {
        (server.stats().closed.of(CloseReason::NotDrained) == 2).then_some(())
    })
    .await;
}

#[tokio::test]
async fn no_error_answer_is_destroyed_by_a_reset() {
    let server = server();
    let address = listening(&server);
    let more = "x".repeat(500_000);
    for request in [
        "GARBAGE\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: fugazi\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: a\r\nExpect: a-pony\r\nContent-Length: 500000\r\n\r\n",
        "GET /fail HTTP/1.1\r\nHost: a\r\nContent-Length: 500000\r\n\r\n",
        "GET /close HTTP/1.1\r\nHost: a\r\n\r\n",
    ] {
        let mut client = RawClient::connect(address).await;
        client.send(request).await;
        client.send(&more).await;
        let answer = answer(&mut client).await;
        assert!(answer.says_close(), "{}", answer.head);
        assert_eq!(
            client.read_to_end().await,
            (Vec::new(), End::Fin),
            "{request}"
        );
    }
}

#[tokio::test]
async fn a_close_delimited_body_that_fails_ends_with_a_reset() {
    let server = server();
    let address = listening(&server);
    let mut client = RawClient::connect(address).await;
    client.send("GET /broken HTTP/1.0\r\n\r\n").await;
    assert_eq!(client.read_to_end().await.1, End::Reset);
}

#[tokio::test]
async fn a_closed_connection_leaves_no_socket_behind() {
    let server = builder()
        .idle_timeout(Some(Duration::from_millis(20)))
        .build()
        .unwrap();
    let address = listening(&server);
    let mut client = RawClient::connect(address).await;
    ask(&mut client, "GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
    assert_eq!(client.read_to_end().await, (Vec::new(), End::Fin));
    // Ours is the side that closed first.
    client.close();
    Sockets::on_port(address.port())
        .in_state(State::TimeWait)
        .until(1)
        .await;
    assert_eq!(server.stats().closed.of(CloseReason::IdleTimeout), 1);
}

#[tokio::test]
async fn unix_sockets_are_served() {
    let dir = keepline_testkit::ScratchDir::new("unix");
    let path = dir.path().join("socket");
    let listener = tokio::net::UnixListener::bind(&path).unwrap();
    tokio::spawn(server().serve(listener, service_fn(routes)));
    let mut client = RawClient::over(tokio::net::UnixStream::connect(&path).await.unwrap());
    assert_eq!(
        ask(&mut client, "GET /unix HTTP/1.1\r\nHost: a\r\n\r\n")
            .await
            .content,
        "/unix"
    );
}

#[test]
fn workers_serve_one_port_and_end_together() {
    let server = server();
    let listeners =
        net::bind_workers("127.0.0.1:0".parse().unwrap(), Default::default(), 3).unwrap();
    let address = listeners[0].local_addr().unwrap();
    let workers = server
        .spawn_workers(listeners, |number| {
            service_fn(move |_: Request<Body>| async move {
                Ok::<_, Infallible>(Response::new(Body::from(number.to_string())))
            })
        })
        .unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let seen = runtime.block_on(async {
        let mut seen = std::collections::BTreeSet::new();
        let mut clients = Vec::new();
        while seen.len() < 3 && clients.len() < 200 {
            let mut client = RawClient::connect(address).await;
            for _ in 0..2 {
                seen.insert(
                    ask(&mut client, "GET / HTTP/1.1\r\nHost: a\r\n\r\n")
                        .await
                        .content,
                );
            }
            clients.push(client);
        }
        let stats = server.stats();
        assert_eq!(stats.open, clients.len() as u64);
        assert_eq!(stats.requests, 2 * stats.open);
        seen
    });
    assert_eq!(seen.len(), 3);
    server.handle().shutdown();
    workers.join().unwrap();
    assert_eq!(server.stats().open, 0);
}

/// A connection that is reset before it is accepted concerns nobody else.
#[tokio::test]
async fn connections_reset_before_they_are_accepted_do_no_harm() {
    let server = server();
    let listener = net::bind("127.0.0.1:0".parse().unwrap(), Default::default()).unwrap();
    let address = listener.local_addr().unwrap();
    for _ in 0..5 {
        RawClient::connect(address).await.reset();
    }
    tokio::spawn(server.serve(listener, service_fn(routes)));
    let mut client = RawClient::connect(address).await;
    let get = "GET /x HTTP/1.1\r\nHost: a\r\n\r\n";
    assert_eq!(ask(&mut client, get).await.content, "/x");
}

/// The limit of open files is the process's, so this test runs itself again in a process of its
/// own that has a low one.
#[test]
fn accepting_goes_on_after_running_out_of_files() {
    const CHILD: &str = "KEEPLINE_TEST_WITHOUT_FILES";
    if std::env::var_os(CHILD).is_some() {
        let runtime = tokio::runtime::Builder::new_current_thread();
        let runtime = { runtime }.enable_all().build().unwrap();
        return runtime.block_on(runs_out_of_files());
    }
    let name = "server::sockets::accepting_goes_on_after_running_out_of_files";
    let output = std::process::Command::new("sh")
        .args(["-c", "ulimit -n 60; exec \"$0\" \"$@\""])
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", name, "--test-threads=1"])
        .env(CHILD, "1")
        .output()
        .unwrap();
    let told = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success() && told.contains("1 passed"),
        "{told}"
    );
}

async fn runs_out_of_files() {
    let server = server();
    let listener = net::bind("127.0.0.1:0".parse().unwrap(), Default::default()).unwrap();
    let mut client = RawClient::connect(listener.local_addr().unwrap()).await;
    let mut files = Vec::new();
    while let Ok(file) = std::fs::File::open("/dev/null") {
        files.push(file);
    }
    assert!(files.len() > 10);
    tokio::spawn(server.serve(listener, service_fn(routes)));
    client.send("GET /x HTTP/1.1\r\nHost: a\r\n\r\n").await;
    // Turns enough for the runtime to look at its sockets more than once.
    for _ in 0..200 {
        tokio::task::yield_now().await;
    }
    assert_eq!(server.stats().opened, 0);
    drop(files);
    assert_eq!(answer(&mut client).await.content, "/x");
}

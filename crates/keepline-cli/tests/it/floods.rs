//! Many connections at once, against the server in a process of its own: what they cost it, and
//! that others are still answered.

use std::net::SocketAddr;
use std::time::Duration;

use keepline_testkit::process_facts::resident_bytes;
use keepline_testkit::sockets::{Sockets, State};
use keepline_testkit::{RawClient, until};
use tokio::net::TcpStream;

use crate::binary::{Served, run};

/// Connections of a flood. The limit of open files has to allow twice as many to both sides.
const FLOOD: usize = 8_000;

/// Opens a flood of connections that the server has accepted.
async fn flood(server: &Served) -> Vec<TcpStream> {
    keepline::net::raise_open_files_limit().expect("the limit can be raised to the hard one");
    let address = SocketAddr::from(([127, 0, 0, 1], server.port));
    let mut connections = Vec::with_capacity(FLOOD);
    for _ in 0..FLOOD {
        connections.push(
            TcpStream::connect(address)
                .await
                .expect("the server accepts"),
        );
    }
    let pid = server.process.id();
    until("all to be accepted", || {
        let files = keepline_testkit::process_facts::open_files(pid).ok()?;
        (files >= FLOOD).then_some(())
    })
    .await;
    connections
}

/// What the server holds more than before, in bytes.
fn grown(server: &Served, before: u64) -> u64 {
    resident_bytes(server.process.id())
        .unwrap()
        .saturating_sub(before)
}

#[tokio::test]
async fn connections_that_say_nothing_cost_little() {
    let server = Served::start(&[]).await;
    assert_eq!(
        run(&["get", &server.url("/")]).await.stdout,
        "Hello, World!"
    );
    let before = resident_bytes(server.process.id()).unwrap();
    let connections = flood(&server).await;
    let grown = grown(&server, before);
    assert!(grown < 64 << 20, "{grown} bytes");
    // Others are answered as if nothing were.
    let answer = run(&["get", "--timeout", "5s", &server.url("/")]).await;
    assert_eq!(answer.stdout, "Hello, World!");
    // And nothing of the flood stays behind.
    let port = Sockets::on_port(server.port).in_state(State::Established);
    drop(connections);
    until("all to be closed", || (port.count() == 0).then_some(())).await;
}

/// After a request each, idle connections hold no buffer: little more than their task and socket.
#[tokio::test]
async fn idle_connections_cost_little() {
    let server = Served::start(&["--idle-timeout", "10m"]).await;
    assert_eq!(
        run(&["get", &server.url("/")]).await.stdout,
        "Hello, World!"
    );
    let before = resident_bytes(server.process.id()).unwrap();
    let mut clients = Vec::with_capacity(FLOOD);
    for connection in flood(&server).await {
        let mut client = RawClient::over(connection);
        client.send("GET / HTTP/1.1\r\nhost: x\r\n\r\n").await;
        client.read_head().await;
        assert_eq!(client.read_exactly(13).await, b"Hello, World!");
        clients.push(client);
    }
    let each = grown(&server, before) / FLOOD as u64;
    // In a debug build; docs and bench have the figure of a release build.
    assert!(each < 8 << 10, "{each} bytes each");
    tokio::time::timeout(Duration::from_secs(10), async {
        // All are still there, and work.
        for client in clients.iter_mut().step_by(500) {
            client
                .send("GET /bytes/5 HTTP/1.1\r\nhost: x\r\n\r\n")
                .await;
            client.read_head().await;
            client.read_exactly(5).await;
        }
    })
    .await
    .expect("they are answered at once");
}

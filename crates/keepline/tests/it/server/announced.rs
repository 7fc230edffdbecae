//! The PROXY protocol: whose connection it is, said before anything else.

use std::net::SocketAddr;
use std::time::Duration;

use keepline::net;
use keepline::server::RequestInfo;
use keepline_testkit::{End, until};

use super::*;

const GET: &str = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";
const LINE: &str = "PROXY TCP4 192.0.2.7 10.0.0.1 54321 443\r\n";
/// The same in version 2, with an extension behind the addresses.
const BINARY: &[u8] = b"\r\n\r\n\0\r\nQUIT\n\x21\x11\x00\x13\xc0\x00\x02\x07\x0a\x00\x00\x01\xd4\x31\x01\xbb\x03\x00\x04abcd";
/// The balancer's own connection.
const LOCAL: &[u8] = b"\r\n\r\n\0\r\nQUIT\n\x20\x00\x00\x00";

/// Answers with the peer that the request came from.
async fn peer(request: Request<Body>) -> Result<Response<Body>, Infallible> {
    let info = request.extensions().get::<RequestInfo>();
    let peer = info.map(|info| info.peer().to_string());
    Ok(Response::new(peer.unwrap_or_default().into()))
}

fn listening(server: &Server) -> SocketAddr {
    let listener = net::bind("127.0.0.1:0".parse().unwrap(), Default::default()).unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(server.serve(listener.proxy_protocol(true), service_fn(peer)));
    address
}

#[tokio::test]
async fn a_request_has_the_peer_that_was_announced() {
    let server = server();
    let address = listening(&server);
    for header in [LINE.as_bytes(), BINARY] {
        // In one segment with the request, and a byte at a time.
        for piece in [usize::MAX, 1] {
            let mut client = RawClient::connect(address).await;
            let bytes = [header, GET.as_bytes()].concat();
            client.dribble(bytes, piece).await;
            assert_eq!(answer(&mut client).await.content, "192.0.2.7:54321");
            // Once for the connection.
            let again = ask(&mut client, GET).await;
            assert_eq!(again.content, "192.0.2.7:54321");
        }
    }
}

#[tokio::test]
async fn a_connection_of_the_balancer_itself_keeps_its_address() {
    let server = server();
    let address = listening(&server);
    for header in [b"PROXY UNKNOWN\r\n", LOCAL] {
        let mut client = RawClient::connect(address).await;
        let own = client.local_addr().to_string();
        client.send(header).await;
        assert_eq!(ask(&mut client, GET).await.content, own);
    }
}

#[tokio::test]
async fn what_begins_otherwise_is_closed_without_an_answer() {
    let server = server();
    let address = listening(&server);
    for (count, bytes) in (1..).zip([GET, "PROXY TCP4 1.2.3.4\r\n", "\x16\x03\x01\x02\x00"]) {
        let mut client = RawClient::connect(address).await;
        client.send(bytes).await;
        assert_eq!(client.read_to_end().await.0, b"");
        until("the reason", || {
            (server.stats().closed.of(CloseReason::ProtocolError) == count).then_some(())
        })
        .await;
    }
    // A balancer that looks whether somebody listens, and leaves in the middle of the line.
    for begin in ["", "PROXY TC"] {
        let mut client = RawClient::connect(address).await;
        client.send(begin).await;
        client.half_close().await;
        assert_eq!(client.read_to_end().await, (Vec::new(), End::Fin));
    }
    until("the reason", || {
        (server.stats().closed.of(CloseReason::PeerClosed) == 2).then_some(())
    })
    .await;
    assert_eq!(server.stats().requests, 0);
}

#[tokio::test]
async fn a_header_has_the_time_of_a_head() {
    let soon = Some(Duration::from_millis(50));
    let server = builder().head_timeout(soon).build().unwrap();
    let address = listening(&server);
    let mut client = RawClient::connect(address).await;
    client.send(&LINE[..20]).await;
    assert_eq!(client.read_to_end().await, (Vec::new(), End::Fin));
    assert_eq!(server.stats().closed.of(CloseReason::Timeout), 1);
}

/// A connection with the header of a client whose address ends so.
async fn open(address: SocketAddr, last: u8) -> RawClient<tokio::net::TcpStream> {
    let mut client = RawClient::connect(address).await;
    let line = LINE.replace("192.0.2.7", &format!("192.0.2.{last}"));
    client.send(line).await;
    client
}

#[tokio::test]
async fn the_limit_for_each_peer_is_that_of_the_client_announced() {
    let server = builder().max_connections_per_peer(Some(1)).build().unwrap();
    let address = listening(&server);
    // All come from one balancer; each is a client of its own.
    let mut first = open(address, 1).await;
    ask(&mut first, GET).await;
    let mut other = open(address, 2).await;
    ask(&mut other, GET).await;
    // One that is idle makes room for the next of the same client, and no other.
    let mut next = open(address, 1).await;
    ask(&mut next, GET).await;
    assert_eq!(first.read_to_end().await, (Vec::new(), End::Fin));
    let again = ask(&mut other, GET).await;
    assert_eq!(again.content, "192.0.2.2:54321");
    assert_eq!(server.stats().open, 2);
}

#[tokio::test]
async fn a_client_with_too_many_busy_connections_gets_no_further_one() {
    let server = builder().max_connections_per_peer(Some(1)).build().unwrap();
    let gate = Arc::new(tokio::sync::Semaphore::new(0));
    let listener = net::bind("127.0.0.1:0".parse().unwrap(), Default::default()).unwrap();
    let address = listener.local_addr().unwrap();
    let held = {
        let gate = Arc::clone(&gate);
        service_fn(move |request: Request<Body>| {
            let gate = Arc::clone(&gate);
            async move {
                gate.acquire().await.expect("it stays open").forget();
                peer(request).await
            }
        })
    };
    tokio::spawn(server.serve(listener.proxy_protocol(true), held));
    let mut busy = open(address, 1).await;
    busy.send(GET).await;
    until("the request", || {
        (server.stats().requests == 1).then_some(())
    })
    .await;
    let mut further = open(address, 1).await;
    assert_eq!(further.read_to_end().await, (Vec::new(), End::Fin));
    assert_eq!(server.stats().closed.of(CloseReason::LocalAskedClose), 1);
    gate.add_permits(1);
    assert_eq!(answer(&mut busy).await.content, "192.0.2.1:54321");
}

#[cfg(feature = "tls")]
#[tokio::test]
async fn it_comes_before_tls() {
    use keepline_testkit::certs;
    use tokio::io::AsyncWriteExt;

    let identity = certs::server();
    let tls = keepline::tls::ServerTls::from_pem(
        identity.cert.pem.as_bytes(),
        identity.key_pem.as_bytes(),
    )
    .unwrap();
    let server = builder().tls(tls).build().unwrap();
    let address = listening(&server);
    for header in [LINE.as_bytes(), BINARY] {
        let mut stream = tokio::net::TcpStream::connect(address).await.unwrap();
        stream.write_all(header).await.unwrap();
        let name = rustls::pki_types::ServerName::try_from("localhost").unwrap();
        let stream = tls::connector().connect(name, stream).await.unwrap();
        let mut client = RawClient::over(stream);
        assert_eq!(ask(&mut client, GET).await.content, "192.0.2.7:54321");
    }
}

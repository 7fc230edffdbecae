//! From a name to a socket: resolvers, addresses that do not answer, socket options.

use std::future::pending;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use http::Request;
use keepline::client::{Target, TransportBuilder};
use keepline::net::{PeerAddr, Resolve, Resolved, Resolving, TcpKeepAlive};
use keepline::upgrade::OnUpgrade;
use keepline::{Body, ErrorKind, Phase, Transport};
use keepline_testkit::peer::Peer;
use keepline_testkit::sockets::ReservedPort;
use keepline_testkit::within;
use socket2::SockRef;
use tokio::time::Instant;

use super::support::{always, answer, exchange, get, ok, stats};

/// Resolves every name to the same addresses; to none at all it does not answer.
struct Fixed(&'static [&'static str]);

impl Resolve for Fixed {
    fn resolve(&self, host: &str) -> Resolving {
        assert_eq!(
            host, "app.test",
            "names come in lower case and without a port"
        );
        let addresses = self.0.iter().map(|x| x.parse().unwrap()).collect();
        Box::pin(async {
            Ok(Resolved {
                addresses,
                valid_for: None,
            })
        })
    }
}

struct Failing;

impl Resolve for Failing {
    fn resolve(&self, _: &str) -> Resolving {
        Box::pin(async { Err(io::Error::other("the name server is on strike")) })
    }
}

struct Silent;

impl Resolve for Silent {
    fn resolve(&self, _: &str) -> Resolving {
        Box::pin(pending())
    }
}

fn url(port: u16) -> String {
    format!("http://App.Test:{port}/")
}

#[tokio::test]
async fn names_are_resolved_by_the_resolver_that_was_given() {
    let peer = Peer::start(always(ok("x")));
    let transport = Transport::builder().resolver(Fixed(&["127.0.0.1"]));
    let transport = transport.build().unwrap();
    let (_, info) = exchange(&transport, get(&url(peer.addr().port())))
        .await
        .unwrap();
    assert_eq!(info.peer, PeerAddr::Tcp(peer.addr()));
    assert!(info.timings.dns.is_some() && info.timings.connect.is_some());
    // A host that is an address asks nobody.
    let transport = Transport::builder().resolver(Failing).build().unwrap();
    exchange(&transport, get(&peer.url("/"))).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_name_without_address_is_told_apart_from_an_address_without_server() {
    let builder = Transport::builder;
    for (builder, kind, said, after) in [
        (
            builder().resolver(Failing),
            ErrorKind::Resolve,
            "app.test: the name server is on strike",
            0,
        ),
        (
            builder().resolver(Fixed(&[])),
            ErrorKind::Resolve,
            "app.test: it has no address",
            0,
        ),
        (
            builder().resolver(Silent),
            ErrorKind::Timeout(Phase::Resolve),
            "timed out resolving the name",
            30,
        ),
    ] {
        let transport = builder.build().unwrap();
        let started = Instant::now();
        let error = transport.send(get(&url(80))).await.unwrap_err();
        assert_eq!(error.kind(), kind);
        assert!(
            error.is_connect() && error.to_string().contains(said),
            "{error}"
        );
        assert_eq!(started.elapsed().as_secs(), after);
    }
}

#[tokio::test]
async fn the_next_address_is_tried_when_one_refuses() {
    let peer = Peer::start(always(ok("x")));
    // There is nobody at the others; there may be no IPv6 either.
    let addresses = Fixed(&["127.0.0.9", "::1", "127.0.0.8", "127.0.0.1"]);
    let transport = Transport::builder().resolver(addresses).build().unwrap();
    let (_, info) = exchange(&transport, get(&url(peer.addr().port())))
        .await
        .unwrap();
    assert_eq!(info.peer, PeerAddr::Tcp(peer.addr()));
    assert_eq!(stats(&transport).dial_failures, 0);
}

#[tokio::test]
async fn when_all_addresses_refuse_they_are_named() {
    let reserved = ReservedPort::new().unwrap();
    let port = reserved.addr().port();
    let addresses = Fixed(&["127.0.0.6", "127.0.0.7", "127.0.0.8", "127.0.0.9"]);
    let transport = Transport::builder().resolver(addresses).build().unwrap();
    let error = transport.send(get(&url(port))).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Connect);
    let said = error.to_string();
    assert!(said.contains(&format!("127.0.0.6:{port}: ")), "{said}");
    assert!(
        said.contains("127.0.0.8") && said.contains("and 1 more"),
        "{said}"
    );
    // The system's own error can still be asked for.
    let source = std::error::Error::source(&error).unwrap();
    let source = source.downcast_ref::<io::Error>().unwrap();
    assert_eq!(source.kind(), io::ErrorKind::ConnectionRefused);
}

#[tokio::test]
async fn a_local_address_holds_for_the_whole_transport() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    let local: SocketAddr = "127.0.0.3:0".parse().unwrap();
    let transport = Transport::builder().local_address(local).build().unwrap();
    let asked = get(&format!("http://{addr}/"));
    let asking = tokio::spawn(async move { exchange(&transport, asked).await });
    let (_, from) = within("a connection", listener.accept()).await.unwrap();
    assert_eq!(from.ip(), local.ip());
    asking.abort();
}

/// The socket of a connection is looked at once it has been handed over.
async fn with_socket<T>(builder: TransportBuilder, look: impl FnOnce(SockRef<'_>) -> T) -> T {
    let peer = Peer::start(answer("HTTP/1.1 200 OK\r\n\r\n").hold());
    let proxy = Target::of(&peer.url("/").parse().unwrap()).unwrap();
    let connect = Request::connect("a:1").extension(proxy);
    let transport = builder.build().unwrap();
    let response = transport.send(connect.body(Body::empty()).unwrap()).await;
    let tunnel = response.unwrap().extensions_mut().remove::<OnUpgrade>();
    let (stream, _) = tunnel.unwrap().await.unwrap().into_parts();
    look(SockRef::from(stream.tcp().unwrap()))
}

#[tokio::test]
async fn sockets_have_the_options_of_the_settings() {
    let seconds = Duration::from_secs;
    with_socket(Transport::builder(), |socket| {
        assert!(socket.tcp_nodelay().unwrap());
        assert!(socket.keepalive().unwrap());
        assert_eq!(socket.tcp_keepalive_time().unwrap(), seconds(30));
        assert_eq!(socket.tcp_keepalive_interval().unwrap(), seconds(15));
        assert_eq!(socket.tcp_keepalive_retries().unwrap(), 9);
        assert_eq!(socket.tcp_user_timeout().unwrap(), None);
    })
    .await;
    let keep_alive = TcpKeepAlive {
        time: seconds(7),
        interval: seconds(3),
        retries: 2,
    };
    let builder = Transport::builder()
        .tcp_keep_alive(keep_alive)
        .tcp_user_timeout(seconds(11));
    with_socket(builder, |socket| {
        assert_eq!(socket.tcp_keepalive_time().unwrap(), seconds(7));
        assert_eq!(socket.tcp_keepalive_interval().unwrap(), seconds(3));
        assert_eq!(socket.tcp_keepalive_retries().unwrap(), 2);
        assert_eq!(socket.tcp_user_timeout().unwrap(), Some(seconds(11)));
    })
    .await;
    with_socket(Transport::builder().tcp_keep_alive(None), |socket| {
        assert!(!socket.keepalive().unwrap());
    })
    .await;
}

/// A dial that is given up closes its socket, and counts no longer.
#[tokio::test]
async fn a_connect_timeout_holds_for_all_addresses_together() {
    // A listener that accepts nothing and whose queue is full does not answer.
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    SockRef::from(&listener).listen(0).unwrap();
    let addr = listener.local_addr().unwrap();
    let _fills_the_queue = std::net::TcpStream::connect(addr).unwrap();
    let transport = Transport::builder().connect_timeout(Duration::from_millis(100));
    let transport = transport.resolver(Fixed(&["127.0.0.1"])).build().unwrap();
    let asked = transport.send(get(&url(addr.port())));
    let error = within("an error", asked).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Timeout(Phase::Connect), "{error}");
    assert!(
        error.to_string().contains(&format!("{addr}: no answer")),
        "{error}"
    );
    assert_eq!(stats(&transport).dialling, 0);
}

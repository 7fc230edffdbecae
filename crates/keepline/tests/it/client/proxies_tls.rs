//! Proxies that are spoken to in TLS: which TLS is whose, and who is blamed.

use std::time::Duration;

use keepline::client::{Proxy, Target, TransportBuilder, Versions};
use keepline::tls::{ClientTls, ClientTlsBuilder};
use keepline::{CloseReason, ConnectionInfo, ErrorKind, Phase, ProxyRefusal, Transport};
use keepline_testkit::peer::{Peer, Script};
use keepline_testkit::{RawClient, certs, within};
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;
use tokio::task::JoinHandle;

use super::support::{always, answer, exchange, get, ok, opened, stats, until_closed};
use super::tls_server::{Far, Server, Setup};

fn trusting() -> ClientTlsBuilder {
    ClientTls::builder().root_pem(certs::authority().pem.as_bytes())
}

fn showing_a_certificate() -> ClientTlsBuilder {
    let client = certs::client();
    trusting().client_certificate_pem(client.cert.pem.as_bytes(), client.key_pem.as_bytes())
}

fn at(server: &Server) -> Proxy {
    let url = server.url();
    url.trim_end_matches('/').parse().unwrap()
}

fn through(proxy: Proxy, tls: ClientTlsBuilder) -> TransportBuilder {
    let builder = Transport::builder()
        .versions(Versions::Http1)
        .tls(tls.build().unwrap());
    builder.proxy(proxy)
}

/// Servers of a proxy and of an origin, and which of them ask for a client's certificate.
async fn proxy_and_origin(proxy_asks: bool, origin_asks: bool) -> (Server, Server) {
    let start = async |asks: bool| {
        let setup = Setup {
            clients: asks.then_some(&certs::authority().der),
            ..Setup::of(certs::server())
        };
        Server::with(&setup).await
    };
    (start(proxy_asks).await, start(origin_asks).await)
}

fn shown(session: &rustls::ServerConnection) -> Option<Vec<u8>> {
    let chain = session.peer_certificates()?;
    chain.first().map(|own| own.to_vec())
}

/// What was asked of a proxy, and what it was shown.
type Tunnel = (String, Option<Vec<u8>>);

/// Opens the next tunnel, to where it is asked to, and relays.
async fn tunnel(proxy: &mut Server) -> (Tunnel, JoinHandle<()>) {
    let (tls, shown) = proxy.accept_with(shown).await;
    let mut near = RawClient::over(tls);
    let head = near.read_head().await;
    near.send("HTTP/1.1 200 Connection established\r\n\r\n")
        .await;
    let authority = head.split(' ').nth(1).unwrap().to_owned();
    let mut near = near.into_stream();
    let relaying = tokio::spawn(async move {
        let mut far = TcpStream::connect(authority).await.unwrap();
        let _ = tokio::io::copy_bidirectional(&mut near, &mut far).await;
    });
    ((head, shown), relaying)
}

/// Two requests to `url`, one after the other.
fn ask_twice(
    transport: &Transport,
    url: &str,
) -> JoinHandle<Result<[ConnectionInfo; 2], keepline::Error>> {
    let (transport, url) = (transport.clone(), url.to_owned());
    tokio::spawn(async move {
        let (_, first) = exchange(&transport, get(&url)).await?;
        let (_, second) = exchange(&transport, get(&url)).await?;
        Ok([first, second])
    })
}

async fn answer_twice(origin: &mut Server) -> (Far, Option<Vec<u8>>) {
    let (tls, shown) = origin.accept_with(shown).await;
    let mut far = RawClient::over(tls);
    for _ in 0..2 {
        let head = far.read_head().await;
        assert!(head.starts_with("GET / HTTP/1.1\r\n"), "{head}");
        far.send(ok("x")).await;
    }
    (far, shown)
}

#[tokio::test]
async fn tls_with_the_origin_runs_inside_tls_with_the_proxy() {
    let (mut proxy, mut one) = proxy_and_origin(false, false).await;
    let mut other = Server::start(certs::server()).await;
    let transport = through(at(&proxy).credentials("me", "secret"), trusting());
    let transport = transport.build().unwrap();
    let mut kept = Vec::new();
    for origin in [&mut one, &mut other] {
        let asking = ask_twice(&transport, &origin.url());
        let ((head, _), relaying) = tunnel(&mut proxy).await;
        let authority = format!("localhost:{}", origin.addr.port());
        assert_eq!(
            head,
            format!(
                "CONNECT {authority} HTTP/1.1\r\nhost: {authority}\r\n\
                 proxy-authorization: Basic bWU6c2VjcmV0\r\n\r\n"
            )
        );
        kept.push((answer_twice(origin).await.0, relaying));
        let [first, second] = asking.await.unwrap().unwrap();
        assert_eq!((first.reused, second.reused), (false, true));
        assert!(first.timings.proxy.is_some() && first.timings.tls.is_some());
    }
    // Under the proxy and the origin: each has its own, which stays.
    assert_eq!((opened(&transport)[0].1, stats(&transport).idle), (2, 2));
    let (far, relaying) = kept.remove(0);
    drop(far);
    // An idle tunnel is looked at through both layers.
    until_closed(&transport, CloseReason::PeerClosed, 1).await;
    relaying.await.unwrap();
}

#[tokio::test]
async fn plain_requests_go_to_the_proxy_in_absolute_form_inside_its_tls() {
    let mut proxy = Server::start(certs::server()).await;
    let transport = through(at(&proxy), trusting()).build().unwrap();
    let asked = transport.clone();
    let asking = tokio::spawn(async move {
        let mut ids = Vec::new();
        for url in ["http://a.test/x?y", "http://b.test:81/"] {
            let (body, info) = exchange(&asked, get(url)).await.unwrap();
            assert_eq!(body, "x");
            ids.push((info.id, info.timings.tls.is_some()));
        }
        ids
    });
    let mut far = proxy.accept().await;
    for line in [
        "GET http://a.test/x?y HTTP/1.1\r\nhost: a.test\r\n\r\n",
        "GET http://b.test:81/ HTTP/1.1\r\nhost: b.test:81\r\n\r\n",
    ] {
        assert_eq!(far.read_head().await, line);
        far.send(ok("x")).await;
    }
    // All origins share the connections to a proxy.
    assert_eq!(asking.await.unwrap(), [(1, true), (1, false)]);
}

#[tokio::test]
async fn a_proxy_that_does_not_prove_who_it_is_is_blamed_and_told_nothing() {
    let unknown = || ClientTls::builder().root_pem(certs::server().cert.pem.as_bytes());
    let cases: [(_, fn() -> ClientTlsBuilder, _); 3] = [
        (certs::expired(), trusting, "xpired"),
        (certs::wrong_name(), trusting, "not valid for name"),
        (certs::server(), unknown, "UnknownIssuer"),
    ];
    for (identity, tls, said) in cases {
        let proxy = Server::start(identity).await;
        for url in ["http://a.test/", "https://a.test/"] {
            let transport = through(at(&proxy).credentials("me", "secret"), tls());
            let transport = transport.build().unwrap();
            let error = transport.send(get(url)).await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Tls, "{error}");
            assert_eq!(error.proxy(), Some(&*at(&proxy).to_string()), "{error}");
            assert!(error.to_string().contains(said), "{error}");
            assert!(error.is_connect() && opened(&transport).is_empty());
        }
    }
}

#[tokio::test]
async fn an_origin_that_does_not_prove_who_it_is_is_not_the_proxys_fault() {
    let mut proxy = Server::start(certs::server()).await;
    let origin = Server::start(certs::wrong_name()).await;
    let transport = through(at(&proxy), trusting()).build().unwrap();
    let asking = ask_twice(&transport, &origin.url());
    let (_, relaying) = tunnel(&mut proxy).await;
    let error = asking.await.unwrap().unwrap_err();
    assert_eq!((error.kind(), error.proxy()), (ErrorKind::Tls, None));
    relaying.await.unwrap();
}

/// The certificate for one is not shown to the other, unless it is that of the Transport and the
/// proxy has no TLS of its own.
#[tokio::test]
async fn a_client_certificate_is_shown_to_whom_it_is_meant_for() {
    let own = Some(certs::client().cert.der.clone());
    let tls = |shows: bool| {
        if shows {
            showing_a_certificate()
        } else {
            trusting()
        }
    };
    for (of_proxy, of_transport, at_proxy, at_origin) in [
        (Some(true), false, &own, &None),
        (Some(false), true, &None, &own),
        (None, true, &own, &own),
    ] {
        let (mut proxy, mut origin) =
            proxy_and_origin(at_proxy.is_some(), at_origin.is_some()).await;
        let mut chosen = at(&proxy);
        if let Some(shows) = of_proxy {
            chosen = chosen.tls(tls(shows).build().unwrap());
        }
        let transport = through(chosen, tls(of_transport)).build().unwrap();
        let asking = ask_twice(&transport, &origin.url());
        let ((_, shown_to_proxy), _relaying) = tunnel(&mut proxy).await;
        let (_far, shown_to_origin) = answer_twice(&mut origin).await;
        assert_eq!((&shown_to_proxy, &shown_to_origin), (at_proxy, at_origin));
        asking.await.unwrap().unwrap();
    }
}

/// With TLS 1.3 it says so only after the handshake, when it is asked for the tunnel.
#[tokio::test]
async fn a_proxy_that_wants_a_certificate_and_gets_none_is_named() {
    for versions in [&[&rustls::version::TLS12], &[&rustls::version::TLS13]] {
        let setup = Setup {
            clients: Some(&certs::authority().der),
            versions,
            ..Setup::of(certs::server())
        };
        let proxy = Server::with(&setup).await;
        let transport = through(at(&proxy), trusting()).build().unwrap();
        let error = within("an error", transport.send(get("https://a.test/")));
        let error = error.await.unwrap_err();
        // TLS 1.2 may also meet the reset that follows the alert.
        assert_eq!(error.kind(), ErrorKind::Tls, "{error}");
        assert_eq!(error.proxy(), Some(&*at(&proxy).to_string()), "{error}");
        assert!(error.is_connect() && opened(&transport).is_empty());
        assert_eq!(stats(&transport).dialling, 0);
    }
}

#[tokio::test]
async fn the_same_proxy_with_another_tls_has_other_tunnels() {
    let mut proxy = Server::start(certs::server()).await;
    let transport = through(at(&proxy), trusting()).build().unwrap();
    let target = |proxy: Proxy| {
        let target = Target::builder(&"http://a.test".parse().unwrap()).proxy(proxy);
        target.build().unwrap()
    };
    let plain = at(&proxy);
    let unresumed = at(&proxy).tls(trusting().resumption(false).build().unwrap());
    let again = at(&proxy).tls(trusting().resumption(false).build().unwrap());
    let mut kept = Vec::new();
    for (proxy_of, is_new) in [(plain, true), (unresumed, true), (again, false)] {
        let mut asked = get("http://a.test/");
        asked.extensions_mut().insert(target(proxy_of));
        let asking = transport.clone();
        let asking = tokio::spawn(async move { exchange(&asking, asked).await });
        if is_new {
            let mut far = proxy.accept().await;
            assert!(far.read_head().await.starts_with("CONNECT a.test:80 "));
            far.send("HTTP/1.1 200 OK\r\n\r\n").await;
            kept.push(far);
        }
        let far = kept.last_mut().unwrap();
        far.read_head().await;
        far.send(ok("x")).await;
        assert_eq!(asking.await.unwrap().unwrap().1.reused, !is_new);
    }
}

#[tokio::test]
async fn a_proxy_that_stalls_in_tls_or_behind_it_is_told_with_the_phase() {
    let silent = Peer::start(Script::new().hold());
    let proxy: Proxy = format!("https://{}", silent.addr()).parse().unwrap();
    for url in ["http://a.test/", "https://a.test/"] {
        let transport = through(proxy.clone(), trusting());
        let transport = transport.tls_handshake_timeout(Duration::from_millis(50));
        let error = transport.build().unwrap().send(get(url)).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Timeout(Phase::Handshake));
        assert_eq!(error.proxy(), Some(&*proxy.to_string()));
    }
    let mut stalls = Server::start(certs::server()).await;
    let transport = through(at(&stalls), trusting()).tunnel_timeout(Duration::from_millis(50));
    let transport = transport.build().unwrap();
    let asking = tokio::spawn(async move { transport.send(get("https://a.test/")).await });
    let mut far = stalls.accept().await;
    far.read_head().await;
    let error = asking.await.unwrap().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Timeout(Phase::Proxy));
    assert_eq!(error.proxy(), Some(&*at(&stalls).to_string()));
    // It sees the end, with or without TLS's farewell.
    let mut stream = far.into_stream();
    let end = within("the end", stream.read(&mut [0])).await;
    assert!(matches!(end, Ok(0) | Err(_)), "{end:?}");
}

#[tokio::test]
async fn a_proxy_that_speaks_no_tls_or_refuses_inside_it_is_named() {
    let plain = Peer::start(Script::new().read_exactly(1).send(ok("x")).close());
    let proxy: Proxy = format!("https://{}", plain.addr()).parse().unwrap();
    for url in ["http://a.test/", "https://a.test/"] {
        let transport = through(proxy.clone(), trusting()).build().unwrap();
        let error = transport.send(get(url)).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Tls, "{error}");
        assert_eq!(error.proxy(), Some(&*proxy.to_string()));
    }
    let mut refuses = Server::start(certs::server()).await;
    let transport = through(at(&refuses), trusting()).build().unwrap();
    let asking = tokio::spawn(async move { transport.send(get("https://a.test/")).await });
    let mut far = refuses.accept().await;
    far.read_head().await;
    far.send("HTTP/1.1 403 Forbidden\r\ncontent-length: 0\r\n\r\n")
        .await;
    let error = asking.await.unwrap().unwrap_err();
    let status = ProxyRefusal::Status(http::StatusCode::FORBIDDEN);
    assert_eq!(error.kind(), ErrorKind::Proxy(status));
    assert_eq!(error.proxy(), Some(&*at(&refuses).to_string()));
}

/// What goes wrong with a request in absolute form goes wrong at the proxy: it is who answers.
#[tokio::test]
async fn what_breaks_in_absolute_form_breaks_at_the_proxy() {
    let garbage = answer("SSH-2.0-x\r\n").hold();
    for (script, is_told) in [(garbage, true), (always(ok("x")), false)] {
        let peer = Peer::start(script);
        let proxy = format!("http://{}", peer.addr());
        let transport = Transport::builder().proxy(proxy.parse().unwrap());
        let outcome = exchange(&transport.build().unwrap(), get("http://a.test/")).await;
        let blamed = outcome.err().and_then(|x| x.proxy().map(str::to_owned));
        assert_eq!(blamed, is_told.then_some(proxy));
    }
}

//! Proxies: what they are asked, what is shared, and what they do instead.

use std::time::Duration;

use http::header::{HeaderName, HeaderValue};
use keepline::client::{Proxy, Target, TransportBuilder};
use keepline::tls::ClientTls;
use keepline::{CloseReason, ErrorKind, Phase, ProxyRefusal, Transport};
use keepline_testkit::peer::{Ending, Peer, Script};
use keepline_testkit::sockets::ReservedPort;
use keepline_testkit::{Process, ScratchDir, certs, peers, within};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use super::support::{always, answer, closed, exchange, get, ok, opened, request, stats};
use super::tls_server::{Server, Setup};

fn at(scheme: &str, peer: &Peer) -> Proxy {
    format!("{scheme}://{}", peer.addr()).parse().unwrap()
}

fn through(proxy: Proxy) -> TransportBuilder {
    Transport::builder().proxy(proxy)
}

fn trusting() -> ClientTls {
    let tls = ClientTls::builder().root_pem(certs::authority().pem.as_bytes());
    tls.build().unwrap()
}

/// Go: TransportProxy. All origins share the connections to a proxy.
#[tokio::test]
async fn plain_requests_go_to_a_proxy_in_absolute_form_on_shared_connections() {
    let peer = Peer::start(always(ok("x")));
    let proxy = at("http", &peer).credentials("me", "secret");
    let transport = through(proxy).build().unwrap();
    for (number, url) in ["http://a.test/x?y", "http://b.test:81", "http://A.test/"]
        .into_iter()
        .enumerate()
    {
        let (_, info) = exchange(&transport, get(url)).await.unwrap();
        let nth = (info.id, info.exchange_number);
        assert_eq!(nth, (1, number as u64 + 1));
    }
    let basic = "proxy-authorization: Basic bWU6c2VjcmV0\r\n\r\n";
    assert_eq!(
        peer.heads(0),
        [
            format!("GET http://a.test/x?y HTTP/1.1\r\nhost: a.test\r\n{basic}"),
            format!("GET http://b.test:81/ HTTP/1.1\r\nhost: b.test:81\r\n{basic}"),
            format!("GET http://A.test/ HTTP/1.1\r\nhost: A.test\r\n{basic}"),
        ]
    );
    // The credentials of the request come first, and 407 is an answer like any other.
    let mut own = request("GET", "http://a.test/", ());
    own.headers_mut()
        .insert("proxy-authorization", HeaderValue::from_static("Other"));
    exchange(&transport, own).await.unwrap();
    assert!(peer.heads(0)[3].contains("proxy-authorization: Other\r\n\r\n"));
}

/// A proxy that opens a tunnel and is then the origin itself, which says what it was asked.
#[tokio::test]
async fn a_tunnel_is_pooled_under_its_proxy_and_its_origin() {
    let tunnel = Script::new()
        .expect_head()
        .send("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 Fine\r\n\r\n")
        .repeat_forever(answer(ok("x")));
    let peer = Peer::start(tunnel);
    let proxy = at("http", &peer).credentials("me", "secret").field(
        HeaderName::from_static("x-why"),
        HeaderValue::from_static("1"),
    );
    let transport = Transport::builder().no_proxy().build().unwrap();
    let target = |url: &str, proxy: &Proxy| {
        let target = Target::builder(&url.parse().unwrap()).proxy(proxy.clone());
        target.build().unwrap()
    };
    let other = proxy.clone().credentials("you", "secret");
    for (url, proxy, id) in [
        ("http://a.test/", &proxy, 1),
        ("http://a.test/", &proxy, 1),
        ("http://b.test/", &proxy, 2),
        ("http://a.test/", &other, 3),
        ("http://a.test/", &proxy, 1),
    ] {
        let mut asked = get(url);
        asked.extensions_mut().insert(target(url, proxy));
        let (_, info) = exchange(&transport, asked).await.unwrap();
        assert_eq!(info.id, id, "{url}");
    }
    assert_eq!(
        peer.heads(0)[..2],
        [
            "CONNECT a.test:80 HTTP/1.1\r\nhost: a.test:80\r\n\
             proxy-authorization: Basic bWU6c2VjcmV0\r\nx-why: 1\r\n\r\n",
            "GET / HTTP/1.1\r\nhost: a.test\r\n\r\n",
        ]
    );
}

/// What it does, how that is classified, and what is said of it.
type Refusal = (&'static str, Script, ProxyRefusal, &'static str);

fn refusals_by_http() -> Vec<Refusal> {
    let head = |line: &str| answer(format!("HTTP/1.1 {line}\r\ncontent-length: 0\r\n\r\n")).hold();
    let status = |code| ProxyRefusal::Status(http::StatusCode::from_u16(code).unwrap());
    vec![
        (
            "http",
            head("407 Proxy Authentication Required"),
            status(407),
            "407 Proxy Authentication Required",
        ),
        ("http", head("302 Found"), status(302), "302 Found"),
        // Without a reason phrase, nor the blank before it.
        ("http", head("400"), status(400), "400"),
        ("http", head("502 Bad Gateway"), status(502), "502"),
        (
            "http",
            answer("SSH-2.0-x\r\n").hold(),
            ProxyRefusal::Protocol,
            "status line",
        ),
        (
            "http",
            Script::new().expect_head().close(),
            ProxyRefusal::Protocol,
            "closed without",
        ),
        (
            "http",
            answer("HTTP/1.1 200 OK\r\n\r\nHTTP/1.1 200 OK\r\n\r\n").hold(),
            ProxyRefusal::Protocol,
            "behind its answer",
        ),
        (
            "http",
            answer(format!("HTTP/1.1 200 OK\r\nx: {}", "y".repeat(1 << 17))).hold(),
            ProxyRefusal::Protocol,
            "too large",
        ),
    ]
}

fn refusals_by_socks() -> Vec<Refusal> {
    let greeted = |rest: &[u8]| {
        let greeting = Script::new().read_exactly(3).send(b"\x05\x00");
        greeting.read_exactly(13).send(rest).close()
    };
    vec![
        (
            "socks5h",
            Script::new().read_exactly(3).send(b"\x05\xff").hold(),
            ProxyRefusal::Authentication,
            "wants credentials",
        ),
        (
            "socks5h",
            Script::new().read_exactly(3).send("HT").hold(),
            ProxyRefusal::Protocol,
            "no SOCKS5",
        ),
        (
            "socks5h",
            greeted(b"\x05\x02\x00\x01\0\0\0\0\0\0"),
            ProxyRefusal::Socks(2),
            "reply 2",
        ),
        (
            "socks5h",
            greeted(b"\x05\x00"),
            ProxyRefusal::Protocol,
            "in the middle",
        ),
    ]
}

#[tokio::test]
async fn a_proxy_that_opens_no_tunnel_is_named_with_what_it_did() {
    let refusals = refusals_by_http().into_iter().chain(refusals_by_socks());
    for (scheme, script, refusal, said) in refusals {
        let peer = Peer::start(script);
        let transport = through(at(scheme, &peer)).build().unwrap();
        let asked = transport.send(get("https://a.test/xyz"));
        let error = within("an error", asked).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Proxy(refusal), "{error}");
        let text = error.to_string();
        let named = format!("proxy {scheme}://{}", peer.addr());
        assert!(text.contains(said) && text.contains(&named), "{text}");
        assert!(error.is_connect() && error.connection().is_none());
        assert!(opened(&transport).is_empty());
        assert_eq!((peer.accepted(), stats(&transport).dialling), (1, 0));
    }
}

#[tokio::test]
async fn a_proxy_that_stalls_or_is_not_there_is_told_with_the_phase() {
    let peer = Peer::start(Script::new().hold());
    for scheme in ["http", "socks5", "socks5h"] {
        let builder = through(at(scheme, &peer)).tunnel_timeout(Duration::from_millis(50));
        let transport = builder.build().unwrap();
        let asked = transport.send(get("https://127.0.0.1/"));
        let error = within("an error", asked).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Timeout(Phase::Proxy), "{error}");
    }
    // Go: TransportProxyHTTPSConnectLeak. The proxy sees each of them end.
    for connection in 0..3 {
        let ending = within("the end", peer.connection_closed(connection)).await;
        assert_eq!(ending, Ending::ClientClosed);
    }
    let reserved = ReservedPort::new().unwrap();
    let gone = format!("http://{}", reserved.addr());
    for url in ["http://a.test/", "https://a.test/"] {
        let transport = through(gone.parse().unwrap()).build().unwrap();
        let error = transport.send(get(url)).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Connect);
        assert!(
            error.to_string().contains(&format!("proxy {gone}")),
            "{error}"
        );
    }
}

/// One tunnel by hand, on `listener`: the address that was asked for, and the stream behind it.
async fn relay(listener: TcpListener) {
    let (mut near, _) = listener.accept().await.unwrap();
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(near.read_u8().await.unwrap());
    }
    let head = String::from_utf8(head).unwrap();
    let far = head.split(' ').nth(1).unwrap().to_owned();
    near.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await.unwrap();
    let mut far = tokio::net::TcpStream::connect(far).await.unwrap();
    let _ = tokio::io::copy_bidirectional(&mut near, &mut far).await;
}

#[tokio::test]
async fn tls_with_the_origin_runs_through_the_tunnel() {
    let setup = Setup {
        alpn: &[b"http/1.1"],
        ..Setup::of(certs::server())
    };
    let mut server = Server::with(&setup).await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let proxy: Proxy = format!("http://{}", listener.local_addr().unwrap())
        .parse()
        .unwrap();
    let relaying = tokio::spawn(relay(listener));
    let transport = through(proxy).tls(trusting()).build().unwrap();
    let (asked, url) = (transport.clone(), server.url());
    let asking = tokio::spawn(async move {
        for reused in [false, true] {
            let (body, info) = exchange(&asked, get(&url)).await.unwrap();
            assert_eq!((body.as_str(), info.reused), ("x", reused));
            assert_eq!(info.timings.proxy.is_some(), !reused);
        }
    });
    let mut far = server.accept().await;
    for _ in 0..2 {
        far.read_head().await;
        far.send(ok("x")).await;
    }
    asking.await.unwrap();
    drop(far);
    super::support::until_closed(&transport, CloseReason::PeerClosed, 1).await;
    relaying.await.unwrap();
}

#[tokio::test]
async fn a_target_of_the_transport_comes_before_its_proxies() {
    let peer = Peer::start(always(ok("x")));
    let target = Target::builder(&"http://a.test".parse().unwrap()).address(peer.addr());
    let reserved = ReservedPort::new().unwrap();
    let gone = format!("http://{}", reserved.addr());
    let transport = through(gone.parse().unwrap())
        .route(target.build().unwrap())
        .build()
        .unwrap();
    exchange(&transport, get("http://a.test/")).await.unwrap();
    assert!(exchange(&transport, get("http://b.test/")).await.is_err());
    assert!(closed(&transport).is_empty());
}

/// What other people's proxies make of us: an http and an https origin through each.
async fn both_ways(proxy: &str, wrong: Option<&str>) {
    let plain = Peer::start(always(ok("plain")));
    let transport = through(proxy.parse().unwrap()).build().unwrap();
    for reused in [false, true] {
        let (body, info) = exchange(&transport, get(&plain.url("/"))).await.unwrap();
        assert_eq!((body.as_str(), info.reused), ("plain", reused), "{proxy}");
    }
    let mut server = Server::start(certs::server()).await;
    let secure = through(proxy.parse().unwrap()).tls(trusting());
    let secure = secure.build().unwrap();
    let (asked, url) = (secure.clone(), server.url());
    let asking = tokio::spawn(async move {
        for reused in [false, true] {
            let (body, info) = exchange(&asked, get(&url)).await.unwrap();
            assert_eq!((body.as_str(), info.reused), ("secret", reused));
        }
    });
    let mut far = server.accept().await;
    for _ in 0..2 {
        far.read_head().await;
        far.send(ok("secret")).await;
    }
    asking.await.unwrap();
    if let Some(wrong) = wrong {
        let transport = through(wrong.parse().unwrap()).build().unwrap();
        let error = transport.send(get(&server.url())).await.unwrap_err();
        assert!(matches!(error.kind(), ErrorKind::Proxy(_)), "{error}");
    }
}

#[tokio::test]
async fn tinyproxy_forwards_and_tunnels() {
    let Some(tinyproxy) = peers::require("tinyproxy") else {
        return;
    };
    let port = ReservedPort::new().unwrap();
    let scratch = ScratchDir::new("tinyproxy");
    let conf = format!(
        "Port {}\nListen 127.0.0.1\nTimeout 60\nMaxClients 10\nBasicAuth me secret\n",
        port.port()
    );
    let conf = scratch.write("tinyproxy.conf", conf);
    let mut command = std::process::Command::new(tinyproxy);
    command.arg("-d").arg("-c").arg(conf);
    let _tinyproxy = Process::serve(command, port.port()).await;
    let proxy = format!("http://me:secret@{}", port.addr());
    let wrong = format!("http://me:wrong@{}", port.addr());
    let plain = Peer::start(always(ok("plain")));
    let transport = through(proxy.parse().unwrap()).build().unwrap();
    for _ in 0..2 {
        // It closes after each answer, whatever it is asked.
        let (body, _) = exchange(&transport, get(&plain.url("/"))).await.unwrap();
        assert_eq!(body, "plain");
    }
    let mut server = Server::start(certs::server()).await;
    let secure = through(proxy.parse().unwrap()).tls(trusting());
    let secure = secure.build().unwrap();
    let (asked, url) = (secure, server.url());
    let asking = tokio::spawn(async move {
        for reused in [false, true] {
            let (body, info) = exchange(&asked, get(&url)).await.unwrap();
            assert_eq!((body.as_str(), info.reused), ("secret", reused));
        }
    });
    let mut far = server.accept().await;
    for _ in 0..2 {
        far.read_head().await;
        far.send(ok("secret")).await;
    }
    asking.await.unwrap();
    let transport = through(wrong.parse().unwrap()).build().unwrap();
    let error = transport.send(get(&server.url())).await.unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::Proxy(_)), "{error}");
}

#[tokio::test]
async fn microsocks_tunnels_with_and_without_credentials() {
    let Some(microsocks) = peers::require("microsocks") else {
        return;
    };
    let start = async |more: &[&str]| {
        let port = ReservedPort::new().unwrap();
        let mut command = std::process::Command::new(&microsocks);
        command.args(["-i", "127.0.0.1", "-p", &port.port().to_string()]);
        command.args(more);
        let process = Process::serve(command, port.port()).await;
        (process, port)
    };
    let (_open, open) = start(&[]).await;
    let (_closed, closed) = start(&["-u", "me", "-P", "secret"]).await;
    for scheme in ["socks5", "socks5h"] {
        both_ways(&format!("{scheme}://{}", open.addr()), None).await;
        let wrong = format!("{scheme}://me:wrong@{}", closed.addr());
        let right = format!("{scheme}://me:secret@{}", closed.addr());
        both_ways(&right, Some(&wrong)).await;
    }
}

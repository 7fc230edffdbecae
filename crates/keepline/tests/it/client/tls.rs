//! https: whom a Transport trusts, and what TLS adds to the life of an idle connection.

use std::net::SocketAddr;
use std::time::Duration;

use keepline::tls::ClientTls;
use keepline::{CloseReason, ErrorKind, Fault, Phase, Transport};
use keepline_testkit::certs;
use keepline_testkit::peer::{Peer, Script};
use keepline_testkit::{End, Gate, within};

use super::support::{
    always, closed, exchange, fed_body, get, is_pending, ok, opened, request, stats, until_closed,
    until_idle,
};
use super::tls_server::{Far, Server, Setup};

fn trusting() -> Transport {
    let tls = ClientTls::builder().root_pem(certs::authority().pem.as_bytes());
    Transport::builder()
        .tls(tls.build().unwrap())
        .build()
        .unwrap()
}

/// One exchange that the test serves; its connection stays.
async fn serve_one(transport: &Transport, server: &mut Server, far: Option<Far>) -> Far {
    let asked = tokio::spawn({
        let (transport, asked) = (transport.clone(), get(&server.url()));
        async move { exchange(&transport, asked).await.unwrap() }
    });
    let mut far = match far {
        Some(far) => far,
        None => server.accept().await,
    };
    far.read_head().await;
    far.send(ok("secret")).await;
    assert_eq!(asked.await.unwrap().0, "secret");
    far
}

#[tokio::test]
async fn https_connections_are_reused() {
    let mut server = Server::start(certs::server()).await;
    let transport = trusting();
    let mut far = None;
    for _ in 0..5 {
        far = Some(serve_one(&transport, &mut server, far.take()).await);
    }
    let stats = stats(&transport);
    assert_eq!((stats.opened.total(), stats.reused, stats.idle), (1, 4, 1));
}

#[tokio::test]
async fn a_certificate_that_is_not_good_is_refused_and_named() {
    let trusts = || ClientTls::builder().root_pem(certs::authority().pem.as_bytes());
    // Somebody else's certificate, as the only root.
    let distrusts = || ClientTls::builder().root_pem(certs::server().cert.pem.as_bytes());
    for (name, identity, tls, complaint) in [
        (
            "wrong name",
            certs::wrong_name(),
            trusts(),
            "NotValidForName",
        ),
        ("expired", certs::expired(), trusts(), "expired"),
        (
            "unknown root",
            certs::server(),
            distrusts(),
            "UnknownIssuer",
        ),
    ] {
        let server = Server::start(identity).await;
        let tls = tls.build().unwrap();
        let transport = Transport::builder().tls(tls).build().unwrap();
        let error = within("an error", transport.send(get(&server.url())))
            .await
            .unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Tls, "{name}");
        assert!(error.is_connect() && error.connection().is_none());
        let said = error.to_string().replace(' ', "").to_lowercase();
        assert!(said.contains(&complaint.to_lowercase()), "{name}: {error}");
        assert!(opened(&transport).is_empty());
        assert_eq!(stats(&transport).dial_failures, 1);
    }
}

#[tokio::test]
async fn whoever_skips_the_verification_gets_an_answer() {
    let mut server = Server::start(certs::expired()).await;
    let tls = ClientTls::builder().danger_skip_verification().build();
    let transport = Transport::builder().tls(tls.unwrap()).build().unwrap();
    serve_one(&transport, &mut server, None).await;
}

#[tokio::test]
async fn a_port_that_speaks_no_tls_is_told() {
    let peer = Peer::start(
        Script::new()
            .send("HTTP/1.1 400 Bad Request\r\n\r\n")
            .hold(),
    );
    let asked = get(&format!("https://localhost:{}/", peer.addr().port()));
    let error = within("an error", trusting().send(asked))
        .await
        .unwrap_err();
    assert_eq!(
        (error.kind(), error.fault()),
        (ErrorKind::Tls, Fault::Network)
    );
}

#[tokio::test(start_paused = true)]
async fn a_handshake_that_does_not_end_is_given_up() {
    let (near, _far) = keepline_testkit::stream::duplex(1 << 16);
    let near = std::sync::Mutex::new(Some(near));
    let tls = ClientTls::builder().root_pem(certs::authority().pem.as_bytes());
    let transport = Transport::builder()
        .tls(tls.build().unwrap())
        .connector(move |_| {
            let near = near.lock().unwrap().take().unwrap();
            async move { Ok(keepline::net::Stream::new(near)) }
        })
        .build()
        .unwrap();
    let started = tokio::time::Instant::now();
    let error = transport.send(get("https://localhost/")).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Timeout(Phase::Handshake));
    assert_eq!(started.elapsed().as_secs(), 10);
}

#[test]
fn roots_that_are_no_certificates_are_refused() {
    for pem in [
        "",
        "hello",
        "-----BEGIN CERTIFICATE-----\nx\n-----END CERTIFICATE-----\n",
    ] {
        let error = ClientTls::builder().root_pem(pem.as_bytes()).build();
        assert_eq!(error.unwrap_err().kind(), ErrorKind::Tls, "{pem:?}");
    }
}

/// close_notify, a bare FIN, and plaintext: what ends an idle TLS connection.
#[tokio::test]
async fn what_happens_to_an_idle_tls_connection_is_noticed() {
    for (name, reason) in [
        ("close_notify", CloseReason::PeerClosed),
        ("FIN", CloseReason::PeerClosed),
        ("bytes", CloseReason::UnsolicitedBytes),
    ] {
        let mut server = Server::start(certs::server()).await;
        let transport = trusting();
        let mut far = serve_one(&transport, &mut server, None).await;
        match name {
            "close_notify" => far.half_close().await,
            "bytes" => far.send(ok("evil")).await,
            // Without a farewell.
            _ => drop(far),
        }
        until_closed(&transport, reason, 1).await;
        serve_one(&transport, &mut server, None).await;
    }
}

/// Tickets come when the server likes: they are no sign of life nor of death.
#[tokio::test]
async fn session_tickets_on_an_idle_connection_are_no_stray_bytes() {
    for tickets in [0, 2, 20] {
        let setup = Setup {
            tickets,
            ..Setup::of(certs::server())
        };
        let mut server = Server::with(&setup).await;
        let transport = trusting();
        // A connection that nobody uses at first: its tickets wait in the kernel.
        let mut abandoned = Box::pin(transport.send(get(&server.url())));
        assert!(is_pending(&mut abandoned.as_mut()).await);
        drop(abandoned);
        let mut far = server.accept().await;
        until_idle(&transport, 1).await;
        // A request that cannot be sent twice asks the kernel first, and finds tickets.
        let (feed, body) = fed_body();
        drop(feed);
        let sending = tokio::spawn({
            let (transport, asked) = (transport.clone(), request("POST", &server.url(), body));
            async move { exchange(&transport, asked).await.unwrap() }
        });
        far.read_head().await;
        far.send(ok("done")).await;
        let (body, info) = sending.await.unwrap();
        assert_eq!((body.as_str(), info.id), ("done", 1), "{tickets} tickets");
        assert_eq!(stats(&transport).closed.total(), 0);
    }
}

/// The runtime sleeps, so only the kernel knows.
#[tokio::test]
async fn at_checkout_tls_is_asked_what_the_bytes_are() {
    for (name, reason) in [
        ("close_notify", CloseReason::PeerClosed),
        ("bytes", CloseReason::UnsolicitedBytes),
    ] {
        let transport = trusting();
        let done = Gate::new(name);
        let over = Gate::new("over");
        let served = serve_elsewhere(name == "bytes", &done, &over);
        let url = format!("https://localhost:{}/", served.port());
        exchange(&transport, get(&url)).await.unwrap();
        // Blocks this thread, and with it the runtime.
        let started = std::time::Instant::now();
        while !done.is_open() {
            assert!(started.elapsed() < keepline_testkit::PATIENCE);
            std::thread::yield_now();
        }
        let (feed, body) = fed_body();
        drop(feed);
        let (_, info) = exchange(&transport, request("POST", &url, body))
            .await
            .unwrap();
        assert_eq!((info.id, info.reused), (2, false), "{name}");
        assert_eq!(closed(&transport), [(reason, 1)], "{name}");
        over.open();
    }
}

/// A server in a thread of its own: it answers each connection's first request, and then says
/// goodbye or something that nobody asked for, on the first one.
fn serve_elsewhere(is_rude: bool, done: &Gate, over: &Gate) -> SocketAddr {
    let (tell, addr) = std::sync::mpsc::channel();
    let (done, over) = (done.clone(), over.clone());
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        runtime.block_on(async {
            let mut server = Server::start(certs::server()).await;
            tell.send(server.addr).unwrap();
            let mut first = server.accept().await;
            first.read_head().await;
            first.send(ok("x")).await;
            if is_rude {
                first.send(ok("evil")).await;
            } else {
                first.half_close().await;
            }
            done.open();
            let mut second = server.accept().await;
            second.read_head().await;
            second.send(ok("x")).await;
            over.opened().await;
        });
    });
    addr.recv().unwrap()
}

/// TLS tells a cut from an end: a body without a length that is cut is no whole body.
#[tokio::test]
async fn a_body_that_ends_without_a_farewell_is_cut() {
    for is_polite in [true, false] {
        let mut server = Server::start(certs::server()).await;
        let transport = trusting();
        let asked = tokio::spawn({
            let (transport, asked) = (transport.clone(), get(&server.url()));
            async move { exchange(&transport, asked).await }
        });
        let mut far = server.accept().await;
        far.read_head().await;
        far.send("HTTP/1.1 200 OK\r\n\r\nuntil the end").await;
        if is_polite {
            far.half_close().await;
        }
        drop(far);
        match asked.await.unwrap() {
            Ok((body, _)) => assert!(is_polite && body == "until the end"),
            Err(error) => assert!(!is_polite && error.kind() == ErrorKind::Io, "{error}"),
        }
    }
}

#[tokio::test]
async fn http_and_https_of_one_host_share_nothing() {
    let peer = Peer::start_each([always(ok("plain")), Script::new().hold()]);
    let tls = ClientTls::builder().root_pem(certs::authority().pem.as_bytes());
    let transport = Transport::builder()
        .tls(tls.build().unwrap())
        .tls_handshake_timeout(Duration::from_millis(50))
        .build()
        .unwrap();
    let plain = format!("http://localhost:{}/", peer.addr().port());
    let secure = plain.replace("http", "https");
    assert_eq!(exchange(&transport, get(&plain)).await.unwrap().0, "plain");
    assert_eq!(stats(&transport).idle, 1);
    // The plain connection is there, and is not used for it.
    let error = within("an error", transport.send(get(&secure)))
        .await
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Timeout(Phase::Handshake));
    assert_eq!(stats(&transport).idle, 1);
}

#[tokio::test]
async fn a_connection_is_closed_with_a_farewell() {
    let mut server = Server::start(certs::server()).await;
    let transport = trusting();
    let mut far = serve_one(&transport, &mut server, None).await;
    transport.close_idle();
    // Without it the server's TLS would call it an error.
    assert_eq!(far.read_to_end().await, (Vec::new(), End::Fin));
}

//! What a client shows and negotiates in TLS, what a server may refuse of it, and that connections
//! of different identities are never exchanged for each other.

use http::Request;
use keepline::client::{Target, TargetBuilder, TransportBuilder, Versions};
use keepline::tls::{ClientTls, ClientTlsBuilder, TlsVersion};
use keepline::{Body, Error, ErrorKind, Transport};
use keepline_testkit::{RawClient, certs, within};
use rustls::HandshakeKind;

use super::support::{exchange, get, ok, opened, stats};
use super::tls_server::{Server, Setup};

fn trusting() -> ClientTlsBuilder {
    ClientTls::builder().root_pem(certs::authority().pem.as_bytes())
}

fn showing(identity: &certs::Identity) -> ClientTlsBuilder {
    trusting().client_certificate_pem(identity.cert.pem.as_bytes(), identity.key_pem.as_bytes())
}

fn transport(tls: ClientTlsBuilder) -> TransportBuilder {
    let builder = Transport::builder().versions(Versions::Http1);
    builder.tls(tls.build().unwrap())
}

/// Asks a server that answers "x" to one request on its next connection, if one comes about. What
/// the client got, and what the server wants to know of the session.
async fn ask_one<T: Send + 'static>(
    transport: &Transport,
    request: Request<Body>,
    server: &mut Server,
    ask: impl FnOnce(&rustls::ServerConnection) -> T,
) -> Result<T, Error> {
    let asking = exchange(transport, request);
    let serving = async {
        let (tls, told) = server.accept_with(ask).await;
        let mut far = RawClient::over(tls);
        far.read_head().await;
        far.send(ok("x")).await;
        (far, told)
    };
    let mut serving = std::pin::pin!(serving);
    tokio::select! {
        asked = asking => Err(asked.expect_err("nobody has answered")),
        (_far, told) = &mut serving => Ok(told),
    }
}

#[tokio::test]
async fn a_client_certificate_is_shown_to_who_asks_for_one() {
    let client = certs::client();
    for versions in [&[&rustls::version::TLS12], &[&rustls::version::TLS13]] {
        let setup = Setup {
            clients: Some(&certs::authority().der),
            versions,
            ..Setup::of(certs::server())
        };
        let mut server = Server::with(&setup).await;
        let transport = transport(showing(client)).build().unwrap();
        let shown = |session: &rustls::ServerConnection| {
            let chain = session.peer_certificates().unwrap_or_default();
            chain.iter().map(|one| one.to_vec()).collect::<Vec<_>>()
        };
        let shown = ask_one(&transport, get(&server.url()), &mut server, shown).await;
        assert_eq!(shown.unwrap(), std::slice::from_ref(&client.cert.der));
    }
}

/// With TLS 1.2 the handshake fails; with 1.3 the client is through when the server says no.
#[tokio::test]
async fn without_the_certificate_that_a_server_wants_tls_fails() {
    for (versions, is_late) in [
        (&[&rustls::version::TLS12], false),
        (&[&rustls::version::TLS13], true),
    ] {
        let setup = Setup {
            clients: Some(&certs::authority().der),
            versions,
            ..Setup::of(certs::server())
        };
        let server = Server::with(&setup).await;
        let transport = transport(trusting()).build().unwrap();
        let error = within("an error", transport.send(get(&server.url())))
            .await
            .unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Tls, "{error}");
        assert!(
            error.to_string().contains("CertificateRequired") || !is_late,
            "{error}"
        );
        assert_eq!(error.connection().is_some(), is_late);
        assert_eq!(error.is_connect(), !is_late);
        // Asked once: nothing would be different the second time.
        assert_eq!((stats(&transport).retries, stats(&transport).busy), (0, 0));
        // Whether the refusal comes before the request or after it is a race.
        let opened = u64::from(is_late);
        let counts = (
            stats(&transport).opened.total(),
            stats(&transport).closed.total(),
        );
        assert_eq!(counts, (opened, opened));
    }
}

#[tokio::test]
async fn what_the_two_cannot_agree_on_is_an_error_of_the_handshake() {
    let h2: &[&[u8]] = &[b"h2"];
    let tls13: &[_] = &[&rustls::version::TLS13];
    let alpn = Setup {
        alpn: h2,
        ..Setup::of(certs::server())
    };
    let version = Setup {
        versions: tls13,
        ..Setup::of(certs::server())
    };
    for (setup, tls, complaint) in [
        (alpn, trusting(), "NoApplicationProtocol"),
        (
            version,
            trusting().versions(TlsVersion::Tls12, TlsVersion::Tls12),
            "ProtocolVersion",
        ),
    ] {
        let server = Server::with(&setup).await;
        let transport = transport(tls).build().unwrap();
        let error = within("an error", transport.send(get(&server.url())))
            .await
            .unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Tls, "{complaint}");
        assert!(error.is_connect() && error.connection().is_none());
        assert!(error.to_string().contains(complaint), "{error}");
        assert!(opened(&transport).is_empty());
    }
}

/// A server without ALPN speaks HTTP/1.1 (RFC 7301 §3.2 leaves that to it).
#[tokio::test]
async fn the_protocol_is_agreed_on_where_the_server_knows_how() {
    for (alpn, agreed) in [
        (&[][..], None),
        (&[&b"http/1.1"[..]][..], Some(&b"http/1.1"[..])),
        (&[b"h2", b"http/1.1"], Some(b"http/1.1")),
    ] {
        let setup = Setup {
            alpn,
            ..Setup::of(certs::server())
        };
        let mut server = Server::with(&setup).await;
        let transport = transport(trusting()).build().unwrap();
        let told = |session: &rustls::ServerConnection| session.alpn_protocol().map(<[u8]>::to_vec);
        let told = ask_one(&transport, get(&server.url()), &mut server, told).await;
        assert_eq!(told.unwrap().as_deref(), agreed);
    }
}

#[tokio::test]
async fn the_servers_name_is_told_unless_that_is_switched_off() {
    let mut server = Server::start(certs::server()).await;
    let port = server.addr.port();
    let of_name = format!("https://localhost:{port}/");
    let of_address = format!("https://127.0.0.1:{port}/");
    for (tls, url, told) in [
        (trusting(), &of_name, Some("localhost")),
        (trusting().send_server_name(false), &of_name, None),
        // RFC 6066 §3: not for addresses.
        (trusting(), &of_address, None),
    ] {
        let transport = transport(tls).build().unwrap();
        let name = |session: &rustls::ServerConnection| session.server_name().map(str::to_owned);
        let name = ask_one(&transport, get(url), &mut server, name).await;
        assert_eq!(name.unwrap().as_deref(), told);
    }
    // What is not told is verified all the same.
    let impostor = Server::start(certs::wrong_name()).await;
    let transport = transport(trusting().send_server_name(false))
        .build()
        .unwrap();
    let error = transport.send(get(&impostor.url())).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Tls);
}

#[tokio::test]
async fn another_name_than_the_host_can_be_asked_to_be_proved() {
    let mut server = Server::start(certs::wrong_name()).await;
    let transport = transport(trusting()).build().unwrap();
    let target = target(&server)
        .server_name("Elsewhere.test")
        .build()
        .unwrap();
    let name = |session: &rustls::ServerConnection| session.server_name().map(str::to_owned);
    let name = ask_one(&transport, ask(&target), &mut server, name).await;
    assert_eq!(name.unwrap().as_deref(), Some("elsewhere.test"));
    // The host's own name is still not good.
    let error = transport.send(get(&server.url())).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Tls);
}

fn target(server: &Server) -> TargetBuilder {
    Target::builder(&server.url().parse().unwrap())
}

fn ask(target: &Target) -> Request<Body> {
    Request::get("/")
        .extension(target.clone())
        .body(Body::empty())
        .unwrap()
}

/// One Transport, one address, and as many connections as there are identities.
#[tokio::test]
async fn connections_of_different_identities_are_not_mixed() {
    let setup = Setup {
        alpn: &[b"http/1.1"],
        ..Setup::of(certs::server())
    };
    let mut server = Server::with(&setup).await;
    let transport = transport(trusting()).build().unwrap();
    let make: [fn() -> ClientTlsBuilder; 7] = [
        trusting,
        || ClientTls::builder().danger_skip_verification(),
        || showing(certs::client()),
        || trusting().send_server_name(false),
        || trusting().versions(TlsVersion::Tls12, TlsVersion::Tls12),
        || trusting().alpn(["http/1.1", "other"]),
        || trusting().resumption(false),
    ];
    let mut kept = Vec::new();
    for make in make {
        let target = target(&server)
            .tls(make().build().unwrap())
            .build()
            .unwrap();
        // Configured alike is as good as the same.
        let again = self::target(&server)
            .tls(make().build().unwrap())
            .build()
            .unwrap();
        let asked = transport.clone();
        let asking = tokio::spawn(async move {
            let (_, first) = exchange(&asked, ask(&target)).await.unwrap();
            let (_, second) = exchange(&asked, ask(&again)).await.unwrap();
            (first, second)
        });
        let mut far = server.accept().await;
        for _ in 0..2 {
            far.read_head().await;
            far.send(ok("x")).await;
        }
        let (first, second) = asking.await.unwrap();
        assert_eq!((first.reused, second.reused), (false, true));
        assert_eq!(first.id, second.id);
        kept.push(far);
    }
    assert_eq!(stats(&transport).idle, make.len());
    // Whoever wants to be sure does not get the connection that nobody has verified.
    let impostor = Server::start(certs::wrong_name()).await;
    let careless = ClientTls::builder().danger_skip_verification();
    let careless = target(&impostor)
        .tls(careless.build().unwrap())
        .build()
        .unwrap();
    let mut impostor = impostor;
    ask_one(&transport, ask(&careless), &mut impostor, |_| ())
        .await
        .unwrap();
    let error = transport.send(get(&impostor.url())).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Tls);
}

/// The sessions belong to the TLS, not to the connection that they came on, nor to the Transport.
#[tokio::test]
async fn sessions_are_resumed_among_all_connections_of_one_tls() {
    for (versions, resumes, second) in [
        (&[&rustls::version::TLS13], true, HandshakeKind::Resumed),
        (&[&rustls::version::TLS12], true, HandshakeKind::Resumed),
        (&[&rustls::version::TLS13], false, HandshakeKind::Full),
    ] {
        let setup = Setup {
            versions,
            ..Setup::of(certs::server())
        };
        let mut server = Server::with(&setup).await;
        let tls = trusting().resumption(resumes).build().unwrap();
        let kind = |session: &rustls::ServerConnection| session.handshake_kind().unwrap();
        for expected in [HandshakeKind::Full, second, second] {
            let transport = Transport::builder().tls(tls.clone()).build().unwrap();
            let asked = get(&server.url());
            let asking = tokio::spawn(async move { exchange(&transport, asked).await });
            let (stream, kind) = server.accept_with(kind).await;
            let mut far = RawClient::over(stream);
            far.read_head().await;
            far.send(ok("x")).await;
            asking.await.unwrap().unwrap();
            assert_eq!(kind, expected, "{versions:?}");
        }
        // Another TLS, though configured alike, has sessions of its own.
        let other = transport(trusting().resumption(resumes)).build().unwrap();
        let kind = ask_one(&other, get(&server.url()), &mut server, kind).await;
        assert_eq!(kind.unwrap(), HandshakeKind::Full);
    }
}

#[test]
fn a_client_certificate_that_cannot_work_is_refused() {
    let (good, other) = (certs::client(), certs::server());
    for (name, chain, key) in [
        ("no certificate", "", good.key_pem.as_str()),
        ("no key", good.cert.pem.as_str(), ""),
        (
            "the certificate as key",
            good.cert.pem.as_str(),
            good.cert.pem.as_str(),
        ),
        (
            "somebody else's key",
            good.cert.pem.as_str(),
            other.key_pem.as_str(),
        ),
    ] {
        let tls = trusting().client_certificate_pem(chain.as_bytes(), key.as_bytes());
        let error = tls.build().expect_err(name);
        assert_eq!(error.kind(), ErrorKind::Tls, "{name}");
    }
    let backwards = trusting().versions(TlsVersion::Tls13, TlsVersion::Tls12);
    assert!(backwards.build().is_err());
}

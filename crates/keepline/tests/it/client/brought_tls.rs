//! TLS that the program brings itself, by a connector.

use std::sync::Arc;

use keepline::client::{Proxy, TransportBuilder, Versions};
use keepline::net::Stream;
use keepline::tls::ClientTls;
use keepline::{ErrorKind, Transport};
use keepline_testkit::{certs, within};
use rustls::pki_types::ServerName;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use super::support::{exchange, get, ok, opened};
use super::tls_server::{Server, Setup};

/// A connector that starts TLS itself, for a name that no URL has, and offers these protocols.
fn bringing(server: &Server, alpn: &[&[u8]]) -> TransportBuilder {
    let trusting = ClientTls::builder().root_pem(certs::authority().pem.as_bytes());
    let mut config = (*trusting.alpn(alpn).build().unwrap().config()).clone();
    config.alpn_protocols = alpn.iter().map(|x| x.to_vec()).collect();
    let connector = TlsConnector::from(Arc::new(config));
    let address = server.addr;
    Transport::builder().connector(move |_| {
        let connector = connector.clone();
        async move {
            let tcp = TcpStream::connect(address).await?;
            let name = ServerName::try_from("localhost").unwrap();
            let tls = connector.connect(name, tcp).await?;
            let alpn = tls.get_ref().1.alpn_protocol().map(<[u8]>::to_vec);
            Ok(Stream::secured(tls, alpn.as_deref()))
        }
    })
}

async fn server(alpn: &[&[u8]]) -> Server {
    let setup = Setup {
        alpn,
        ..Setup::of(certs::server())
    };
    Server::with(&setup).await
}

/// Go: TransportDialTLS. What the Transport itself trusts does not matter.
#[tokio::test]
async fn no_tls_is_started_on_a_stream_that_brings_its_own() {
    let mut server = server(&[b"http/1.1"]).await;
    let transport = bringing(&server, &[b"http/1.1"]).build().unwrap();
    let asked = transport.clone();
    let asking = tokio::spawn(async move {
        let mut reused = Vec::new();
        for _ in 0..2 {
            let (body, info) = exchange(&asked, get("https://elsewhere.test/"))
                .await
                .unwrap();
            assert_eq!(body, "x");
            reused.push(info.reused);
        }
        reused
    });
    let mut far = server.accept().await;
    for _ in 0..2 {
        let head = far.read_head().await;
        assert_eq!(head, "GET / HTTP/1.1\r\nhost: elsewhere.test\r\n\r\n");
        far.send(ok("x")).await;
    }
    assert_eq!(asking.await.unwrap(), [false, true]);
}

/// Go: ClientServerTLSConnWrapper. ALPN counts, whoever has spoken TLS.
#[tokio::test]
async fn what_a_brought_tls_has_agreed_on_is_spoken() {
    let mut server = server(&[b"h2"]).await;
    let transport = bringing(&server, &[b"h2"]).build().unwrap();
    let asked = transport.clone();
    let asking =
        tokio::spawn(async move { exchange(&asked, get("https://elsewhere.test/")).await });
    let (tls, ()) = server.accept_with(|_| ()).await;
    let mut session = within("a session", h2::server::handshake(tls))
        .await
        .unwrap();
    let serving = tokio::spawn(async move {
        while let Some(Ok((_, mut respond))) = session.accept().await {
            let mut content = respond
                .send_response(http::Response::new(()), false)
                .unwrap();
            content.send_data("x".into(), true).unwrap();
        }
    });
    assert_eq!(asking.await.unwrap().unwrap().0, "x");
    drop(transport);
    within("the end of the session", serving).await.unwrap();
}

#[tokio::test]
async fn http2_that_nobody_wanted_is_refused() {
    let server = server(&[b"h2"]).await;
    let transport = bringing(&server, &[b"h2"]).versions(Versions::Http1);
    let transport = transport.build().unwrap();
    let error = transport
        .send(get("https://elsewhere.test/"))
        .await
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Tls);
    assert!(
        error.to_string().contains("offer http/1.1 alone"),
        "{error}"
    );
    assert!(opened(&transport).is_empty());
}

/// For a proxy it is TLS with the proxy: the origin behind it has to prove itself as ever.
#[tokio::test]
async fn tls_that_was_brought_for_a_proxy_is_not_taken_for_the_origins() {
    let mut server = server(&[b"http/1.1"]).await;
    let proxy: Proxy = "https://proxy.test".parse().unwrap();
    let transport = bringing(&server, &[b"http/1.1"])
        .proxy(proxy)
        .build()
        .unwrap();
    let asked = transport.clone();
    let asking = tokio::spawn(async move { asked.send(get("https://origin.test/")).await });
    let mut far = server.accept().await;
    assert!(
        far.read_head()
            .await
            .starts_with("CONNECT origin.test:443 ")
    );
    far.send("HTTP/1.1 200 OK\r\n\r\n").await;
    // The handshake with the origin: a record of type 22.
    assert_eq!(far.read_exactly(1).await, [22]);
    drop(far);
    let error = asking.await.unwrap().unwrap_err();
    assert_eq!((error.kind(), error.proxy()), (ErrorKind::Tls, None));
}

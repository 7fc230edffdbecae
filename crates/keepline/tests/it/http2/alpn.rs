//! Which version is spoken is found out once, and shared by all who ask meanwhile.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use http::Version;
use keepline::client::Versions;
use keepline::tls::ClientTls;
use keepline::{ErrorKind, Transport};
use keepline_testkit::{certs, within};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::aws_lc_rs;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};

use super::support::{echo_path, get};
use crate::client::support::{info, stats};

/// A TLS server that chooses from these protocols, and speaks what it has chosen.
struct TlsServer {
    url: String,
    accepted: Arc<AtomicUsize>,
    tls: ClientTls,
}

impl TlsServer {
    async fn start(protocols: &[&str]) -> Self {
        let server = certs::server();
        let chain = vec![CertificateDer::from(server.cert.der.clone())];
        let key = PrivateKeyDer::try_from(server.key_der.clone()).unwrap();
        let provider = Arc::new(aws_lc_rs::default_provider());
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(chain, key)
            .unwrap();
        config.alpn_protocols = protocols.iter().map(|x| x.as_bytes().to_vec()).collect();
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!(
            "https://localhost:{}/",
            listener.local_addr().unwrap().port()
        );
        let accepted = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&accepted);
        tokio::spawn(async move {
            while let Ok((tcp, _)) = listener.accept().await {
                count.fetch_add(1, Ordering::Relaxed);
                let acceptor = acceptor.clone();
                tokio::spawn(async move {
                    if let Ok(tls) = acceptor.accept(tcp).await {
                        serve(tls).await;
                    }
                });
            }
        });
        let tls = ClientTls::builder()
            .root_pem(certs::authority().pem.as_bytes())
            .build()
            .unwrap();
        Self { url, accepted, tls }
    }

    fn accepted(&self) -> usize {
        self.accepted.load(Ordering::Relaxed)
    }

    fn transport(&self, versions: Versions) -> Transport {
        let builder = Transport::builder()
            .versions(versions)
            .tls(self.tls.clone());
        builder.build().unwrap()
    }
}

async fn serve(mut tls: tokio_rustls::server::TlsStream<tokio::net::TcpStream>) {
    if tls.get_ref().1.alpn_protocol() == Some(b"h2") {
        let mut session = h2::server::handshake(tls).await.unwrap();
        while let Some(Ok((request, respond))) = session.accept().await {
            echo_path(request, respond).await;
        }
        return;
    }
    let mut head = Vec::new();
    while let Ok(byte) = tls.read_u8().await {
        head.push(byte);
        if head.ends_with(b"\r\n\r\n") {
            head.clear();
            let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 1\r\n\r\n/";
            tls.write_all(answer).await.unwrap();
            tls.flush().await.unwrap();
        }
    }
}

/// Asks so many times at once. The versions of the answers, all the same.
async fn ask(transport: &Transport, url: &str, times: usize) -> Version {
    let mut requests = tokio::task::JoinSet::new();
    for _ in 0..times {
        let (transport, url) = (transport.clone(), url.to_owned());
        requests.spawn(async move {
            let response = transport.send(get(&url)).await.unwrap();
            let version = response.version();
            assert_eq!(response.into_body().text(10).await.unwrap(), "/");
            version
        });
    }
    let versions = within("all answers", requests.join_all()).await;
    assert!(
        versions.iter().all(|version| *version == versions[0]),
        "{versions:?}"
    );
    versions[0]
}

#[tokio::test]
async fn twenty_misses_wait_for_one_handshake_and_share_its_session() {
    let server = TlsServer::start(&["h2", "http/1.1"]).await;
    let transport = server.transport(Versions::Auto);
    assert_eq!(ask(&transport, &server.url, 20).await, Version::HTTP_2);
    assert_eq!(server.accepted(), 1);
    let stats = stats(&transport);
    assert_eq!((stats.acquired, stats.first_use, stats.idle), (20, 1, 1));
}

#[tokio::test]
async fn a_server_without_http2_is_asked_by_http1_on_connections_that_are_kept() {
    for protocols in [&["http/1.1"][..], &[]] {
        let server = TlsServer::start(protocols).await;
        let transport = server.transport(Versions::Auto);
        for round in 1..=3 {
            assert_eq!(ask(&transport, &server.url, 1).await, Version::HTTP_11);
            assert_eq!(
                (server.accepted(), stats(&transport).reused),
                (1, round - 1)
            );
        }
        assert_eq!(ask(&transport, &server.url, 5).await, Version::HTTP_11);
        assert!(server.accepted() <= 6);
    }
}

#[tokio::test]
async fn versions_are_what_was_asked_for() {
    let both = TlsServer::start(&["h2", "http/1.1"]).await;
    assert_eq!(
        ask(&both.transport(Versions::Http1), &both.url, 3).await,
        Version::HTTP_11
    );
    assert_eq!(
        ask(&both.transport(Versions::Http2), &both.url, 3).await,
        Version::HTTP_2
    );
    let only_http1 = TlsServer::start(&[]).await;
    let transport = only_http1.transport(Versions::Http2);
    let error = within("an error", transport.send(get(&only_http1.url)))
        .await
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Tls, "{error}");
    assert!(
        error.to_string().contains("does not speak HTTP/2"),
        "{error}"
    );
}

#[tokio::test]
async fn the_raw_layer_and_upgrades_have_connections_of_http1() {
    let server = TlsServer::start(&["h2", "http/1.1"]).await;
    let transport = server.transport(Versions::Auto);
    assert_eq!(ask(&transport, &server.url, 1).await, Version::HTTP_2);
    let mut upgrade = get(&server.url);
    for (name, value) in [("connection", "upgrade"), ("upgrade", "websocket")] {
        let value = http::HeaderValue::from_static(value);
        upgrade.headers_mut().insert(name, value);
    }
    let response = transport.send(upgrade).await.unwrap();
    assert_eq!(
        (response.version(), info(&response).id),
        (Version::HTTP_11, 2)
    );
    response.into_body().text(10).await.unwrap();
    let exchange = transport
        .exchange(&server.url.parse().unwrap())
        .await
        .unwrap();
    assert_eq!(exchange.connection().id, 2);
    drop(exchange);
    assert_eq!(server.accepted(), 2);
}

/// What is pipelined is HTTP/1.1, also where the server would speak HTTP/2; what is not, is not.
#[tokio::test]
async fn a_pipeline_speaks_http1_and_other_requests_what_was_agreed() {
    let server = TlsServer::start(&["h2", "http/1.1"]).await;
    let builder = Transport::builder().pipeline(4).tls(server.tls.clone());
    let transport = builder.build().unwrap();
    let ask = |method: &str| {
        let asked = http::Request::builder().method(method).uri(&server.url);
        let asked = asked.body(keepline::Body::empty()).unwrap();
        let transport = transport.clone();
        async move { within("a response", transport.send(asked)).await.unwrap() }
    };
    let asked: Vec<_> = (0..12).map(|_| tokio::spawn(ask("GET"))).collect();
    for asked in asked {
        assert_eq!(asked.await.unwrap().version(), Version::HTTP_11);
    }
    let opened = stats(&transport).opened.total();
    assert!(opened <= 3, "{opened} connections");
    assert_eq!(ask("POST").await.version(), Version::HTTP_2);
    assert_eq!(stats(&transport).opened.total(), opened + 1);
}

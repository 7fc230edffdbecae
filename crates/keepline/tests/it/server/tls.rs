//! TLS below the same server.

use std::time::Duration;

use keepline::server::RequestInfo;
use keepline::tls::ServerTls;
use keepline_testkit::certs;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, RootCertStore};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::*;

fn tls_server() -> ServerBuilder {
    let identity = certs::server();
    let tls =
        ServerTls::from_pem(identity.cert.pem.as_bytes(), identity.key_pem.as_bytes()).unwrap();
    builder().tls(tls)
}

pub(super) fn connector() -> TlsConnector {
    let mut roots = RootCertStore::empty();
    roots.add(certs::authority().der.clone().into()).unwrap();
    let provider = rustls::crypto::aws_lc_rs::default_provider();
    let mut config = ClientConfig::builder_with_provider(provider.into())
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    TlsConnector::from(Arc::new(config))
}

async fn tls_client(
    server: &Server,
) -> (RawClient<TlsStream<DuplexStream>>, JoinHandle<CloseReason>) {
    let (ours, theirs) = duplex(64 * 1024);
    let ended = server.serve_connection(keepline::net::Stream::new(theirs), service_fn(routes));
    let name = ServerName::try_from("localhost").unwrap();
    let stream = connector().connect(name, ours).await.unwrap();
    assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"http/1.1"[..]));
    (RawClient::over(stream), ended)
}

#[tokio::test]
async fn requests_and_bodies_both_ways() {
    let server = tls_server().build().unwrap();
    let (mut client, ended) = tls_client(&server).await;
    let large = "0123456789".repeat(100_000);
    for _ in 0..2 {
        let get = ask(&mut client, "GET /x HTTP/1.1\r\nHost: a\r\n\r\n").await;
        assert_eq!(get.content, "/x");
        client
            .send(format!(
                "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\n\r\n{large}",
                large.len()
            ))
            .await;
        assert_eq!(answer(&mut client).await.content, large);
    }
    // Pipelined in one record: what TLS has decrypted is not forgotten while the socket is silent.
    client
        .send("GET /1 HTTP/1.1\r\nHost: a\r\n\r\n".repeat(50))
        .await;
    for _ in 0..50 {
        assert_eq!(answer(&mut client).await.content, "/1");
    }
    client.half_close().await;
    assert_eq!(rest(&mut client).await, "");
    assert_eq!(ended.await.unwrap(), CloseReason::PeerClosed);
}

#[tokio::test]
async fn a_client_that_leaves_without_close_notify_has_closed() {
    let server = tls_server().build().unwrap();
    let (mut client, ended) = tls_client(&server).await;
    ask(&mut client, "GET /x HTTP/1.1\r\nHost: a\r\n\r\n").await;
    drop(client);
    assert_eq!(ended.await.unwrap(), CloseReason::PeerClosed);
}

#[tokio::test(start_paused = true)]
async fn a_handshake_has_its_deadline() {
    let server = tls_server().build().unwrap();
    let (mut client, ended) = client_of(&server, service_fn(routes));
    let start = tokio::time::Instant::now();
    client.send([22, 3, 1]).await;
    assert_eq!(ended.await.unwrap(), CloseReason::Timeout);
    assert_eq!(start.elapsed(), Duration::from_secs(10));
}

#[tokio::test]
async fn plain_http_on_a_tls_port_is_told_so() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let server = tls_server().build().unwrap();
    tokio::spawn(server.serve(listener, service_fn(routes)));
    let mut client = RawClient::connect(address).await;
    let refusal = ask(&mut client, "GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
    assert_eq!(refusal.status(), 400);
    assert!(refusal.says_close());
    assert!(refusal.content.contains("TLS"), "{}", refusal.content);
    assert_eq!(rest(&mut client).await, "");
}

#[tokio::test]
async fn plain_http_on_a_tls_port_reaches_a_service_that_admits_it() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let server = tls_server().admit_plain_http(true).build().unwrap();
    let service = service_fn(async |request: Request<Body>| {
        let info = request.extensions().get::<RequestInfo>().unwrap();
        Ok::<_, Infallible>(Response::new(Body::from(format!("tls={}", info.is_tls()))))
    });
    tokio::spawn(server.serve(listener, service));
    let mut client = RawClient::connect(address).await;
    let answer = ask(&mut client, "GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
    assert_eq!((answer.status(), &*answer.content), (200, "tls=false"));
}

#[tokio::test]
async fn garbage_instead_of_a_handshake_ends_the_connection() {
    let server = tls_server().build().unwrap();
    let (mut client, ended) = client_of(&server, service_fn(routes));
    client.send([0; 100]).await;
    client.read_to_end().await;
    assert_eq!(ended.await.unwrap(), CloseReason::ProtocolError);
}

#[test]
fn certificates_that_cannot_work_are_refused() {
    let identity = certs::server();
    let (chain, key) = (identity.cert.pem.as_bytes(), identity.key_pem.as_bytes());
    for (chain, key) in [
        (&b""[..], key),
        (chain, b""),
        (chain, certs::expired().key_pem.as_bytes()),
    ] {
        assert!(ServerTls::from_pem(chain, key).is_err());
    }
    assert!(ServerTls::from_pem_files("/nowhere", "/nowhere").is_err());
}

/// Answers what the handshake settled.
#[derive(Clone)]
struct TellsTls;

impl keepline::server::Handler for TellsTls {
    async fn handle(
        &mut self,
        exchange: &mut keepline::server::Exchange<'_>,
    ) -> Result<(), keepline::Error> {
        let tls = exchange.tls().unwrap();
        let text = format!(
            "{:?} {} {:?} {} {:?}",
            tls.server_name(),
            tls.version(),
            tls.alpn().map(<[u8]>::escape_ascii).map(|x| x.to_string()),
            tls.cipher_suite()
                .is_some_and(|name| name.starts_with("TLS_")),
            tls.client_certificate(),
        );
        let length = keepline_proto::BodyLength::Known(text.len() as u64);
        exchange.send_head(StatusCode::OK, [], length)?;
        exchange.send_piece(text.into())?;
        exchange.send_end(None)
    }
}

#[tokio::test]
async fn a_handler_is_told_what_the_handshake_settled() {
    let server = tls_server().build().unwrap();
    let (ours, theirs) = duplex(64 * 1024);
    let _ended = server.serve_connection_raw(keepline::net::Stream::new(theirs), TellsTls);
    let name = ServerName::try_from("localhost").unwrap();
    let stream = connector().connect(name, ours).await.unwrap();
    let mut client = RawClient::over(stream);
    let told = ask(&mut client, "GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
    assert_eq!(
        told.content,
        r#"Some("localhost") TLSv1.3 Some("http/1.1") true None"#
    );
}

#[tokio::test]
async fn http2_is_agreed_on_by_alpn_and_not_for_raw_handlers() {
    let server = tls_server()
        .http2(keepline::server::Http2::default())
        .build()
        .unwrap();
    for raw in [false, true] {
        let (ours, theirs) = duplex(64 * 1024);
        let stream = keepline::net::Stream::new(theirs);
        let _ended = if raw {
            server.serve_connection_raw(stream, TellsTls)
        } else {
            server.serve_connection(stream, service_fn(routes))
        };
        let name = ServerName::try_from("localhost").unwrap();
        let stream = connector().connect(name, ours).await.unwrap();
        let agreed = stream.get_ref().1.alpn_protocol().map(<[u8]>::to_vec);
        if raw {
            assert_eq!(agreed.as_deref(), Some(&b"http/1.1"[..]));
            continue;
        }
        assert_eq!(agreed.as_deref(), Some(&b"h2"[..]));
        let (mut sender, connection) = h2::client::handshake(stream).await.unwrap();
        tokio::spawn(connection);
        let request = Request::get("https://localhost/x").body(()).unwrap();
        let (response, _) = sender.send_request(request, true).unwrap();
        let mut body = response.await.unwrap().into_body();
        assert_eq!(body.data().await.unwrap().unwrap(), "/x");
    }
}

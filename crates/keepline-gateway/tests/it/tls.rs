//! TLS towards clients, from the configuration.

use std::net::SocketAddr;
use std::sync::Arc;

use keepline_gateway::Gateway;
use keepline_gateway::conf::Document;
use keepline_gateway::config::{Config, ListenAddress};
use keepline_gateway::process::Options;
use keepline_testkit::certs::{self, Identity};
use keepline_testkit::{RawClient, ScratchDir};
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ProtocolVersion, RootCertStore};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::support::Running;

/// The configuration with this in `http`, where `a.pem`, `a.key` are of `localhost`, and `b.pem`, `b.key` of
/// `elsewhere.test`. It listens where there is room.
fn config(prefix: &ScratchDir, http: &str) -> Config {
    let put = |name: &str, identity: &Identity| {
        prefix.write(&format!("{name}.pem"), &identity.cert.pem);
        prefix.write(&format!("{name}.key"), &identity.key_pem);
    };
    put("a", certs::server());
    put("b", certs::wrong_name());
    let options = Options {
        prefix: Some(prefix.path().to_path_buf()),
        configuration: Some("nginx.conf".into()),
        ..Options::default()
    };
    let text = format!("events {{}} http {{ access_log off; {http} }}");
    let document = Document::of_text(&text, &options.paths());
    let mut config = document
        .unwrap_or_else(|errors| panic!("{errors:#}"))
        .into_config();
    let any_port = SocketAddr::from(([127, 0, 0, 1], 0));
    for server in config.http.iter_mut().flat_map(|http| &mut http.servers) {
        for listen in &mut Arc::make_mut(server).listen {
            listen.address = ListenAddress::Inet(any_port);
        }
    }
    config
}

async fn try_connect(addr: SocketAddr, name: &str) -> std::io::Result<TlsStream<TcpStream>> {
    let mut roots = RootCertStore::empty();
    roots.add(certs::authority().der.clone().into()).unwrap();
    let provider = rustls::crypto::aws_lc_rs::default_provider();
    let config = ClientConfig::builder_with_provider(provider.into())
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let stream = TcpStream::connect(addr).await?;
    let name = ServerName::try_from(name.to_owned()).unwrap();
    TlsConnector::from(Arc::new(config))
        .connect(name, stream)
        .await
}

/// The content of an answer, over a connection to whom the certificate names.
async fn get(addr: SocketAddr, name: &str) -> String {
    let stream = try_connect(addr, name).await.unwrap();
    let mut client = RawClient::over(stream);
    client
        .send(format!(
            "GET / HTTP/1.1\r\nHost: {name}\r\nConnection: close\r\n\r\n"
        ))
        .await;
    let (answer, _) = client.read_to_end().await;
    let answer = String::from_utf8(answer).unwrap();
    answer.rsplit("\r\n").next().unwrap().to_owned()
}

const TWO: &str = "
    server { listen 1 ssl; server_name localhost; ssl_certificate a.pem; ssl_certificate_key a.key; return 200 one; }
    server { listen 1 ssl; server_name elsewhere.test; ssl_certificate b.pem; ssl_certificate_key b.key; return 200 two; }";

#[tokio::test]
async fn the_name_that_is_asked_for_chooses_the_certificate_and_the_server() {
    let prefix = ScratchDir::new("tls");
    let running = Running::start(&config(&prefix, TWO));
    assert_eq!(get(running.addr, "localhost").await, "one");
    assert_eq!(get(running.addr, "elsewhere.test").await, "two");
    // Whoever asks for another name is shown the default server's, which is not what was asked for.
    let stranger = try_connect(running.addr, "stranger.test").await;
    assert!(
        stranger
            .unwrap_err()
            .to_string()
            .contains("certificate not valid for name")
    );
}

#[tokio::test]
async fn variables_tell_what_the_handshake_has_settled() {
    let prefix = ScratchDir::new("tls");
    let say = "return 200 '$ssl_protocol $ssl_cipher $ssl_server_name $ssl_session_reused';";
    let text = |protocols: &str| TWO.replace("return 200 one;", &format!("{protocols} {say}"));
    let running = Running::start(&config(&prefix, &text("")));
    let said = get(running.addr, "localhost").await;
    assert!(said.starts_with("TLSv1.3 TLS_"), "{said}");
    assert!(said.ends_with(" localhost ."), "{said}");
    let running = Running::start(&config(&prefix, &text("ssl_protocols TLSv1.2;")));
    let said = get(running.addr, "localhost").await;
    assert!(said.starts_with("TLSv1.2 ECDHE-ECDSA-AES"), "{said}");
}

#[tokio::test]
async fn a_reload_renews_certificates() {
    let prefix = ScratchDir::new("tls");
    let server = |name: &str| {
        format!(
            "server {{ listen 1 ssl; ssl_certificate {name}.pem; ssl_certificate_key {name}.key; return 200 {name}; }}"
        )
    };
    let mut running = Running::start(&config(&prefix, &server("a")));
    assert_eq!(get(running.addr, "localhost").await, "a");
    let gateway: &mut Gateway = running.gateway.as_mut().unwrap();
    // The address of the first configuration has port 0, as its own has to have.
    gateway.reload(&config(&prefix, &server("b"))).unwrap();
    assert_eq!(get(running.addr, "elsewhere.test").await, "b");
    assert!(try_connect(running.addr, "localhost").await.is_err());
}

#[tokio::test]
async fn a_reload_begins_and_ends_tls() {
    let prefix = ScratchDir::new("tls");
    let plain = "server { listen 1; return 200 plain; }";
    let mut running = Running::start(&config(&prefix, plain));
    let gateway: &mut Gateway = running.gateway.as_mut().unwrap();
    assert!(try_connect(running.addr, "localhost").await.is_err());
    gateway.reload(&config(&prefix, TWO)).unwrap();
    assert_eq!(get(running.addr, "localhost").await, "one");
    gateway.reload(&config(&prefix, plain)).unwrap();
    let mut client = RawClient::connect(running.addr).await;
    client.send("GET / HTTP/1.1\r\nHost: x\r\n\r\n").await;
    let head = client.read_head().await;
    assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
}

#[tokio::test]
async fn versions_that_are_not_asked_for_are_not_spoken() {
    let prefix = ScratchDir::new("tls");
    let text = format!("ssl_protocols TLSv1.2; {TWO}");
    let running = Running::start(&config(&prefix, &text));
    let stream = try_connect(running.addr, "localhost").await.unwrap();
    let version = stream.get_ref().1.protocol_version();
    assert_eq!(version, Some(ProtocolVersion::TLSv1_2));
}

#[tokio::test]
async fn plain_http_on_a_port_with_tls_is_told_so() {
    let prefix = ScratchDir::new("tls");
    let running = Running::start(&config(&prefix, TWO));
    let mut client = RawClient::connect(running.addr).await;
    client.send("GET / HTTP/1.1\r\nHost: x\r\n\r\n").await;
    let head = client.read_head().await;
    assert!(head.starts_with("HTTP/1.1 400 "), "{head}");
}

#[tokio::test]
async fn a_certificate_that_is_gone_leaves_the_configuration_in_force() {
    let prefix = ScratchDir::new("tls");
    let mut running = Running::start(&config(&prefix, TWO));
    let next = config(&prefix, TWO);
    std::fs::remove_file(prefix.path().join("b.key")).unwrap();
    let gateway: &mut Gateway = running.gateway.as_mut().unwrap();
    let error = gateway.reload(&next).unwrap_err().to_string();
    assert!(
        error.starts_with("cannot load certificate or key \""),
        "{error}"
    );
    assert!(error.contains("b.key"), "{error}");
    assert_eq!(get(running.addr, "localhost").await, "one");
}

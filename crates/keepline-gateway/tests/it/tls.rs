//! TLS on both sides: certificates by name, verification, and what pooled connections depend on.

use std::sync::Arc;

use keepline::server::{Server as HttpServer, service_fn};
use keepline::tls::{ClientTls, ServerTls};
use keepline::{Body, Transport};
use keepline_gateway::config::{
    Certificate, Config, Content, Location, Matcher, Op, Program, ProxyPass, ProxyTarget, Return,
    Scheme, Scope, ScopeId, ServerName, ServerTls as TlsSettings, Template, UpstreamId,
};
use keepline_testkit::ScratchDir;
use keepline_testkit::certs;

use crate::support::{Running, config, server, upstream};

fn says(text: &str) -> Location {
    let mut location = Location::new(Matcher::Prefix("/".into()), Scope::default());
    location.rewrite = Program(vec![Op::Return(Return::Text {
        status: 200,
        text: Template::literal(text),
    })]);
    location
}

fn with_tls(
    server: &mut keepline_gateway::config::Server,
    identity: &certs::Identity,
    dir: &ScratchDir,
) {
    let (chain, key) = identity.write_to(dir);
    server.listen[0].is_tls = true;
    server.tls = Some(TlsSettings {
        certificates: vec![Certificate { chain, key }],
        ..TlsSettings::default()
    });
}

async fn get(transport: &Transport, uri: &str) -> Result<(u16, String), keepline::Error> {
    let request = http::Request::get(uri).body(Body::empty()).unwrap();
    let response = transport.send(request).await?;
    let status = response.status().as_u16();
    let content = response.into_body().bytes(1 << 20).await?;
    Ok((status, String::from_utf8(content.to_vec()).unwrap()))
}

fn trusting() -> ClientTls {
    let root = certs::authority().pem.as_bytes();
    ClientTls::builder().root_pem(root).build().unwrap()
}

#[tokio::test]
async fn each_name_gets_its_certificate() {
    let (good_dir, bad_dir) = (ScratchDir::new("tls"), ScratchDir::new("tls"));
    let mut good = server(vec![says("good")]);
    good.names = vec![ServerName::Exact("localhost".into())];
    with_tls(&mut good, certs::server(), &good_dir);
    let mut other = server(vec![says("other")]);
    other.names = vec![ServerName::Exact("other".into())];
    with_tls(&mut other, certs::wrong_name(), &bad_dir);
    // The first is the default one.
    let mut config = config(other, Vec::new());
    config.http.as_mut().unwrap().servers.push(Arc::new(good));
    let gateway = Running::start(&config);
    let transport = Transport::builder().tls(trusting()).build().unwrap();
    let uri = format!("https://localhost:{}/", gateway.addr.port());
    assert_eq!(get(&transport, &uri).await.unwrap(), (200, "good".into()));
}

/// An https server that says which connection it was asked on.
async fn secure_backend(identity: &certs::Identity) -> std::net::SocketAddr {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    let (chain, key) = (identity.cert.pem.as_bytes(), identity.key_pem.as_bytes());
    let tls = ServerTls::from_pem(chain, key).unwrap();
    let backend = HttpServer::builder().tls(tls).build().unwrap();
    let service = service_fn(|request: http::Request<Body>| async move {
        let info = request.extensions().get::<keepline::server::RequestInfo>();
        let number = info.map_or(0, |info| info.number());
        Ok::<_, keepline::Error>(http::Response::new(Body::from(number.to_string())))
    });
    tokio::spawn(backend.serve(listener, service));
    addr
}

fn passing(change: impl FnOnce(&mut Scope)) -> Location {
    let mut scope = Scope {
        id: ScopeId(7),
        content: Content::Proxy(ProxyPass {
            target: ProxyTarget::Fixed {
                scheme: Scheme::Https,
                upstream: UpstreamId(0),
                host: "localhost".into(),
                port: 443,
                uri: None,
            },
        }),
        ..Scope::default()
    };
    change(&mut scope);
    Location::new(Matcher::Prefix("/".into()), scope)
}

fn before(addr: std::net::SocketAddr, change: impl FnOnce(&mut Scope)) -> Config {
    config(server(vec![passing(change)]), vec![upstream(&[addr])])
}

#[tokio::test]
async fn upstreams_are_asked_over_tls_on_kept_connections() {
    let addr = secure_backend(certs::server()).await;
    let gateway = Running::start(&before(addr, |_| {}));
    let transport = Transport::builder().build().unwrap();
    let uri = format!("http://{}/", gateway.addr);
    for number in 1..=3 {
        let (status, content) = get(&transport, &uri).await.unwrap();
        assert_eq!((status, content), (200, number.to_string()));
    }
}

#[tokio::test]
async fn an_upstream_that_is_verified_has_to_prove_its_name() {
    let dir = ScratchDir::new("tls");
    let root = dir.write("root.pem", &certs::authority().pem);
    for (identity, status) in [(certs::server(), 200), (certs::wrong_name(), 502)] {
        let addr = secure_backend(identity).await;
        let gateway = Running::start(&before(addr, |scope| {
            scope.proxy.tls.verify = true;
            scope.proxy.tls.server_name = true;
            scope.proxy.tls.trusted = Some(root.clone());
        }));
        let transport = Transport::builder().build().unwrap();
        let answer = get(&transport, &format!("http://{}/", gateway.addr)).await;
        assert_eq!(answer.unwrap().0, status);
    }
}

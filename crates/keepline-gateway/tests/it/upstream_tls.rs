//! TLS towards upstreams: verification, and connections that are kept.

use keepline::server::{Server as HttpServer, service_fn};
use keepline::tls::ServerTls;
use keepline::{Body, Transport};
use keepline_gateway::config::{
    Config, Content, Location, Matcher, ProxyPass, ProxyTarget, Scheme, Scope, ScopeId, UpstreamId,
};
use keepline_testkit::ScratchDir;
use keepline_testkit::certs;

use crate::support::{Running, config, server, upstream};

async fn get(transport: &Transport, uri: &str) -> Result<(u16, String), keepline::Error> {
    let request = http::Request::get(uri).body(Body::empty()).unwrap();
    let response = transport.send(request).await?;
    let status = response.status().as_u16();
    let content = response.into_body().bytes(1 << 20).await?;
    Ok((status, String::from_utf8(content.to_vec()).unwrap()))
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

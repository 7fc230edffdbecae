//! A gateway with a configuration made by hand.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use keepline_gateway::Gateway;
use keepline_gateway::conf::Document;
use keepline_gateway::config::{
    Address, Config, Content, Http, Keepalive, Listen, ListenAddress, Location, Matcher, ProxyPass,
    ProxyTarget, Scheme, Scope, ScopeId, Server, Upstream, UpstreamId, UpstreamServer,
};
use keepline_gateway::process::Options;
use keepline_testkit::RawClient;

/// A gateway that runs until it is dropped.
pub(crate) struct Running {
    pub(crate) gateway: Option<Gateway>,
    pub(crate) addr: SocketAddr,
}

impl Running {
    pub(crate) fn start(config: &Config) -> Self {
        let gateway = Gateway::start(config).unwrap();
        let addr = gateway.addresses()[0];
        Self {
            gateway: Some(gateway),
            addr,
        }
    }

    /// With this in `http`; whatever it listens on, it listens where there is room.
    pub(crate) fn of_text(http: &str) -> Self {
        let text = format!("events {{}} http {{ access_log off; {http} }}");
        let document = Document::of_text(&text, &Options::default().paths());
        let document = document.unwrap_or_else(|errors| panic!("{errors:#}"));
        let mut config = document.into_config();
        for server in config.http.iter_mut().flat_map(|http| &mut http.servers) {
            for listen in &mut Arc::make_mut(server).listen {
                listen.address = ListenAddress::Inet((Ipv4Addr::LOCALHOST, 0).into());
            }
        }
        Self::start(&config)
    }

    pub(crate) async fn connect(&self) -> RawClient {
        RawClient::connect(self.addr).await
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if let Some(gateway) = self.gateway.take() {
            gateway.stop();
            let _ = gateway.join();
        }
    }
}

/// `listen 127.0.0.1:0;` with these locations.
pub(crate) fn server(locations: Vec<Location>) -> Server {
    let any_port = (Ipv4Addr::LOCALHOST, 0).into();
    let mut server = Server::new(vec![Listen::new(ListenAddress::Inet(any_port))]);
    server.locations = locations.into_iter().map(Arc::new).collect();
    server
}

/// A configuration with one server.
pub(crate) fn config(server: Server, upstreams: Vec<Upstream>) -> Config {
    let http = Http {
        servers: vec![Arc::new(server)],
        upstreams: upstreams.into_iter().map(Arc::new).collect(),
        ..Http::default()
    };
    Config {
        http: Some(http),
        ..Config::default()
    }
}

/// `location PREFIX { proxy_pass http://UPSTREAM; }`, with `change` made to it.
pub(crate) fn proxied(prefix: &str, change: impl FnOnce(&mut Scope)) -> Location {
    proxied_to(prefix, 0, None, change)
}

pub(crate) fn proxied_to(
    prefix: &str,
    upstream: usize,
    uri: Option<&str>,
    change: impl FnOnce(&mut Scope),
) -> Location {
    let mut scope = Scope {
        id: ScopeId(prefix.len() as u64),
        content: Content::Proxy(ProxyPass {
            target: ProxyTarget::Fixed {
                scheme: Scheme::Http,
                upstream: UpstreamId(upstream),
                host: "backend".into(),
                port: 80,
                uri: uri.map(Into::into),
            },
        }),
        ..Scope::default()
    };
    change(&mut scope);
    Location::new(Matcher::Prefix(prefix.into()), scope)
}

/// `upstream backend { server …; keepalive 32; }`
pub(crate) fn upstream(servers: &[SocketAddr]) -> Upstream {
    let server = |addr: &SocketAddr| UpstreamServer::new(Address::Inet(*addr));
    Upstream {
        keepalive: Some(Keepalive {
            is_local: false,
            ..Keepalive::default()
        }),
        ..Upstream::new("backend", servers.iter().map(server).collect())
    }
}

/// A gateway that passes all on to these servers.
pub(crate) fn before(servers: &[SocketAddr]) -> Running {
    before_with(servers, |_| {})
}

/// The same, with `change` made to its location.
pub(crate) fn before_with(servers: &[SocketAddr], change: impl FnOnce(&mut Scope)) -> Running {
    let server = server(vec![proxied("/", change)]);
    Running::start(&config(server, vec![upstream(servers)]))
}

/// The value of a field of a head.
pub(crate) fn field<'h>(head: &'h str, name: &str) -> Option<&'h str> {
    head.lines().skip(1).find_map(|line| {
        let (field, value) = line.split_once(':')?;
        field.eq_ignore_ascii_case(name).then(|| value.trim())
    })
}

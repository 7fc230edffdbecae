//! Pingora between a client and one origin, both sides kept alive: the least that its `ProxyHttp`
//! asks for, one thread, no access log.
//!
//! `--listen ADDRESS --upstream ADDRESS`

use std::error::Error;
use std::net::SocketAddr;
use std::sync::Arc;

use async_trait::async_trait;
use lexopt::prelude::*;
use pingora_core::server::Server;
use pingora_core::server::configuration::ServerConf;
use pingora_core::upstreams::peer::HttpPeer;
use pingora_proxy::{ProxyHttp, Session, http_proxy_service};

struct Gateway {
    upstream: SocketAddr,
}

#[async_trait]
impl ProxyHttp for Gateway {
    type CTX = ();

    fn new_ctx(&self) -> Self::CTX {}

    async fn upstream_peer(
        &self,
        _: &mut Session,
        (): &mut Self::CTX,
    ) -> pingora_core::Result<Box<HttpPeer>> {
        Ok(Box::new(HttpPeer::new(self.upstream, false, String::new())))
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let (listen, upstream) = addresses()?;
    let conf = ServerConf {
        threads: 1,
        upstream_keepalive_pool_size: 1024,
        ..ServerConf::default()
    };
    let mut server = Server::new_with_opt_and_conf(None, conf);
    server.bootstrap();
    let mut service = http_proxy_service(&Arc::clone(&server.configuration), Gateway { upstream });
    service.add_tcp(&listen.to_string());
    server.add_service(service);
    server.run_forever()
}

fn addresses() -> Result<(SocketAddr, SocketAddr), lexopt::Error> {
    let (mut listen, mut upstream) = (None, None);
    let mut args = lexopt::Parser::from_env();
    while let Some(arg) = args.next()? {
        match arg {
            Long("listen") => listen = Some(args.value()?.parse()?),
            Long("upstream") => upstream = Some(args.value()?.parse()?),
            other => return Err(other.unexpected()),
        }
    }
    Ok((
        listen.ok_or("--listen is needed")?,
        upstream.ok_or("--upstream is needed")?,
    ))
}

//! How connections are opened: from the flags to the settings of a Transport.

use keepline::client::{Proxy, TransportBuilder};
use keepline::net::{Hickory, TcpKeepAlive};

use super::args::DialArgs;
use crate::failure::Failure;

/// Sets what the flags say.
pub(super) fn settings(
    mut builder: TransportBuilder,
    args: &DialArgs,
) -> Result<TransportBuilder, Failure> {
    let DialArgs {
        unix,
        proxy,
        dns_server,
        follow_dns,
        local_address,
        connect_timeout,
        tunnel_timeout,
        tls_timeout,
        tcp_keep_alive,
        tcp_user_timeout,
    } = args;
    match proxy.as_deref() {
        None => {}
        Some("") => builder = builder.no_proxy(),
        Some(url) => builder = builder.proxy(proxy_of(url)?),
    }
    if let Some(path) = unix {
        builder = builder.unix_socket(path);
    }
    if !dns_server.is_empty() {
        let resolver = Hickory::with_servers(dns_server);
        let failed = |error| Failure::new(format!("--dns-server: {error}"));
        builder = builder.resolver(resolver.map_err(failed)?);
    }
    let keep_alive = (!tcp_keep_alive.is_zero()).then(|| {
        let default = TcpKeepAlive::default();
        TcpKeepAlive {
            time: *tcp_keep_alive,
            interval: default.interval.min(*tcp_keep_alive),
            ..default
        }
    });
    Ok(builder
        .follow_dns(*follow_dns)
        .local_address(*local_address)
        .connect_timeout(*connect_timeout)
        .tunnel_timeout(*tunnel_timeout)
        .tls_handshake_timeout(*tls_timeout)
        .tcp_keep_alive(keep_alive)
        .tcp_user_timeout(*tcp_user_timeout))
}

fn proxy_of(url: &str) -> Result<Proxy, Failure> {
    url.parse().map_err(|error| {
        Failure::new(format!("-x: {error}"))
            .help("write it like http://user:password@127.0.0.1:3128 or socks5h://127.0.0.1:1080")
    })
}

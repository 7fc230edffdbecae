//! `upstream` blocks, and the servers in them.

use std::net::SocketAddr;
use std::sync::Arc;

use super::{Builder, is_without_effect, resolver};
use crate::conf::directive::Context;
use crate::conf::error::ConfError;
use crate::conf::lexer::Word;
use crate::conf::outside::Outside;
use crate::conf::tree::{Block, Directive};
use crate::conf::units;
use crate::conf::value::{invalid, unknown_parameter, unsupported};
use crate::config::{
    Address, Balance, Keepalive, MovingName, Upstream, UpstreamId, UpstreamServer,
};

/// Reads an `upstream` block.
pub(super) fn upstream(
    directive: &Directive,
    builder: &Builder<'_>,
) -> Result<Upstream, ConfError> {
    let mut upstream = Upstream::new(directive.text(0)?, Vec::new());
    let mut keepalive = Keepalive::default();
    let mut is_off = false;
    let mut has_zone = false;
    let mut resolver_timeout = builder.http_resolver.1;
    let mut balance: Option<&Directive> = None;
    let mut begun = std::collections::BTreeSet::new();
    let block = directive.block.as_ref().map_or(&[][..], inner);
    for inner in block {
        let name = inner.name.text.as_str();
        if name != "server" && !begun.insert(name) {
            return Err(inner.duplicate());
        }
        match name {
            "server" => upstream.servers.push(server(inner, builder.outside)?),
            "zone" => has_zone = true,
            "resolver" => upstream.resolver = Some(resolver::resolver(inner, builder)?),
            "resolver_timeout" => resolver_timeout = Some(inner.time(0)?),
            "keepalive" => {
                keepalive.connections = inner.number(0)?;
                keepalive.is_local = match inner.args.get(1) {
                    None => false,
                    Some(word) if word.text == "local" => true,
                    Some(word) => return Err(unknown_parameter(inner, word, &["local"])),
                };
                is_off = keepalive.connections == 0;
            }
            "keepalive_requests" => keepalive.requests = inner.number(0)?,
            "keepalive_time" => keepalive.time = inner.time(0)?,
            "keepalive_timeout" => keepalive.timeout = inner.time(0)?,
            "hash" | "ip_hash" | "least_conn" | "random" => {
                if balance.is_some() {
                    return Err(inner.error("load balancing method redefined"));
                }
                balance = Some(inner);
                upstream.balance = balance_of(inner, builder)?;
            }
            _ if is_without_effect(name, Context::Upstream) => {}
            _ => return Err(super::not_taken(inner)),
        }
    }
    if upstream.servers.is_empty() {
        let what = format!("no servers are inside upstream \"{}\"", upstream.name);
        return Err(directive.error(what));
    }
    if let (Some(balance), true) = (balance, upstream.servers.iter().any(|s| s.is_backup))
        && balance.name.text != "least_conn"
    {
        return Err(balance.error("balancing method does not support parameter \"backup\""));
    }
    upstream.keepalive = (!is_off).then_some(keepalive);
    if let Some(timeout) = resolver_timeout {
        upstream.resolver_timeout = timeout;
    }
    settle_resolver(&mut upstream, has_zone, directive, builder)?;
    Ok(upstream)
}

/// Servers that say `resolve` need somebody to ask, and nginx needs a `zone` to keep the answers in.
fn settle_resolver(
    upstream: &mut Upstream,
    has_zone: bool,
    directive: &Directive,
    builder: &Builder<'_>,
) -> Result<(), ConfError> {
    if !upstream.is_moving() {
        // Who asks nobody does not differ from one that could.
        upstream.resolver = None;
        return Ok(());
    }
    let name = &upstream.name;
    if !has_zone {
        let what = format!(
            "resolving names at run time requires upstream \"{name}\" to be in shared memory"
        );
        let note = format!("write \"zone {name} 64k;\" into the block, as for nginx");
        return Err(directive.error(what).note(note));
    }
    if upstream.resolver.is_none() {
        upstream.resolver.clone_from(&builder.http_resolver.0);
    }
    if upstream.resolver.is_none() {
        let what =
            format!("no resolver defined to resolve names at run time in upstream \"{name}\"");
        let note = "write \"resolver ADDRESS;\" into the block or into http";
        return Err(directive.error(what).note(note));
    }
    Ok(())
}

fn inner(block: &Block) -> &[Directive] {
    &block.directives
}

fn balance_of(directive: &Directive, builder: &Builder<'_>) -> Result<Balance, ConfError> {
    Ok(match directive.name.text.as_str() {
        "least_conn" => Balance::LeastConn,
        "ip_hash" => Balance::IpHash,
        "hash" => Balance::Hash {
            key: builder.names.template(directive.arg(0)?)?,
            is_consistent: match directive.args.get(1) {
                None => false,
                Some(word) if word.text == "consistent" => true,
                Some(word) => return Err(unknown_parameter(directive, word, &["consistent"])),
            },
        },
        _ => random(directive)?,
    })
}

fn random(directive: &Directive) -> Result<Balance, ConfError> {
    match directive.args.as_slice() {
        [] => Ok(Balance::Random),
        [two, rest @ ..] if two.text == "two" => match rest {
            [] => Ok(Balance::RandomTwo),
            [method] if method.text == "least_conn" => Ok(Balance::RandomTwo),
            [method, ..] => Err(unsupported(directive, method, "random two least_conn")),
        },
        [word, ..] => Err(unknown_parameter(directive, word, &["two"])),
    }
}

const PARAMETERS: [&str; 7] = [
    "weight=",
    "resolve",
    "max_conns=",
    "max_fails=",
    "fail_timeout=",
    "backup",
    "down",
];

fn server(directive: &Directive, outside: &dyn Outside) -> Result<UpstreamServer, ConfError> {
    let address = directive.arg(0)?;
    let moves = moving_name(directive)?;
    let mut server = UpstreamServer {
        name: address.text.as_str().into(),
        addresses: match &moves {
            Some(_) => Vec::new(),
            None => addresses(&address.text, 80, address, "upstream", outside)?,
        },
        moves,
        ..UpstreamServer::new(Address::Unix("".into()))
    };
    for word in directive.args.iter().skip(1) {
        let count = |text: &str| {
            let count = units::number::<u32>(text);
            count.ok_or_else(|| invalid(directive, word, "a number"))
        };
        match word.text.split_once('=') {
            Some(("weight", value)) => {
                server.weight = count(value)?;
                if server.weight == 0 {
                    return Err(invalid(directive, word, "a weight of at least 1"));
                }
            }
            Some(("max_conns", value)) => {
                let most = count(value)?;
                server.max_conns = (most > 0).then_some(most);
            }
            Some(("max_fails", value)) => server.max_fails = count(value)?,
            Some(("fail_timeout", value)) => {
                let time = units::time(value);
                server.fail_timeout = time.ok_or_else(|| invalid(directive, word, "a time"))?;
            }
            None if word.text == "backup" => server.is_backup = true,
            None if word.text == "down" => server.is_down = true,
            Some(("slow_start" | "service" | "route", _)) => {
                return Err(unsupported(directive, word, "leave it out"));
            }
            None if word.text == "drain" => {
                return Err(unsupported(directive, word, "leave it out"));
            }
            // See `moving_name`.
            None if word.text == "resolve" => {}
            _ => return Err(unknown_parameter(directive, word, &PARAMETERS)),
        }
    }
    Ok(server)
}

/// What `resolve` stands for: nothing for an address, which is its own.
fn moving_name(directive: &Directive) -> Result<Option<MovingName>, ConfError> {
    let word = directive.arg(0)?;
    let resolves = directive
        .args
        .iter()
        .skip(1)
        .any(|arg| arg.text == "resolve");
    if !resolves || word.text.starts_with("unix:") {
        return Ok(None);
    }
    let (host, port) = host_and_port(&word.text, word)?;
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    let is_address = bare.parse::<std::net::IpAddr>().is_ok();
    Ok((!is_address).then(|| MovingName {
        host: host.to_ascii_lowercase().into(),
        port: port.unwrap_or(80),
    }))
}

/// The addresses of `host[:port]` or `unix:path`, at least one.
pub(super) fn addresses(
    text: &str,
    default_port: u16,
    word: &Word,
    what: &str,
    outside: &dyn Outside,
) -> Result<Vec<Address>, ConfError> {
    if let Some(path) = text.strip_prefix("unix:") {
        if path.is_empty() {
            return Err(ConfError::new(
                &word.place,
                "no path in the unix domain socket",
            ));
        }
        return Ok(vec![Address::Unix(path.into())]);
    }
    let (host, port) = host_and_port(text, word)?;
    let port = port.unwrap_or(default_port);
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    if let Ok(address) = bare.parse() {
        return Ok(vec![Address::Inet(SocketAddr::new(address, port))]);
    }
    let what = format!("host not found in {what} \"{text}\"");
    let found = outside.addresses(bare);
    let found = found.map_err(|error| ConfError::new(&word.place, what).note(error.to_string()))?;
    let found = found
        .into_iter()
        .map(|address| SocketAddr::new(address, port));
    Ok(found.map(Address::Inet).collect())
}

/// `host`, `host:port`, `[v6]`, `[v6]:port`; the host keeps its brackets.
pub(super) fn host_and_port<'a>(
    text: &'a str,
    word: &Word,
) -> Result<(&'a str, Option<u16>), ConfError> {
    let split = match text.rfind(']') {
        Some(end) => text.split_at(end + 1),
        None => text.split_at(text.find(':').unwrap_or(text.len())),
    };
    let (host, port) = split;
    let invalid = |what: &str| ConfError::new(&word.place, format!("{what} in \"{text}\""));
    if host.is_empty() || host.chars().any(char::is_whitespace) {
        return Err(invalid("no host"));
    }
    match port.strip_prefix(':') {
        None if port.is_empty() => Ok((host, None)),
        Some(port) => match units::number(port).filter(|port| *port > 0) {
            Some(port) => Ok((host, Some(port))),
            None => Err(invalid("invalid port")),
        },
        None => Err(invalid("invalid host")),
    }
}

/// What a `proxy_pass` to a host without a block stands for. Each host and port is one.
pub(super) fn implicit(
    name: &str,
    addresses: Vec<Address>,
    builder: &mut Builder<'_>,
) -> UpstreamId {
    if let Some(id) = builder.implicit.get(&(name.to_owned(), addresses.clone())) {
        return *id;
    }
    let id = UpstreamId(builder.http.upstreams.len());
    let key = (name.to_owned(), addresses.clone());
    builder.implicit.insert(key, id);
    let server = UpstreamServer {
        name: name.into(),
        addresses,
        ..UpstreamServer::new(Address::Unix("".into()))
    };
    let mut upstream = Upstream::new(name, vec![server]);
    upstream.is_implicit = true;
    builder.http.upstreams.push(Arc::new(upstream));
    id
}

//! `server`: a virtual server.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use super::Builder;
use super::level::Level;
use super::{listen, location, rewrite, server_name, tls};
use crate::conf::directive::Context;
use crate::conf::error::ConfError;
use crate::conf::lexer::Word;
use crate::conf::tree::{Block, Directive};
use crate::config::{Listen, ListenAddress, Location, Matcher, Server, ServerName};

/// Reads a `server` block.
pub(super) fn server(
    directive: &Directive,
    http: &Level,
    builder: &mut Builder<'_>,
) -> Result<Server, ConfError> {
    let empty = Block::default();
    let block = directive.block.as_ref().unwrap_or(&empty);
    let mut level = http.inner(Context::Server, builder.scope_id());
    builder.settings(&mut level, block, None)?;
    let listen = listens(block, builder)?;
    let names = names(block, &listen, builder)?;
    let tls = tls::server_tls(&level, builder)?;
    if tls.is_none() && listen.iter().any(|listen| listen.is_tls) {
        let what = "no \"ssl_certificate\" is defined for the \"listen ... ssl\" directive";
        return Err(directive.error(what));
    }
    let rewrite = rewrite::program(block, &level, builder, None)?;
    let all = location::locations(block, &level, None, builder);
    let (named, locations): (Vec<_>, Vec<_>) = all
        .into_iter()
        .partition(|location| matches!(location.matcher, Matcher::Named(_)));
    let server = level.server.clone();
    Ok(Server {
        names,
        listen,
        scope: Arc::new(level.scope),
        rewrite,
        locations,
        named_locations: named.into_iter().filter_map(named_location).collect(),
        tls,
        ..server
    })
}

fn named_location(location: Arc<Location>) -> Option<(Box<str>, Arc<Location>)> {
    match &location.matcher {
        Matcher::Named(name) => Some((name.clone(), location)),
        _ => None,
    }
}

fn listens(block: &Block, builder: &mut Builder<'_>) -> Result<Vec<Listen>, ConfError> {
    let mut listens: Vec<Listen> = Vec::new();
    for directive in block.directives.iter().filter(|d| d.name.text == "listen") {
        let mut ignored = Vec::new();
        let found = listen::listen(directive, builder.outside, &mut ignored)?;
        for (word, reason) in ignored {
            builder.ignore(format!("listen ... {}", word.text), &word.place, reason);
        }
        for listen in found {
            if listens.iter().any(|known| known.address == listen.address) {
                let what = format!("a duplicate listen {}", shown(&listen.address));
                return Err(directive.error(what));
            }
            if listen.is_default && !builder.defaults.insert(listen.address.clone()) {
                let what = format!("a duplicate default server for {}", shown(&listen.address));
                return Err(directive.error(what));
            }
            listens.push(listen);
        }
    }
    if listens.is_empty() {
        // As nginx: below 1024 only root may listen.
        let is_root = rustix::process::geteuid().is_root();
        let port = if is_root { 80 } else { 8000 };
        let address = SocketAddr::from((Ipv4Addr::UNSPECIFIED, port));
        listens.push(Listen::new(ListenAddress::Inet(address)));
    }
    Ok(listens)
}

fn shown(address: &ListenAddress) -> String {
    match address {
        ListenAddress::Inet(address) => address.to_string(),
        ListenAddress::Unix(path) => format!("unix:{}", path.display()),
    }
}

fn names(
    block: &Block,
    listen: &[Listen],
    builder: &mut Builder<'_>,
) -> Result<Vec<ServerName>, ConfError> {
    let mut names = Vec::new();
    for directive in block
        .directives
        .iter()
        .filter(|d| d.name.text == "server_name")
    {
        for word in &directive.args {
            let name = server_name::server_name(directive, word)?;
            if !matches!(name, ServerName::Regex(_)) {
                tell_conflicts(word, listen, builder);
            }
            names.push(name);
        }
    }
    if names.is_empty() {
        names.push(ServerName::Exact("".into()));
    }
    Ok(names)
}

/// Of two servers with one name, at one address, the first has the requests.
fn tell_conflicts(word: &Word, listen: &[Listen], builder: &mut Builder<'_>) {
    for listen in listen {
        let name = word.text.to_ascii_lowercase();
        if !builder.named.insert((listen.address.clone(), name)) {
            let what = format!("server_name {}", word.text);
            let reason = "another server with this name and address stands before it";
            return builder.ignore(what, &word.place, reason);
        }
    }
}

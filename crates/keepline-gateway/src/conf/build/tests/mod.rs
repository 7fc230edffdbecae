//! What configurations mean.

mod beside_nginx;
mod errors;
mod every_directive;
mod meaning;

use crate::conf::outside::Memory;
use crate::conf::{ConfErrors, Document, Paths};
use crate::config::{Http, Scope, Server};

/// Reads a configuration whose `http` block has this in it.
fn http(text: &str) -> Result<Http, ConfErrors> {
    let text = format!("events {{}} http {{ {text} }}");
    let files = Memory::default().with("/n", text.as_str());
    let document = Document::read_from(&Paths::of("/n"), "", &files)?;
    Ok(document.into_config().http.unwrap())
}

#[track_caller]
fn read(text: &str) -> Http {
    http(text).unwrap_or_else(|errors| panic!("{text}\n{errors:#}"))
}

/// The server of a configuration that has one.
#[track_caller]
fn server(text: &str) -> Server {
    let http = read(text);
    assert_eq!(http.servers.len(), 1);
    Server::clone(&http.servers[0])
}

/// The scope of the first location of the first server.
#[track_caller]
fn location(text: &str) -> Scope {
    let http = read(text);
    Scope::clone(&http.servers[0].locations[0].scope)
}

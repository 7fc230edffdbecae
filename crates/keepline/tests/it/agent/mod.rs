//! The user agent: a Client over a Transport, against scripted peers.

mod builder;
mod compression;
mod cookies;
mod redirects;
mod timeout;

use keepline::{Client, Transport};

/// A client whose Transport is at hand.
fn client() -> (Client, Transport) {
    let client = Client::default();
    let transport = client.transport().clone();
    (client, transport)
}

/// A redirect with a body.
fn redirect(status: u16, location: &str, body: &str) -> String {
    format!(
        "HTTP/1.1 {status} Over There\r\nlocation: {location}\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    )
}

/// The fields of a head with this name.
fn values<'a>(head: &'a str, name: &str) -> Vec<&'a str> {
    head.lines()
        .filter_map(|line| line.split_once(": "))
        .filter(|field| field.0.eq_ignore_ascii_case(name))
        .map(|field| field.1)
        .collect()
}

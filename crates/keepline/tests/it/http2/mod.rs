//! HTTP/2 of the client, against servers made of the `h2` crate and against raw peers.

mod alpn;
mod bodies;
mod ends;
mod follow_dns;
mod refusals;
mod sharing;
mod support;
mod time;
mod trouble;

//! Behaviour of the library over sockets and in-memory streams: one binary, a module for each side.

mod agent;
mod client;
mod from_reqwest;
mod http2;
mod parity;
mod server;

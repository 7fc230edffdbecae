//! Behaviour of the library over sockets and in-memory streams, one module a topic.

mod client;
mod server;

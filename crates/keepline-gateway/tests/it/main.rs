//! The gateway between real sockets: scripted clients before it, scripted servers behind it.

mod answers;
mod buffering;
mod maps;
mod proxy;
mod relay;
mod rewritten;
mod support;
mod tls;
mod upstream_tls;

//! The gateway between real sockets: scripted clients before it, scripted servers behind it.

mod proxy;
mod support;

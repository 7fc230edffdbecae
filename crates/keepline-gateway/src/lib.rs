//! A reverse proxy that reads nginx.conf, with one pool of upstream connections for all workers.
//!
//! - [`config`]: what a configuration means, as plain data.
//!
//! "Upstream" is the side of the servers here and "downstream" that of the clients, as nginx says
//! it; for RFC 9110 §3.7 they are directions of a message.

pub mod config;

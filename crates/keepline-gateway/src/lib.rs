//! A reverse proxy that reads nginx.conf, with one pool of upstream connections for all workers.
//!
//! Being built.

pub mod conf;

//! A reverse proxy that reads nginx.conf, with one pool of upstream connections for all workers.
//!
//! - [`conf`]: the language, from text to a tree.
//! - [`config`]: what a configuration means, as plain data.
//! - [`Gateway`]: carries one out.
//!
//! "Upstream" is the side of the servers here and "downstream" that of the clients, as nginx says
//! it; for RFC 9110 §3.7 they are directions of a message.

pub mod conf;
pub mod config;
pub mod process;

mod access;
mod answer;
mod error_log;
mod exchange;
mod gateway;
mod limit;
mod log;
mod request;
mod route;
mod upstream;
mod user;

pub use gateway::{Gateway, StartError, Stopper};

/// The version of nginx whose behaviour is matched.
pub const NGINX_VERSION: &str = "1.31.5";

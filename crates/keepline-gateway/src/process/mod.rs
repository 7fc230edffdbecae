//! The process contract of a drop-in `nginx`: options, paths, pid file, signals, version.

mod daemon;
mod options;
mod pid;
mod signal;
mod version;

pub use options::Options;
pub use signal::Signal;
pub use version::{NGINX, version, version_and_modules};

//! The process contract of a drop-in `nginx`: options, paths, pid file, signals, version.

#[expect(dead_code, reason = "nothing runs yet")]
mod daemon;
mod options;
#[cfg_attr(not(test), expect(dead_code, reason = "nothing runs yet"))]
mod pid;
mod signal;
mod version;

pub use options::Options;
pub use signal::Signal;
pub use version::{NGINX, version, version_and_modules};

//! The process contract of a drop-in `nginx`: options, paths, pid file, signals, reload, version.
//!
//! What scripts and init systems rely on is here; what is served is not.

mod check;
mod console;
mod daemon;
mod options;
mod pid;
mod run;
mod signal;
mod version;

pub use check::{Failed, send, test};
pub use console::Console;
pub use options::Options;
pub use run::run;
pub use signal::Signal;
pub use version::{version, version_and_modules};

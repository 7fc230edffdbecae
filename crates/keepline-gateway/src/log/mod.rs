//! Access logs and error logs: lines as nginx writes them, files that can be reopened.
//!
//! A line is one write, or waits in a buffer of limited size. A file that cannot be written loses its
//! lines: serving goes on.

mod access;
mod error;
mod file;

pub(crate) use access::append_line;
pub(crate) use error::{Context, append_error};
pub(crate) use file::{Files, LineFile};

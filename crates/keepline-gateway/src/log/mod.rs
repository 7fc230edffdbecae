//! Access logs: lines as the configuration writes them, files that can be reopened.
//!
//! A line is one write, or waits in a buffer of limited size. A file that cannot be written loses its
//! lines: serving goes on.

mod access;
mod file;

pub(crate) use access::append_line;
pub(crate) use file::LineFile;

//! A line of an error log.

use std::fmt;
use std::io::Write;
use std::time::SystemTime;

use crate::config::{Level, Variable};
use crate::request::{Civil, View};

/// What a message is about.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Context<'a> {
    pub(crate) view: View<'a>,
    /// What the gateway was doing: `reading response header from upstream`.
    pub(crate) doing: Option<&'a str>,
    /// The URL that an upstream was asked for.
    pub(crate) upstream: Option<&'a str>,
}

/// The name of a level, as it stands in a line.
const fn name(level: Level) -> &'static str {
    match level {
        Level::Emerg => "emerg",
        Level::Alert => "alert",
        Level::Crit => "crit",
        Level::Error => "error",
        Level::Warn => "warn",
        Level::Notice => "notice",
        Level::Info => "info",
        Level::Debug => "debug",
    }
}

/// Appends a line: time, level, process, connection, message, and what it is about.
pub(crate) fn append_error(
    level: Level,
    message: fmt::Arguments<'_>,
    context: Context<'_>,
    out: &mut Vec<u8>,
) {
    let view = context.view;
    Civil::of(SystemTime::now()).append_log(out);
    let pid = std::process::id();
    let connection = view.info.connection();
    let start = out.len();
    let _ = write!(out, " [{}] {pid}#0: *{connection} {message}", name(level));
    if let Some(doing) = context.doing {
        let _ = write!(out, " while {doing}");
    }
    for (label, variable, quote) in [
        (", client: ", Variable::RemoteAddr, ""),
        (", server: ", Variable::ServerName, ""),
        (", request: ", Variable::Request, "\""),
    ] {
        out.extend_from_slice(label.as_bytes());
        out.extend_from_slice(quote.as_bytes());
        view.variable(&variable, out);
        out.extend_from_slice(quote.as_bytes());
    }
    if let Some(upstream) = context.upstream {
        let _ = write!(out, ", upstream: \"{upstream}\"");
    }
    for (label, name) in [("host", "host"), ("referrer", "referer")] {
        if let Some(value) = view.head.fields().value(name) {
            let _ = write!(out, ", {label}: \"");
            out.extend_from_slice(value);
            out.push(b'"');
        }
    }
    // Clients choose parts of this; none of them begins a line of its own.
    for byte in &mut out[start..] {
        if byte.is_ascii_control() {
            *byte = b'?';
        }
    }
    out.push(b'\n');
}

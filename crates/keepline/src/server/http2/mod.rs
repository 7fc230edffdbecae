//! HTTP/2 for the typed service, by the `h2` crate: the same service, deadlines and limits.
//!
//! A session is the connection's own task; each request is a task beside it, which ends with the
//! session. Between the two stands only the session's lock. `session` decides when it ends and
//! why, `answer` is one request, `unread` what is left of its content then, `lent` the stream,
//! `settings` what can be set, `sniff` how HTTP/2 without TLS is recognised.

mod answer;
mod lent;
mod session;
mod settings;
mod sniff;
mod unread;

pub use settings::Http2;

pub(super) use session::serve_session;
pub(super) use sniff::{Sniffed, may_be_http2, sniff};

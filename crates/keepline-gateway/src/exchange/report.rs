//! What a request leaves in the logs.

use std::fmt;
use std::io;

use keepline::ErrorKind;
use keepline::proto::RemoteError;

use super::Serving;
use super::scratch::Scratch;
use crate::config::{Cause, Level, Variable};
use crate::log::append_line;
use crate::request::View;

impl Serving<'_, '_, '_> {
    /// Writes the request to the access logs of its scope.
    pub(super) fn log_access(&mut self) {
        let Some(plan) = self.request.plan else {
            return;
        };
        if plan.access_logs.is_empty() {
            return;
        }
        self.request.sent.total = self.exchange.bytes_sent();
        // What is no request has been counted.
        if self.request.line.is_none() {
            self.request.received = self.exchange.bytes_received();
        }
        self.request.sent.is_kept = self.exchange.closing().is_none();
        let logs = self.request.plan.map_or(&[][..], |plan| &plan.access_logs);
        let view = self.view();
        let mut scratch = Scratch::lend();
        for log in logs {
            let condition = log.condition.as_ref();
            if condition.is_some_and(|when| !view.is_true(when)) {
                continue;
            }
            scratch.bytes.clear();
            append_line(&log.format, view, &mut scratch.bytes);
            log.file.append(&scratch.bytes);
        }
    }

    /// Writes a message to the error logs of the scope. `doing`: what it happened while.
    pub(super) fn complain(&self, level: Level, doing: Option<&str>, message: fmt::Arguments<'_>) {
        let complaint = Complaint {
            view: self.view(),
            message,
            doing,
        };
        let connection = Some(self.exchange.info().connection());
        let logs = &self.request.scope.settings.error_logs;
        let open = self.request.live.error_logs();
        open.write(logs, level, connection, complaint);
    }
}

impl Serving<'_, '_, '_> {
    /// The content of the request is held in a file that cannot be read.
    pub(super) fn complain_of_held(&self, error: &io::Error) {
        let doing = Some("sending request to upstream");
        let message = format_args!("the request's content cannot be read from its file: {error}");
        self.complain(Level::Crit, doing, message);
    }

    /// Says why content stopped on its way to the client.
    pub(super) fn complain_of_content(&self, error: &keepline::Error) {
        let doing = Some("reading upstream");
        if self.exchange.is_gone() || self.exchange.is_half_closed() {
            let message = format_args!("client prematurely closed connection");
            self.complain(Level::Info, Some("sending to client"), message);
        } else {
            match error.kind() {
                _ if is_timeout(error) => {
                    let message = format_args!("upstream timed out (110: Connection timed out)");
                    self.complain(Level::Error, doing, message);
                }
                ErrorKind::Protocol(error) if !error.is_incomplete() => {
                    let message = format_args!("upstream sent invalid chunked response: {error}");
                    self.complain(Level::Error, doing, message);
                }
                _ => {
                    let message = format_args!("upstream prematurely closed connection");
                    self.complain(Level::Error, doing, message);
                }
            }
        }
    }
}

impl Serving<'_, '_, '_> {
    /// Says what went wrong with an upstream, in nginx's words.
    pub(super) fn complain_of_upstream(
        &self,
        cause: Cause,
        was_sent: bool,
        error: Option<&keepline::Error>,
    ) {
        let doing = if was_sent {
            "reading response header from upstream"
        } else {
            "connecting to upstream"
        };
        let os_error = error.and_then(os_error);
        let system = |error: &io::Error| {
            let text = error.to_string();
            let text = text
                .split(" (os error")
                .next()
                .unwrap_or_default()
                .to_owned();
            (error.raw_os_error().unwrap_or(0), text)
        };
        match (cause, os_error.map(system)) {
            (Cause::Timeout, _) => self.complain(
                Level::Error,
                Some(doing),
                format_args!("upstream timed out (110: Connection timed out)"),
            ),
            (Cause::InvalidHeader, _) => {
                self.complain(
                    Level::Error,
                    Some(doing),
                    format_args!("upstream sent {}", Invalid(error)),
                );
            }
            (Cause::Error, Some((code, text))) => {
                let call = if was_sent { "recv()" } else { "connect()" };
                self.complain(
                    Level::Error,
                    Some(doing),
                    format_args!("{call} failed ({code}: {text})"),
                );
            }
            (Cause::Error, None) if was_sent => self.complain(
                Level::Error,
                Some(doing),
                format_args!("upstream prematurely closed connection"),
            ),
            (Cause::Error, None) => {
                if let Some(error) = error {
                    self.complain(Level::Error, Some(doing), format_args!("{error}"));
                }
            }
            // An answer's status: nginx does not tell either.
            _ => {}
        }
    }
}

/// Time was up, by a limit of the connection or of the gateway.
fn is_timeout(error: &keepline::Error) -> bool {
    let cause = std::error::Error::source(error);
    let cause = cause.and_then(|cause| cause.downcast_ref::<io::Error>());
    matches!(error.kind(), ErrorKind::Timeout(_))
        || cause.is_some_and(|cause| cause.kind() == io::ErrorKind::TimedOut)
}

/// The error of the system below one of ours.
fn os_error(error: &keepline::Error) -> Option<&io::Error> {
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        match error.downcast_ref::<io::Error>() {
            Some(error) if error.raw_os_error().is_some() => return Some(error),
            _ => cause = error.source(),
        }
    }
    None
}

/// What was wrong with a head.
struct Invalid<'e>(Option<&'e keepline::Error>);

impl fmt::Display for Invalid<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.map(keepline::Error::kind) {
            Some(ErrorKind::Protocol(RemoteError::HeadTooLarge)) => f.write_str("too big header"),
            Some(ErrorKind::Protocol(error)) => write!(f, "invalid header: {error}"),
            _ => f.write_str("invalid header"),
        }
    }
}

/// A message with what it is about: client, server, request, upstream, host, referrer.
struct Complaint<'a> {
    view: View<'a>,
    message: fmt::Arguments<'a>,
    doing: Option<&'a str>,
}

impl fmt::Display for Complaint<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = |variable: &Variable| {
            let mut value = Vec::new();
            self.view.variable(variable, &mut value);
            String::from_utf8_lossy(&value).into_owned()
        };
        self.message.fmt(f)?;
        if let Some(doing) = self.doing {
            write!(f, " while {doing}")?;
        }
        write!(
            f,
            ", client: {}, server: {}, request: \"{}\"",
            text(&Variable::RemoteAddr),
            text(&Variable::ServerName),
            text(&Variable::Request)
        )?;
        let is_upstream = self.doing.is_some_and(|doing| doing.contains("upstream"));
        if is_upstream && let Some(attempt) = self.view.request.attempts.iter().last() {
            write!(
                f,
                ", upstream: \"http://{}{}\"",
                attempt.server,
                text(&Variable::RequestUri)
            )?;
        }
        for (label, name) in [("host", "host"), ("referrer", "referer")] {
            if let Some(value) = self.view.head.fields().value(name) {
                write!(f, ", {label}: \"{}\"", String::from_utf8_lossy(value))?;
            }
        }
        Ok(())
    }
}

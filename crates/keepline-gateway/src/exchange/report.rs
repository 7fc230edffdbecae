//! What a request leaves in the logs.

use std::fmt;

use super::Serving;
use super::scratch::Scratch;
use crate::config::Level;
use crate::log::{Context, append_error, append_line};

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
        self.request.received = self.exchange.bytes_received();
        let mut scratch = Scratch::lend();
        let view = self.view();
        for log in &plan.access_logs {
            if log.condition.as_ref().is_some_and(|when| !view.is_true(when)) {
                continue;
            }
            scratch.bytes.clear();
            append_line(&log.format, view, &mut scratch.bytes);
            log.file.append(&scratch.bytes);
        }
    }

    /// Writes a message to the error logs of the scope.
    pub(super) fn complain(&self, level: Level, doing: Option<&str>, message: fmt::Arguments<'_>) {
        let logs = self.request.plan.map_or(&[][..], |plan| &plan.error_logs);
        if !logs.iter().any(|log| log.level >= level) {
            return;
        }
        let upstream = doing
            .filter(|doing| doing.contains("upstream"))
            .and(self.asked());
        let mut scratch = Scratch::lend();
        let context = Context {
            view: self.view(),
            doing,
            upstream: upstream.as_deref(),
        };
        append_error(level, message, context, &mut scratch.bytes);
        for log in logs.iter().filter(|log| log.level >= level) {
            log.file.append(&scratch.bytes);
        }
    }

    /// The URL that the last attempt asks for.
    fn asked(&self) -> Option<String> {
        let attempt = self.request.attempts.iter().last()?;
        let target = String::from_utf8_lossy(self.exchange.head().target());
        Some(format!("http://{}{target}", attempt.server))
    }
}

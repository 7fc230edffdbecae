//! What is told about a run: rows or lines of JSON as requests end, and the summary.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Instant;

use keepline::Transport;

use super::args::Args;
use super::trace::Trace;
use super::{heads, json, row};
use crate::failure::Stop;
use crate::load::{Outcome, Plan};
use crate::output::{QUIET, Screen};
use crate::summary::Summary;
use crate::table::Columns;
use crate::trouble::Trouble;

/// Tells about the requests of a run as they end.
#[derive(Debug)]
pub(crate) struct Report<'a> {
    screen: &'a mut Screen,
    args: &'a Args,
    plan: Arc<Plan>,
    columns: Columns,
    selection: row::Selection,
    trace: Trace,
    /// Failures that have been explained; the next of the same kind needs no words.
    explained: HashSet<String>,
}

impl<'a> Report<'a> {
    pub(crate) fn new(
        args: &'a Args,
        plan: Arc<Plan>,
        screen: &'a mut Screen,
    ) -> Result<Self, Stop> {
        let columns = row::columns(plan.requests);
        if !args.report.json {
            screen.line(columns.heading(screen.colours()))?;
        }
        Ok(Self {
            selection: row::Selection::new(plan.requests, screen.is_terminal()),
            screen,
            args,
            plan,
            columns,
            trace: Trace::default(),
            explained: HashSet::new(),
        })
    }

    /// What became of a request.
    pub(crate) fn request(&mut self, outcome: &Outcome, transport: &Transport) -> Result<(), Stop> {
        let url = &self.args.urls[outcome.target];
        if self.args.report.verbose {
            self.heads(outcome);
        }
        if self.args.report.trace {
            for line in self.trace.lines(outcome, &transport.stats().closed) {
                self.screen.note(line);
            }
        }
        if self.args.report.json {
            self.screen.line(json::line(outcome, url))?;
        } else if let Some(left_out) = self.selection.choose(outcome) {
            self.left_out(left_out)?;
            let url = Some(url.as_str()).filter(|_| self.args.urls.len() > 1);
            let row = row::cells(outcome, url);
            let colours = self.screen.colours();
            self.screen.line(self.columns.row(&row, colours))?;
        }
        if let Some(trouble) = &outcome.trouble {
            self.explain(trouble, url);
        }
        Ok(())
    }

    /// How far the run has come.
    pub(crate) fn progress(&mut self, done: u64, started: Instant) {
        self.screen.progress(done, self.plan.requests, started);
    }

    /// Shows the heads that went and came.
    fn heads(&mut self, outcome: &Outcome) {
        if let Some(request) = self.plan.request_of(outcome) {
            heads::request(&request, self.screen);
        }
        if let Some(head) = &outcome.received.head {
            heads::response(head, self.screen);
        }
    }

    /// Explains a failure where its kind is new.
    fn explain(&mut self, trouble: &Trouble, url: &str) {
        let failure = trouble.explain(url);
        if self.explained.insert(format!("{url} {:?}", failure.fault)) {
            self.screen.failure(&failure);
        }
    }

    fn left_out(&mut self, count: u64) -> Result<(), Stop> {
        if count > 0 {
            let line = self.screen.paint(format_args!("… {count} more"), QUIET);
            self.screen.line(line)?;
        }
        Ok(())
    }

    /// The summary.
    pub(crate) fn end(
        mut self,
        summary: &Summary,
        transport: &Transport,
        started: Instant,
    ) -> Result<(), Stop> {
        if self.args.report.trace {
            for line in self.trace.closed(&transport.stats().closed) {
                self.screen.note(line);
            }
        }
        if self.args.report.json {
            return Ok(self.screen.line(summary.json())?);
        }
        let left_out = self.selection.take_left_out();
        self.left_out(left_out)?;
        self.screen.line("")?;
        for line in summary.lines(started.elapsed()) {
            self.screen.line(line)?;
        }
        Ok(())
    }
}

//! `keepline get`: ask once or many times, and see which connection each request ran on.

mod args;
mod heads;
mod json;
mod plan;
mod row;
mod single;
mod target;
mod trace;

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Instant;

use keepline::Transport;

pub(crate) use args::Args;

use crate::failure::{Stop, Verdict};
use crate::load::{Outcome, Plan, Run};
use crate::output::{QUIET, Screen};
use crate::runtime;
use crate::summary::Summary;
use crate::table::Columns;
use crate::trouble::Trouble;

/// Runs the sub-command.
pub(crate) fn run(args: &Args, screen: &mut Screen) -> Result<Verdict, Stop> {
    let plan = plan::requests(args)?;
    let one = plan.requests == 1 && !args.report.json;
    if args.answer.output.is_some() && plan.requests > 1 {
        let message = "-o takes the body of one request, and this would make several";
        return Err(Stop::conflict("get", message));
    }
    let transport = plan::transport(args)?;
    runtime::block_on(async {
        if one {
            ask_once(args, &plan, &transport, screen).await
        } else {
            ask_often(args, plan, &transport, screen).await
        }
    })?
}

/// One request: the body.
async fn ask_once(
    args: &Args,
    plan: &Plan,
    transport: &Transport,
    screen: &mut Screen,
) -> Result<Verdict, Stop> {
    let mut writer = single::Writer::new(screen, args.answer.output.clone(), args.report.verbose);
    if let (true, Ok(uri)) = (args.report.verbose, &plan.targets[0]) {
        writer.request(&plan.request(uri));
    }
    let outcome = plan.make(transport, 1, &mut writer).await;
    writer.finish()?;
    let mut trace = trace::Trace::default();
    let answered = trace.lines(&outcome, &transport.stats().closed);
    transport.shutdown().await;
    let closed = trace.closed(&transport.stats().closed);
    if args.report.trace {
        for line in answered.into_iter().chain(closed) {
            screen.note(line);
        }
    }
    match outcome.trouble {
        None => Ok(Verdict::AllWell),
        // As if nothing had been wrong: whoever read the body has had enough of it.
        Some(Trouble::Output(error)) if args.answer.output.is_none() => Err(Stop::Output(error)),
        Some(trouble) => {
            screen.failure(&trouble.explain(&args.urls[0]));
            Ok(Verdict::SomethingFailed)
        }
    }
}

/// Several: a row each, and the summary.
async fn ask_often(
    args: &Args,
    plan: Plan,
    transport: &Transport,
    screen: &mut Screen,
) -> Result<Verdict, Stop> {
    let started = Instant::now();
    let plan = Arc::new(plan);
    let mut run = Run::start(&plan, transport);
    let mut report = Report::new(args, plan, screen)?;
    let mut summary = Summary::default();
    loop {
        let outcome = tokio::select! {
            outcome = run.next() => outcome,
            // Whoever has seen enough is told what there was until then.
            _ = tokio::signal::ctrl_c() => break,
        };
        let Some(outcome) = outcome else { break };
        summary.add(&outcome);
        report.request(&outcome, transport)?;
        report.progress(summary.requests, started);
    }
    let whole = summary.requests == report.plan.requests;
    drop(run);
    transport.shutdown().await;
    summary.account(&transport.stats());
    report.end(&summary, transport, started)?;
    if whole && summary.failed() == 0 {
        Ok(Verdict::AllWell)
    } else {
        Ok(Verdict::SomethingFailed)
    }
}

/// Tells about the requests of a run as they end.
#[derive(Debug)]
struct Report<'a> {
    screen: &'a mut Screen,
    args: &'a Args,
    plan: Arc<Plan>,
    columns: Columns,
    selection: row::Selection,
    trace: trace::Trace,
    /// Failures that have been explained; the next of the same kind needs no words.
    explained: HashSet<String>,
}

impl<'a> Report<'a> {
    fn new(args: &'a Args, plan: Arc<Plan>, screen: &'a mut Screen) -> Result<Self, Stop> {
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
            trace: trace::Trace::default(),
            explained: HashSet::new(),
        })
    }

    fn request(&mut self, outcome: &Outcome, transport: &Transport) -> Result<(), Stop> {
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

    fn progress(&mut self, done: u64, started: Instant) {
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

    fn end(
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

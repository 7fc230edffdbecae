//! `keepline get`: ask once or many times, and see which connection each request ran on.

mod args;
mod dial;
mod heads;
mod json;
mod plan;
mod report;
mod row;
mod single;
mod target;
mod trace;

use std::sync::Arc;
use std::time::Instant;

use keepline::Transport;

pub(crate) use args::{Args, TlsArgs};
pub(crate) use plan::{content, tls};
pub(crate) use target::parse as url;

use self::report::Report;
use crate::failure::{Stop, Verdict};
use crate::load::{Plan, Run};
use crate::output::Screen;
use crate::runtime;
use crate::summary::Summary;
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
    let requests = plan.requests;
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
    let whole = summary.requests == requests;
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

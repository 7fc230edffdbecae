//! `keepline watch`: connections as the kernel sees them, second by second.
//!
//! [`look`] asks the kernel, [`tally`] and [`ports`] say what that means (pure), [`view`] and
//! [`report`] show it.

mod args;
mod look;
mod ports;
mod report;
mod status;
mod tally;
mod view;

use std::time::Instant;

pub(crate) use args::Args;

use self::look::{Look, Whose};
use self::status::Status;
use self::view::{View, Wish};
use crate::failure::{Failure, Stop, Verdict};
use crate::kernel::sockets::{self, Source};
use crate::output::Screen;
use crate::runtime;

/// Runs the sub-command.
pub(crate) fn run(args: &Args, screen: &mut Screen) -> Result<Verdict, Stop> {
    let (whose, title) = match (args.port, args.pid) {
        (Some(port), _) => (Whose::Port(port), format!("keepline watch: port {port}")),
        (None, Some(pid)) => (
            Whose::Process(pid),
            format!("keepline watch: process {pid}"),
        ),
        (None, None) => unreachable!("clap wants one of the two"),
    };
    let source = match args.proc {
        true => Source::Proc,
        false => sockets::best_source(),
    };
    let mut look = Look::new(whose, source)?;
    let status = args.status.as_deref().map(Status::new).transpose()?;
    let is_live = screen.is_terminal() && !args.json;
    let mut view = None;
    if is_live {
        let taken = View::new(title);
        view = Some(taken.map_err(|error| {
            Failure::new(format!("the terminal cannot be drawn on: {error}"))
                .help("'keepline watch … | cat' prints lines")
        })?);
    }
    runtime::block_on(watch(args, &mut look, status, view, screen))?
}

async fn watch(
    args: &Args,
    look: &mut Look,
    mut status: Option<Status>,
    mut view: Option<View>,
    screen: &mut Screen,
) -> Result<Verdict, Stop> {
    let started = Instant::now();
    let (mut next, mut before) = (started, started);
    if let Some(status) = &mut status {
        // The first answer is what the later ones are compared with.
        status.look().await;
    }
    loop {
        next += args.every;
        if wait(view.is_some(), next).await? == Wish::End {
            return Ok(Verdict::AllWell);
        }
        let now = Instant::now();
        let since = now.duration_since(before);
        before = now;
        // Looks for which it was too late are not made up for: they would see nothing.
        if now.duration_since(next) >= args.every {
            next = now;
        }
        let seen = look.look(now).map_err(|error| {
            Failure::new(format!("the kernel stopped to show its sockets: {error}"))
        })?;
        let reuse = match &mut status {
            Some(status) => status.look().await,
            None => None,
        };
        match &mut view {
            Some(view) => view.show(&seen, since, reuse.as_ref())?,
            None if args.json => {
                let elapsed = now.duration_since(started);
                screen.line(report::json(&seen, elapsed, reuse.as_ref()))?;
            }
            None => screen.line(report::line(&seen, since, reuse.as_ref()))?,
        }
        if view.is_none() {
            screen.flush()?;
        }
        if args
            .duration
            .is_some_and(|duration| next.max(now).duration_since(started) >= duration)
        {
            return Ok(Verdict::AllWell);
        }
    }
}

/// Waits for the next look; in the live view a key may end it.
async fn wait(is_live: bool, until: Instant) -> Result<Wish, Stop> {
    if is_live {
        return Ok(View::wait(until)?);
    }
    tokio::time::sleep_until(until.into()).await;
    Ok(Wish::GoOn)
}

//! How the server ends: the first signal lets requests finish, the second ends at once.

use std::io;

use keepline::server::{Handle, Workers};

use crate::failure::{Failure, Stop, Verdict};
use crate::output::Screen;
use crate::signals::Signals;

/// Waits until the server has ended, by a signal or because it cannot go on.
pub(crate) async fn until_stopped(
    workers: Workers,
    handle: &Handle,
    screen: &mut Screen,
) -> Result<Verdict, Stop> {
    let mut signals = Signals::new().map_err(|error| cannot_go_on(&error))?;
    let mut ended = tokio::task::spawn_blocking(move || workers.join());
    tokio::select! {
        outcome = &mut ended => return finished(outcome),
        () = signals.next() => handle.shutdown(),
    }
    let open = handle.stats().open;
    if open > 0 {
        screen.note(format_args!(
            "shutting down, {open} connections open; a second signal ends at once"
        ));
    }
    tokio::select! {
        outcome = &mut ended => return finished(outcome),
        () = signals.next() => handle.abort(),
    }
    finished(ended.await)?;
    // What was in progress has been dropped.
    Ok(Verdict::SomethingFailed)
}

fn finished(outcome: Result<io::Result<()>, tokio::task::JoinError>) -> Result<Verdict, Stop> {
    outcome
        .map_err(io::Error::other)
        .and_then(|outcome| outcome)
        .map_err(|error| cannot_go_on(&error))?;
    Ok(Verdict::AllWell)
}

fn cannot_go_on(error: &io::Error) -> Failure {
    Failure::new(format!("the server cannot go on: {error}"))
}

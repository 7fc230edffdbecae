//! `keepline faults`: a server that misbehaves as told. The scripts are those of the crate
//! `keepline-faults`; this only starts one and tells what happens.

mod args;

use keepline_faults::{Event, EventKind, Fault, FaultServer};
use serde_json::json;

pub(crate) use args::Args;

use crate::failure::{Failure, Stop, Verdict};
use crate::output::{HEADING, Screen};
use crate::runtime;
use crate::serve::cannot_listen;
use crate::signals::Signals;

/// Runs the sub-command.
pub(crate) fn run(args: &Args, screen: &mut Screen) -> Result<Verdict, Stop> {
    match args.script {
        None => list(args.json, screen),
        Some(fault) => runtime::block_on(serve(args, fault, screen))?,
    }
}

fn list(json: bool, screen: &mut Screen) -> Result<Verdict, Stop> {
    for fault in Fault::ALL {
        if json {
            screen.line(json!({"script": fault.name(), "summary": fault.summary()}))?;
        } else {
            let name = screen.paint(format_args!("{fault:<16}"), HEADING);
            screen.line(format_args!("{name}  {}", fault.summary()))?;
        }
    }
    Ok(Verdict::AllWell)
}

async fn serve(args: &Args, fault: Fault, screen: &mut Screen) -> Result<Verdict, Stop> {
    let mut signals =
        Signals::new().map_err(|error| Failure::new(format!("cannot start: {error}")))?;
    let mut server = FaultServer::bind(args.listen, args.when.plan(fault))
        .await
        .map_err(|error| cannot_listen(args.listen, &error))?;
    let url = server.url("");
    if args.json {
        screen.line(json!({"event": "listening", "url": url, "script": fault.name()}))?;
    } else {
        screen.line(format_args!(
            "listening on {url}, {fault}: {}",
            fault.summary()
        ))?;
    }
    // Scripts wait for this line, and for the others.
    screen.flush()?;
    loop {
        tokio::select! {
            () = signals.next() => return Ok(Verdict::AllWell),
            event = server.event() => match event {
                Some(event) => tell(&event, args.json, screen)?,
                None => return Err(Failure::new("the server has ended").into()),
            },
        }
    }
}

fn tell(event: &Event, json: bool, screen: &mut Screen) -> Result<(), Stop> {
    screen.line(if json { as_json(event) } else { as_line(event) })?;
    Ok(screen.flush()?)
}

fn as_line(event: &Event) -> String {
    let connection = event.connection;
    match &event.kind {
        EventKind::Opened { peer } => format!("{connection}  opened by {peer}"),
        EventKind::Request { number, line } => {
            format!("{connection}  request {number}: {}", line.escape_debug())
        }
        EventKind::Fault => format!("{connection}  fault"),
        EventKind::Ended(end) => format!("{connection}  {end}"),
        other => format!("{connection}  {other:?}"),
    }
}

fn as_json(event: &Event) -> String {
    let connection = event.connection;
    match &event.kind {
        EventKind::Opened { peer } => {
            json!({"event": "opened", "connection": connection, "peer": peer.to_string()})
        }
        EventKind::Request { number, line } => {
            json!({"event": "request", "connection": connection, "request": number, "line": line})
        }
        EventKind::Fault => json!({"event": "fault", "connection": connection}),
        EventKind::Ended(end) => {
            json!({"event": "ended", "connection": connection, "by": end.name()})
        }
        other => {
            json!({"event": "other", "connection": connection, "what": format!("{other:?}")})
        }
    }
    .to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use keepline_faults::End;

    #[test]
    fn what_a_client_sends_cannot_paint_the_terminal() {
        let event = Event {
            connection: 7,
            kind: EventKind::Request {
                number: 1,
                line: "GET /\u{1b}[2J HTTP/1.1".to_owned(),
            },
        };
        assert_eq!(as_line(&event), "7  request 1: GET /\\u{1b}[2J HTTP/1.1");
        let event = Event {
            connection: 7,
            kind: EventKind::Ended(End::ClientClosed),
        };
        assert_eq!(
            as_json(&event),
            r#"{"event":"ended","connection":7,"by":"client-closed"}"#
        );
    }
}

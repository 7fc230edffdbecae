//! `keepline demo`: an origin, a gateway and a client in one process, and what their connections come to.

mod args;
mod gateway;
mod origin;
mod place;
mod program;
mod report;

pub(crate) use args::Args;

use self::gateway::{Gateway, KEPT, NOT_KEPT};
use self::origin::Origin;
use self::place::Place;
use self::program::{Measured, Program};
use crate::failure::{Stop, Verdict};
use crate::human::Plural;
use crate::output::{HEADING, Screen};
use crate::runtime;
use crate::summary::Summary;

/// Requests of a classic program: as many as in the story that it is told by.
const CLASSIC: u64 = 101;
/// Requests where figures are compared: enough for a p99.
const COMPARED: u64 = 1000;

/// An answer of many lines, larger than what one read takes, smaller than what is drained.
const MANY_LINES: &str = "/lines/4000";

const READS: Program = Program {
    name: "body-read",
    path: MANY_LINES,
    read_lines: None,
    is_drain_off: false,
    is_reuse_off: false,
};
const DROPS: Program = Program {
    name: "body-dropped",
    read_lines: Some(5),
    is_drain_off: true,
    ..READS
};
const DRAINS: Program = Program {
    name: "body-dropped-and-drained",
    read_lines: Some(5),
    ..READS
};
const REUSES: Program = Program {
    name: "reuse",
    path: "/",
    ..READS
};
const RECONNECTS: Program = Program {
    name: "no-reuse",
    is_reuse_off: true,
    ..REUSES
};

/// The classic programs: label, program, what it shows.
const CLASSICS: [(&str, Program, &str); 3] = [
    (
        "reads each body to its end",
        READS,
        "Read to its end, a body gives its connection back, and the next request finds it.",
    ),
    (
        "drops each body after 5 lines",
        DROPS,
        "Dropped, it leaves bytes on the connection that are not the next answer: that has to close.",
    ),
    (
        "drops each body, drains the rest",
        DRAINS,
        "Drained, as keepline does by default (up to 256 KiB and 50ms), it leaves nothing behind.",
    ),
];

/// The same requests with and without reuse: label, program, whether over https.
const COMPARISON: [(&str, Program, bool); 4] = [
    ("http, one", REUSES, false),
    ("http, each", RECONNECTS, false),
    ("https, one", REUSES, true),
    ("https, each", RECONNECTS, true),
];

const GATEWAY: Program = Program {
    name: "gateway",
    path: KEPT,
    ..REUSES
};
const GATEWAY_RECONNECTS: Program = Program {
    name: "gateway-no-reuse-by-client",
    is_reuse_off: true,
    ..GATEWAY
};
const GATEWAY_DIALS: Program = Program {
    name: "gateway-no-reuse-upstream",
    path: NOT_KEPT,
    ..GATEWAY
};

/// A client, the gateway, the origin: label, program, what it shows.
const THROUGH_GATEWAY: [(&str, Program, &str); 3] = [
    (
        "client and gateway keep theirs",
        GATEWAY,
        "The gateway is a server on one side and a client on the other; each side keeps its own.",
    ),
    (
        "the client dials each time",
        GATEWAY_RECONNECTS,
        "Clients come and go, and the origin does not notice: its connection is the gateway's.",
    ),
    (
        "the gateway dials each time",
        GATEWAY_DIALS,
        "Without an upstream block nothing is kept towards the origin (nginx's rule, and its trap).",
    ),
];

const COMPARISON_NOTES: [&str; 2] = [
    "CPU time is that of client and server together, system calls included.",
    "Segments are the client's, counted by the kernel up to the close of each connection.",
];

/// Runs the sub-command.
pub(crate) fn run(args: &Args, screen: &mut Screen) -> Result<Verdict, Stop> {
    let origin = Origin::start_http()?;
    let secure = Origin::start_https()?;
    let gateway = Gateway::start(origin.place())?;
    runtime::block_on(async {
        let mut demo = Demo {
            args,
            screen,
            total: Summary::default(),
        };
        demo.text("An origin, a gateway and a client in this process, over loopback.\n")?;
        demo.classics(origin.place()).await?;
        demo.through_gateway(&origin, gateway.place()).await?;
        demo.comparison(origin.place(), secure.place()).await?;
        demo.end()
    })?
}

struct Demo<'a> {
    args: &'a Args,
    screen: &'a mut Screen,
    /// Of all programs.
    total: Summary,
}

impl Demo<'_> {
    async fn measure(
        &mut self,
        program: Program,
        place: &Place,
        requests: u64,
    ) -> Result<Measured, Stop> {
        let measured = program
            .run(place, self.args.requests.unwrap_or(requests))
            .await?;
        self.total.merge(&measured.summary);
        if self.args.json {
            let line = report::json(place.scheme(), &program, &measured);
            self.screen.line(line)?;
        }
        Ok(measured)
    }

    async fn classics(&mut self, origin: &Place) -> Result<(), Stop> {
        self.heading("The same question, again and again: what becomes of the answer?")?;
        let mut rows = Vec::new();
        for (label, program, _) in CLASSICS {
            rows.push((label, self.measure(program, origin, CLASSIC).await?));
        }
        self.table(&report::classics(&rows))?;
        self.text("")?;
        for (_, _, explanation) in CLASSICS {
            self.text(&format!("- {explanation}"))?;
        }
        self.text("")
    }

    async fn through_gateway(&mut self, origin: &Origin, gateway: &Place) -> Result<(), Stop> {
        self.heading("Through a gateway, keepline proxy: whose connections are kept?")?;
        let mut rows = Vec::new();
        for (label, program, _) in THROUGH_GATEWAY {
            let before = origin.accepted();
            let measured = self.measure(program, gateway, CLASSIC).await?;
            rows.push((label, measured, origin.accepted() - before));
        }
        self.table(&report::through_gateway(&rows))?;
        self.text("")?;
        for (_, _, explanation) in THROUGH_GATEWAY {
            self.text(&format!("- {explanation}"))?;
        }
        self.text("")
    }

    async fn comparison(&mut self, origin: &Place, secure: &Place) -> Result<(), Stop> {
        let requests = self.args.requests.unwrap_or(COMPARED);
        self.heading(&format!(
            "What reuse saves: {}, with one connection and with one each",
            Plural(requests, "request")
        ))?;
        let mut columns = Vec::new();
        for (label, program, is_secure) in COMPARISON {
            let origin = if is_secure { secure } else { origin };
            columns.push((label, self.measure(program, origin, COMPARED).await?));
        }
        self.table(&report::comparison(&columns))?;
        self.text("")?;
        self.text(&format!("- {}", report::savings(&columns)))?;
        for line in COMPARISON_NOTES {
            self.text(&format!("- {line}"))?;
        }
        Ok(())
    }

    fn end(self) -> Result<Verdict, Stop> {
        if self.args.json {
            self.screen.line(self.total.json())?;
        }
        Ok(Verdict::AllWell)
    }

    fn heading(&mut self, text: &str) -> Result<(), Stop> {
        let text = self.screen.paint(text, HEADING);
        self.text(&text)?;
        self.text("")
    }

    fn table(&mut self, table: &crate::table::Table) -> Result<(), Stop> {
        let lines: Vec<_> = table.lines(self.screen.colours()).collect();
        lines.iter().try_for_each(|line| self.text(line))
    }

    /// A line for people.
    fn text(&mut self, line: &str) -> Result<(), Stop> {
        if !self.args.json {
            self.screen.line(line)?;
        }
        Ok(())
    }
}

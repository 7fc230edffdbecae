//! What the demo prints.

use std::time::Duration;

use serde_json::{Value, json};

use super::program::{Measured, Program};
use crate::human::Time;
use crate::kernel::Tally;
use crate::output::{GOOD, NOTABLE};
use crate::table::{Align, Cell, Table};

/// Programs, and what each shows.
pub(crate) fn classics(rows: &[(&str, Measured)]) -> Table {
    let mut table = Table::new(&[
        ("the program", Align::Left),
        ("requests", Align::Right),
        ("connections", Align::Right),
        ("in the kernel", Align::Right),
        ("opened because", Align::Left),
    ]);
    for (label, measured) in rows {
        let summary = &measured.summary;
        let opened = summary.opened.total();
        let style = if opened == 1 { GOOD } else { NOTABLE };
        table.push(vec![
            (*label).into(),
            summary.requests.to_string().into(),
            Cell::styled(opened.to_string(), style),
            kernel(measured, |tally| tally.connections).into(),
            summary.opened.list().into(),
        ]);
    }
    table
}

/// Programs with a gateway between them and the origin, and the connections that the origin saw.
pub(crate) fn through_gateway(rows: &[(&str, Measured, u64)]) -> Table {
    let mut table = Table::new(&[
        ("the program", Align::Left),
        ("requests", Align::Right),
        ("opened by client", Align::Right),
        ("opened by gateway", Align::Right),
    ]);
    let count = |count: u64| {
        let style = if count <= 1 { GOOD } else { NOTABLE };
        Cell::styled(count.to_string(), style)
    };
    for (label, measured, upstream) in rows {
        table.push(vec![
            (*label).into(),
            measured.summary.requests.to_string().into(),
            count(measured.summary.opened.total()),
            count(*upstream),
        ]);
    }
    table
}

/// The same requests, side by side.
pub(crate) fn comparison(columns: &[(&'static str, Measured)]) -> Table {
    let mut headings = vec![("", Align::Left)];
    headings.extend(columns.iter().map(|(label, _)| (*label, Align::Right)));
    let mut table = Table::new(&headings);
    let mut row = |label: &str, value: &dyn Fn(&Measured) -> String| {
        let mut cells = vec![Cell::from(label)];
        cells.extend(
            columns
                .iter()
                .map(|(_, measured)| Cell::from(value(measured))),
        );
        table.push(cells);
    };
    row("connections", &|m| m.summary.opened.total().to_string());
    row("TCP handshakes", &|m| kernel(m, |tally| tally.connections));
    row("TLS handshakes", &|m| m.tls_handshakes.to_string());
    row("segments sent", &|m| kernel(m, |tally| tally.segments_sent));
    row("segments received", &|m| {
        kernel(m, |tally| tally.segments_received)
    });
    row("CPU time per request", &|m| {
        Time(m.cpu_per_request()).to_string()
    });
    row("latency p50", &|m| {
        latency(m, |percentiles| percentiles.p50)
    });
    row("latency p99", &|m| {
        latency(m, |percentiles| percentiles.p99)
    });
    table
}

/// What it comes to, in a sentence. Columns are pairs: with reuse, and without.
pub(crate) fn savings(columns: &[(&'static str, Measured)]) -> String {
    let saved: Vec<_> = columns
        .chunks_exact(2)
        .map(|pair| {
            let spent = |place: usize| pair[place].1.cpu_per_request().as_secs_f64();
            let saved = 1.0 - spent(0) / spent(1).max(f64::MIN_POSITIVE);
            let scheme = pair[0].0.split(',').next().unwrap_or_default();
            format!("{:.0} % over {scheme}", 100.0 * saved.max(0.0))
        })
        .collect();
    format!(
        "Of the CPU time, reuse saves {}; of the handshakes, all but the first.",
        saved.join(" and ")
    )
}

/// A line of JSON.
pub(crate) fn json(scheme: &str, program: &Program, measured: &Measured) -> Value {
    let kernel = measured.kernel.map(|tally| {
        json!({
            "connections": tally.connections,
            "segments_sent": tally.segments_sent,
            "segments_received": tally.segments_received,
            "complete": !tally.is_incomplete,
        })
    });
    json!({
        "program": program.name,
        "scheme": scheme,
        "kernel": kernel,
        "tls_handshakes": measured.tls_handshakes,
        "cpu_us_per_request": measured.cpu_per_request().as_nanos() as f64 / 1e3,
        "summary": measured.summary.json(),
    })
}

/// What the kernel counted, as far as it told.
fn kernel(measured: &Measured, count: fn(&Tally) -> u64) -> String {
    match &measured.kernel {
        None => "not told".to_owned(),
        Some(tally) if tally.is_incomplete => format!("≥ {}", count(tally)),
        Some(tally) => count(tally).to_string(),
    }
}

fn latency(measured: &Measured, which: fn(&crate::latency::Percentiles) -> Duration) -> String {
    let percentiles = measured.summary.latencies.percentiles();
    percentiles.map_or_else(|| "-".to_owned(), |p| Time(which(&p)).to_string())
}

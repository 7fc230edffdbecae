//! How a run is told: to people with a table of percentiles, to scripts in two lines of JSON.

use std::time::Duration;

use hdrhistogram::Histogram;
use http::Version;
use serde_json::{Map, Value, json};

use super::args::Args;
use super::phases::Phase;
use super::tally::Tally;
use crate::failure::Stop;
use crate::human::{Plural, Time};
use crate::latency::Latencies;
use crate::output::{QUIET, Screen};
use crate::summary::Summary;
use crate::table::{Align, Cell, Table};

/// What is told of the latencies.
const PERCENTILES: [f64; 8] = [50.0, 75.0, 90.0, 95.0, 99.0, 99.9, 99.99, 100.0];
/// What is told of each phase.
const OF_PHASES: [f64; 5] = [50.0, 90.0, 99.0, 99.9, 100.0];
/// The longest bar.
const WIDTH: f64 = 40.0;

/// What a run came to.
pub(super) struct Ran {
    pub(super) tally: Tally,
    /// What the pools counted.
    pub(super) summary: Summary,
    /// Requests that were to start and never did.
    pub(super) missed: u64,
    /// Nobody broke it off.
    pub(super) is_whole: bool,
}

/// Tells it. `took`: until the last answer.
pub(super) fn tell(
    args: &Args,
    ran: &Ran,
    took: Duration,
    screen: &mut Screen,
) -> Result<(), Stop> {
    let tally = &ran.tally;
    let failed = tally.failures();
    let summary = Summary {
        requests: tally.ok + failed,
        ok: tally.ok,
        reused: tally.reused,
        latencies: Latencies::rounded(tally.latencies.clone()),
        ..ran.summary.clone()
    };
    if args.json {
        screen.line(details(ran, took, summary.opened.total()))?;
        screen.line(summary.json())?;
    } else {
        for line in summary.lines(took) {
            screen.line(line)?;
        }
        screen.line(carried(tally, summary.opened.total()))?;
        screen.line(speed(tally, took))?;
        screen.line(format_args!("answers  {}", answers(tally)))?;
        screen.line("")?;
        phases(tally, screen)?;
        screen.line("")?;
        for (label, bar) in bars(&tally.latencies) {
            let bar = screen.paint(bar, QUIET);
            screen.line(format_args!("{label}  {bar}"))?;
        }
    }
    explain(args, ran, screen);
    Ok(())
}

/// What went wrong, once for each kind.
fn explain(args: &Args, ran: &Ran, screen: &mut Screen) {
    let mut kinds: Vec<_> = ran.tally.failures.iter().collect();
    kinds.sort_by_key(|(_, failures)| std::cmp::Reverse(failures.count));
    for (kind, failures) in kinds {
        screen.note(format_args!(
            "{} failed: {kind}",
            Plural(failures.count, "request")
        ));
        screen.failure(&failures.first.explain(&args.url));
    }
    if ran.missed > 0 {
        screen.note(format_args!(
            "{} could not start in time, since all {} were busy: more connections (-c) or a lower \
             rate (-r)",
            Plural(ran.missed, "request"),
            Plural(args.connections.into(), "connection"),
        ));
    }
    let spoken = |version| ran.tally.answers.iter().any(|answer| answer.0 < version);
    if args.streams > 1 && spoken(Version::HTTP_2) {
        screen.note(
            "the server agreed on HTTP/1.1, with one request at a time on each connection: the others \
             of --streams waited",
        );
    }
    if !ran.is_whole {
        screen.note("broken off: this is what there was until then");
    }
}

/// How many requests a connection carried.
fn carried(tally: &Tally, opened: u64) -> String {
    let mean = per_connection(tally, opened).unwrap_or_default();
    let most = tally.most_on_one;
    format!("carried  {mean:.1} requests a connection, {most} at most")
}

fn per_connection(tally: &Tally, opened: u64) -> Option<f64> {
    (opened > 0).then(|| (tally.ok + tally.failures()) as f64 / opened as f64)
}

/// `4000 HTTP/1.1 200, 2 HTTP/1.1 404`: the most frequent first.
fn answers(tally: &Tally) -> String {
    let mut kinds = tally.answers.clone();
    kinds.sort_by_key(|(_, _, count)| std::cmp::Reverse(*count));
    let listed: Vec<_> = kinds
        .iter()
        .map(|(version, status, count)| format!("{count} {version:?} {}", status.as_u16()))
        .collect();
    match listed.is_empty() {
        true => "none".to_owned(),
        false => listed.join(", "),
    }
}

/// Where the time went: a row for each phase that occurred, and the sum.
fn phases(tally: &Tally, screen: &mut Screen) -> Result<(), Stop> {
    if tally.latencies.is_empty() {
        return Ok(());
    }
    let columns = ["phase", "times", "p50", "p90", "p99", "p99.9", "max"];
    let mut aligns = columns.map(|name| (name, Align::Right));
    aligns[0].1 = Align::Left;
    let mut table = Table::new(&aligns);
    for phase in Phase::ALL {
        // Names and proxies are not everywhere; that nothing was dialled is worth a row.
        let histogram = tally.phases.of(phase);
        if !histogram.is_empty() || matches!(phase, Phase::Connect | Phase::Tls) {
            table.push(row(phase.name(), histogram));
        }
    }
    table.push(row("all", &tally.latencies));
    for line in table.lines(screen.colours()) {
        screen.line(line)?;
    }
    let reused = tally.reused;
    if reused > 0 {
        let note = format!(
            "{} on a reused connection had no handshake",
            Plural(reused, "request")
        );
        screen.line(screen.paint(note, QUIET))?;
    }
    Ok(())
}

fn row(name: &str, histogram: &Histogram<u64>) -> Vec<Cell> {
    let percentiles = OF_PHASES
        .iter()
        .map(|percentile| match histogram.is_empty() {
            true => "-".to_owned(),
            false => time(histogram.value_at_percentile(*percentile)),
        });
    [name.to_owned(), histogram.len().to_string()]
        .into_iter()
        .chain(percentiles)
        .map(Cell::from)
        .collect()
}

fn speed(tally: &Tally, took: Duration) -> String {
    let seconds = took.as_secs_f64().max(1e-9);
    let requests = (tally.ok + tally.failures()) as f64 / seconds;
    let megabytes = tally.bytes as f64 / seconds / 1e6;
    format!("rate     {requests:.0} requests/s, {megabytes:.2} MB/s of content")
}

/// A line for each percentile: what it is, and how long its bar is.
fn bars(latencies: &Histogram<u64>) -> Vec<(String, String)> {
    if latencies.is_empty() {
        return Vec::new();
    }
    // A bar's length is the logarithm: the tail is a hundred times the middle.
    let scale = |micros: u64| (micros.max(1) as f64).ln_1p();
    let longest = scale(latencies.max());
    PERCENTILES
        .iter()
        .map(|percentile| {
            let micros = latencies.value_at_percentile(*percentile);
            let length = (scale(micros) / longest * WIDTH).round() as usize;
            let label = format!("{:>7}  {:>8}", format!("{percentile}%"), time(micros));
            (label, "█".repeat(length))
        })
        .collect()
}

fn time(micros: u64) -> String {
    Time(Duration::from_micros(micros)).to_string()
}

fn percentiles(histogram: &Histogram<u64>) -> Map<String, Value> {
    let told = PERCENTILES.iter().filter(|_| !histogram.is_empty());
    told.map(|x| (x.to_string(), histogram.value_at_percentile(*x).into()))
        .collect()
}

/// The line of JSON before the summary.
fn details(ran: &Ran, took: Duration, opened: u64) -> Value {
    let tally = &ran.tally;
    let seconds = took.as_secs_f64();
    let requests = tally.ok + tally.failures();
    let phases: Map<String, Value> = Phase::ALL
        .iter()
        .map(|phase| {
            let histogram = tally.phases.of(*phase);
            let told = json!({"times": histogram.len(), "percentiles_us": percentiles(histogram)});
            (phase.name().replace(' ', "_"), told)
        })
        .collect();
    let mut answers = Map::new();
    for (version, status, count) in &tally.answers {
        answers.insert(format!("{version:?} {}", status.as_u16()), (*count).into());
    }
    let mut failures: Vec<_> = tally.failures.iter().collect();
    failures.sort_by_key(|(kind, _)| *kind);
    let failures: Map<String, Value> = failures
        .into_iter()
        .map(|(kind, failures)| (kind.clone(), failures.count.into()))
        .collect();
    json!({
        "seconds": seconds,
        "requests_per_second": requests as f64 / seconds.max(1e-9),
        "content_bytes": tally.bytes,
        "missed": ran.missed,
        "requests_per_connection": per_connection(tally, opened),
        "most_requests_on_a_connection": tally.most_on_one,
        "answers": answers,
        "percentiles_us": percentiles(&tally.latencies),
        "phases": phases,
        "failures": failures,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_have_bars_that_grow() {
        let mut tally = Tally::default();
        for micros in 1..=1000 {
            tally.latencies.record(micros).unwrap();
        }
        let bars = bars(&tally.latencies);
        assert_eq!(bars[0].0, "    50%     500µs");
        assert_eq!(bars[7].0, "   100%    1.00ms");
        assert_eq!(bars[7].1.chars().count(), 40);
        assert!(bars.is_sorted_by_key(|(_, bar)| bar.len()));
        assert!(super::bars(&Tally::default().latencies).is_empty());
    }
}

//! How a run is told: to people with a table of percentiles, to scripts in two lines of JSON.

use std::time::Duration;

use hdrhistogram::Histogram;
use serde_json::{Map, Value, json};

use super::args::Args;
use super::tally::Tally;
use crate::failure::Stop;
use crate::human::{Plural, Time};
use crate::latency::Latencies;
use crate::output::{QUIET, Screen};
use crate::summary::Summary;

/// What is told of the latencies.
const PERCENTILES: [f64; 8] = [50.0, 75.0, 90.0, 95.0, 99.0, 99.9, 99.99, 100.0];
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
        screen.line(details(ran, took))?;
        screen.line(summary.json())?;
    } else {
        for line in summary.lines(took) {
            screen.line(line)?;
        }
        screen.line(speed(tally, took))?;
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
    if !ran.is_whole {
        screen.note("broken off: this is what there was until then");
    }
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

/// The line of JSON before the summary.
fn details(ran: &Ran, took: Duration) -> Value {
    let tally = &ran.tally;
    let seconds = took.as_secs_f64();
    let requests = tally.ok + tally.failures();
    let percentiles: Map<String, Value> = PERCENTILES
        .iter()
        .filter(|_| !tally.latencies.is_empty())
        .map(|x| {
            (
                x.to_string(),
                tally.latencies.value_at_percentile(*x).into(),
            )
        })
        .collect();
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
        "percentiles_us": percentiles,
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

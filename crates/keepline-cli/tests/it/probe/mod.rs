//! `keepline probe`: is what it measures true?
//!
//! - `servers`: real servers that are told how long to wait;
//! - `odd`: servers that end connections in other ways, or not at all.
//! - `other_reasons`: servers that end connections for reasons that are no limits of theirs.

mod odd;
mod other_reasons;
mod servers;

use std::time::Duration;

use serde_json::Value;

use crate::binary::KEEPLINE;

/// Runs `keepline probe --json` and answers its last line. It takes as long as the server's idle
/// timeout, which is longer than other waits of a test.
pub(crate) async fn probe(url: &str, args: &[&str]) -> Value {
    let mut command = tokio::process::Command::new(KEEPLINE);
    command.args(["probe", "--json"]).args(args).arg(url);
    let output = command.kill_on_drop(true).output();
    let output = tokio::time::timeout(Duration::from_secs(120), output).await;
    let output = output
        .expect("it keeps to its budget")
        .expect("it can be started");
    let stdout = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{url}: {output:?}");
    let last = stdout.lines().last().expect("it says something");
    serde_json::from_str(last).unwrap_or_else(|error| panic!("{error}: {last}"))
}

/// Within the larger of 3 % and 100 ms; 20 ms where it is less than a second.
#[track_caller]
pub(crate) fn assert_idle_timeout(result: &Value, expected: Duration) {
    let expected = expected.as_secs_f64();
    let tolerance = if expected < 1.0 {
        0.02
    } else {
        (expected * 0.03).max(0.1)
    };
    let idle = &result["idle_timeout"];
    let seconds = idle["seconds"].as_f64();
    let is_near = seconds.is_some_and(|seconds| (seconds - expected).abs() <= tolerance);
    assert!(is_near, "not {expected}: {result}");
    assert_eq!(idle["close"], "fin", "{result}");
}

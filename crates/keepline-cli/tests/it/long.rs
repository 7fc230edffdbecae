//! Tests that a command runs for longer than CI does.

use std::io::Write as _;
use std::str::FromStr;

/// A number from the environment: tests are short unless a command asks for more.
pub(crate) fn told<T: FromStr>(name: &str, otherwise: T) -> T {
    let told = std::env::var(name).ok().and_then(|text| text.parse().ok());
    told.unwrap_or(otherwise)
}

/// Past the test harness's capture: a long run is started to see this.
pub(crate) fn say(what: &str) {
    let _ = writeln!(std::io::stderr(), "{what}");
}

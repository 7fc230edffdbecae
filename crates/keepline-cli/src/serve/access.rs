//! `--access-log`: a line on standard output for each exchange.

use keepline::server::{AccessFormat, AccessRecord};

use crate::output;

/// The forms by their names on the command line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum AccessLog {
    /// Address, time, request line, status, bytes
    Common,
    /// The same with Referer and User-Agent
    Combined,
    /// All that is known, as an object of JSON
    Json,
}

impl AccessLog {
    /// What writes the lines.
    pub(crate) fn hook(self) -> impl Fn(&AccessRecord<'_>) + Send + Sync + 'static {
        let format = match self {
            Self::Common => AccessFormat::Common,
            Self::Combined => AccessFormat::Combined,
            Self::Json => AccessFormat::Json,
        };
        move |record| {
            let mut line = String::with_capacity(256);
            format.append_line(record, &mut line);
            line.push('\n');
            output::log(&line);
        }
    }
}

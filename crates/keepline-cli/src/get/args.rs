//! What `keepline get` may be told.

use std::path::PathBuf;
use std::time::Duration;

use http::Method;

use crate::values::{self, FieldLine};

/// Ask a server, once or many times, and see which connection each request ran on.
///
/// One request: the body on standard output, like curl. Several: a row each, with the connection
/// it ran on, whether that was reused, how long it had been idle and why it was opened; then the
/// summary.
#[derive(Debug, clap::Args)]
#[command(after_long_help = EXAMPLES)]
pub(crate) struct Args {
    /// What to ask; several are asked in turn
    #[arg(value_name = "URL", required = true)]
    pub(crate) urls: Vec<String>,
    /// Requests in all [default: one for each URL]
    #[arg(short = 'n', long = "requests", value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) requests: Option<u64>,
    /// Requests in flight
    #[arg(short = 'c', long = "concurrency", value_name = "C", default_value = "1", value_parser = clap::value_parser!(u16).range(1..))]
    pub(crate) in_flight: u16,
    /// Pause of each of the C workers between its requests
    #[arg(short = 'i', long, value_name = "DUR", default_value = "0", value_parser = values::duration)]
    pub(crate) interval: Duration,
    #[command(flatten)]
    pub(crate) request: RequestArgs,
    #[command(flatten)]
    pub(crate) answer: AnswerArgs,
    #[command(flatten)]
    pub(crate) pool: PoolArgs,
    #[command(flatten)]
    pub(crate) tls: TlsArgs,
    #[command(flatten)]
    pub(crate) report: ReportArgs,
}

#[derive(Debug, clap::Args)]
#[command(next_help_heading = "The request")]
pub(crate) struct RequestArgs {
    /// Method [default: GET, or POST with -d]
    #[arg(short = 'X', long = "request", value_name = "METHOD")]
    pub(crate) method: Option<Method>,
    /// Add a field to the head; may be given again
    #[arg(short = 'H', long = "header", value_name = "NAME: VALUE")]
    pub(crate) fields: Vec<FieldLine>,
    /// Content to send; @FILE is read from the file, @- from standard input
    #[arg(short = 'd', long, value_name = "DATA")]
    pub(crate) data: Option<String>,
    /// Speak HTTP/1.1, which is what is spoken anyway
    #[arg(long)]
    pub(crate) http1: bool,
    /// Give up on a request after so long, its body included
    #[arg(long, value_name = "DUR", default_value = "30s", value_parser = values::duration)]
    pub(crate) timeout: Duration,
}

#[derive(Debug, clap::Args)]
#[command(next_help_heading = "The answer")]
pub(crate) struct AnswerArgs {
    /// Write the body to FILE; needs a single request
    #[arg(short = 'o', long, value_name = "FILE")]
    pub(crate) output: Option<PathBuf>,
    /// Read K lines of each body, then drop it
    #[arg(long, value_name = "K")]
    pub(crate) read_lines: Option<u64>,
    /// A status of 400 or more counts as failed
    #[arg(long)]
    pub(crate) fail: bool,
}

#[derive(Debug, clap::Args)]
#[command(next_help_heading = "The connections")]
pub(crate) struct PoolArgs {
    /// Of a dropped body, read at most so much so that its connection can be reused; 0: nothing
    #[arg(long, value_name = "BYTES", default_value = "256KiB", value_parser = values::size)]
    pub(crate) drain: u64,
    /// … for at most so long
    #[arg(long, value_name = "DUR", default_value = "50ms", value_parser = values::duration)]
    pub(crate) drain_time: Duration,
    /// Close a connection after so long without a request
    #[arg(long, value_name = "DUR", default_value = "90s", value_parser = values::duration)]
    pub(crate) idle_timeout: Duration,
    /// Idle connections to keep in all
    #[arg(long, value_name = "N", default_value = "100")]
    pub(crate) max_idle: usize,
    /// … for each host [default: as many as in all]
    #[arg(long, value_name = "N")]
    pub(crate) max_idle_per_host: Option<usize>,
    /// Do not send a request again when its reused connection has died
    #[arg(long)]
    pub(crate) no_retry: bool,
}

#[derive(Debug, clap::Args)]
#[command(next_help_heading = "TLS")]
pub(crate) struct TlsArgs {
    /// Accept any certificate
    #[arg(short = 'k', long)]
    pub(crate) insecure: bool,
    /// Trust the certificates in FILE (PEM), and no others
    #[arg(long, value_name = "FILE")]
    pub(crate) cacert: Option<PathBuf>,
}

#[derive(Debug, clap::Args)]
#[command(next_help_heading = "The report")]
pub(crate) struct ReportArgs {
    /// One line of JSON for each request and one for the summary; no bodies
    #[arg(long)]
    pub(crate) json: bool,
    /// A line for each event of a connection, on standard error
    #[arg(long)]
    pub(crate) trace: bool,
    /// The heads of requests and responses, on standard error
    #[arg(short = 'v', long)]
    pub(crate) verbose: bool,
}

const EXAMPLES: &str = "\
Examples:
TODO";

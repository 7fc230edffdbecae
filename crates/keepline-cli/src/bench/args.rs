//! What `keepline bench` may be told.

use std::path::PathBuf;
use std::time::Duration;

use http::Method;

use crate::get::TlsArgs;
use crate::values::{self, FieldLine};

/// Load a server, and see its latencies, its connections, and why they closed.
///
/// Each connection has one request in flight, or DEPTH with --pipeline or --streams: the next
/// follows at once
/// (a closed loop), or at the time that -r gives it (an open one). Then latencies count from that
/// time, also where the request had to wait for a connection: a server that stalls is not spared
/// the requests that would have come meanwhile.
#[derive(Debug, clap::Args)]
#[command(after_long_help = EXAMPLES)]
pub(crate) struct Args {
    /// What to ask
    #[arg(value_name = "URL")]
    pub(crate) url: String,
    /// Connections
    #[arg(short = 'c', long, value_name = "C", default_value = "10", value_parser = clap::value_parser!(u16).range(1..))]
    pub(crate) connections: u16,
    /// Start requests for so long
    #[arg(short = 'd', long, value_name = "DUR", default_value = "10s", value_parser = values::some_time)]
    pub(crate) duration: Duration,
    /// Make so many requests, however long that takes
    #[arg(short = 'n', long, value_name = "N", conflicts_with = "duration", value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) requests: Option<u64>,
    /// Requests a second [default: as many as there are answers]
    #[arg(short = 'r', long, value_name = "RATE", value_parser = clap::value_parser!(u32).range(1..=10_000_000))]
    pub(crate) rate: Option<u32>,
    /// Requests that are in flight on each connection of HTTP/1.1, for methods that bear repeating,
    /// never POST
    #[arg(long, value_name = "DEPTH", default_value = "1", conflicts_with = "http2", value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub(crate) pipeline: u16,
    /// … on each connection of HTTP/2: with https, or with --http2
    #[arg(long, value_name = "DEPTH", default_value = "1", conflicts_with_all = ["http1", "pipeline"], value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub(crate) streams: u16,
    #[command(flatten)]
    pub(crate) version: VersionArgs,
    /// Threads, among which the connections are divided
    #[arg(short = 't', long, value_name = "N", default_value = "1", value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub(crate) threads: u16,
    /// Method [default: GET, or POST with --data]
    #[arg(short = 'X', long = "request", value_name = "METHOD")]
    pub(crate) method: Option<Method>,
    /// Add a field to the head; may be given again
    #[arg(short = 'H', long = "header", value_name = "NAME: VALUE")]
    pub(crate) fields: Vec<FieldLine>,
    /// Content to send; @FILE is read from the file, @- from standard input
    #[arg(long, value_name = "DATA")]
    pub(crate) data: Option<String>,
    /// A request that takes longer has failed, and its connection is closed; 0: none has
    #[arg(long, value_name = "DUR", default_value = "30s", value_parser = values::duration)]
    pub(crate) timeout: Duration,
    /// A status of 400 or more counts as failed
    #[arg(long)]
    pub(crate) fail: bool,
    /// Do not send a request again when its reused connection has died
    #[arg(long)]
    pub(crate) no_retry: bool,
    /// Connect to the Unix socket at PATH, whatever the host of the URL
    #[arg(long, value_name = "PATH")]
    pub(crate) unix: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) tls: TlsArgs,
    /// A line of JSON with the percentiles, and one with the summary
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, clap::Args)]
pub(crate) struct VersionArgs {
    /// Speak HTTP/1.1 and nothing else
    #[arg(long, conflicts_with = "http2")]
    pub(crate) http1: bool,
    /// Speak HTTP/2 and nothing else; for http:// without asking [default: what https agrees on]
    #[arg(long)]
    pub(crate) http2: bool,
}

const EXAMPLES: &str = "\
Examples:
  As much as ten connections carry, for ten seconds:
    $ keepline bench http://127.0.0.1:8080/

  64 connections, 16 requests in flight on each:
    $ keepline bench -c 64 --pipeline 16 http://127.0.0.1:8080/

  HTTP/2 without TLS: 4 connections, 32 streams on each:
    $ keepline bench --http2 -c 4 --streams 32 http://127.0.0.1:8080/

  2,000 requests a second, with the latencies that users would see; below this a histogram:
    $ keepline bench -c 10 -r 2000 -d 2s http://127.0.0.1:8080/
    4003 requests in 2.00s: 4003 ok, 0 failed, 0 retried
    opened   10 connections: 1 first, 9 all-busy
    closed   10 connections: 10 shutdown
    reuse    3993 of 4003 requests on a connection that had carried one before
    latency  p50 127µs, p99 1.42ms, max 6.05ms
    carried  400.3 requests a connection, 1288 at most
    rate     2000 requests/s, 0.03 MB/s of content
    answers  4003 HTTP/1.1 200

    phase       times    p50    p90     p99   p99.9     max
    wait         4003   83µs  100µs  1.20ms  3.93ms  4.77ms
    dns            10    0µs    1µs     3µs     3µs     3µs
    connect        10  253µs  509µs  3.75ms  3.75ms  3.75ms
    tls             0      -      -       -       -       -
    first byte   4003   35µs   53µs   133µs   640µs  1.16ms
    body         4003    3µs    5µs     6µs    46µs    96µs
    all          4003  127µs  153µs  1.42ms  4.58ms  6.05ms
    3993 requests on a reused connection had no handshake

  For scripts, the last line of --json is the summary:
    $ keepline bench -n 100000 --json http://127.0.0.1:8080/ | tail -n 1 | jq .latency_us

Exit status: 0 if all was well, 1 if a request failed, 2 for wrong usage.";

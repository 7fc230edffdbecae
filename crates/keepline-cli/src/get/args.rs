//! What `keepline get` may be told.

use std::net::SocketAddr;
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
    pub(crate) dial: DialArgs,
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
    /// Follow redirects, at most 10 for each request; the answer is the last
    #[arg(short = 'L', long = "location")]
    pub(crate) follow: bool,
    /// Speak HTTP/1.1 and nothing else
    #[arg(long, conflicts_with = "http2")]
    pub(crate) http1: bool,
    /// Speak HTTP/2 and nothing else; for http:// without asking [default: what https agrees on]
    #[arg(long)]
    pub(crate) http2: bool,
    /// Give up on a request after so long, its body included; 0: never
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
    #[arg(long, value_name = "DUR", default_value = "90s", value_parser = values::some_time)]
    pub(crate) idle_timeout: Duration,
    /// Idle connections to keep in all
    #[arg(long, value_name = "N", default_value = "100")]
    pub(crate) max_idle: usize,
    /// … for each host [default: as many as in all]
    #[arg(long, value_name = "N")]
    pub(crate) max_idle_per_host: Option<usize>,
    /// Connections to each host at once; further requests wait [default: no limit]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) max_conns_per_host: Option<u64>,
    /// Use no connection for longer, less a tenth at random [default: no limit]
    #[arg(long, value_name = "DUR", value_parser = values::some_time)]
    pub(crate) max_lifetime: Option<Duration>,
    /// Requests that a connection carries at most [default: no limit]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) max_requests: Option<u64>,
    /// Requests that may share a connection before they are answered: the C requests in flight
    /// share ⌈C/DEPTH⌉ connections. For methods that bear repeating, never POST
    #[arg(long, value_name = "DEPTH", default_value = "1", value_parser = clap::value_parser!(u16).range(1..))]
    pub(crate) pipeline: u16,
    /// HTTP/2: wait for a stream where the server allows no more of them, instead of opening a further
    /// connection
    #[arg(long)]
    pub(crate) strict_streams: bool,
    /// Do not send a request again when its reused connection has died
    #[arg(long)]
    pub(crate) no_retry: bool,
}

#[derive(Debug, clap::Args)]
#[command(next_help_heading = "How connections are opened")]
pub(crate) struct DialArgs {
    /// Connect to the Unix socket at PATH, whatever the host of the URL
    #[arg(long, value_name = "PATH")]
    pub(crate) unix: Option<PathBuf>,
    /// Go through this proxy: http://, https://, socks5:// or socks5h://, with USER:PASSWORD@ perhaps;
    /// '' for none [default: what HTTP_PROXY, HTTPS_PROXY, ALL_PROXY and NO_PROXY say]
    #[arg(short = 'x', long, value_name = "PROXY")]
    pub(crate) proxy: Option<String>,
    /// Ask this name server (ADDR or ADDR:PORT), which also tells how long its answers hold; may be
    /// given again [default: the operating system]
    #[arg(long, conflicts_with = "unix", value_name = "ADDR", value_parser = values::name_server)]
    pub(crate) dns_server: Vec<SocketAddr>,
    /// Resolve names with connections again when their answers no longer hold, or after DUR where
    /// nobody tells; connections to addresses that are gone retire (dns-changed) [default: off]
    #[arg(long, conflicts_with = "unix", value_name = "DUR", value_parser = values::some_time)]
    pub(crate) follow_dns: Option<Duration>,
    /// Connect from this local address, ADDR or ADDR:PORT [default: what the system chooses]
    #[arg(long, conflicts_with = "unix", value_name = "ADDR", value_parser = values::local_address)]
    pub(crate) local_address: Option<SocketAddr>,
    /// Time to resolve and connect, over all addresses
    #[arg(long, value_name = "DUR", default_value = "30s", value_parser = values::some_time)]
    pub(crate) connect_timeout: Duration,
    /// … to have a proxy open a tunnel
    #[arg(long, value_name = "DUR", default_value = "1m", value_parser = values::some_time)]
    pub(crate) tunnel_timeout: Duration,
    /// … to agree on TLS
    #[arg(long, value_name = "DUR", default_value = "10s", value_parser = values::some_time)]
    pub(crate) tls_timeout: Duration,
    /// Probe a silent connection with TCP keep-alive after so long, and again every 15s, or as often as
    /// that if it is less; 0: never
    #[arg(long, value_name = "DUR", default_value = "30s", value_parser = values::duration)]
    pub(crate) tcp_keep_alive: Duration,
    /// Give up on a connection whose peer acknowledges nothing for so long (TCP_USER_TIMEOUT; Linux)
    /// [default: the system's, some 15 minutes]
    #[arg(long, value_name = "DUR", value_parser = values::some_time)]
    pub(crate) tcp_user_timeout: Option<Duration>,
}

#[derive(Debug, Clone, clap::Args)]
#[command(next_help_heading = "TLS")]
pub(crate) struct TlsArgs {
    /// Accept any certificate
    #[arg(short = 'k', long)]
    pub(crate) insecure: bool,
    /// Trust the certificates in FILE (PEM), and no others
    #[arg(long, value_name = "FILE")]
    pub(crate) cacert: Option<PathBuf>,
    /// Show the certificate in FILE (PEM, with its chain) to a server that asks for one
    #[arg(long, value_name = "FILE")]
    pub(crate) cert: Option<PathBuf>,
    /// … its private key (PEM) [default: in the file of --cert]
    #[arg(long, value_name = "FILE", requires = "cert")]
    pub(crate) key: Option<PathBuf>,
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
  One request is its body:
    $ keepline get http://127.0.0.1:8080/
    Hello, World!

  Several are a row each, and the summary:
    $ keepline get -n 3 -i 20ms http://127.0.0.1:8080/lines/4000
    #  status  connection  reused    idle  opened        bytes    time
    1  200              1  no              first        128000  3.52ms
    2  200              1  yes     21.2ms               128000   640µs
    3  200              1  yes     21.2ms               128000   740µs

    3 requests in 49.7ms: 3 ok, 0 failed, 0 retried
    opened   1 connection: 1 first
    closed   1 connection: 1 shutdown
    reuse    2 of 3 requests on a connection that had carried one before
    latency  p50 740µs, p99 3.52ms, max 3.52ms

  The classic mistake, an answer that is dropped before its end:
    $ keepline get -n 3 --read-lines 5 --drain 0 http://127.0.0.1:8080/lines/4000
    #  status  connection  reused    idle  opened        bytes    time
    1  200              1  no              first           160   773µs
    2  200              2  no              not-drained     160   440µs
    3  200              3  no              not-drained     160   574µs

  What happened to the connections:
    $ keepline get -n 2 -i 1s --trace http://127.0.0.1:8080/ >/dev/null
    #1 opened connection 1 to 127.0.0.1:8080: first, dns 1µs, connect 103µs
    #1 answered 200, head after 173µs, 13 bytes of body, 311µs in all
    #2 reused connection 1, idle for 1.00s
    #2 answered 200, head after 163µs, 13 bytes of body, 189µs in all
    closed a connection: shutdown

  For scripts, the last line of --json is the summary:
    $ keepline get -n 101 --json http://127.0.0.1:8080/ | tail -n 1 | jq .opened
    {\"first\": 1}

Exit status: 0 if all was well, 1 if a request failed, 2 for wrong usage.";

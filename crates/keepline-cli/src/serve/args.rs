//! What `keepline serve` may be told.

use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::time::Duration;

use super::access::AccessLog;
use crate::values::{self, Switch};

/// Serve over connections that stay: a file tree, or built-in answers of any kind and size.
#[derive(Debug, clap::Args)]
#[command(after_long_help = EXAMPLES)]
pub(crate) struct Args {
    /// Where to listen; port 0 takes a free one and says which [default: the sockets that systemd
    /// has opened, else 127.0.0.1:8080]
    #[arg(long, value_name = "ADDR", value_parser = values::listen_address)]
    pub(crate) listen: Option<SocketAddr>,
    /// Serve the files below DIR; what is not there is looked for among the built-in paths
    #[arg(long, value_name = "DIR")]
    pub(crate) root: Option<PathBuf>,
    /// Threads, each with its own listening socket [default: one for each core]
    #[arg(long, value_name = "N")]
    pub(crate) workers: Option<NonZeroUsize>,
    /// Each connection begins with a PROXY protocol header, of version 1 or 2, that says whose it is
    #[arg(long)]
    pub(crate) proxy_protocol: bool,
    /// Write a line for each request to standard output [default: none]
    #[arg(long, value_name = "FORM")]
    pub(crate) access_log: Option<AccessLog>,
    #[command(flatten)]
    pub(crate) connections: ConnectionArgs,
    #[command(flatten)]
    pub(crate) tls: TlsArgs,
}

#[derive(Debug, Clone, clap::Args)]
#[command(next_help_heading = "The connections")]
pub(crate) struct ConnectionArgs {
    /// Close a connection after so long without a request
    #[arg(long, value_name = "DUR", default_value = "75s", value_parser = values::some_time)]
    pub(crate) idle_timeout: Duration,
    /// Let the head of a request take so long, then 408
    #[arg(long, value_name = "DUR", default_value = "10s", value_parser = values::some_time)]
    pub(crate) head_timeout: Duration,
    /// Wait so long for content that makes no progress
    #[arg(long, value_name = "DUR", default_value = "30s", value_parser = values::some_time)]
    pub(crate) body_timeout: Duration,
    /// What counts as progress of content: so many bytes in each --body-timeout
    #[arg(long, value_name = "BYTES", default_value = "1", value_parser = values::size)]
    pub(crate) body_progress: u64,
    /// Wait so long for a client that takes nothing of its answer
    #[arg(long, value_name = "DUR", default_value = "30s", value_parser = values::some_time)]
    pub(crate) write_timeout: Duration,
    /// Close a connection after so many requests [default: no limit]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) max_requests: Option<u64>,
    /// Close a connection after so long, at the end of a request [default: no limit]
    #[arg(long, value_name = "DUR", value_parser = values::some_time)]
    pub(crate) max_age: Option<Duration>,
    /// Have at most so many connections; the longest idle is closed for the next [default: no limit]
    #[arg(long, value_name = "N", value_parser = some_connections)]
    pub(crate) max_connections: Option<usize>,
    /// The same for each client address
    #[arg(long, value_name = "N", value_parser = some_connections)]
    pub(crate) max_connections_per_peer: Option<usize>,
    /// Tell clients in a Keep-Alive field how long they may be idle: a second less than is true
    #[arg(
        long,
        value_name = "on|off",
        default_value = "off",
        hide_possible_values = true
    )]
    pub(crate) keep_alive_header: Switch,
}

fn some_connections(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(0) | Err(_) => Err("a whole number, at least 1".to_owned()),
        Ok(count) => Ok(count),
    }
}

#[derive(Debug, clap::Args)]
#[command(next_help_heading = "TLS")]
pub(crate) struct TlsArgs {
    /// Serve https with the certificates in FILE (PEM)
    #[arg(long, value_name = "FILE", requires = "tls_key")]
    pub(crate) tls_cert: Option<PathBuf>,
    /// The private key to --tls-cert (PEM)
    #[arg(long, value_name = "FILE", requires = "tls_cert")]
    pub(crate) tls_key: Option<PathBuf>,
    /// Serve https with a certificate made for this run; clients need -k
    #[arg(long, conflicts_with = "tls_cert")]
    pub(crate) tls_self_signed: bool,
}

const EXAMPLES: &str = "\
Built-in paths:
  /              Hello, World! (13 bytes)
  /bytes/N       N bytes, with Content-Length
  /chunked/N     N bytes, in chunks
  /lines/N       N lines of 32 bytes, with Content-Length
  /echo          the content of the request, up to 16 MiB, else 413
  /delay/MS      an answer after MS milliseconds
  /status/CODE   an answer with this status; the request's content is not read
  /headers       the fields of the request, as JSON
  /connection    which connection this is, its how many-th request, and its age, as JSON
  /stats         connections and requests of this server, and why connections closed, as JSON

Examples:
  $ keepline serve --listen 127.0.0.1:0
  listening on http://127.0.0.1:40085

  $ curl -s http://127.0.0.1:40085/connection http://127.0.0.1:40085/connection
  {\"id\":1,\"request\":1,\"age_seconds\":0.000433552,\"peer\":\"127.0.0.1:48214\",\"tls\":false}
  {\"id\":1,\"request\":2,\"age_seconds\":0.001102471,\"peer\":\"127.0.0.1:48214\",\"tls\":false}

  $ keepline serve --idle-timeout 5s --max-requests 100     a server that closes early and often
  $ keepline serve --root . --tls-self-signed               the files here, over https
  $ keepline serve --access-log json                        each request, and why its connection closed

The first SIGTERM or SIGINT lets requests in progress finish, the second ends at once.";

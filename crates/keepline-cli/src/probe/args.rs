//! What `keepline probe` may be told.

use std::time::Duration;

use crate::get::TlsArgs;
use crate::values;

/// Measure from outside what a server does with connections: for how long it keeps an idle one, how
/// it closes it, how many requests one carries, what makes it close, and what it tells about that.
///
/// The answer is which idle timeout is safe for a client of this server, and the setting that gives
/// it. It takes little longer than the server's idle timeout: about 66 s for one of 60 s.
#[derive(Debug, clap::Args)]
#[command(after_long_help = EXAMPLES)]
pub(crate) struct Args {
    /// What to ask, with GET, HEAD, and POST; better something cheap
    #[arg(value_name = "URL")]
    pub(crate) url: String,
    /// Be done after so long, whatever is known by then
    #[arg(long, value_name = "DUR", default_value = "90s", value_parser = budget)]
    pub(crate) budget: Duration,
    /// One line of JSON for each connection that was idle, and one with the result last
    #[arg(long)]
    pub(crate) json: bool,
    #[command(flatten)]
    pub(crate) polite: PoliteArgs,
    #[command(flatten)]
    pub(crate) tls: TlsArgs,
}

/// How much a server may be bothered. 48 connections are opened in all (30 for a host that is not
/// this machine), 24 (11) of them at once.
#[derive(Debug, Clone, Copy, clap::Args)]
#[command(next_help_heading = "How much the server is bothered")]
pub(crate) struct PoliteArgs {
    /// Requests on one connection to find its limit, of at most 8 s; about 150 others are made [default: 1200; 100 for other machines]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(2..=1_000_000))]
    pub(crate) requests: Option<u64>,
    /// Bother a server on another machine as much as one on this
    #[arg(long)]
    pub(crate) yes: bool,
}

fn budget(text: &str) -> Result<Duration, String> {
    let budget = values::duration(text)?;
    if budget < Duration::from_secs(5) || budget > Duration::from_secs(24 * 3600) {
        return Err("it has to be from 5s to 24h".to_owned());
    }
    Ok(budget)
}

const EXAMPLES: &str = "\
Examples:
  A server of nginx with keepalive_timeout 3s and keepalive_requests 7:
    $ keepline probe http://127.0.0.1:8080/
    http://127.0.0.1:8080/ (nginx/1.31.3), round trip 63µs

    idle timeout  3.00s, FIN, seen on 20 connections, from 3.00s to 3.00s
    race window   1.14ms; 0 of 5 requests that were sent into the close were lost
    requests      7 on a connection, then it says close
    age           no limit seen
    Keep-Alive    told nothing
    closes after  a malformed request (told), HTTP/1.0 (told), Connection: close (told)
    goes on after HEAD, a POST with a body of 48 KiB, a path that is not there, Expect: 100-continue, HTTP/1.0 with keep-alive
    pipelining    answers in order
    after a FIN   answers all the same

    The server ends idle connections after 3.00s (FIN): a client idle timeout of 2.00s or less is safe. It closes after 7 requests, and says so, which costs no request.

      keepline  Transport::builder().idle_timeout(Duration::from_millis(2000))
      Go        http.Transport{IdleConnTimeout: 2000 * time.Millisecond}
      reqwest   ClientBuilder::pool_idle_timeout(Duration::from_millis(2000))
      nginx     upstream { … keepalive_timeout 2000ms; }
      ALB       idle_timeout.timeout_seconds = 2

  For scripts:
    $ keepline probe --json http://127.0.0.1:8080/ | tail -n 1 | jq .idle_timeout.seconds
    3.0008

Exit status: 0 if it was measured, 1 if the server could not be asked, 2 for wrong usage.";

//! What `keepline watch` may be told.

use std::time::Duration;

use crate::values;

/// Watch connections in the kernel: how many are opened and closed each second, who closes them, and
/// for how long the local ports last.
///
/// A live view on a terminal, a line each second elsewhere. Of connections within this machine both
/// ends are seen: the server's side and the client's side.
#[derive(Debug, clap::Args)]
#[command(after_long_help = EXAMPLES)]
pub(crate) struct Args {
    /// Connections from and to this port
    #[arg(long, value_name = "PORT", required_unless_present = "pid", conflicts_with = "pid", value_parser = clap::value_parser!(u16).range(1..))]
    pub(crate) port: Option<u16>,
    /// Connections of this process
    #[arg(long, value_name = "PID")]
    pub(crate) pid: Option<u32>,
    /// Ask here for requests, and reasons: /stats of 'keepline serve', or a stub_status
    #[arg(long, value_name = "URL")]
    pub(crate) status: Option<String>,
    /// Read /proc/net/tcp, as where netlink is refused: without idle times, and without connections
    /// that come and go between two looks
    #[arg(long)]
    pub(crate) proc: bool,
    /// Look so often
    #[arg(long, value_name = "DUR", default_value = "1s", value_parser = every)]
    pub(crate) every: Duration,
    /// End after so long [default: never]
    #[arg(long = "for", value_name = "DUR", value_parser = values::some_time)]
    pub(crate) duration: Option<Duration>,
    /// One line of JSON for each look
    #[arg(long)]
    pub(crate) json: bool,
}

fn every(text: &str) -> Result<Duration, String> {
    let every = values::duration(text)?;
    if every < Duration::from_millis(100) || every > Duration::from_secs(3600) {
        return Err("it has to be from 100ms to 1h".to_owned());
    }
    Ok(every)
}

const EXAMPLES: &str = "\
Examples:
  A server that closes after every 20th request; '| cat' because a terminal gets the live view:
    $ keepline watch --port 8080 | cat
    server side: 5 estab, 98 time-wait, +56 -56 a second, 50 TIME-WAIT made   client side: 5 estab, 11 time-wait, +56 -56 a second, 6 TIME-WAIT made   ports to 127.0.0.1:8080: 28216 left

  With the requests that they carried:
    $ keepline watch --port 8080 --status http://127.0.0.1:8080/stats --json | jq .status.reuse_ratio
    0.9923

Keys of the live view: q, Esc or Ctrl-C ends it.
Exit status: 0, 1 if the kernel does not let us look, 2 for wrong usage.";

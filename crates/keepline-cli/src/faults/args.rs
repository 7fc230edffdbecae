//! What `keepline faults` may be told.

use std::net::SocketAddr;
use std::time::Duration;

use keepline_faults::{Fault, Plan};

use crate::values;

/// Be a server that closes, resets, stalls, lies or splits at the worst moment, to try clients on.
///
/// Requests before the fault's turn get an ordinary answer: 200, 13 bytes, "Hello, World!".
#[derive(Debug, clap::Args)]
#[command(after_long_help = EXAMPLES)]
pub(crate) struct Args {
    /// Where to listen; port 0 takes a free one and says which
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:8080", value_parser = values::listen_address)]
    pub(crate) listen: SocketAddr,
    /// How to misbehave; --list names them all
    #[arg(long, value_name = "NAME", required_unless_present = "list", value_parser = fault)]
    pub(crate) script: Option<Fault>,
    /// Tell which scripts there are, and end
    #[arg(long, conflicts_with = "script")]
    pub(crate) list: bool,
    #[command(flatten)]
    pub(crate) when: WhenArgs,
    /// One line of JSON for each event
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, clap::Args)]
#[command(next_help_heading = "When")]
pub(crate) struct WhenArgs {
    /// At the N-th request of a connection, and at those after it [default: 1; close-every-n: 3]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) at: Option<u64>,
    /// Once a connection has been idle for so long, for the scripts that wait for that [default: 100ms]
    #[arg(long, value_name = "DUR", value_parser = values::duration)]
    pub(crate) after: Option<Duration>,
    /// Pause between two bytes, for the slow scripts [default: 100ms; split-bytes: 1ms]
    #[arg(long, value_name = "DUR", value_parser = values::duration)]
    pub(crate) every: Option<Duration>,
    /// On the first N connections only; those that come later are served well [default: on all]
    #[arg(long, value_name = "N")]
    pub(crate) times: Option<u64>,
}

impl WhenArgs {
    pub(crate) fn plan(&self, fault: Fault) -> Plan {
        let mut plan = Plan::new(fault);
        if let Some(at) = self.at {
            plan = plan.at(at);
        }
        if let Some(after) = self.after {
            plan = plan.after(after);
        }
        if let Some(every) = self.every {
            plan = plan.every(every);
        }
        if let Some(times) = self.times {
            plan = plan.times(times);
        }
        plan
    }
}

fn fault(name: &str) -> Result<Fault, String> {
    name.parse()
        .map_err(|unknown: keepline_faults::UnknownFault| unknown.to_string())
}

const EXAMPLES: &str = "\
Examples:
  $ keepline faults --listen 127.0.0.1:0 --script fin-mid-body --times 1
  listening on http://127.0.0.1:33297, fin-mid-body: closes in the middle of a body
  1  opened by 127.0.0.1:52744
  1  request 1: GET / HTTP/1.1
  1  fault
  1  closed
  2  opened by 127.0.0.1:52746
  2  request 1: GET / HTTP/1.1
  2  client-closed

  What does a client do when its idle connection is gone?
    $ keepline faults --listen 8081 --script idle-rst --after 50ms &
    $ keepline get -n 3 -i 200ms http://127.0.0.1:8081/

  In tests of your own: the crate keepline-faults plays the same scripts.

It runs until SIGINT or SIGTERM.";

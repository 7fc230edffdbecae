//! What `keepline chain` may be told.

use std::time::Duration;

use super::hop::{self, Hop};
use crate::get::TlsArgs;
use crate::values;

/// Check a chain of hops for inverted idle timeouts: a server that closes an idle connection before
/// its client stops using it loses requests, which show as 502s now and then.
///
/// Hops come in the order of a request, the client first. A hop is a URL, which is measured like
/// `keepline probe` does; a product, whose defaults are known; or NAME:idle=60s where they were
/// changed, NAME:server=75s,client=60s where the two sides differ. NAME@URL measures a
/// product; without a name it is taken for what its Server field says.
#[derive(Debug, clap::Args)]
#[command(after_long_help = EXAMPLES)]
pub(crate) struct Args {
    /// Two or more, the client first
    #[arg(value_name = "HOP", required_unless_present = "list", num_args = 2.., value_parser = hop::parse)]
    pub(crate) hops: Vec<Hop>,
    /// Tell which products are known, and end
    #[arg(long, conflicts_with = "hops")]
    pub(crate) list: bool,
    /// Be done with each measurement after so long; all are made at the same time
    #[arg(long, value_name = "DUR", default_value = "90s", value_parser = values::some_time)]
    pub(crate) budget: Duration,
    #[command(flatten)]
    pub(crate) tls: TlsArgs,
    /// One line of JSON for each pair of neighbours, and one for the whole last
    #[arg(long)]
    pub(crate) json: bool,
}

const EXAMPLES: &str = "\
Examples:
  A balancer before a server of Node that runs here:
    $ keepline chain curl alb node@http://127.0.0.1:3000/
    curl  reuses for 118 s (verified)
      │   INVERTED: alb closes 58 s before curl stops reusing
    alb   closes after 60 s (documented), reuses for 60 s (documented)
      │   INVERTED: node closes 54 s before alb stops reusing
    node  closes after 6 s (measured)

    curl and alb: do one of these
      at alb      idle_timeout.timeout_seconds = 130
      at curl     CURLOPT_MAXAGE_CONN = 54

    alb and node: do one of these
      at node     server.keepAliveTimeout = 66000; server.headersTimeout = 67000
      at alb      idle_timeout.timeout_seconds = 5

  Nothing to measure, one side changed:
    $ keepline chain nginx:client=30s gunicorn:server=75s
    nginx     reuses for 30 s (given)
      │       holds
    gunicorn  closes after 75 s (given)

Exit status: 0 if no pair is inverted, 1 if one is, or cannot be measured, 2 for wrong usage.";

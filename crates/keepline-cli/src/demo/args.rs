//! What `keepline demo` may be told.

/// See what reuse is, when it fails, and what it saves, in a few seconds.
///
/// Runs an origin, a gateway and a client in this process and counts their connections, also in the kernel.
#[derive(Debug, clap::Args)]
#[command(after_long_help = EXAMPLES)]
pub(crate) struct Args {
    /// Requests of each program [default: 101, and 1000 where figures are compared]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=100_000))]
    pub(crate) requests: Option<u64>,
    /// A line of JSON for each program, and the summary of them all
    #[arg(long)]
    pub(crate) json: bool,
}

const EXAMPLES: &str = "\
Examples:
  $ keepline demo --requests 1000
  $ keepline demo --json | tail -n 1 | jq .closed
  {\"shutdown\": 4, \"not-drained\": 101, …}

The first table shows three programs that ask the same question again and again: one reads each
answer to its end, one drops it after five lines, one drops it and has the rest drained. The second
puts a gateway between them, which keeps connections on either side. The third shows what reuse saves. Connections are counted twice, by keepline and by the kernel.";

//! What may be typed: the top level. Each sub-command's own arguments are in its `args`.

use clap::{Parser, Subcommand};

/// HTTP connections that stay: see whether they are reused, and why not.
#[derive(Debug, Parser)]
#[command(name = "keepline", bin_name = "keepline", version, propagate_version = true, after_long_help = EXAMPLES)]
#[command(disable_help_subcommand = true)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    Bench(crate::bench::Args),
    Chain(crate::chain::Args),
    Demo(crate::demo::Args),
    Faults(crate::faults::Args),
    Get(Box<crate::get::Args>),
    Probe(crate::probe::Args),
    Proxy(crate::proxy::Args),
    Serve(crate::serve::Args),
    Watch(crate::watch::Args),
}

const EXAMPLES: &str = "\
Examples:
  keepline demo                                 what reuse is, and what it saves, in seconds
  keepline serve &                              a server to try it on
  keepline get http://127.0.0.1:8080/           one request: the body, like curl
  keepline get -n 101 http://127.0.0.1:8080/    which connection did each run on, and why?
  keepline probe http://127.0.0.1:8080/         for how long does that server keep an idle connection?
  keepline chain alb node                       which server closes before its client expects it?
  keepline proxy -t                             is /etc/nginx/nginx.conf in order, for a gateway that runs it?
  keepline watch --port 8080                    who opens and closes connections, second by second
  keepline bench -r 1000 http://127.0.0.1:8080/ how fast is it, and for how many of its users?
  keepline faults --script idle-fin             a server that fails as servers fail, to try a client on

Exit status: 0 if all was well, 1 if a request failed, 2 for wrong usage.
Durations are written 500ms, 2s, 1m, 1h; sizes 4096, 64KiB, 1M. NO_COLOR switches colours off.";

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_definitions_are_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn flags_of_what_is_not_there_are_refused() {
        let parsed = Cli::try_parse_from(["keepline", "get", "--http3", "http://localhost/"]);
        let error = parsed.expect_err("there is no HTTP/3");
        assert_eq!(error.kind(), clap::error::ErrorKind::UnknownArgument);
    }

    #[test]
    fn only_what_works_is_offered() {
        let offered: Vec<_> = Cli::command()
            .get_subcommands()
            .map(|command| command.get_name().to_owned())
            .collect();
        assert_eq!(
            offered,
            [
                "bench", "chain", "demo", "faults", "get", "probe", "proxy", "serve", "watch"
            ]
        );
    }
}

//! keepline: see whether HTTP connections are reused, and why not.
//!
//! The one binary: a thin sub-command for each thing it does, over the libraries. This file
//! parses the command line, runs the sub-command and turns the outcome into an exit status:
//! 0 if all was well, 1 if something failed, 2 for wrong usage. A reader that has gone away
//! (`keepline … | head -1`) is no failure.

mod args;
mod bench;
mod chain;
mod demo;
mod failure;
mod faults;
mod get;
mod human;
mod kernel;
mod latency;
mod load;
mod output;
mod probe;
mod proxy;
mod runtime;
mod serve;
mod signals;
mod summary;
mod table;
mod trouble;
mod values;
mod watch;

use std::process::ExitCode;

use clap::Parser;

use crate::args::{Cli, Command};
use crate::failure::{Stop, WRONG_USAGE};
use crate::output::Screen;

fn main() -> ExitCode {
    if proxy::is_nginx(std::env::args_os().next().as_deref()) {
        let _ = keepline::net::raise_open_files_limit();
        return proxy::run_as_nginx(std::env::args_os());
    }
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => return wrong_usage(&error),
    };
    // Each connection is a file, and the usual soft limit is for programs that use `select`.
    // Where it cannot be raised, it is told when it is reached.
    let _ = keepline::net::raise_open_files_limit();
    let mut screen = Screen::new();
    let outcome = match cli.command {
        Command::Bench(args) => bench::run(&args, &mut screen),
        Command::Chain(args) => chain::run(&args, &mut screen),
        Command::Demo(args) => demo::run(&args, &mut screen),
        Command::Faults(args) => faults::run(&args, &mut screen),
        Command::Get(args) => get::run(&args, &mut screen),
        Command::Probe(args) => probe::run(&args, &mut screen),
        Command::Proxy(args) => Ok(proxy::run_as_keepline(&args)),
        Command::Watch(args) => watch::run(&args, &mut screen),
        Command::Serve(args) => serve::run(&args, &mut screen),
    };
    screen.finish();
    match outcome {
        Ok(verdict) => verdict.into(),
        Err(Stop::Usage(error)) => wrong_usage(&error),
        Err(Stop::Output(error)) if error.kind() == std::io::ErrorKind::BrokenPipe => {
            ExitCode::SUCCESS
        }
        Err(Stop::Output(error)) => {
            screen.failure(&failure::Failure::output(&error));
            ExitCode::FAILURE
        }
        Err(Stop::Failed(failure)) => {
            screen.failure(&failure);
            ExitCode::FAILURE
        }
    }
}

/// Prints what clap has to say: an error, or the help or version that was asked for.
fn wrong_usage(error: &clap::Error) -> ExitCode {
    // Whoever asked for the help and does not read it is no failure.
    let _ = error.print();
    match error.exit_code() {
        0 => ExitCode::SUCCESS,
        _ => ExitCode::from(WRONG_USAGE),
    }
}

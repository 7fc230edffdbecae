//! What the user is told when something fails: what, whose fault, and what to do about it.

mod explain;

use std::io;
use std::process::ExitCode;

pub(crate) use explain::io_cause;

/// Exit status for a command line that cannot be understood.
pub(crate) const WRONG_USAGE: u8 = 2;

/// How a sub-command that ran to its end turned out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Exit status 0.
    AllWell,
    /// Exit status 1; what failed has been said.
    SomethingFailed,
}

impl From<Verdict> for ExitCode {
    fn from(verdict: Verdict) -> Self {
        match verdict {
            Verdict::AllWell => Self::SUCCESS,
            Verdict::SomethingFailed => Self::FAILURE,
        }
    }
}

/// Why a sub-command ended before its end.
#[derive(Debug)]
pub(crate) enum Stop {
    /// It was called wrongly, in a way that only shows when arguments are seen together.
    Usage(clap::Error),
    /// Standard output could not be written; a closed pipe among others.
    Output(io::Error),
    /// It could not do what it was asked for.
    Failed(Failure),
}

impl From<io::Error> for Stop {
    fn from(error: io::Error) -> Self {
        Self::Output(error)
    }
}

impl From<Failure> for Stop {
    fn from(failure: Failure) -> Self {
        Self::Failed(failure)
    }
}

impl Stop {
    /// Arguments that do not go together.
    pub(crate) fn conflict(subcommand: &str, message: impl std::fmt::Display) -> Self {
        use clap::CommandFactory;
        let mut command = crate::args::Cli::command();
        // Built, so that the usage line names the sub-command in full.
        command.build();
        let command = command
            .find_subcommand_mut(subcommand)
            .expect("a sub-command names itself");
        Self::Usage(command.error(clap::error::ErrorKind::ArgumentConflict, message))
    }
}

/// A message in three parts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Failure {
    /// What failed, in one line.
    pub(crate) what: String,
    /// Whose fault it is, and why.
    pub(crate) fault: Option<String>,
    /// What to do about it.
    pub(crate) help: Option<String>,
}

impl Failure {
    pub(crate) fn new(what: impl Into<String>) -> Self {
        Self {
            what: what.into(),
            fault: None,
            help: None,
        }
    }

    pub(crate) fn fault(mut self, fault: impl Into<String>) -> Self {
        self.fault = Some(fault.into());
        self
    }

    pub(crate) fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    /// Standard output, or the file that stands for it, cannot be written.
    pub(crate) fn output(error: &io::Error) -> Self {
        Self::new(format!("cannot write the output: {error}"))
    }

    /// A file that was named cannot be read or written.
    pub(crate) fn file(path: &std::path::Path, error: &io::Error) -> Self {
        Self::new(format!("{}: {error}", path.display()))
    }

    /// A request failed.
    pub(crate) fn request(error: &keepline::Error, url: &str) -> Self {
        let uri = url.parse().unwrap_or_default();
        let (fault, help) = explain::explain(error, &uri);
        Self {
            what: format!("{url}: {error}"),
            fault: Some(fault),
            help,
        }
    }
}

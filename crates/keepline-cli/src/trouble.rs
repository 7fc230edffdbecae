//! Why a request failed, told in three lengths: in a row, in a line, in full.

use std::fmt;
use std::io;
use std::time::Duration;

use http::StatusCode;
use keepline::{ErrorKind, Phase};

use crate::failure::{Failure, io_cause};
use crate::human::Time;

/// Why a request failed.
#[derive(Debug)]
pub(crate) enum Trouble {
    /// What was typed is no URL.
    Url(Failure),
    /// It could not be sent, or its answer not be received.
    Request(keepline::Error),
    /// It took longer than it may, and was doing this when its time was over: [`Phase::Request`] where
    /// nobody has watched it.
    Timeout(Duration, Phase),
    /// Its status is one of failure, and that was to count.
    Status(StatusCode),
    /// The body could not be written to where it was to go.
    Output(io::Error),
}

impl Trouble {
    /// A few words.
    pub(crate) fn short(&self) -> String {
        match self {
            Self::Url(_) => "not a URL".to_owned(),
            Self::Request(error) => short(error),
            Self::Timeout(..) => "timed out".to_owned(),
            Self::Status(_) => "counted as failed".to_owned(),
            Self::Output(_) => "output failed".to_owned(),
        }
    }

    /// What failed, whose fault it is and what to do.
    pub(crate) fn explain(&self, url: &str) -> Failure {
        match self {
            Self::Url(failure) => failure.clone(),
            Self::Request(error) => Failure::request(error, url),
            Self::Timeout(_, phase) => Failure::new(format!("{url}: {self}"))
                .fault(too_slow(*phase))
                .help("--timeout DUR gives it longer"),
            Self::Status(status) => Failure::new(format!("{url}: {status}"))
                .fault("the server's answer, which --fail takes for a failure"),
            Self::Output(error) => Failure::output(error),
        }
    }
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Url(failure) => f.write_str(&failure.what),
            Self::Request(error) => error.fmt(f),
            // Nobody has watched it.
            Self::Timeout(limit, Phase::Request) => {
                write!(f, "no whole answer in {}", Time(*limit))
            }
            Self::Timeout(limit, phase) => {
                write!(f, "no whole answer in {}: timed out {phase}", Time(*limit))
            }
            Self::Status(status) => write!(f, "{status}, which counts as failed"),
            Self::Output(error) => write!(f, "cannot write the output: {error}"),
        }
    }
}

/// Whose fault it is that the time was over in this phase.
const fn too_slow(phase: Phase) -> &'static str {
    match phase {
        Phase::Acquire => "ours: all connections were busy",
        Phase::Resolve => "the resolver's: it said nothing in time",
        Phase::Connect => "the network's: nothing answers there, not even a refusal",
        Phase::Proxy => "the proxy's: it opened no tunnel in time",
        Phase::Write => "the server's, or the network's: it did not take the whole request in time",
        _ => "the server's, or the network's: it was too slow",
    }
}

fn short(error: &keepline::Error) -> String {
    match error.kind() {
        ErrorKind::Resolve => "unknown host".to_owned(),
        ErrorKind::Connect if io_cause(error) == Some(io::ErrorKind::ConnectionRefused) => {
            "refused".to_owned()
        }
        ErrorKind::Connect => "cannot connect".to_owned(),
        ErrorKind::Tls => "TLS failed".to_owned(),
        ErrorKind::Proxy(_) => "no tunnel".to_owned(),
        ErrorKind::Timeout(_) => "timed out".to_owned(),
        ErrorKind::Http2 => "HTTP/2 failed".to_owned(),
        ErrorKind::Protocol(error) => error.to_string(),
        ErrorKind::Redirect => "redirects lead nowhere".to_owned(),
        ErrorKind::Io if error.is_timeout() => "the peer is gone".to_owned(),
        ErrorKind::Io => "the connection broke".to_owned(),
        _ => "cannot be sent".to_owned(),
    }
}

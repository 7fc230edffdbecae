//! Names that are resolved while requests come: who is asked, and what nginx says of a failure.

use std::fmt;
use std::io;

use keepline::Error;
use keepline::net::{Asks, Families, Hickory};

use crate::config::Resolver;

/// Who asks the name servers of a `resolver`.
pub(crate) fn asker(resolver: &Resolver) -> Result<Hickory, Error> {
    let families = match (resolver.ipv4, resolver.ipv6) {
        (true, false) => Families::V4,
        (false, true) => Families::V6,
        (true, true) | (false, false) => Families::Both,
    };
    let asks = Asks {
        families,
        valid: resolver.valid,
    };
    Hickory::only(&resolver.servers, asks)
}

/// Why a name has no addresses, in nginx's words.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unresolved {
    /// There is no such name, or it has no address of the families that are asked for.
    NotFound,
    /// No name server has an answer.
    Failed,
    /// None has come within `resolver_timeout`.
    TimedOut,
}

impl From<&io::Error> for Unresolved {
    fn from(error: &io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::NotFound => Self::NotFound,
            io::ErrorKind::TimedOut => Self::TimedOut,
            _ => Self::Failed,
        }
    }
}

impl fmt::Display for Unresolved {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NotFound => "3: Host not found",
            Self::Failed => "2: Server failure",
            Self::TimedOut => "110: Operation timed out",
        })
    }
}

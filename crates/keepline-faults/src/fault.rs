//! The faults by name.

use std::fmt;
use std::str::FromStr;

/// A way in which a server misbehaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Fault {
    /// Closes a connection (FIN) that has been idle for a while, as most servers do.
    IdleFin,
    /// Resets a connection (RST) that has been idle for a while, as firewalls do.
    IdleRst,
    /// Says 408 on a connection that has been idle for a while, and closes it.
    Idle408,
    /// Sends a whole response that nobody asked for on an idle connection.
    StrayBytes,
    /// Closes in the middle of the head of an answer.
    FinMidHead,
    /// Closes in the middle of the body of an answer.
    FinMidBody,
    /// Resets in the middle of the body of an answer.
    RstMidBody,
    /// Sends the head a byte at a time, slowly.
    SlowHead,
    /// Sends the body a byte at a time, slowly.
    SlowBody,
    /// Promises `Keep-Alive: timeout=60, max=1000` and closes after a moment.
    LyingKeepAlive,
    /// Sends more body than its Content-Length tells: the rest looks like another answer.
    LyingLength,
    /// Sends Content-Length and Transfer-Encoding, which delimit the body differently.
    ClTe,
    /// Sends 103 responses without end, and never the final one.
    Endless1xx,
    /// Sends field lines without end.
    EndlessHead,
    /// Closes after every n-th answer without having said so.
    CloseEveryN,
    /// Says `Connection: close` and does not close, not even when the client does.
    NeverClose,
    /// Sends a FIN behind an answer, and goes on to read without ever answering.
    HalfClose,
    /// Answers correctly, each byte in a segment of its own.
    SplitBytes,
}

/// There is no fault of this name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnknownFault(String);

impl Fault {
    /// All of them.
    pub const ALL: [Self; 18] = [
        Self::IdleFin,
        Self::IdleRst,
        Self::Idle408,
        Self::StrayBytes,
        Self::FinMidHead,
        Self::FinMidBody,
        Self::RstMidBody,
        Self::SlowHead,
        Self::SlowBody,
        Self::LyingKeepAlive,
        Self::LyingLength,
        Self::ClTe,
        Self::Endless1xx,
        Self::EndlessHead,
        Self::CloseEveryN,
        Self::NeverClose,
        Self::HalfClose,
        Self::SplitBytes,
    ];

    /// Its name, as it is typed.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::IdleFin => "idle-fin",
            Self::IdleRst => "idle-rst",
            Self::Idle408 => "idle-408",
            Self::StrayBytes => "stray-bytes",
            Self::FinMidHead => "fin-mid-head",
            Self::FinMidBody => "fin-mid-body",
            Self::RstMidBody => "rst-mid-body",
            Self::SlowHead => "slow-head",
            Self::SlowBody => "slow-body",
            Self::LyingKeepAlive => "lying-keep-alive",
            Self::LyingLength => "lying-length",
            Self::ClTe => "cl-te",
            Self::Endless1xx => "endless-1xx",
            Self::EndlessHead => "endless-head",
            Self::CloseEveryN => "close-every-n",
            Self::NeverClose => "never-close",
            Self::HalfClose => "half-close",
            Self::SplitBytes => "split-bytes",
        }
    }

    /// What it does, in a line.
    #[must_use]
    pub const fn summary(self) -> &'static str {
        match self {
            Self::IdleFin => "closes a connection that has been idle for a moment",
            Self::IdleRst => "resets a connection that has been idle for a moment",
            Self::Idle408 => "says 408 on an idle connection, and closes it",
            Self::StrayBytes => "sends a response that nobody asked for on an idle connection",
            Self::FinMidHead => "closes in the middle of a head",
            Self::FinMidBody => "closes in the middle of a body",
            Self::RstMidBody => "resets in the middle of a body",
            Self::SlowHead => "sends the head a byte at a time, slowly",
            Self::SlowBody => "sends the body a byte at a time, slowly",
            Self::LyingKeepAlive => "promises Keep-Alive: timeout=60, and closes after a moment",
            Self::LyingLength => "sends more than its Content-Length tells",
            Self::ClTe => "sends Content-Length and Transfer-Encoding, which differ",
            Self::Endless1xx => "sends interim responses without end",
            Self::EndlessHead => "sends field lines without end",
            Self::CloseEveryN => "closes after every n-th answer without saying so",
            Self::NeverClose => "says Connection: close and does not close",
            Self::HalfClose => "sends a FIN behind an answer, and reads on without answering",
            Self::SplitBytes => "answers correctly, each byte in a segment of its own",
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for Fault {
    type Err = UnknownFault;

    fn from_str(name: &str) -> Result<Self, UnknownFault> {
        Self::ALL
            .into_iter()
            .find(|fault| fault.name() == name)
            .ok_or_else(|| UnknownFault(name.to_owned()))
    }
}

impl fmt::Display for UnknownFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "no fault is called '{}'; there are ", self.0)?;
        for (place, fault) in Fault::ALL.into_iter().enumerate() {
            let comma = if place == 0 { "" } else { ", " };
            write!(f, "{comma}{fault}")?;
        }
        Ok(())
    }
}

impl std::error::Error for UnknownFault {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_leads_back_to_its_fault() {
        for fault in Fault::ALL {
            assert_eq!(fault.name().parse(), Ok(fault));
        }
        let unknown = "idle".parse::<Fault>().unwrap_err().to_string();
        assert!(unknown.contains("'idle'") && unknown.contains("idle-fin, idle-rst"));
    }
}

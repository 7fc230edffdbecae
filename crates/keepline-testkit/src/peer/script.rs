//! Scripts: the steps that a peer takes on one connection, as a value.
//!
//! A script says what happens and when; [`player`](super::player) carries it out.

use std::fmt;
use std::sync::Arc;

use crate::Gate;

/// The steps of a [`Peer`](super::Peer) on one connection, in order.
///
/// After its last step a script [holds](Self::hold) the connection: a connection that is to end
/// says so.
#[derive(Debug, Clone, Default)]
pub struct Script {
    steps: Vec<Step>,
}

#[derive(Clone)]
pub(super) enum Step {
    Close,
    Expect(Arc<[u8]>),
    ExpectHead,
    Fin,
    Hold,
    Open(Gate),
    ReadExactly(usize),
    Repeat {
        times: Option<usize>,
        script: Script,
    },
    Reset,
    Send {
        bytes: Arc<[u8]>,
        piece: usize,
    },
    WaitFor(Gate),
}

impl Script {
    /// A script without steps, which accepts, reads and answers nothing.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Reads up to the empty line that ends a head; what follows it is left to the next step.
    ///
    /// It waits as long as it takes for the first byte, and the script ends without failure if the
    /// client closes before it: a client may dial in advance and may close an idle connection.
    #[must_use]
    pub fn expect_head(self) -> Self {
        self.then(Step::ExpectHead)
    }

    /// Reads exactly these bytes; others, or fewer, fail the test.
    #[must_use]
    pub fn expect(self, bytes: impl AsRef<[u8]>) -> Self {
        self.then(Step::Expect(bytes.as_ref().into()))
    }

    /// Reads `count` bytes, whatever they are.
    #[must_use]
    pub fn read_exactly(self, count: usize) -> Self {
        self.then(Step::ReadExactly(count))
    }

    /// Sends these bytes.
    #[must_use]
    pub fn send(self, bytes: impl AsRef<[u8]>) -> Self {
        let bytes: Arc<[u8]> = bytes.as_ref().into();
        let piece = bytes.len().max(1);
        self.then(Step::Send { bytes, piece })
    }

    /// Sends these bytes with a system call, and so mostly a segment, for every `piece` bytes.
    ///
    /// The receiver's kernel may join what its program hasn't read yet; where each piece must be
    /// one read, wrap the reader in [`Dribble`](crate::stream::Dribble).
    ///
    /// # Panics
    ///
    /// If `piece` is zero.
    #[must_use]
    pub fn send_split_each(self, bytes: impl AsRef<[u8]>, piece: usize) -> Self {
        assert!(piece > 0, "a piece has at least one byte");
        self.then(Step::Send {
            bytes: bytes.as_ref().into(),
            piece,
        })
    }

    /// Waits until the test opens the gate.
    #[must_use]
    pub fn wait_for(self, gate: &Gate) -> Self {
        self.then(Step::WaitFor(gate.clone()))
    }

    /// Opens the gate, for a test that waits until the script has come this far.
    #[must_use]
    pub fn open(self, gate: &Gate) -> Self {
        self.then(Step::Open(gate.clone()))
    }

    /// Sends a FIN: this side says no more, but goes on to read.
    #[must_use]
    pub fn fin(self) -> Self {
        self.then(Step::Fin)
    }

    /// Plays `script` so many times.
    #[must_use]
    pub fn repeat(self, times: usize, script: Self) -> Self {
        self.then(Step::Repeat {
            times: Some(times),
            script,
        })
    }

    /// Plays `script` until the client goes away. Nothing can follow.
    #[must_use]
    pub fn repeat_forever(self, script: Self) -> Self {
        self.then(Step::Repeat {
            times: None,
            script,
        })
    }

    /// Closes the connection. Nothing can follow.
    ///
    /// If bytes have arrived that the script didn't read, the kernel makes it a reset, as it does
    /// for any server.
    #[must_use]
    pub fn close(self) -> Self {
        self.then(Step::Close)
    }

    /// Resets the connection (RST). Nothing can follow.
    #[must_use]
    pub fn reset(self) -> Self {
        self.then(Step::Reset)
    }

    /// Reads, and answers nothing, until the client closes. Nothing can follow.
    #[must_use]
    pub fn hold(self) -> Self {
        self.then(Step::Hold)
    }

    pub(super) fn steps(&self) -> &[Step] {
        &self.steps
    }

    /// # Panics
    ///
    /// If the last step was final: a step that can't be reached is a mistake in the test.
    fn then(mut self, step: Step) -> Self {
        if let Some(last) = self.steps.last() {
            assert!(
                !last.is_final(),
                "the script can't {step:?}: nothing follows {last:?}"
            );
        }
        self.steps.push(step);
        self
    }
}

impl Step {
    fn is_final(&self) -> bool {
        match self {
            Self::Close | Self::Hold | Self::Reset | Self::Repeat { times: None, .. } => true,
            Self::Repeat {
                times: Some(_),
                script,
            } => script.steps.last().is_some_and(Self::is_final),
            Self::Expect(_)
            | Self::ExpectHead
            | Self::Fin
            | Self::Open(_)
            | Self::ReadExactly(_)
            | Self::Send { .. }
            | Self::WaitFor(_) => false,
        }
    }
}

/// Words for failure messages.
impl fmt::Debug for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Close => f.write_str("close"),
            Self::Expect(bytes) => write!(f, "expect \"{}\"", bytes.escape_ascii()),
            Self::ExpectHead => f.write_str("expect a head"),
            Self::Fin => f.write_str("send a FIN"),
            Self::Hold => f.write_str("hold"),
            Self::Open(gate) => write!(f, "open {gate:?}"),
            Self::ReadExactly(count) => write!(f, "read {count} bytes"),
            Self::Repeat {
                times: Some(times), ..
            } => write!(f, "repeat {times} times"),
            Self::Repeat { times: None, .. } => f.write_str("repeat forever"),
            Self::Reset => f.write_str("reset"),
            Self::Send { bytes, .. } => write!(f, "send {} bytes", bytes.len()),
            Self::WaitFor(gate) => write!(f, "wait for {gate:?}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[should_panic(expected = "the script can't send 1 bytes: nothing follows close")]
    fn a_step_that_cannot_be_reached_is_refused() {
        let _ = Script::new().close().send("x");
    }

    #[test]
    #[should_panic(expected = "nothing follows repeat 2 times")]
    fn nothing_follows_a_repetition_that_ends_the_connection() {
        let _ = Script::new().repeat(2, Script::new().reset()).hold();
    }
}

//! Which fault, at which request, after how long, on how many connections.

use std::time::Duration;

use crate::Fault;

/// What a [`FaultServer`](crate::FaultServer) is to do. A value: the same plan does the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Plan {
    pub(crate) fault: Fault,
    pub(crate) at: u64,
    pub(crate) after: Duration,
    pub(crate) every: Duration,
    pub(crate) times: Option<u64>,
}

impl Plan {
    /// This fault, with the settings that show it best: at the first request of each connection
    /// (close-every-n: the third), after 100 ms where the fault waits for an idle connection, a
    /// byte each 100 ms where it is slow.
    #[must_use]
    pub const fn new(fault: Fault) -> Self {
        Self {
            fault,
            at: match fault {
                Fault::CloseEveryN => 3,
                _ => 1,
            },
            after: Duration::from_millis(100),
            every: match fault {
                Fault::SplitBytes => Duration::from_millis(1),
                _ => Duration::from_millis(100),
            },
            times: None,
        }
    }

    /// The fault comes with the `number`-th request of a connection, counted from 1 (0 counts as
    /// 1); requests before it get the ordinary answer. For close-every-n it is the n.
    #[must_use]
    pub const fn at(self, number: u64) -> Self {
        Self {
            at: if number == 0 { 1 } else { number },
            ..self
        }
    }

    /// How long a connection has to be idle for the faults that concern idle ones.
    #[must_use]
    pub const fn after(self, idle: Duration) -> Self {
        Self {
            after: idle,
            ..self
        }
    }

    /// The pause between two bytes of the slow faults and of split-bytes.
    #[must_use]
    pub const fn every(self, pause: Duration) -> Self {
        Self {
            every: pause,
            ..self
        }
    }

    /// Only the first `connections` are faulty; those that come later get ordinary answers, so
    /// that a client can show that it recovers. Without this all of them are.
    #[must_use]
    pub const fn times(self, connections: u64) -> Self {
        Self {
            times: Some(connections),
            ..self
        }
    }

    /// The fault.
    #[must_use]
    pub const fn fault(self) -> Fault {
        self.fault
    }
}

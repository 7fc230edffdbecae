//! Gates: how a test and a script tell each other that a point was reached.
//!
//! A gate opens once and stays open, so it never matters who comes first. It counts nothing: use
//! one gate for each point.

use std::fmt;
use std::sync::Arc;

use tokio::sync::watch;

use crate::within;

/// A named point that one side reaches and the other waits for. Clones are the same gate.
#[derive(Clone)]
pub struct Gate {
    name: Arc<str>,
    open: Arc<watch::Sender<bool>>,
}

impl Gate {
    /// A closed gate. The name appears in the failure of whoever waits for it in vain.
    #[must_use]
    pub fn new(name: &str) -> Self {
        Self {
            name: name.into(),
            open: Arc::new(watch::Sender::new(false)),
        }
    }

    /// Opens the gate for good and lets everybody through.
    pub fn open(&self) {
        self.open.send_replace(true);
    }

    /// Whether the gate has been opened.
    #[must_use]
    pub fn is_open(&self) -> bool {
        *self.open.borrow()
    }

    /// Waits until the gate is open.
    ///
    /// # Panics
    ///
    /// When it stays closed longer than [`PATIENCE`](crate::PATIENCE).
    #[track_caller]
    pub fn opened(&self) -> impl Future<Output = ()> + use<> {
        within(format!("{self:?} to open"), self.passed())
    }

    /// Waits, without a bound, until the gate is open.
    pub(crate) fn passed(&self) -> impl Future<Output = ()> + use<> {
        let open = Arc::clone(&self.open);
        async move {
            let mut open = open.subscribe();
            // The sender lives as long as this future does: it can't have been dropped.
            let _ = open.wait_for(|open| *open).await;
        }
    }
}

impl fmt::Debug for Gate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "gate {:?}", self.name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_gate_lets_through_those_who_waited_and_those_who_come_later() {
        let gate = Gate::new("start");
        let waiting = tokio::spawn(gate.opened());
        tokio::task::yield_now().await;
        assert!(!gate.is_open());
        gate.clone().open();
        waiting.await.expect("the waiter gets through");
        gate.opened().await;
    }
}

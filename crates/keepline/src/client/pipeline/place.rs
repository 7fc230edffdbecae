//! Places in a pipeline: of a request that waits, of a line. Dropped, they are given up.

use std::sync::Arc;
use std::task::Waker;

use super::Job;
use super::keys::Pipeline;
use super::queue::LineId;
use crate::client::Shared;

/// A request's place in a queue. Dropped, it is given up.
pub(super) struct Place {
    pub(super) pipeline: Arc<Pipeline>,
    pub(super) serial: u64,
    pub(super) is_over: bool,
}

impl Place {
    /// Gives the place up. `false`: a line has taken the request.
    pub(super) fn withdraw(&mut self) -> bool {
        let withdrawn = self.pipeline.lock().withdraw(self.serial);
        self.is_over = withdrawn.is_some();
        self.is_over
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if !self.is_over {
            self.withdraw();
        }
    }
}

/// A line's place in its pipeline. Dropped, it is given up, and what waits and the other lines will
/// have no room for is released.
pub(super) struct Seat {
    pub(super) shared: Arc<Shared>,
    pub(super) pipeline: Arc<Pipeline>,
    pub(super) line: LineId,
    pub(super) is_over: bool,
}

impl Seat {
    /// Gives the place up if nothing needs the line.
    pub(super) fn leave(&mut self) -> bool {
        self.is_over = self.pipeline.lock().leave(self.line);
        self.is_over
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        if !self.is_over {
            let mut queue = self.pipeline.lock();
            let released = queue.forsake(self.line);
            let wake = queue.rouse();
            drop(queue);
            released.into_iter().for_each(Job::release);
            wake.into_iter().for_each(Waker::wake);
        }
        self.shared.pipelines.left(&self.pipeline);
    }
}

//! Places in a pipeline: of a request that waits, of a line. Dropped, they are given up.

use std::sync::Arc;
use std::task::Waker;

use super::queue::LineId;
use super::{Job, Pipeline};
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
        let withdrawn = self.pipeline.lock().queue.withdraw(self.serial);
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

/// A line's place in its pipeline. Dropped, it is given up, and if nobody is left to take what
/// waits, that is released.
pub(super) struct Seat {
    pub(super) shared: Arc<Shared>,
    pub(super) pipeline: Arc<Pipeline>,
    pub(super) line: LineId,
    pub(super) is_over: bool,
}

impl Seat {
    /// Gives the place up if nothing waits for the line.
    pub(super) fn leave(&mut self) -> bool {
        self.is_over = self.pipeline.lock().queue.leave(self.line);
        self.is_over
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        if !self.is_over {
            let mut state = self.pipeline.lock();
            let released = state.queue.forsake(self.line);
            let wake = state.queue.rouse();
            drop(state);
            released.into_iter().for_each(Job::release);
            wake.into_iter().for_each(Waker::wake);
        }
        self.shared.pipelines.left(&self.pipeline);
    }
}

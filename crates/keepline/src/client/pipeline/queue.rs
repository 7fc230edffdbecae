//! The queue of one key, as a pure structure: which requests wait, and which lines take them.
//!
//! A *line* is a connection that requests share, from when it is asked for. Requests wait in one
//! queue for all lines of their key, so that none is passed by a later one, and a line takes as
//! many as it has room for. A new line is opened only when all lines, those that are being opened
//! among them, could not hold what there is.
//!
//! No socket, no clock, no task: requests and wakers are opaque, and what is to be done is a return
//! value. Invariant: while a request waits, some line that can take it is awake or being opened, or
//! all lines are full.

use std::collections::VecDeque;

use slab::Slab;

/// The requests of one key and the lines that carry them.
#[derive(Debug)]
pub(super) struct Queue<J, W> {
    /// Requests that one line carries at most.
    depth: usize,
    waiting: VecDeque<(u64, J)>,
    serial: u64,
    lines: Slab<Seat<W>>,
    /// Lines that sleep, and have room.
    hungry: Vec<LineId>,
    /// Room of the lines that have been woken and have not come yet.
    promised: usize,
    /// Requests that lines have taken and not answered.
    taken: usize,
    /// Lines that take no further request, and still have some.
    retired: usize,
}

/// The place of a line in its queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct LineId(usize);

#[derive(Debug)]
struct Seat<W> {
    state: SeatState<W>,
    is_retired: bool,
}

#[derive(Debug)]
enum SeatState<W> {
    /// It runs, or is being opened: it will look at the queue.
    Awake,
    /// It sleeps and has so much room; `at` is its place among the hungry.
    Hungry { room: usize, waker: W, at: usize },
    /// It has been woken for its room, and will look at the queue.
    Woken { room: usize },
}

/// What follows from a new request.
#[derive(Debug)]
pub(super) struct Pushed<W> {
    /// Number of the request.
    pub(super) serial: u64,
    /// A line to wake.
    pub(super) wake: Option<W>,
    /// A line to open.
    pub(super) opens: Option<LineId>,
}

impl<J, W> Queue<J, W> {
    pub(super) const fn new(depth: usize) -> Self {
        Self {
            depth,
            waiting: VecDeque::new(),
            serial: 0,
            lines: Slab::new(),
            hungry: Vec::new(),
            promised: 0,
            taken: 0,
            retired: 0,
        }
    }

    /// No line and no request is left.
    pub(super) fn is_over(&self) -> bool {
        self.lines.is_empty() && self.waiting.is_empty()
    }

    /// A request comes to wait.
    pub(super) fn push(&mut self, job: J) -> Pushed<W> {
        self.serial += 1;
        self.waiting.push_back((self.serial, job));
        let usable = self.lines.len() - self.retired;
        let opens = (self.waiting.len() + self.taken > usable * self.depth).then(|| self.open());
        let wake = match opens {
            None => self.rouse(),
            Some(_) => None,
        };
        Pushed {
            serial: self.serial,
            wake,
            opens,
        }
    }

    /// A new line, which has to be opened.
    pub(super) fn open(&mut self) -> LineId {
        LineId(self.lines.insert(Seat {
            state: SeatState::Awake,
            is_retired: false,
        }))
    }

    /// A line to wake, if those that have been woken leave something over: the one that went to
    /// sleep last. To be asked whenever a line takes less than it had room for.
    pub(super) fn rouse(&mut self) -> Option<W> {
        if self.waiting.len() <= self.promised {
            return None;
        }
        let line = self.hungry.pop()?;
        let seat = &mut self.lines[line.0];
        match std::mem::replace(&mut seat.state, SeatState::Awake) {
            SeatState::Hungry { room, waker, .. } => {
                seat.state = SeatState::Woken { room };
                self.promised += room;
                Some(waker)
            }
            state @ (SeatState::Awake | SeatState::Woken { .. }) => {
                seat.state = state;
                None
            }
        }
    }

    /// A request that waits is given up. `None`: a line has taken it. (It is found by bisection;
    /// what follows it moves up.)
    pub(super) fn withdraw(&mut self, serial: u64) -> Option<J> {
        let at = self.waiting.binary_search_by_key(&serial, |x| x.0).ok()?;
        self.waiting.remove(at).map(|x| x.1)
    }

    /// A line takes at most `room` requests, oldest first, after it has answered so many.
    pub(super) fn take(
        &mut self,
        line: LineId,
        room: usize,
        answered: usize,
        to: &mut VecDeque<J>,
    ) {
        self.awaken(line);
        self.answered(answered);
        let count = room.min(self.waiting.len());
        to.extend(self.waiting.drain(..count).map(|x| x.1));
        self.taken += count;
    }

    /// The line is about to sleep with so much room. `false`: there is something for it to take.
    pub(super) fn sleep(&mut self, line: LineId, room: usize, waker: impl FnOnce() -> W) -> bool {
        self.awaken(line);
        if room == 0 {
            return true;
        }
        if !self.waiting.is_empty() {
            return false;
        }
        self.lines[line.0].state = SeatState::Hungry {
            room,
            waker: waker(),
            at: self.hungry.len(),
        };
        self.hungry.push(line);
        true
    }

    /// So many requests that lines had taken are answered, or went elsewhere.
    pub(super) const fn answered(&mut self, count: usize) {
        self.taken -= count;
    }

    /// Requests that wait.
    pub(super) fn waiting(&self) -> usize {
        self.waiting.len()
    }

    /// The line takes no further request: others have to carry what waits. Lines to open for that.
    pub(super) fn retire(&mut self, line: LineId) -> Option<LineId> {
        self.awaken(line);
        let seat = &mut self.lines[line.0];
        if !std::mem::replace(&mut seat.is_retired, true) {
            self.retired += 1;
        }
        let usable = self.lines.len() - self.retired;
        (self.waiting.len() > usable * self.depth).then(|| self.open())
    }

    /// The line ends, if nothing waits for it.
    pub(super) fn leave(&mut self, line: LineId) -> bool {
        if !self.waiting.is_empty() && !self.lines[line.0].is_retired {
            return false;
        }
        self.remove(line);
        true
    }

    /// The line ends, whatever waits. If it was the last one, nobody is left who would take what
    /// waits, which is handed out.
    pub(super) fn forsake(&mut self, line: LineId) -> VecDeque<J> {
        self.remove(line);
        if self.lines.len() > self.retired {
            return VecDeque::new();
        }
        self.clear()
    }

    /// Hands out all that waits.
    pub(super) fn clear(&mut self) -> VecDeque<J> {
        self.waiting.drain(..).map(|x| x.1).collect()
    }

    /// The line runs: it is not woken any more, and what it was woken for is no promise.
    fn awaken(&mut self, line: LineId) {
        match std::mem::replace(&mut self.lines[line.0].state, SeatState::Awake) {
            SeatState::Awake => {}
            SeatState::Woken { room } => self.promised -= room,
            SeatState::Hungry { at, .. } => {
                self.hungry.swap_remove(at);
                if let Some(moved) = self.hungry.get(at)
                    && let SeatState::Hungry { at: its, .. } = &mut self.lines[moved.0].state
                {
                    *its = at;
                }
            }
        }
    }

    fn remove(&mut self, line: LineId) {
        self.awaken(line);
        if self.lines.remove(line.0).is_retired {
            self.retired -= 1;
        }
    }
}

#[cfg(test)]
mod tests;

//! The queue of one key in one runtime, as a pure structure: which requests wait, and which lines
//! take them.
//!
//! A *line* is a connection that requests share, from when it is asked for. Requests wait in one
//! queue for all lines of their key, so that none is passed by a later one, and a line takes as
//! many as it has room for. A new line is opened only when the lines that there are, those that are
//! being opened among them, could not hold what there is: what counts is the room that each of them
//! is known to have, or will have before long ([`Room`]), never its depth alone.
//!
//! No socket, no clock, no task: requests and wakers are opaque, and what is to be done is a return
//! value. Invariants: while a request waits, some line that can take it is awake or being opened, or
//! all lines are full for now; and no more wait than the lines will have room for, once
//! [`cover`](Queue::cover) has been asked.

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
    /// How many further requests all lines will have room for.
    free: usize,
}

/// The place of a line in its queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct LineId(usize);

/// How many further requests a line takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Room {
    /// At once.
    pub(super) now: usize,
    /// Before long, those among them: what waits may count on it.
    pub(super) soon: usize,
}

impl Room {
    /// The line takes no further request.
    pub(super) const NONE: Self = Self { now: 0, soon: 0 };

    /// Room for so many requests less.
    #[must_use]
    pub(super) const fn less(self, requests: usize) -> Self {
        Self {
            now: self.now.saturating_sub(requests),
            soon: self.soon.saturating_sub(requests),
        }
    }
}

#[derive(Debug)]
struct Seat<W> {
    state: SeatState<W>,
    /// Requests that the line has taken, and that have neither been answered nor left it.
    load: usize,
    /// Requests that it can have, as far as is known.
    limit: usize,
}

impl<W> Seat<W> {
    const fn free(&self) -> usize {
        self.limit.saturating_sub(self.load)
    }
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
            free: 0,
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
        let opens = self.cover();
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

    /// A line to open, if the others will not have room for all that wait. To be asked until there
    /// is none, whenever a line may have less room than was counted on.
    pub(super) fn cover(&mut self) -> Option<LineId> {
        (self.waiting.len() > self.free).then(|| self.open(0))
    }

    /// A new line, which has to be opened, with so many requests.
    pub(super) fn open(&mut self, load: usize) -> LineId {
        let seat = Seat {
            state: SeatState::Awake,
            load,
            limit: self.depth,
        };
        self.free += seat.free();
        LineId(self.lines.insert(seat))
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

    /// A line takes what it has room for, oldest first, after so many requests have left it.
    pub(super) fn take(&mut self, line: LineId, room: Room, gone: usize, to: &mut VecDeque<J>) {
        self.awaken(line);
        self.answered(line, gone);
        self.settle(line, room.soon);
        let count = room.now.min(self.waiting.len());
        to.extend(self.waiting.drain(..count).map(|x| x.1));
        self.load(line, |load| load + count);
    }

    /// The line is about to sleep with so much room. `false`: there is something for it to take.
    pub(super) fn sleep(&mut self, line: LineId, room: Room, waker: impl FnOnce() -> W) -> bool {
        self.awaken(line);
        self.settle(line, room.soon);
        if room.now == 0 {
            return true;
        }
        if !self.waiting.is_empty() {
            return false;
        }
        self.lines[line.0].state = SeatState::Hungry {
            room: room.now,
            waker: waker(),
            at: self.hungry.len(),
        };
        self.hungry.push(line);
        true
    }

    /// So many requests that the line had taken are answered, or went elsewhere.
    pub(super) fn answered(&mut self, line: LineId, count: usize) {
        self.load(line, |load| load - count);
    }

    /// The connection of the line has ended; so many of its requests stay with it.
    pub(super) fn ended(&mut self, line: LineId, load: usize) {
        self.awaken(line);
        self.load(line, |_| load);
    }

    /// The line takes no further request.
    pub(super) fn retire(&mut self, line: LineId) {
        self.awaken(line);
        self.settle(line, 0);
    }

    /// The line goes on with another connection.
    pub(super) fn renew(&mut self, line: LineId) {
        self.awaken(line);
        let depth = self.depth;
        self.limit(line, depth);
    }

    /// Requests that wait.
    pub(super) fn waiting(&self) -> usize {
        self.waiting.len()
    }

    /// The line ends, if the others will have room for what waits.
    pub(super) fn leave(&mut self, line: LineId) -> bool {
        if self.waiting.len() > self.free - self.lines[line.0].free() {
            return false;
        }
        self.remove(line);
        true
    }

    /// The line ends, whatever waits. What the others will not have room for is handed out.
    pub(super) fn forsake(&mut self, line: LineId) -> VecDeque<J> {
        self.remove(line);
        self.overflow()
    }

    /// Hands out the youngest of those that wait and that no line will have room for, in their
    /// order.
    pub(super) fn overflow(&mut self) -> VecDeque<J> {
        let held = self.waiting.len().min(self.free);
        let left = self.waiting.split_off(held);
        left.into_iter().map(|x| x.1).collect()
    }

    /// Hands out all that waits.
    pub(super) fn clear(&mut self) -> VecDeque<J> {
        self.waiting.drain(..).map(|x| x.1).collect()
    }

    /// The line will have room for so many more.
    fn settle(&mut self, line: LineId, soon: usize) {
        let limit = self.lines[line.0].load + soon;
        self.limit(line, limit);
    }

    fn limit(&mut self, line: LineId, limit: usize) {
        let seat = &mut self.lines[line.0];
        self.free -= seat.free();
        seat.limit = limit;
        self.free += seat.free();
    }

    fn load(&mut self, line: LineId, load: impl FnOnce(usize) -> usize) {
        let seat = &mut self.lines[line.0];
        self.free -= seat.free();
        seat.load = load(seat.load);
        self.free += seat.free();
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
        self.free -= self.lines.remove(line.0).free();
    }
}

#[cfg(test)]
mod tests;

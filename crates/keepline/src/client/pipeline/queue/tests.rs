//! The queue against a naive model: random steps, the same answers, and nobody waits in vain.

use std::collections::HashMap;

use proptest::prelude::*;

use super::*;

const DEPTH: usize = 3;

/// What happens next; numbers choose among what there is.
#[derive(Debug, Clone, Copy)]
enum Step {
    Push,
    Withdraw {
        choice: usize,
    },
    /// A line that is awake takes what it has room for, less so much, and goes to sleep; of the
    /// rest it will have room for all but so much.
    Turn {
        choice: usize,
        less: usize,
        never: usize,
    },
    /// A line gets an answer, which wakes it.
    Answer {
        choice: usize,
    },
    Retire {
        choice: usize,
    },
    Leave {
        choice: usize,
    },
    Forsake {
        choice: usize,
    },
}

fn step() -> impl Strategy<Value = Step> {
    let choice = any::<usize>;
    prop_oneof![
        8 => Just(Step::Push),
        1 => choice().prop_map(|choice| Step::Withdraw { choice }),
        6 => (choice(), 0..3_usize, 0..3_usize)
            .prop_map(|(choice, less, never)| Step::Turn { choice, less, never }),
        6 => choice().prop_map(|choice| Step::Answer { choice }),
        1 => choice().prop_map(|choice| Step::Retire { choice }),
        3 => choice().prop_map(|choice| Step::Leave { choice }),
        1 => choice().prop_map(|choice| Step::Forsake { choice }),
    ]
}

#[derive(Debug, Default)]
struct Line {
    load: usize,
    /// Requests that it may have in all, as it has said itself.
    limit: usize,
    is_asleep: bool,
    is_retired: bool,
}

impl Line {
    const fn free(&self) -> usize {
        self.limit.saturating_sub(self.load)
    }
}

struct World {
    queue: Queue<u64, usize>,
    waiting: VecDeque<u64>,
    lines: HashMap<usize, Line>,
    next: u64,
}

impl World {
    fn pick(&self, choice: usize, which: impl Fn(&Line) -> bool) -> Option<usize> {
        let mut lines: Vec<usize> = self.lines.keys().copied().collect();
        lines.retain(|line| which(&self.lines[line]));
        lines.sort_unstable();
        lines.get(choice % lines.len().max(1)).copied()
    }

    fn opened(&mut self, line: Option<LineId>) {
        if let Some(line) = line {
            let limit = DEPTH;
            let known = self.lines.insert(
                line.0,
                Line {
                    limit,
                    ..Line::default()
                },
            );
            assert!(known.is_none(), "a place is given to one line at a time");
        }
    }

    fn free(&self) -> usize {
        self.lines.values().map(Line::free).sum()
    }

    fn cover(&mut self) {
        loop {
            let is_short = self.waiting.len() > self.free();
            let line = self.queue.cover();
            assert_eq!(line.is_some(), is_short);
            if line.is_none() {
                return;
            }
            self.opened(line);
        }
    }

    fn push(&mut self) {
        self.next += 1;
        self.waiting.push_back(self.next);
        let free = self.free();
        let pushed = self.queue.push(self.next);
        assert_eq!(pushed.serial, self.next);
        let is_too_much = self.waiting.len() > free;
        assert_eq!(
            pushed.opens.is_some(),
            is_too_much,
            "no line more than it takes"
        );
        self.opened(pushed.opens);
        self.woken(pushed.wake);
    }

    fn woken(&mut self, line: Option<usize>) {
        if let Some(line) = line {
            let line = self.lines.get_mut(&line).expect("it is there");
            assert!(std::mem::take(&mut line.is_asleep), "it is woken once");
        }
    }

    fn rouse(&mut self) {
        let line = self.queue.rouse();
        self.woken(line);
    }

    fn turn(&mut self, line: usize, (less, never): (usize, usize)) {
        let id = LineId(line);
        let load = self.lines[&line].load;
        let left = match self.lines[&line].is_retired {
            true => 0,
            false => DEPTH.saturating_sub(load + never),
        };
        let room = Room {
            now: left.saturating_sub(less),
            soon: left,
        };
        let mut taken = VecDeque::new();
        self.queue.take(id, room, 0, &mut taken);
        for job in &taken {
            assert_eq!(Some(*job), self.waiting.pop_front(), "oldest first");
        }
        let room = room.less(taken.len());
        let state = self.lines.get_mut(&line).expect("it is there");
        state.limit = load + left;
        state.load += taken.len();
        let sleeps = self.queue.sleep(id, room, || line);
        assert!(sleeps, "it has taken what it had room for");
        state.is_asleep = sleeps;
        self.cover();
        self.rouse();
    }

    fn leave(&mut self, choice: usize) {
        let Some(line) = self.pick(choice, |x| x.load == 0) else {
            return;
        };
        // Whoever wants to leave is awake.
        self.queue.ended(LineId(line), 0);
        self.lines.get_mut(&line).expect("it is there").is_asleep = false;
        self.rouse();
        let others = self.free() - self.lines[&line].free();
        let may = self.waiting.len() <= others;
        assert_eq!(self.queue.leave(LineId(line)), may);
        if may {
            self.lines.remove(&line);
        } else {
            self.queue.renew(LineId(line));
            let state = self.lines.get_mut(&line).expect("it is there");
            (state.limit, state.is_retired) = (DEPTH, false);
            self.cover();
        }
    }

    fn take(&mut self, step: Step) {
        match step {
            Step::Push => self.push(),
            Step::Withdraw { choice } => {
                let serial = choice as u64 % (self.next + 1);
                let at = self.waiting.iter().position(|x| *x == serial);
                assert_eq!(self.queue.withdraw(serial), at.map(|_| serial));
                at.map(|at| self.waiting.remove(at));
            }
            Step::Turn {
                choice,
                less,
                never,
            } => {
                if let Some(line) = self.pick(choice, |x| !x.is_asleep) {
                    self.turn(line, (less, never));
                }
            }
            Step::Answer { choice } => {
                if let Some(line) = self.pick(choice, |x| x.load > 0) {
                    self.queue.answered(LineId(line), 1);
                    let state = self.lines.get_mut(&line).expect("it is there");
                    state.load -= 1;
                    state.is_asleep = false;
                    self.turn(line, (0, 0));
                }
            }
            Step::Retire { choice } => {
                if let Some(line) = self.pick(choice, |x| x.load > 0) {
                    let state = self.lines.get_mut(&line).expect("it is there");
                    (state.is_retired, state.is_asleep) = (true, false);
                    state.limit = state.load;
                    self.queue.retire(LineId(line));
                    self.cover();
                    self.rouse();
                }
            }
            Step::Leave { choice } => self.leave(choice),
            Step::Forsake { choice } => {
                if let Some(line) = self.pick(choice, |_| true) {
                    self.lines.remove(&line);
                    let released = self.queue.forsake(LineId(line));
                    let held = self.waiting.len().min(self.free());
                    let youngest = self.waiting.split_off(held);
                    assert_eq!(youngest, released);
                    self.rouse();
                }
            }
        }
    }

    fn check(&self) {
        assert_eq!(self.queue.waiting(), self.waiting.len());
        let is_over = self.waiting.is_empty() && self.lines.is_empty();
        assert_eq!(self.queue.is_over(), is_over);
        assert!(
            self.waiting.len() <= self.free(),
            "somebody counts on nothing"
        );
        // Who waits for room that a line will have is woken by what gives it that room.
        let is_cared_for = self.lines.values().any(|x| !x.is_asleep);
        let are_full = self.queue.hungry.is_empty();
        assert!(
            self.waiting.is_empty() || is_cared_for || are_full,
            "{} wait in vain for {:?}",
            self.waiting.len(),
            self.lines
        );
        let awake = self.lines.values().filter(|x| !x.is_asleep).count();
        let woken = |x: &Seat<usize>| matches!(x.state, SeatState::Woken { .. });
        let woken = self.queue.lines.iter().filter(|x| woken(x.1)).count();
        assert!(woken <= awake, "who was woken has not slept on");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, ..ProptestConfig::default() })]

    #[test]
    fn random_schedules_keep_the_order_and_nobody_waits_in_vain(
        steps in prop::collection::vec(step(), 1..100),
    ) {
        let mut world = World {
            queue: Queue::new(DEPTH),
            waiting: VecDeque::new(),
            lines: HashMap::new(),
            next: 0,
        };
        for step in steps {
            world.take(step);
            world.check();
        }
    }
}

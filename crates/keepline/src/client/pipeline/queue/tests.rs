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
    /// A line that is awake takes what it has room for, less so much, and goes to sleep.
    Turn {
        choice: usize,
        less: usize,
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
        6 => (choice(), 0..3_usize).prop_map(|(choice, less)| Step::Turn { choice, less }),
        6 => choice().prop_map(|choice| Step::Answer { choice }),
        1 => choice().prop_map(|choice| Step::Retire { choice }),
        3 => choice().prop_map(|choice| Step::Leave { choice }),
        1 => choice().prop_map(|choice| Step::Forsake { choice }),
    ]
}

#[derive(Debug, Default)]
struct Line {
    load: usize,
    is_asleep: bool,
    is_retired: bool,
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
            let known = self.lines.insert(line.0, Line::default());
            assert!(known.is_none(), "a place is given to one line at a time");
        }
    }

    fn push(&mut self) {
        self.next += 1;
        self.waiting.push_back(self.next);
        let taken: usize = self.lines.values().map(|x| x.load).sum();
        let usable = self.lines.values().filter(|x| !x.is_retired).count();
        let pushed = self.queue.push(self.next);
        assert_eq!(pushed.serial, self.next);
        let is_too_much = self.waiting.len() + taken > usable * DEPTH;
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

    fn turn(&mut self, line: usize, less: usize) {
        let id = LineId(line);
        let load = self.lines[&line].load;
        let is_retired = self.lines[&line].is_retired;
        let room = if is_retired {
            0
        } else {
            DEPTH.saturating_sub(load)
        };
        let mut taken = VecDeque::new();
        self.queue
            .take(id, room.saturating_sub(less), 0, &mut taken);
        for job in &taken {
            assert_eq!(Some(*job), self.waiting.pop_front(), "oldest first");
        }
        let state = self.lines.get_mut(&line).expect("it is there");
        state.load += taken.len();
        let sleeps = self.queue.sleep(id, room - taken.len(), || line);
        assert_eq!(sleeps, room == taken.len() || self.waiting.is_empty());
        state.is_asleep = sleeps;
    }

    fn leave(&mut self, choice: usize) {
        let Some(line) = self.pick(choice, |x| x.load == 0) else {
            return;
        };
        let may = self.waiting.is_empty() || self.lines[&line].is_retired;
        if !may {
            // Whoever wants to leave is awake.
            self.lines.get_mut(&line).expect("it is there").is_asleep = false;
            self.queue.take(LineId(line), 0, 0, &mut VecDeque::new());
        }
        assert_eq!(self.queue.leave(LineId(line)), may);
        if may {
            self.lines.remove(&line);
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
            Step::Turn { choice, less } => {
                if let Some(line) = self.pick(choice, |x| !x.is_asleep) {
                    self.turn(line, less);
                    self.rouse();
                }
            }
            Step::Answer { choice } => {
                if let Some(line) = self.pick(choice, |x| x.load > 0) {
                    self.queue.answered(1);
                    let state = self.lines.get_mut(&line).expect("it is there");
                    state.load -= 1;
                    state.is_asleep = false;
                    self.turn(line, 0);
                    self.rouse();
                }
            }
            Step::Retire { choice } => {
                if let Some(line) = self.pick(choice, |x| x.load > 0) {
                    let state = self.lines.get_mut(&line).expect("it is there");
                    (state.is_retired, state.is_asleep) = (true, false);
                    let opens = self.queue.retire(LineId(line));
                    self.opened(opens);
                    self.rouse();
                }
            }
            Step::Leave { choice } => self.leave(choice),
            Step::Forsake { choice } => {
                if let Some(line) = self.pick(choice, |_| true) {
                    let load = self.lines.remove(&line).map_or(0, |x| x.load);
                    self.queue.answered(load);
                    let released = self.queue.forsake(LineId(line));
                    if self.lines.values().all(|x| x.is_retired) {
                        assert_eq!(std::mem::take(&mut self.waiting), released);
                    } else {
                        assert!(released.is_empty());
                        self.rouse();
                    }
                }
            }
        }
    }

    fn check(&self) {
        assert_eq!(self.queue.waiting(), self.waiting.len());
        let is_over = self.waiting.is_empty() && self.lines.is_empty();
        assert_eq!(self.queue.is_over(), is_over);
        let usable = || self.lines.values().filter(|x| !x.is_retired);
        let is_cared_for = usable().any(|x| !x.is_asleep);
        let are_full = usable().count() > 0 && usable().all(|x| x.load == DEPTH);
        assert!(
            self.waiting.is_empty() || is_cared_for || are_full,
            "{} wait in vain for {:?}",
            self.waiting.len(),
            self.lines
        );
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

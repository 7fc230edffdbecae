//! Dials that lost the race against a connection that came back are left to the next request.

use super::*;

/// Clients that send one request after the other, each of which finds what it finds.
struct Clients {
    pool: Pool,
    now: Now,
    slot: KeySlot,
    dials: VecDeque<OpenReason>,
    busy: Vec<Fake>,
    opened: u32,
}

impl Clients {
    fn start() -> Self {
        let now = Now::read();
        let mut pool = Pool::new(Limits::default(), HashMap::new(), now.instant);
        let slot = KeySlot(pool.slot(&1));
        Self {
            pool,
            now,
            slot,
            dials: VecDeque::new(),
            busy: Vec::new(),
            opened: 0,
        }
    }

    fn ask(&mut self) -> Option<(WaiterId, Supply)> {
        let mut effects = Effects::default();
        match self.pool.checkout(&1, None, self.now, &mut effects) {
            Checkout::Hit { connection, .. } => {
                self.busy.push(connection);
                None
            }
            Checkout::Miss { slot } => {
                self.slot = slot;
                let (id, supply) = self.pool.enqueue(slot, 0, &mut effects);
                if let Supply::Dial(reason) = supply {
                    self.dials.push_back(reason);
                }
                Some((id, supply))
            }
        }
    }

    fn give(&mut self, fake: Fake) {
        let mut effects = Effects::default();
        let given = self
            .pool
            .give(self.slot, fake, None, self.now, &mut effects);
        if let Given::To { connection, .. } = given {
            self.busy.push(connection);
        }
        assert!(effects.dials.is_empty());
    }

    fn dial_ends(&mut self) {
        let reason = self.dials.pop_front().expect("there is a dial");
        self.opened += 1;
        let fake = Fake {
            id: u64::from(self.opened),
            served: false,
            home: 0,
        };
        self.pool.opened(self.slot, reason, &fake);
        self.give(fake);
    }

    /// The request on the connection that was taken last has its answer.
    fn answered(&mut self) {
        let mut fake = self.busy.pop().expect("one is busy");
        fake.served = true;
        self.give(fake);
    }
}

#[test]
fn no_more_connections_are_opened_than_there_are_requests_at_a_time() {
    let mut clients = Clients::start();
    for _ in 0..64 {
        clients.ask();
    }
    // One dial is through, and its connection serves one request after the other, while all other
    // dials take their time.
    clients.dial_ends();
    for _ in 0..1_000 {
        clients.answered();
        clients.ask();
    }
    while !clients.dials.is_empty() {
        clients.dial_ends();
    }
    assert_eq!(clients.opened, 64);
}

#[test]
fn a_dial_on_which_somebody_counts_and_that_is_stuck_is_joined_by_another() {
    let mut clients = Clients::start();
    clients.ask();
    clients.dial_ends();
    clients.ask();
    clients.answered();
    // It was for the second request, which was served by the connection of the first.
    assert_eq!(clients.dials.len(), 1);
    let (third, supply) = clients.ask().expect("the only connection is busy");
    assert_eq!(supply, Supply::Dialling);
    let mut effects = Effects::default();
    assert!(clients.pool.dial_after_all(third, &mut effects));
    assert!(effects.dials.is_empty(), "it still counts on that one");
    clients.pool.dial_besides(third, &mut effects);
    assert_eq!(effects.dials.len(), 1);
    // Who is served, or has gone, dials no more.
    clients.answered();
    let mut effects = Effects::default();
    clients.pool.dial_besides(third, &mut effects);
    assert!(effects.dials.is_empty());
}

#[test]
fn the_failure_of_a_dial_ends_the_wait_that_counted_on_it() {
    let mut clients = Clients::start();
    clients.ask();
    clients.dial_ends();
    let (second, _) = clients.ask().expect("the only connection is busy");
    clients.answered();
    let (third, _) = clients.ask().expect("the only connection is busy");
    let mut effects = Effects::default();
    let slot = clients.slot;
    let failed = clients.pool.dial_failed(slot, Some(second), &mut effects);
    assert_eq!(failed, Some(0));
    assert!(effects.dials.is_empty());
    assert_eq!(clients.pool.cancel(third), None, "it waits no more");
}

//! A burst of misses costs each of them the same, however many there are.

use rustix::time::{ClockId, clock_gettime};

use super::*;

/// What this thread has used of a core. The time of the clock on the wall grows with whatever else
/// the machine does.
fn used() -> Duration {
    Duration::try_from(clock_gettime(ClockId::ThreadCPUTime)).expect("a clock counts upwards")
}

/// So many ask at once, are served one after the other, and all connections become idle.
fn burst(requests: u32, limits: Limits) -> Duration {
    let now = Now::read();
    let mut pool = Pool::new(limits, HashMap::new(), now.instant);
    let used_before = used();
    let mut effects = Effects::default();
    let mut dials = VecDeque::new();
    let mut slot = None;
    for waiter in 0..requests {
        let Checkout::Miss { slot: of_key } = pool.checkout(&1, None, now, &mut effects) else {
            panic!("nothing is idle");
        };
        slot = Some(of_key);
        if let (_, Supply::Dial(reason)) = pool.enqueue(of_key, waiter, &mut effects) {
            dials.push_back(reason);
        }
    }
    let slot = slot.expect("somebody asked");
    let (mut busy, mut next, mut id) = (VecDeque::new(), 0, 0);
    loop {
        dials.extend(effects.dials.drain(..).map(|demand| demand.reason));
        let fake = if let Some(reason) = dials.pop_front() {
            id += 1;
            let fake = Fake {
                id,
                served: false,
                home: 0,
            };
            pool.opened(slot, reason, &fake);
            fake
        } else if let Some(fake) = busy.pop_front() {
            fake
        } else {
            break;
        };
        if let Given::To { waiter, connection } = pool.give(slot, fake, None, now, &mut effects) {
            assert_eq!(waiter, next, "first come, first served");
            next += 1;
            busy.push_back(connection);
        }
    }
    assert_eq!(next, requests);
    used() - used_before
}

/// Eight times the requests take eight times as long, or so: were each to cost as much as there are
/// others, it would be 64 times.
#[test]
fn time_grows_with_the_number_of_misses_and_no_faster() {
    let unlimited = Limits {
        idle: 1 << 20,
        ..Limits::default()
    };
    let capped = Limits {
        connections: Some(10),
        ..Limits::default()
    };
    for limits in [unlimited, capped] {
        // The quickest of several, since others use the caches of this machine too.
        let quickest = |requests| (0..7).map(|_| burst(requests, limits)).min().unwrap();
        let (few, many) = (quickest(2_000), quickest(16_000));
        assert!(many < few * 28, "2,000 in {few:?}, 16,000 in {many:?}");
    }
}

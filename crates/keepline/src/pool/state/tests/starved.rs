//! Keys that wait for room under the limit of all connections, one step at a time.

use super::*;

/// What became of a connection that came back.
fn given(given: &Given<Fake, u32>) -> &'static str {
    match given {
        Given::To { .. } => "to who waits",
        Given::Idle { .. } => "idle",
        Given::Refused { .. } => "closed",
    }
}

/// A request for `key`, which finds nothing, and the dial that it starts.
fn ask(pool: &mut Pool, key: u8, now: Now) -> (KeySlot, Supply) {
    let mut effects = Effects::default();
    let Checkout::Miss { slot } = pool.checkout(&key, None, now, &mut effects) else {
        panic!("nothing is idle");
    };
    let (_, supply) = pool.enqueue(slot, u32::from(key), &mut effects);
    (slot, supply)
}

#[test]
fn a_key_whose_waiters_were_served_keeps_no_room_from_others() {
    let limits = Limits {
        connections: Some(2),
        ..Limits::default()
    };
    let now = Now::read();
    let mut pool = Pool::new(limits, HashMap::new(), now.instant);
    let fake = |id| Fake {
        id,
        served: true,
        home: 0,
    };
    let give = |pool: &mut Pool, slot, id| {
        let fake = fake(id);
        let mut effects = Effects::default();
        given(&pool.give(slot, fake, None, now, &mut effects))
    };
    // Two connections, as many as there may be, one for each of two keys.
    for (key, id) in [(1, 1), (2, 2)] {
        let (slot, supply) = ask(&mut pool, key, now);
        assert!(matches!(supply, Supply::Dial(_)));
        pool.opened(slot, OpenReason::First, &fake(id));
        assert_eq!(give(&mut pool, slot, id), "to who waits");
    }
    // A second request for the first key has to wait for room, and gets what comes back.
    let (first, supply) = ask(&mut pool, 1, now);
    assert_eq!(supply, Supply::Limited);
    assert_eq!(give(&mut pool, first, 1), "to who waits");
    // Nobody waits for room any more: what comes back to the other key stays.
    let second = KeySlot(pool.index[&2]);
    assert_eq!(give(&mut pool, second, 2), "idle");
}

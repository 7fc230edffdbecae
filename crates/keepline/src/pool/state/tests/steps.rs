//! What may happen to a pool, and the limits it happens under, made up at random.

use std::time::Duration;

use proptest::prelude::*;

use super::{IdleOrder, KeyLimits, Limits, OnMiss};

/// What a random schedule does next; numbers choose among what there is.
#[derive(Debug, Clone, Copy)]
pub(super) enum Step {
    /// Ask from a runtime, or from one that has no connections.
    Ask {
        key: u8,
        home: Option<usize>,
    },
    /// Dial beside the queue.
    AskAlone {
        key: u8,
    },
    LoseDial {
        choice: usize,
    },
    DialEnds {
        choice: usize,
        opens: bool,
    },
    Return {
        choice: usize,
    },
    Lose {
        choice: usize,
    },
    /// The rest of a body is being read from a busy connection.
    Drain {
        choice: usize,
    },
    /// A waiter has waited long enough for a connection that was to come back.
    GiveUp {
        choice: usize,
    },
    Cancel {
        choice: usize,
    },
    Pass {
        milliseconds: u64,
    },
    Expire,
    Warm {
        key: u8,
        count: usize,
    },
    /// The reaper takes an idle connection out to look at it,
    Look {
        choice: usize,
    },
    /// and puts it back, or closes it.
    LookEnds {
        choice: usize,
        is_alive: bool,
    },
    ShutDown,
}

/// Any step, the everyday ones more often.
pub(super) fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => (0..3_u8, prop::option::of(0..3_usize))
            .prop_map(|(key, home)| Step::Ask { key, home }),
        1 => (0..3_u8).prop_map(|key| Step::AskAlone { key }),
        1 => any::<usize>().prop_map(|choice| Step::LoseDial { choice }),
        6 => (any::<usize>(), prop::bool::weighted(0.8))
            .prop_map(|(choice, opens)| Step::DialEnds { choice, opens }),
        5 => any::<usize>().prop_map(|choice| Step::Return { choice }),
        1 => any::<usize>().prop_map(|choice| Step::Lose { choice }),
        2 => any::<usize>().prop_map(|choice| Step::Drain { choice }),
        1 => any::<usize>().prop_map(|choice| Step::GiveUp { choice }),
        1 => any::<usize>().prop_map(|choice| Step::Cancel { choice }),
        2 => (0..400_u64).prop_map(|milliseconds| Step::Pass { milliseconds }),
        1 => Just(Step::Expire),
        1 => (0..3_u8, 0..4_usize).prop_map(|(key, count)| Step::Warm { key, count }),
        2 => any::<usize>().prop_map(|choice| Step::Look { choice }),
        2 => (any::<usize>(), any::<bool>())
            .prop_map(|(choice, is_alive)| Step::LookEnds { choice, is_alive }),
        1 => prop::bool::weighted(0.1)
            .prop_map(|ends| if ends { Step::ShutDown } else { Step::Expire }),
    ]
}

/// Small limits, so that they are met.
pub(super) fn limits() -> impl Strategy<Value = Limits> {
    let on_miss = prop_oneof![
        Just(OnMiss::Race),
        Just(OnMiss::Wait(Duration::from_millis(10))),
    ];
    let order = prop_oneof![
        Just(IdleOrder::Lifo),
        Just(IdleOrder::Fifo),
        Just(IdleOrder::LeastUsed),
    ];
    let maybe = |range: std::ops::Range<usize>| prop::option::of(range);
    (
        1..5_usize,
        maybe(1..7),
        1..4_usize,
        maybe(1..5),
        1..4_usize,
        on_miss,
        order,
    )
        .prop_map(
            |(idle, connections, key_idle, key_connections, dials, on_miss, order)| Limits {
                idle,
                connections,
                remembered_keys: 2,
                per_key: KeyLimits {
                    idle: key_idle,
                    connections: key_connections,
                    dials,
                    min_idle: 0,
                    idle_timeout: Some(Duration::from_secs(1)),
                    order,
                    on_miss,
                    // The model has only the limits that it is told.
                    learns: false,
                },
            },
        )
}

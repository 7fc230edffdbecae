//! What may happen to a pool, and how to make it up.

use std::time::Duration;

use proptest::prelude::*;

use super::KEYS;
use crate::pool::policy::Limits;

/// One thing that happens. Numbers choose among what there is, modulo how many there are.
#[derive(Debug, Clone)]
pub(super) enum Op {
    Request(u8),
    Cancel(usize),
    GiveUpOnDrain(usize),
    DialOpens(usize),
    DialFails(usize),
    DialIsLost(usize),
    DialAlone(u8),
    AloneOpens(usize),
    AloneFails(usize),
    Give(usize),
    Close(usize),
    Drain(usize),
    /// The reaper looks at an idle connection and finds it alive.
    Look(usize),
    /// The same, and it is dead.
    Reap(usize),
    Pass(u64),
    Expire,
    CloseIdle,
    ShutDown,
}

/// Any of them, the everyday ones more often.
pub(super) fn op() -> impl Strategy<Value = Op> {
    let any = 0..8_usize;
    prop_oneof![
        8 => (0..KEYS).prop_map(Op::Request),
        2 => any.clone().prop_map(Op::Cancel),
        2 => any.clone().prop_map(Op::GiveUpOnDrain),
        6 => any.clone().prop_map(Op::DialOpens),
        2 => any.clone().prop_map(Op::DialFails),
        1 => any.clone().prop_map(Op::DialIsLost),
        1 => (0..KEYS).prop_map(Op::DialAlone),
        1 => any.clone().prop_map(Op::AloneOpens),
        1 => any.clone().prop_map(Op::AloneFails),
        6 => any.clone().prop_map(Op::Give),
        3 => any.clone().prop_map(Op::Close),
        3 => any.clone().prop_map(Op::Drain),
        1 => any.clone().prop_map(Op::Look),
        1 => any.prop_map(Op::Reap),
        2 => (0..60_u64).prop_map(Op::Pass),
        1 => Just(Op::Expire),
        1 => Just(Op::CloseIdle),
        1 => prop::bool::weighted(0.05).prop_map(|x| if x { Op::ShutDown } else { Op::Expire }),
    ]
}

/// Small limits, so that they are met.
pub(super) fn limits() -> impl Strategy<Value = Limits> {
    let timeout = prop_oneof![Just(None), Just(Some(Duration::from_secs(90)))];
    (0..6_usize, 0..4_usize, 1..4_usize, timeout, 0..3_usize).prop_map(
        |(idle_total, idle_per_key, dials_per_key, idle_timeout, remembered_keys)| Limits {
            idle_total,
            idle_per_key,
            dials_per_key,
            idle_timeout,
            remembered_keys,
        },
    )
}

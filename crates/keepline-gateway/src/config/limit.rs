//! `limit_req`: how many requests a client may make in a time.

use super::{Template, ZoneId};

/// `limit_req_zone`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LimitReqZone {
    /// `zone=NAME:`.
    pub name: Box<str>,
    /// Whose requests are counted together. Requests for which it is empty are not limited.
    pub key: Template,
    /// Bytes for its states: the states that are not used longest make room. An entry takes 128
    /// bytes, as in nginx on a 64-bit machine.
    pub size: usize,
    /// Requests in 1000 seconds: `10r/s` is 10000, `30r/m` is 500.
    pub rate: u64,
}

/// How many of a burst wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Delay {
    /// `delay=N`: so many requests beyond the rate pass at once, the rest waits. Default 0.
    After(u32),
    /// `nodelay`: none waits.
    None,
}

/// `limit_req`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LimitReq {
    /// `zone=`.
    pub zone: ZoneId,
    /// `burst=`: how many requests beyond the rate are not refused. Default 0.
    pub burst: u32,
    /// `delay=` or `nodelay`.
    pub delay: Delay,
}

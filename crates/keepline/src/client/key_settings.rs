//! The settings of one key, and whether limits make sense together.

use std::time::Duration;

use super::builder::bad;
use crate::error::Error;
use crate::pool::{IdleOrder, KeyLimits, Limits, OnMiss};

/// Settings of one key (scheme, host and port). What is not set is as for all keys.
#[derive(Debug, Clone, Default)]
#[must_use]
pub struct KeySettings {
    idle: Option<usize>,
    connections: Option<usize>,
    dials: Option<usize>,
    min_idle: Option<usize>,
    idle_timeout: Option<IdleTimeout>,
    order: Option<IdleOrder>,
    on_miss: Option<OnMiss>,
    learns: Option<bool>,
    pipeline: Option<usize>,
}

/// An idle timeout that was set, if only to none.
#[derive(Debug, Clone, Copy)]
struct IdleTimeout(Option<Duration>);

impl KeySettings {
    /// Nothing set.
    pub fn new() -> Self {
        Self::default()
    }

    /// Idle connections; above it the *oldest* of the key is closed (Go closes the one that comes
    /// back). Default: as many as in all (Go: 2, which is churn for any program that does more
    /// than two things at once). 0: none is kept.
    pub const fn max_idle(mut self, connections: usize) -> Self {
        self.idle = Some(connections);
        self
    }

    /// Connections that are dialling, busy or idle; above it requests wait, first come, first
    /// served. Default: no limit, as Go's `MaxConnsPerHost`.
    pub const fn max_connections(mut self, connections: usize) -> Self {
        self.connections = Some(connections);
        self
    }

    /// Dials that may be in progress at once; further requests wait for one of them. Default 64
    /// (Go: no limit).
    pub const fn max_dials(mut self, dials: usize) -> Self {
        self.dials = Some(dials);
        self
    }

    /// Connections that are kept ready, idle or on their way, once the key has been used. Default
    /// 0. Over HTTP/2 none is opened for it: one session has room for many requests.
    pub const fn min_idle(mut self, connections: usize) -> Self {
        self.min_idle = Some(connections);
        self
    }

    /// How long a connection may be idle before it is closed, by the monotonic clock and by the
    /// wall clock, so that a machine that was suspended does not use dead ones. Default 90 s, as
    /// Go. `None`: for ever, which loses the race against every server that does not wait too.
    pub fn idle_timeout(mut self, timeout: impl Into<Option<Duration>>) -> Self {
        self.idle_timeout = Some(IdleTimeout(timeout.into()));
        self
    }

    /// Which idle connection is used first. Default: the one that came back last.
    pub const fn idle_order(mut self, order: IdleOrder) -> Self {
        self.order = Some(order);
        self
    }

    /// What a request does that finds no idle connection. Default: it dials at once, and takes
    /// what comes first.
    pub const fn on_miss(mut self, on_miss: OnMiss) -> Self {
        self.on_miss = Some(on_miss);
        self
    }

    /// Whether the server's idle limit is learned from the connections that it closes, where it
    /// sends no `Keep-Alive: timeout=`. Default on. Two closes after about the same idle time make
    /// a limit; connections are then given up a tenth (50 ms to 2 s) before it.
    pub const fn learn_idle_limit(mut self, learn: bool) -> Self {
        self.learns = Some(learn);
        self
    }

    /// Requests that may share a connection before the first of them is answered (pipelining, RFC
    /// 9112 §9.3.2). Default: 1, which is no pipelining, as in Go. 0 is an error.
    ///
    /// Only requests with a safe method (GET, HEAD, OPTIONS, TRACE; RFC 9110 §9.2.1) are pipelined,
    /// with at most 16 KiB of content that lies in memory, and without Connection, Upgrade or
    /// Expect. All others go the usual way, PUT and DELETE too: a request that waits behind a slow
    /// answer is sent again elsewhere while the server may still carry out its first copy, which
    /// does no harm only where nothing is changed. This is no failure, and happens with
    /// [`retry`](super::TransportBuilder::retry) off too, at most three times for a request.
    ///
    /// A request shares a connection of its runtime before another is opened. Each server is tried
    /// first, and where it does not bear pipelining its requests go the usual way for ten minutes.
    ///
    /// Pipelined requests speak HTTP/1.1, also to a server that offers HTTP/2, which knows no such
    /// waiting; with HTTP/2 alone this is an error of
    /// [`build`](super::TransportBuilder::build).
    ///
    /// Answers come in order, so that a slow one holds up those behind it: 8 to 16 gain most of
    /// what there is to gain. Content that nobody reads holds them up for 250 ms, and content that
    /// does not end, as of a stream of events, for 1 s, then they go to another connection; behind
    /// an answer that has taken 1 s nothing more is sent. A server that answers in the wrong order cannot be told from one that
    /// does not: pipeline only to servers that you trust to speak HTTP.
    pub const fn pipeline(mut self, depth: usize) -> Self {
        self.pipeline = Some(depth);
        self
    }

    /// How many requests may share a connection, if that is asked for.
    pub(super) fn depth(&self) -> Result<Option<usize>, Error> {
        match self.pipeline {
            Some(0) => Err(bad(
                "a pipeline of depth 0 could carry no request: 1 is none",
            )),
            depth => Ok(depth),
        }
    }

    pub(super) fn limits(&self, base: &KeyLimits) -> KeyLimits {
        KeyLimits {
            idle: self.idle.unwrap_or(base.idle),
            connections: self.connections.or(base.connections),
            dials: self.dials.unwrap_or(base.dials),
            min_idle: self.min_idle.unwrap_or(base.min_idle),
            idle_timeout: self
                .idle_timeout
                .map_or(base.idle_timeout, |timeout| timeout.0),
            order: self.order.unwrap_or(base.order),
            on_miss: self.on_miss.unwrap_or(base.on_miss),
            learns: self.learns.unwrap_or(base.learns),
        }
    }
}

/// # Errors
/// With these limits nothing could work.
pub(super) fn check_limits(limits: &Limits, of_key: &KeyLimits) -> Result<(), Error> {
    let most = match (limits.connections, of_key.connections) {
        (Some(all), Some(one)) => Some(all.min(one)),
        (all, one) => all.or(one),
    };
    if most == Some(0) || of_key.dials == 0 {
        return Err(bad(
            "max_connections or max_dials is 0: no connection could ever be opened",
        ));
    }
    if of_key.min_idle > of_key.idle.min(limits.idle) {
        return Err(bad("min_idle is above max_idle"));
    }
    if most.is_some_and(|most| of_key.min_idle > most) {
        return Err(bad("min_idle is above max_connections"));
    }
    if of_key.idle_timeout == Some(Duration::ZERO) {
        return Err(bad(
            "idle_timeout is 0: use max_idle(0) to keep no connection",
        ));
    }
    Ok(())
}

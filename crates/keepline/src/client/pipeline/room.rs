//! How many further requests a line takes, and what may keep it from taking any.

use std::time::Duration;

use keepline_proto::Persistence;
use tokio::time::Instant;

use super::line::Line;
use super::queue::Room;
use super::verdict::Cause;
use crate::CloseReason;
use crate::pool::Pressure;

/// An answer that has not ended after so long keeps no further request waiting: what is asked from
/// then on goes to another connection.
const HOLDS_UP_AFTER: Duration = Duration::from_secs(1);

impl Line {
    /// Why a connection that is well carries no further request. A server that wants its
    /// connections to carry one each makes those wait that are to share them, as one that closes.
    pub(super) fn ended_by(&self, now: Instant) -> Cause {
        let over = self.lease.as_ref().and_then(|lease| lease.over(0, now));
        match over {
            Some(CloseReason::MaxRequests | CloseReason::KeepAliveHint) if self.answered <= 1 => {
                Cause::Closed
            }
            _ => Cause::Ours,
        }
    }

    /// How many requests can be sent.
    pub(super) fn window(&self, now: Instant) -> Room {
        let Some(lease) = &self.lease else {
            return Room::NONE;
        };
        let driver = &lease.connection().driver;
        let is_last = self.is_retired
            || self.write_failure.is_some()
            || self.is_held_up(now)
            || matches!(driver.proto.persistence(), Persistence::Close(_));
        if is_last {
            return Room::NONE;
        }
        let flight = self.flight.len();
        let left = usize::try_from(lease.left(flight as u64, now)).unwrap_or(usize::MAX);
        let window = self
            .pace
            .window(self.pipeline.depth)
            .min(flight.saturating_add(left));
        let has_way = driver.wants_content() && self.stalled_at.is_none();
        Room {
            now: if has_way {
                window.saturating_sub(flight)
            } else {
                0
            },
            soon: self.pipeline.depth.saturating_sub(flight).min(left),
        }
    }

    /// How many requests it has room for besides those it has.
    pub(super) fn room(&self, now: Instant) -> Room {
        self.window(now).less(self.next.len())
    }

    /// An answer takes so long that nothing more is sent behind it.
    pub(super) fn is_held_up(&self, now: Instant) -> bool {
        let taken = now.saturating_duration_since(self.head_since);
        !self.flight.is_empty() && taken >= HOLDS_UP_AFTER
    }

    /// When it will be held up.
    pub(super) fn holds_up_at(&self) -> Instant {
        self.head_since + HOLDS_UP_AFTER
    }

    /// Somebody waits for a connection who cannot share this one, and it has had its share.
    pub(super) fn is_wanted(&self, pressure: Pressure) -> bool {
        let waits = pressure.waiting > self.pipeline.lines_opening();
        self.sent >= self.pipeline.depth as u64 && (waits || pressure.is_felt_elsewhere)
    }
}

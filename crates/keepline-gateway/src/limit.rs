//! `limit_req`: a leaky bucket for each key, in a zone of limited size.
//!
//! nginx's arithmetic (`ngx_http_limit_req_lookup`): the excess over the rate is counted in
//! thousandths of a request.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use crate::config::{Delay, LimitReq, LimitReqZone, Template};

/// Bytes of a zone that an entry takes, as in nginx.
const ENTRY: usize = 128;

/// What becomes of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// It goes on.
    Pass,
    /// It goes on after this time.
    Delay(Duration),
    /// It is refused.
    Reject,
}

/// A zone, shared by all workers and all scopes that name it.
#[derive(Debug)]
pub(crate) struct Zone {
    spec: LimitReqZone,
    buckets: Mutex<Buckets>,
}

impl Zone {
    pub(crate) fn new(spec: &LimitReqZone) -> Self {
        Self {
            spec: spec.clone(),
            buckets: Mutex::new(Buckets::new((spec.size / ENTRY).max(1))),
        }
    }

    /// It is what a configuration asks for.
    pub(crate) fn is_like(&self, spec: &LimitReqZone) -> bool {
        self.spec == *spec
    }

    pub(crate) const fn key(&self) -> &Template {
        &self.spec.key
    }

    /// Whether a request of `key` would be refused; it is not counted.
    pub(crate) fn refuses(&self, key: &[u8], limit: &LimitReq, now: Instant) -> bool {
        let buckets = self.buckets.lock().unwrap_or_else(PoisonError::into_inner);
        let known = buckets.by_key.get(key);
        known.is_some_and(|bucket| bucket.excess_at(self.spec.rate, now) > limit.most())
    }

    /// Counts a request of `key` that all zones let pass, and says how long it waits.
    pub(crate) fn charge(&self, key: &[u8], limit: &LimitReq, now: Instant) -> Duration {
        let unlimited = LimitReq {
            burst: u32::MAX,
            ..limit.clone()
        };
        match self.ask(key, &unlimited, now) {
            Verdict::Delay(time) => time,
            Verdict::Pass | Verdict::Reject => Duration::ZERO,
        }
    }

    /// Counts a request of `key`, unless it is refused.
    pub(crate) fn ask(&self, key: &[u8], limit: &LimitReq, now: Instant) -> Verdict {
        let mut buckets = self.buckets.lock().unwrap_or_else(PoisonError::into_inner);
        buckets.ask(key, self.spec.rate, limit, now)
    }
}

/// The buckets of a zone. The one that was used longest ago makes room.
#[derive(Debug)]
struct Buckets {
    most: usize,
    by_key: HashMap<Box<[u8]>, Bucket>,
    /// Keys by when they were used.
    by_use: BTreeMap<u64, Box<[u8]>>,
    uses: u64,
}

#[derive(Debug)]
struct Bucket {
    excess: u64,
    last: Instant,
    used: u64,
}

impl Bucket {
    /// The excess with a further request.
    fn excess_at(&self, rate: u64, now: Instant) -> u64 {
        let elapsed = now.saturating_duration_since(self.last).as_millis();
        let drained = u64::try_from(elapsed)
            .unwrap_or(u64::MAX)
            .saturating_mul(rate)
            / 1000;
        (self.excess + 1000).saturating_sub(drained)
    }
}

impl LimitReq {
    /// The largest excess, in thousandths of a request.
    fn most(&self) -> u64 {
        u64::from(self.burst) * 1000
    }
}

impl Buckets {
    fn new(most: usize) -> Self {
        Self {
            most,
            by_key: HashMap::new(),
            by_use: BTreeMap::new(),
            uses: 0,
        }
    }

    fn ask(&mut self, key: &[u8], rate: u64, limit: &LimitReq, now: Instant) -> Verdict {
        self.uses += 1;
        let uses = self.uses;
        let Some(bucket) = self.by_key.get_mut(key) else {
            self.add(key, now);
            return Verdict::Pass;
        };
        if let Some(own) = self.by_use.remove(&bucket.used) {
            self.by_use.insert(uses, own);
        }
        bucket.used = uses;
        let excess = bucket.excess_at(rate, now);
        if excess > limit.most() {
            return Verdict::Reject;
        }
        bucket.excess = excess;
        bucket.last = now;
        match limit.delay {
            Delay::None => Verdict::Pass,
            Delay::After(free) => {
                let late = excess.saturating_sub(u64::from(free) * 1000);
                match late * 1000 / rate.max(1) {
                    0 => Verdict::Pass,
                    millis => Verdict::Delay(Duration::from_millis(millis)),
                }
            }
        }
    }

    fn add(&mut self, key: &[u8], now: Instant) {
        if self.by_key.len() >= self.most
            && let Some((_, oldest)) = self.by_use.pop_first()
        {
            self.by_key.remove(&oldest);
        }
        self.by_use.insert(self.uses, key.into());
        let bucket = Bucket {
            excess: 0,
            last: now,
            used: self.uses,
        };
        self.by_key.insert(key.into(), bucket);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::ZoneId;

    fn limit(burst: u32, delay: Delay) -> LimitReq {
        LimitReq {
            zone: ZoneId(0),
            burst,
            delay,
        }
    }

    #[test]
    fn a_burst_waits_passes_or_is_refused() {
        let start = Instant::now();
        let ms = Duration::from_millis;
        // 2 r/s
        let rate = 2000;
        for (delay, expected) in [
            (
                Delay::After(0),
                [
                    Verdict::Pass,
                    Verdict::Delay(ms(500)),
                    Verdict::Delay(ms(1000)),
                    Verdict::Reject,
                ],
            ),
            (
                Delay::After(1),
                [
                    Verdict::Pass,
                    Verdict::Pass,
                    Verdict::Delay(ms(500)),
                    Verdict::Reject,
                ],
            ),
            (
                Delay::None,
                [Verdict::Pass, Verdict::Pass, Verdict::Pass, Verdict::Reject],
            ),
        ] {
            let mut buckets = Buckets::new(10);
            let verdicts = [(); 4].map(|()| buckets.ask(b"a", rate, &limit(2, delay), start));
            assert_eq!(verdicts, expected, "{delay:?}");
            // Others are not concerned, and time heals.
            assert_eq!(
                buckets.ask(b"b", rate, &limit(0, delay), start),
                Verdict::Pass
            );
            let later = start + ms(500);
            let refused = buckets.ask(b"a", rate, &limit(2, delay), later);
            assert_ne!(refused, Verdict::Reject);
        }
    }

    #[test]
    fn a_full_zone_forgets_whoever_came_longest_ago() {
        let now = Instant::now();
        let mut buckets = Buckets::new(2);
        let none = limit(0, Delay::None);
        for (key, expected) in [
            (b"a", Verdict::Pass),
            (b"b", Verdict::Pass),
            (b"a", Verdict::Reject),
            (b"c", Verdict::Pass),
            (b"a", Verdict::Reject),
            (b"b", Verdict::Pass),
        ] {
            assert_eq!(buckets.ask(key, 1000, &none, now), expected, "{key:?}");
        }
        assert_eq!(buckets.by_use.len(), 2);
    }
}

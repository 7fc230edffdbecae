//! Limits on a client before its request is served: `limit_req`, and who it really is.

use std::time::Duration;

use keepline::Error;
use tokio::time::Instant;

use super::Serving;
use crate::access::real_address;
use crate::answer::Answer;
use crate::config::{Level, LimitReq};
use crate::limit::{Verdict, Zone};

impl Serving<'_, '_, '_> {
    /// `set_real_ip_from`: the client's address, where a trusted peer tells it.
    pub(super) fn find_real_address(&mut self) {
        let rules = &self.request.scope.settings.real_ip;
        if rules.from.is_empty() {
            return;
        }
        let peer = self.view().remote().map(|(ip, _)| ip);
        self.request.real_address = real_address(rules, peer, self.exchange.head().fields());
    }

    /// `limit_req`: waits, or refuses.
    pub(super) async fn check_limits(&mut self) -> Result<Option<Answer>, Error> {
        let settings = &self.request.scope.settings;
        // Once for a request, also when it is redirected inside.
        if settings.limit_req.is_empty() || self.request.limit_req_status.is_some() {
            return Ok(None);
        }
        let delay = match self.ask_limits(&settings.limit_req) {
            Verdict::Pass => Duration::ZERO,
            Verdict::Delay(time) => time,
            Verdict::Reject => {
                self.complain(
                    settings.limit_req_log_level,
                    None,
                    format_args!("limiting requests"),
                );
                let is_dry = settings.limit_req_dry_run;
                self.request.limit_req_status = Some(if is_dry {
                    "REJECTED_DRY_RUN"
                } else {
                    "REJECTED"
                });
                return Ok((!is_dry).then_some(Answer::Status(settings.limit_req_status)));
            }
        };
        if delay.is_zero() {
            self.request.limit_req_status = Some("PASSED");
            return Ok(None);
        }
        self.complain(
            one_below(settings.limit_req_log_level),
            None,
            format_args!("delaying request"),
        );
        if settings.limit_req_dry_run {
            self.request.limit_req_status = Some("DELAYED_DRY_RUN");
            return Ok(None);
        }
        self.request.limit_req_status = Some("DELAYED");
        match self.exchange.watch(tokio::time::sleep(delay)).await {
            Ok(()) => Ok(None),
            Err(_) => Ok(Some(Answer::ClientGone)),
        }
    }

    /// What all limits say together. A request that one of them refuses is counted by none, as in
    /// nginx.
    fn ask_limits(&self, limits: &[LimitReq]) -> Verdict {
        let now = Instant::now();
        let Some((last, earlier)) = limits.split_last() else {
            return Verdict::Pass;
        };
        let mut counted = Vec::new();
        for limit in earlier {
            let Some((zone, key)) = self.zone_of(limit) else {
                continue;
            };
            if zone.refuses(&key, limit, now) {
                return Verdict::Reject;
            }
            counted.push((zone, key, limit));
        }
        let verdict = self
            .zone_of(last)
            .map_or(Verdict::Pass, |(zone, key)| zone.ask(&key, last, now));
        let own = match verdict {
            Verdict::Pass => Duration::ZERO,
            Verdict::Delay(time) => time,
            Verdict::Reject => return Verdict::Reject,
        };
        let others = counted
            .iter()
            .map(|(zone, key, limit)| zone.charge(key, limit, now));
        match others.fold(own, Duration::max) {
            Duration::ZERO => Verdict::Pass,
            time => Verdict::Delay(time),
        }
    }

    /// The zone of a limit and the key that the request has in it, if it has one.
    fn zone_of(&self, limit: &LimitReq) -> Option<(&Zone, Vec<u8>)> {
        let zone = self.request.live.limit_zone(limit.zone)?;
        let key = self.view().value(zone.key());
        (!key.is_empty()).then_some((zone, key))
    }
}

/// Delays are told one level lower than refusals.
const fn one_below(level: Level) -> Level {
    match level {
        Level::Emerg => Level::Alert,
        Level::Alert => Level::Crit,
        Level::Crit => Level::Error,
        Level::Error => Level::Warn,
        Level::Warn => Level::Notice,
        Level::Notice => Level::Info,
        Level::Info | Level::Debug => Level::Debug,
    }
}

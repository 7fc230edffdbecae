//! Limits on a client before its request is served: `limit_req`, and who it really is.

use std::time::Duration;

use keepline::Error;
use tokio::time::Instant;

use super::Serving;
use crate::access::real_address;
use crate::answer::Answer;
use crate::config::{Level, LimitReq};
use crate::limit::Verdict;

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
        let now = Instant::now();
        let mut delay = Duration::ZERO;
        for limit in &settings.limit_req {
            match self.ask_limit(limit, now) {
                Verdict::Pass => {}
                Verdict::Delay(time) => delay = delay.max(time),
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
            }
        }
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

    fn ask_limit(&self, limit: &LimitReq, now: Instant) -> Verdict {
        let Some(zone) = self.request.live.limit_zone(limit.zone) else {
            return Verdict::Pass;
        };
        let key = self.view().value(zone.key());
        if key.is_empty() {
            return Verdict::Pass;
        }
        zone.ask(&key, limit, now)
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

//! Servers that are resolved while they are used (`resolve`): who asks, and when again.
//!
//! One task for each name, as long as its upstream is there. Nothing is asked of a name more often than once
//! a second. A name that there is not has no servers left; any other failure changes nothing.

use std::net::IpAddr;
use std::sync::{Arc, Weak};
use std::time::Duration;

use keepline::net::{Hickory, Resolve, Resolved};
use tokio::sync::watch;
use tokio::time::{sleep, timeout};

use super::Group;
use super::names::Unresolved;
use crate::config::{ErrorLog, Level, MovingName};
use crate::error_log::ErrorLogs;

/// A name is asked for again no sooner than after this time.
const LEAST_PAUSE: Duration = Duration::from_secs(1);
/// A name that there is not is asked for again after this time, unless `valid=` says another (nginx).
const MISSING_PAUSE: Duration = Duration::from_secs(10);
/// And no later than after this time.
const LONGEST_PAUSE: Duration = Duration::from_secs(365 * 24 * 60 * 60);

/// Ends with the upstream; what it tells of its servers is for others.
pub(crate) type Presence = watch::Receiver<Vec<bool>>;

/// Follows the addresses of one server.
#[derive(Debug)]
pub(crate) struct Follower {
    pub(crate) group: Weak<Group>,
    /// Its place in the upstream.
    pub(crate) server: usize,
    pub(crate) name: MovingName,
    pub(crate) asker: Hickory,
    /// `resolver_timeout`.
    pub(crate) limit: Duration,
    /// `valid=`.
    pub(crate) valid: Option<Duration>,
    pub(crate) logs: Vec<ErrorLog>,
    pub(crate) open_logs: Arc<ErrorLogs>,
}

/// What an answer says: the addresses from now on, if they are to be other ones, and when to ask again.
#[derive(Debug, PartialEq, Eq)]
struct Lesson {
    addresses: Option<Vec<IpAddr>>,
    pause: Duration,
}

/// nginx: `ngx_http_upstream_zone_resolve_handler`.
fn lesson(
    answer: Result<Resolved, Unresolved>,
    limit: Duration,
    valid: Option<Duration>,
) -> Lesson {
    let lesson = match answer {
        Ok(resolved) => Lesson {
            addresses: Some(resolved.addresses),
            // nginx adds a second to the time of an answer, which it knows in whole seconds.
            pause: resolved.valid_for.unwrap_or_default() + LEAST_PAUSE,
        },
        Err(Unresolved::NotFound) => Lesson {
            addresses: Some(Vec::new()),
            pause: valid.unwrap_or(MISSING_PAUSE),
        },
        Err(Unresolved::Failed | Unresolved::TimedOut) => Lesson {
            addresses: None,
            pause: limit,
        },
    };
    Lesson {
        pause: lesson.pause.clamp(LEAST_PAUSE, LONGEST_PAUSE),
        ..lesson
    }
}

impl Follower {
    /// Asks again and again, until the upstream is gone.
    pub(crate) async fn follow(self, mut presence: Presence) {
        let work = async {
            loop {
                let answer = self.ask().await;
                if let Err(why) = &answer {
                    let message = format_args!("{} could not be resolved ({why})", self.name.host);
                    self.open_logs
                        .write(&self.logs, Level::Error, None, message);
                }
                let lesson = lesson(answer, self.limit, self.valid);
                let Some(group) = self.group.upgrade() else {
                    return;
                };
                group.learn(self.server, lesson.addresses.as_deref());
                drop(group);
                sleep(lesson.pause).await;
            }
        };
        tokio::select! {
            () = work => {}
            // What it tells may change; only its end ends this.
            _ = presence.wait_for(|_| false) => {}
        }
    }

    async fn ask(&self) -> Result<Resolved, Unresolved> {
        match timeout(self.limit, self.asker.resolve(&self.name.host)).await {
            Ok(Ok(resolved)) if resolved.addresses.is_empty() => Err(Unresolved::NotFound),
            Ok(Ok(resolved)) => Ok(resolved),
            Ok(Err(error)) => Err(Unresolved::from(&error)),
            Err(_) => Err(Unresolved::TimedOut),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_name_has_no_servers_and_another_failure_changes_nothing() {
        let seconds = Duration::from_secs;
        let ip = IpAddr::from([127, 0, 0, 1]);
        let found = |ttl| {
            Ok(Resolved {
                addresses: vec![ip],
                valid_for: Some(seconds(ttl)),
            })
        };
        for (answer, valid, addresses, pause) in [
            (found(0), None, Some(vec![ip]), 1),
            (found(60), None, Some(vec![ip]), 61),
            (
                found(u64::MAX / 2),
                None,
                Some(vec![ip]),
                365 * 24 * 60 * 60,
            ),
            (Err(Unresolved::NotFound), None, Some(vec![]), 10),
            (Err(Unresolved::NotFound), Some(seconds(3)), Some(vec![]), 3),
            (Err(Unresolved::Failed), None, None, 30),
            (Err(Unresolved::TimedOut), Some(seconds(3)), None, 30),
        ] {
            let told = format!("{answer:?} {valid:?}");
            let expected = Lesson {
                addresses,
                pause: seconds(pause),
            };
            assert_eq!(lesson(answer, seconds(30), valid), expected, "{told}");
        }
        let no_limit = lesson(Err(Unresolved::Failed), Duration::ZERO, None);
        assert_eq!(no_limit.pause, LEAST_PAUSE);
    }
}

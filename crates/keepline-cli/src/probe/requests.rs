//! How many requests a connection carries, and how long it lives while it is busy.

use std::sync::Arc;
use std::time::{Duration, Instant};

use http::StatusCode;
use keepline_proto::keep_alive::KeepAlive;
use tokio::sync::watch;

use super::target::Target;
use super::wire::{Close, Watched};

/// Requests that the measurement of the age makes at most.
pub(crate) const AGE_REQUESTS: u64 = 60;

/// What came of requests in a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Row {
    /// Requests that were answered.
    pub(crate) answered: u64,
    /// How the connection ended; `None` if it lives on, or was left since the server turned.
    pub(crate) end: Option<RowEnd>,
    /// What the server began to answer instead of what it had answered before, and no more was asked.
    pub(crate) turned: Option<StatusCode>,
    /// What the first answer told.
    pub(crate) hint: KeepAlive,
    /// Time from the first request to the last answer.
    pub(crate) took: Duration,
}

/// How a connection ended after its last answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum RowEnd {
    /// The last answer said so.
    Told,
    /// Without a word.
    Untold,
}

/// Makes up to `limit` requests on one connection, one after the other, for at most `longest`.
pub(crate) async fn row(target: &Arc<Target>, limit: u64, longest: Duration) -> Option<Row> {
    let mut wire = target.open().await.ok()?;
    let started = Instant::now();
    let mut row = Row {
        answered: 0,
        end: None,
        turned: None,
        hint: KeepAlive::default(),
        took: Duration::ZERO,
    };
    while row.answered < limit && row.took < longest {
        // A connection that has ended already shows now, and not as a request that was lost.
        if row.answered > 0 && wire.has_ended().await.is_some() {
            row.end = Some(RowEnd::Untold);
            break;
        }
        let Ok(answer) = wire.get().await else {
            row.end = Some(RowEnd::Untold);
            break;
        };
        row.turned = target.turned();
        if row.turned.is_some() {
            break;
        }
        row.answered += 1;
        row.took = answer.ended.duration_since(started);
        if row.answered == 1 {
            row.hint = answer.hint;
        }
        if answer.says_close {
            row.end = Some(RowEnd::Told);
            break;
        }
    }
    (row.answered > 0).then_some(row)
}

/// What became of a connection that was kept busy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Age {
    /// When it was opened.
    pub(crate) begun: Instant,
    pub(crate) lived: Duration,
    pub(crate) requests: u64,
    /// The pause before its last request or its end.
    pub(crate) pause: Duration,
    pub(crate) ended: bool,
}

impl Age {
    /// The age at which it ended, unless something else explains that: the number of its requests,
    /// or a pause that was too long.
    pub(crate) fn limit(self, requests: Option<u64>, idle: Option<Duration>) -> Option<Duration> {
        let by_requests = requests.is_some_and(|limit| self.requests >= limit);
        let by_pause = idle.is_some_and(|idle| self.pause + idle / 5 >= idle);
        (self.ended && !by_requests && !by_pause).then_some(self.lived)
    }
}

/// Keeps a connection busy, a request now and then, until `stop`.
pub(crate) async fn age(target: Arc<Target>, mut stop: watch::Receiver<bool>) -> Option<Age> {
    let mut wire = target.open().await.ok()?;
    let started = Instant::now();
    let mut age = Age {
        begun: started,
        lived: Duration::ZERO,
        requests: 0,
        pause: Duration::ZERO,
        ended: false,
    };
    while age.requests < AGE_REQUESTS {
        let asked = wire.get().await;
        age.lived = started.elapsed();
        match asked {
            // That it would not answer says nothing about the age.
            Ok(_) if target.turned().is_some() => break,
            Ok(answer) => {
                age.requests += 1;
                age.ended = answer.says_close;
            }
            Err(_) => age.ended = true,
        }
        if age.ended {
            break;
        }
        age.pause = pause(age.lived);
        let until = Instant::now() + age.pause;
        let watched = tokio::select! {
            watched = wire.watch(until) => watched,
            _ = stop.wait_for(|stop| *stop) => break,
        };
        if let Watched::Closed(Close::Fin | Close::Reset | Close::Said408 | Close::Stray, at) =
            watched
        {
            age.lived = at.duration_since(started);
            age.ended = true;
            break;
        }
    }
    Some(age)
}

/// Short at first, since an idle timeout may be short; longer later, since that has not ended the
/// measurement yet.
fn pause(age: Duration) -> Duration {
    match age.as_secs() {
        0..4 => Duration::from_millis(200),
        4..20 => Duration::from_secs(1),
        _ => Duration::from_secs(3),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_end_that_something_else_explains_is_no_age_limit() {
        let age = Age {
            begun: Instant::now(),
            lived: Duration::from_secs(30),
            requests: 40,
            pause: Duration::from_secs(3),
            ended: true,
        };
        let second = Duration::from_secs;
        for (age, requests, idle, limit) in [
            (age, None, None, Some(second(30))),
            (age, Some(100), Some(second(60)), Some(second(30))),
            (age, Some(40), Some(second(60)), None),
            (age, None, Some(second(3)), None),
            (
                Age {
                    ended: false,
                    ..age
                },
                None,
                None,
                None,
            ),
        ] {
            assert_eq!(
                age.limit(requests, idle),
                limit,
                "{age:?} {requests:?} {idle:?}"
            );
        }
    }

    #[test]
    fn the_budget_of_90_seconds_is_enough_for_the_pauses() {
        let (mut age, mut requests) = (Duration::ZERO, 0);
        while age < Duration::from_secs(90) {
            age += pause(age);
            requests += 1;
        }
        assert!(requests <= AGE_REQUESTS, "{requests}");
    }
}

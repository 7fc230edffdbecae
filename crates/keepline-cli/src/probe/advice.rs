//! What follows from the figures: a client's idle timeout that is safe, the setting that gives it,
//! and the sentence that says so.
//!
//! Pure. The rule: a client has to let go of an idle connection before the server does, by the time
//! that a request is on its way plus a margin of a second or a tenth, whichever is more, but never
//! more than half of the timeout.

use std::time::Duration;

use http::StatusCode;
use serde_json::{Value, json};

use super::behaviour::After;
use super::requests::RowEnd;
use super::schedule::{Ending, Race, SPREAD_PATIENCE};
use super::{Facts, Promise};
use crate::human::{Plural, Time};

/// The idle timeout that is safe for a client, where a server waits for `low` at least.
pub(crate) fn safe_idle_timeout(low: Duration, round_trip: Duration) -> Duration {
    let margin = (low / 10).max(Duration::from_secs(1).min(low / 2));
    // What is measured misses a round figure by a millisecond now and then.
    rounded_down(low.saturating_sub(margin + round_trip) + margin / 200)
}

/// A round figure, and never more: whole seconds from ten seconds on, tenths from one on,
/// hundredths below.
fn rounded_down(time: Duration) -> Duration {
    let ms = u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
    let step = match ms {
        0..10 => 1,
        10..1_000 => 10,
        1_000..10_000 => 100,
        _ => 1_000,
    };
    Duration::from_millis(ms / step * step)
}

/// A client and how it is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Setting {
    pub(crate) product: &'static str,
    pub(crate) setting: String,
}

/// The setting of each client that gives this idle timeout.
pub(crate) fn settings(idle: Duration) -> Vec<Setting> {
    let (ms, whole) = (idle.as_millis(), idle.as_secs());
    let in_rust = format!("Duration::from_millis({ms})");
    let balancer = match whole {
        0 => "its least is 1 s, which is too long for this server: raise the server's".to_owned(),
        _ => format!("idle_timeout.timeout_seconds = {}", whole.min(4000)),
    };
    [
        (
            "keepline",
            format!("Transport::builder().idle_timeout({in_rust})"),
        ),
        (
            "Go",
            format!("http.Transport{{IdleConnTimeout: {ms} * time.Millisecond}}"),
        ),
        (
            "reqwest",
            format!("ClientBuilder::pool_idle_timeout({in_rust})"),
        ),
        (
            "nginx",
            format!("upstream {{ … keepalive_timeout {ms}ms; }}"),
        ),
        ("ALB", balancer),
    ]
    .map(|(product, setting)| Setting { product, setting })
    .into()
}

/// Advice: sentences, and the safe idle timeout if there is one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Advice {
    pub(crate) sentence: String,
    pub(crate) safe: Option<Duration>,
}

/// What to do about a server of which this is known.
pub(crate) fn advise(facts: &Facts) -> Advice {
    let mut sentences = Vec::new();
    let mut safe = None;
    let idle = facts.idle.as_ref();
    match idle.map(|idle| (facts.edge(), idle.alive_after)) {
        _ if facts.requests_per_connection() == Some(1) => sentences.push(
            "The server closes every connection after one answer: there is nothing to reuse."
                .to_owned(),
        ),
        _ if facts.is_interrupted() => sentences.push(
            "All connections ended at the same moment, the busy one too: the server was restarted, \
             or the way to it broke, and how long it waits is not known from that; measure again."
                .to_owned(),
        ),
        None => sentences.push("The idle timeout could not be measured.".to_owned()),
        Some((None, alive)) => sentences.push(format!(
            "No idle timeout was seen: connections that had been idle for {} were alive; a client \
             idle timeout below that is safe.",
            seconds(alive)
        )),
        Some((Some(edge), _)) => {
            let timeout = safe_idle_timeout(edge.low, facts.round_trip);
            safe = Some(timeout);
            sentences.push(idle_sentence(edge, timeout));
            if let Some(lived_on) = idle.map(|idle| idle.lived_on).filter(|count| *count > 0) {
                sentences.push(format!(
                    "{} lived on, {} after the first was ended: there may be several servers, and \
                     this is the least patient of them.",
                    Plural(lived_on as u64, "idle connection"),
                    seconds(SPREAD_PATIENCE)
                ));
            }
        }
    }
    sentences.extend(limits(facts));
    sentences.extend(doubts(facts));
    Advice {
        sentence: sentences.join(" "),
        safe,
    }
}

fn idle_sentence(edge: super::schedule::Edge, timeout: Duration) -> String {
    let spread = edge.high - edge.low;
    let between = if spread < Duration::from_millis(20) {
        format!("after {}", seconds(edge.middle))
    } else {
        format!("after {} to {}", seconds(edge.low), seconds(edge.high))
    };
    let how = match edge.close {
        Ending::Silent => {
            return format!(
                "The server, or something before it, forgets idle connections without a word \
                 {between}: set the client's idle timeout to {} or less, and never reuse an older \
                 one.",
                seconds(timeout)
            );
        }
        Ending::Seen(close) => close.name().to_uppercase(),
    };
    format!(
        "The server ends idle connections {between} ({how}): a client idle timeout of {} or less \
         is safe.",
        seconds(timeout)
    )
}

/// What else ends connections, and what is not as it is told.
fn limits(facts: &Facts) -> Vec<String> {
    let mut sentences = Vec::new();
    match facts.row.map(|row| (row.answered, row.end)) {
        Some((count, Some(RowEnd::Untold))) if count > 1 => sentences.push(format!(
            "It closes after {count} requests without saying so: let the client make at most {} \
             on a connection, and retry.",
            count - 1
        )),
        Some((count, Some(RowEnd::Told))) if count > 1 => sentences.push(format!(
            "It closes after {count} requests, and says so, which costs no request."
        )),
        _ => {}
    }
    if let Some(age) = facts.max_age() {
        let pause = facts.age.map(|age| age.pause).unwrap_or_default();
        let is_near = facts
            .edge()
            .is_some_and(|edge| edge.middle.abs_diff(age) <= pause.max(age / 10));
        sentences.push(match is_near {
            false => format!(
                "It ends connections that are {} old even if they are busy.",
                seconds(age)
            ),
            true => format!(
                "A busy connection ends after {} too, so that may be an age, and the idle timeout \
                 longer.",
                seconds(age)
            ),
        });
    }
    if facts.promise() == Promise::Broken {
        sentences.push("What its Keep-Alive field promises is more than it holds.".to_owned());
    }
    if let Some(Race { lost, asked, .. }) = facts.idle.as_ref().and_then(|idle| idle.race)
        && lost > 0
    {
        sentences.push(format!(
            "Of {asked} requests that were sent into the close {lost} were lost: a client without \
             a retry would have failed."
        ));
    }
    for (trigger, _) in facts
        .after
        .iter()
        .filter(|(_, after)| after.is_some_and(After::breaks))
    {
        sentences.push(format!(
            "After {} the connection is of no use, and is not closed: let the client close it.",
            trigger.words()
        ));
    }
    sentences
}

/// Why it may not be the server that was measured.
fn doubts(facts: &Facts) -> Vec<String> {
    let mut sentences = Vec::new();
    let status = words(facts.status);
    if facts.status.is_server_error() {
        sentences.push(format!(
            "It answers {status}: if a proxy says so, all this is the proxy's doing."
        ));
    } else if facts.status.is_client_error() || facts.status.is_redirection() {
        sentences.push(format!(
            "It answers {status}: what was measured is who says so, and another path may lead to \
             another server."
        ));
    }
    if let Some(turned) = facts.turned {
        sentences.push(format!(
            "It answered {status} at first and {} later: what was asked after that says nothing; \
             --requests makes fewer.",
            words(turned)
        ));
    }
    sentences
}

/// A status and its name.
pub(super) fn words(status: StatusCode) -> String {
    match status.canonical_reason() {
        Some(reason) => format!("{} ({reason})", status.as_u16()),
        None => status.as_u16().to_string(),
    }
}

/// The advice as JSON.
pub(crate) fn json(advice: &Advice) -> Value {
    let settings: serde_json::Map<_, _> = advice
        .safe
        .map(settings)
        .unwrap_or_default()
        .into_iter()
        .map(|setting| (setting.product.to_lowercase(), setting.setting.into()))
        .collect();
    json!({
        "verdict": advice.sentence,
        "client_idle_timeout_seconds": advice.safe.map(|safe| safe.as_secs_f64()),
        "settings": settings,
    })
}

fn seconds(time: Duration) -> String {
    Time(time).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_margin_is_a_second_or_a_tenth_and_at_most_half() {
        let second = |seconds: f64| Duration::from_secs_f64(seconds);
        for (low, round_trip, safe) in [
            (60.0, 0.0, 54.0),
            (60.0, 0.3, 53.0),
            (5.0, 0.0, 4.0),
            (3.0, 0.0002, 2.0),
            (5.9996, 0.0002, 5.0),
            (2.0, 0.0, 1.0),
            (1.5, 0.0, 0.75),
            (0.25, 0.0, 0.12),
            (0.004, 0.001, 0.001),
            (0.001, 0.1, 0.0),
        ] {
            assert_eq!(
                safe_idle_timeout(second(low), second(round_trip)),
                second(safe),
                "{low}"
            );
        }
    }

    #[test]
    fn settings_name_the_time_in_the_words_of_each_product() {
        let all = settings(Duration::from_millis(4500));
        let of = |product| {
            let found = all.iter().find(|setting| setting.product == product);
            found.expect("it is there").setting.as_str()
        };
        assert!(of("Go").contains("4500 * time.Millisecond"));
        assert!(of("nginx").contains("keepalive_timeout 4500ms;"));
        assert_eq!(of("ALB"), "idle_timeout.timeout_seconds = 4");
        let short = settings(Duration::from_millis(120));
        assert!(short[4].setting.contains("raise the server's"));
    }
}

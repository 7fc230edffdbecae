//! What is shown: progress while it is measured, then the figures and the verdict.

use std::io;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::behaviour::{After, Trigger};
use super::requests::{Row, RowEnd};
use super::schedule::{Ending, Observation, Race};
use super::wire::Lost;
use super::{Args, Facts, Promise, advice};
use crate::failure::Stop;
use crate::human::Time;
use crate::output::{BAD, GOOD, HEADING, NOTABLE, Screen};

/// Shows how far the measurement has come: a bar on a terminal, a line for each observation with
/// `--json`.
pub(crate) struct Progress<'a> {
    screen: &'a mut Screen,
    json: bool,
    /// A line could not be written; told at the end.
    broken: Option<io::Error>,
}

impl<'a> Progress<'a> {
    pub(crate) fn new(args: &Args, screen: &'a mut Screen) -> Self {
        Self {
            screen,
            json: args.json,
            broken: None,
        }
    }

    /// A phase begins that ends at `end`.
    pub(crate) fn phase(&mut self, name: &'static str, end: Instant) {
        self.screen.countdown(name, end);
    }

    /// A short step begins.
    pub(crate) fn step(&self, name: &'static str) {
        self.screen.doing(name);
    }

    pub(crate) fn observation(&mut self, observation: Observation) {
        if self.json && self.broken.is_none() {
            let line = self.screen.line(as_json(observation));
            self.broken = line.and_then(|()| self.screen.flush()).err();
        }
    }

    pub(crate) fn end(self) -> io::Result<()> {
        self.screen.finish();
        self.broken.map_or(Ok(()), Err)
    }
}

fn as_json(observation: Observation) -> Value {
    let (what, at, close) = match observation {
        Observation::Closed {
            after: at, close, ..
        } => ("closed", at, Some(close)),
        Observation::Answered(at) => ("answered", at, None),
        Observation::LostWhenAsked(at, close) => ("lost", at, Some(close)),
        Observation::Silence(at) => ("silence", at, None),
    };
    json!({
        "observation": what,
        "idle_seconds": at.as_secs_f64(),
        "close": close.map(super::wire::Close::name),
    })
}

/// Prints the result.
pub(crate) fn result(facts: &Facts, as_json: bool, screen: &mut Screen) -> Result<(), Stop> {
    let advice = advice::advise(facts);
    if as_json {
        return Ok(screen.line(json_result(facts, &advice))?);
    }
    let server = facts.server.as_ref().map(|name| format!(" ({name})"));
    let status = match facts.status.is_success() {
        true => String::new(),
        false => format!(", answers {}", advice::words(facts.status)),
    };
    screen.line(format_args!(
        "{}{}{status}, round trip {}",
        facts.url,
        server.unwrap_or_default().escape_debug(),
        Time(facts.round_trip)
    ))?;
    screen.line("")?;
    for (name, text) in rows(facts) {
        let name = screen.paint(format_args!("{name:<13}"), HEADING);
        screen.line(format_args!("{name} {text}"))?;
    }
    screen.line("")?;
    let style = match advice.safe {
        _ if facts.promise() == Promise::Broken => BAD,
        Some(_) => GOOD,
        None => NOTABLE,
    };
    let sentence = screen.paint(&advice.sentence, style);
    screen.line(sentence)?;
    if let Some(safe) = advice.safe {
        screen.line("")?;
        for setting in advice::settings(safe) {
            screen.line(format_args!(
                "  {:<8}  {}",
                setting.product, setting.setting
            ))?;
        }
    }
    screen.note(format_args!(
        "{} connections in {}",
        facts.connections,
        Time(facts.took)
    ));
    Ok(())
}

/// The figures, a row each.
fn rows(facts: &Facts) -> Vec<(&'static str, String)> {
    let mut rows = vec![("idle timeout", idle(facts))];
    if let Some(race) = race(facts) {
        let window = Time(race.window);
        let text = match race.asked {
            0 => format!("{window}; the time was too short to send requests into the close"),
            asked => format!(
                "{window}; {} of {asked} requests that were sent into the close were lost",
                race.lost
            ),
        };
        rows.push(("race window", text));
    }
    rows.push(("requests", requests(facts)));
    rows.push(("age", age(facts)));
    rows.push(("Keep-Alive", keep_alive(facts)));
    rows.extend(triggers(facts));
    let pipelining = match facts.pipelining {
        None => "not measured".to_owned(),
        Some(super::Pipelining::Ordered) => "answers in order".to_owned(),
        Some(super::Pipelining::Refused) => "does not answer all".to_owned(),
        Some(super::Pipelining::Broken) => "answers what was not asked".to_owned(),
    };
    rows.push(("pipelining", pipelining));
    let after_fin = match facts.answers_after_fin {
        None => "not measured",
        Some(true) => "answers all the same",
        Some(false) => "does not answer",
    };
    rows.push(("after a FIN", after_fin.to_owned()));
    if let Some(tls) = facts.tls {
        let text = format!(
            "sessions are {}; by ALPN {}",
            if tls.resumes {
                "resumed"
            } else {
                "not resumed"
            },
            if tls.has_h2 { "h2" } else { "http/1.1" }
        );
        rows.push(("TLS", text));
    }
    rows
}

fn idle(facts: &Facts) -> String {
    let Some(idle) = &facts.idle else {
        return "not measured".to_owned();
    };
    if facts.is_interrupted() {
        return "not known: all connections ended at the same moment".to_owned();
    }
    let Some(edge) = idle.edge else {
        return format!("none seen in {}", Time(idle.alive_after));
    };
    let how = match edge.close {
        Ending::Seen(close) => close.name().to_uppercase(),
        Ending::Silent => "without a word".to_owned(),
    };
    format!(
        "{}, {how}, seen on {} connections, from {} to {}",
        Time(edge.middle),
        edge.seen,
        Time(edge.low),
        Time(edge.high)
    )
}

/// What was seen of the race, unless there was none.
fn race(facts: &Facts) -> Option<Race> {
    let idle = facts.idle.as_ref().filter(|_| !facts.is_interrupted())?;
    idle.race
}

fn requests(facts: &Facts) -> String {
    match facts.row {
        None => "not measured".to_owned(),
        Some(Row {
            answered,
            turned: Some(status),
            ..
        }) => format!("{answered} on a connection, then {}", advice::words(status)),
        Some(row) => match row.end {
            None => format!("no limit seen in {} on a connection", row.answered),
            Some(RowEnd::Told) => format!("{} on a connection, then it says close", row.answered),
            Some(RowEnd::Untold) => {
                format!(
                    "{} on a connection, then it closes without a word",
                    row.answered
                )
            }
        },
    }
}

fn age(facts: &Facts) -> String {
    match (facts.max_age(), facts.age) {
        (Some(age), _) => format!("{}, then a busy connection ends too", Time(age)),
        (None, Some(age)) if !age.ended => format!("no limit seen in {}", Time(age.lived)),
        (None, Some(_)) => "no limit seen before another ended the connection".to_owned(),
        (None, None) => "not measured".to_owned(),
    }
}

fn keep_alive(facts: &Facts) -> String {
    let hint = facts.hint;
    let timeout = hint
        .timeout
        .map(|told| format!("timeout={}", told.as_secs()));
    let max = hint.max.map(|told| format!("max={told}"));
    let told: Vec<_> = timeout.into_iter().chain(max).collect();
    match told.is_empty() {
        true => "told nothing".to_owned(),
        false => {
            let held = match facts.promise() {
                Promise::Held => "which holds",
                Promise::Untried => "which holds for as long as it was tried",
                Promise::Broken => "which does not hold",
            };
            format!("told {}, {held}", told.join(", "))
        }
    }
}

fn triggers(facts: &Facts) -> Vec<(&'static str, String)> {
    let (mut closes, mut goes_on, mut breaks) = (Vec::new(), Vec::new(), Vec::new());
    for (trigger, after) in &facts.after {
        match after {
            Some(After::Closes { told, .. }) => {
                let how = if *told { "told" } else { "without a word" };
                closes.push(format!("{} ({how})", trigger.words()));
            }
            Some(After::NotAnswered(Lost::Closed(_))) => {
                closes.push(format!("{} (no answer)", trigger.words()));
            }
            Some(After::NotAnswered(_)) => {
                breaks.push(format!("{} (no answer)", trigger.words()));
            }
            Some(After::Confused { .. }) => {
                breaks.push(format!(
                    "{} (the next answer is to something else)",
                    trigger.words()
                ));
            }
            Some(After::Hangs { .. }) => {
                breaks.push(format!("{} (the next has no answer)", trigger.words()));
            }
            Some(After::Persists { .. }) => goes_on.push(trigger.words().to_owned()),
            None => {}
        }
    }
    let list = |texts: Vec<String>| match texts.is_empty() {
        true => "none of what was tried".to_owned(),
        false => texts.join(", "),
    };
    let mut rows = vec![];
    if !breaks.is_empty() {
        rows.push(("breaks after", list(breaks)));
    }
    rows.push(("closes after", list(closes)));
    rows.push(("goes on after", list(goes_on)));
    rows
}

fn json_result(facts: &Facts, advice: &advice::Advice) -> Value {
    let edge = facts.edge();
    let seconds = |time: Duration| time.as_secs_f64();
    let of = |is_meant: fn(After) -> bool| -> Vec<_> {
        let meant = facts.after.iter();
        let meant = meant.filter(|(_, after)| after.is_some_and(is_meant));
        meant.map(|(trigger, _)| trigger.name()).collect()
    };
    json!({
        "url": facts.url,
        "idle_timeout": edge.map(|edge| json!({
            "seconds": seconds(edge.middle),
            "low": seconds(edge.low),
            "high": seconds(edge.high),
            "close": edge.close.name(),
        })),
        "requests_per_connection": facts.requests_per_connection(),
        "max_age_seconds": facts.max_age().map(seconds),
        "keep_alive": {
            "told_timeout": facts.hint.timeout.map(seconds),
            "told_max": facts.hint.max,
            "truthful": facts.promise() != Promise::Broken,
        },
        "pipelining": facts.pipelining.map(super::Pipelining::name),
        "http10": {
            "plain": after(facts, Trigger::Http10),
            "keep_alive": after(facts, Trigger::Http10KeepAlive),
        },
        "closes_on": of(After::closes),
        "advice": advice::json(advice),
        "status": facts.status.as_u16(),
        "turned_to": facts.turned.map(|status| status.as_u16()),
        "interrupted": facts.is_interrupted(),
        "breaks_on": of(After::breaks),
        "alive_after_seconds": facts.idle.as_ref().map(|idle| seconds(idle.alive_after)),
        "lived_on": facts.idle.as_ref().map(|idle| idle.lived_on),
        "race": race(facts).map(|race| json!({
            "window_ms": seconds(race.window) * 1e3,
            "asked": race.asked,
            "lost": race.lost,
        })),
        "says_close_at_limit": facts.row.and_then(|row| row.end).map(|end| end == RowEnd::Told),
        "requests_tried": facts.row.map(|row| row.answered),
        "answers_after_fin": facts.answers_after_fin,
        "tls": facts.tls.map(|tls| json!({"resumes": tls.resumes, "h2": tls.has_h2})),
        "server": facts.server,
        "round_trip_us": u64::try_from(facts.round_trip.as_micros()).ok(),
        "connections": facts.connections,
        "took_seconds": seconds(facts.took),
    })
}

/// What became of a connection, in a word.
fn after(facts: &Facts, wanted: Trigger) -> Value {
    let found = facts.after.iter().find(|(trigger, _)| *trigger == wanted);
    match found.and_then(|(_, after)| *after) {
        Some(After::Persists { .. }) => "persists".into(),
        Some(After::Closes { .. }) => "closes".into(),
        Some(After::NotAnswered(_)) => "not-answered".into(),
        Some(After::Confused { .. } | After::Hangs { .. }) => "breaks".into(),
        None => Value::Null,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_result_has_the_fields_that_scripts_rely_on_in_their_order() {
        let facts = super::super::tests::facts();
        let json = json_result(&facts, &advice::advise(&facts));
        let keys: Vec<_> = json.as_object().expect("it is one").keys().collect();
        let contract = [
            "url",
            "idle_timeout",
            "requests_per_connection",
            "max_age_seconds",
            "keep_alive",
            "pipelining",
            "http10",
            "closes_on",
            "advice",
        ];
        assert_eq!(keys[..contract.len()], contract);
        assert_eq!(json["idle_timeout"]["close"], "fin");
        assert_eq!(json["requests_per_connection"], Value::Null);
    }
}

//! `keepline probe`: measures from outside what a server does with connections.
//!
//! First the quick questions, a connection each; then the idle timeout and the age, side by side,
//! for as long as that takes. The parts that decide are pure: [`schedule`] (when to ask, and what
//! the answers say), [`advice`] (what follows).

mod advice;
mod args;
mod behaviour;
mod idle;
mod only_idle;
mod report;
mod requests;
mod schedule;
mod target;
mod wire;

use std::sync::Arc;
use std::time::{Duration, Instant};

use http::{Method, StatusCode, Uri};
use keepline_proto::keep_alive::KeepAlive;
use tokio::sync::watch;
use tokio::time::timeout_at;
use tokio_rustls::rustls::pki_types::ServerName;

pub(crate) use advice::safe_idle_timeout;
pub(crate) use args::Args;
pub(crate) use only_idle::{idle_timeouts, server_field};

use self::behaviour::{After, Pipelining, TlsFacts, Trigger};
use self::idle::{Idle, Scale};
use self::requests::{Age, Row};
use self::schedule::Edge;
use self::target::{NotOpen, Target, Tls};
use self::wire::{Answer, Lost};
use crate::failure::{Failure, Stop, Verdict};
use crate::get::{self, TlsArgs};
use crate::output::Screen;
use crate::runtime;

/// A timeout that is told in whole seconds may be missed by so much and still be true.
const TOLD_TOLERANCE: Duration = Duration::from_millis(100);

/// Requests in a row are made for so long at most, and for a sixth of the budget.
const LONGEST_ROW: Duration = Duration::from_secs(8);

/// What is found out about a server.
#[derive(Debug)]
pub(crate) struct Facts {
    pub(crate) url: String,
    /// The status of the first answer.
    pub(crate) status: StatusCode,
    /// What it began to answer instead.
    pub(crate) turned: Option<StatusCode>,
    pub(crate) server: Option<String>,
    pub(crate) round_trip: Duration,
    pub(crate) hint: KeepAlive,
    pub(crate) row: Option<Row>,
    pub(crate) after: Vec<(Trigger, Option<After>)>,
    pub(crate) pipelining: Option<Pipelining>,
    pub(crate) answers_after_fin: Option<bool>,
    pub(crate) tls: Option<TlsFacts>,
    pub(crate) idle: Option<Idle>,
    pub(crate) age: Option<Age>,
    /// Connections that were opened for all this.
    pub(crate) connections: u64,
    pub(crate) took: Duration,
}

impl Facts {
    /// How many requests a connection carries, if there is a limit.
    pub(crate) fn requests_per_connection(&self) -> Option<u64> {
        self.row.and_then(|row| row.end.map(|_| row.answered))
    }

    /// Where the idle timeout is, if one was seen.
    pub(crate) fn edge(&self) -> Option<Edge> {
        let edge = self.idle.as_ref().and_then(|idle| idle.edge);
        edge.filter(|_| !self.is_interrupted())
    }

    /// All connections ended at the same moment, busy or not, so that nothing is known of timeouts.
    pub(crate) fn is_interrupted(&self) -> bool {
        let (Some(idle), Some(age)) = (&self.idle, self.age.filter(|age| age.ended)) else {
            return false;
        };
        let end = (age.begun + age.lived).saturating_duration_since(idle.started);
        schedule::ended_together(&idle.observations, (end, age.pause))
    }

    /// The age at which connections end though they are busy.
    pub(crate) fn max_age(&self) -> Option<Duration> {
        let age = self.age.filter(|_| !self.is_interrupted())?;
        age.limit(
            self.requests_per_connection(),
            self.edge().map(|edge| edge.low),
        )
    }

    /// Whether what the Keep-Alive field promised was held.
    pub(crate) fn promise(&self) -> Promise {
        let timeout = self.hint.timeout.map(|told| {
            let alive = self.idle.as_ref().map(|idle| idle.alive_after);
            Promise::of(
                self.edge().map(|edge| edge.low + TOLD_TOLERANCE >= told),
                alive.is_some_and(|alive| alive >= told),
            )
        });
        // `max` on the first answer: so many are allowed after it.
        let max = self.hint.max.zip(self.row).map(|(told, row)| {
            let met = row.end.map(|_| row.answered >= told);
            Promise::of(met, row.answered >= told)
        });
        timeout.into_iter().chain(max).max().unwrap_or_default()
    }
}

/// Whether a promise is held; of several, the worst.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Promise {
    /// What is not promised is not broken.
    #[default]
    Held,
    /// It was not seen to be broken, nor to the end.
    Untried,
    Broken,
}

impl Promise {
    /// Whether it held where the limit was met, or else whether it held until all was over.
    const fn of(met: Option<bool>, outlived: bool) -> Self {
        match (met, outlived) {
            (Some(true), _) | (None, true) => Self::Held,
            (None, false) => Self::Untried,
            (Some(false), _) => Self::Broken,
        }
    }
}

/// How much a server is bothered.
#[derive(Debug, Clone, Copy)]
struct Manners {
    connections: u64,
    requests: u64,
    scale: Scale,
}

impl Manners {
    /// Servers on this machine, and those for which `--yes` was said, bear more.
    const fn towards(is_ours: bool, requests: Option<u64>) -> Self {
        let (default, scale, connections) = if is_ours {
            let scale = Scale {
                watched: 6,
                asked: 10,
                around: 6,
            };
            (1200, scale, 48)
        } else {
            let scale = Scale {
                watched: 3,
                asked: 4,
                around: 3,
            };
            (100, scale, 30)
        };
        Self {
            connections,
            requests: match requests {
                Some(requests) => requests,
                None => default,
            },
            scale,
        }
    }
}

/// Runs the sub-command.
pub(crate) fn run(args: &Args, screen: &mut Screen) -> Result<Verdict, Stop> {
    let facts = runtime::block_on(probe(args, screen))??;
    report::result(&facts, args.json, screen)?;
    Ok(Verdict::AllWell)
}

async fn probe(args: &Args, screen: &mut Screen) -> Result<Facts, Stop> {
    let uri = get::url(&args.url)?;
    let (target, manners) = target(&uri, args).await?;
    let target = Arc::new(target);
    let mut progress = report::Progress::new(args, screen);
    let facts = measure(&args.url, &target, manners, args.budget, &mut progress).await?;
    progress.end()?;
    Ok(facts)
}

/// Resolves the server, and decides how much it may be bothered.
async fn target(uri: &Uri, args: &Args) -> Result<(Target, Manners), Stop> {
    let tls = match uri.scheme_str() {
        Some("https") => Some(tls(uri, &args.tls)?),
        _ => None,
    };
    let polite = args.polite;
    let most = Manners::towards(true, None).connections;
    let end = Instant::now() + args.budget;
    let target = Target::new(uri, tls, most, end).await?;
    let is_ours = polite.yes || target.addr.ip().is_loopback();
    let manners = Manners::towards(is_ours, polite.requests);
    let default = Manners::towards(is_ours, None);
    if !is_ours && manners.requests > default.requests {
        let message = format!(
            "--requests {} are many for a server on another machine: say --yes if it is yours, or \
             take at most {}",
            manners.requests, default.requests
        );
        return Err(Stop::conflict("probe", message));
    }
    Ok((target.limited(manners.connections), manners))
}

fn tls(uri: &Uri, args: &TlsArgs) -> Result<Tls, Failure> {
    let host = uri.host().unwrap_or_default();
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    let name = ServerName::try_from(bare.to_owned())
        .map_err(|error| Failure::new(format!("'{bare}' cannot be asked for by TLS: {error}")))?;
    Ok(Tls {
        name,
        http1: get::tls(args, |tls| tls)?,
        with_h2: get::tls(args, |tls| tls.alpn(["h2", "http/1.1"]))?,
    })
}

/// Measures all there is to measure, until `budget` is used up.
async fn measure(
    url: &str,
    target: &Arc<Target>,
    manners: Manners,
    budget: Duration,
    progress: &mut report::Progress<'_>,
) -> Result<Facts, Failure> {
    let started = Instant::now();
    let end = started + budget;
    progress.phase("the first answer", end);
    let answer = first(url, target, end).await?;
    let mut facts = Facts {
        url: url.to_owned(),
        status: answer.status,
        turned: None,
        server: answer.server,
        round_trip: target.round_trip(),
        hint: answer.hint,
        row: None,
        after: Vec::new(),
        pipelining: None,
        answers_after_fin: None,
        tls: None,
        idle: None,
        age: None,
        connections: 0,
        took: Duration::ZERO,
    };
    // The quick questions may take a third of the time, and a slow server is not asked them all.
    let quick = tokio::time::timeout(
        budget / 3,
        quick(&mut facts, target, manners, budget / 6, progress),
    );
    let _ = quick.await;
    facts.round_trip = target.round_trip();
    if facts.requests_per_connection() != Some(1) {
        progress.phase("idle connections", end);
        let (stop, stopped) = watch::channel(false);
        let age = tokio::spawn(requests::age(Arc::clone(target), stopped));
        let seen = |observation| progress.observation(observation);
        let idle = idle::measure(target, manners.scale, end, facts.round_trip, seen).await;
        stop.send_replace(true);
        let patience = tokio::time::timeout(Duration::from_secs(1), age);
        facts.age = patience.await.ok().and_then(Result::ok).flatten();
        facts.idle = Some(idle).filter(|idle| !idle.observations.is_empty());
    }
    facts.turned = target.turned();
    facts.connections = target.opened();
    facts.took = started.elapsed();
    Ok(facts)
}

/// The questions that a connection each answers at once.
async fn quick(
    facts: &mut Facts,
    target: &Arc<Target>,
    manners: Manners,
    longest_row: Duration,
    progress: &report::Progress<'_>,
) {
    progress.step("requests in a row");
    facts.row = requests::row(target, manners.requests, longest_row.min(LONGEST_ROW)).await;
    for trigger in Trigger::ALL {
        progress.step(trigger.words());
        let after = behaviour::after(target, trigger).await;
        facts.after.push((trigger, after));
    }
    progress.step("pipelining");
    facts.pipelining = behaviour::pipelining(target).await;
    progress.step("a client that says no more");
    facts.answers_after_fin = behaviour::answers_after_fin(target).await;
    if target.tls.is_some() {
        progress.step("TLS");
        facts.tls = behaviour::tls(target).await;
    }
}

/// The first answer, without which there is nothing to measure, until `end` at the latest. It is
/// asked for with the option keep-alive, because some servers tell only those what they hold who ask.
async fn first(url: &str, target: &Arc<Target>, end: Instant) -> Result<Answer, Failure> {
    let answer = timeout_at(end.into(), async {
        let mut wire = target.open().await.map_err(|error| match error {
            NotOpen::Refused(error) => Failure::new(format!("{url}: no connection: {error}"))
                .help("is the server running there? TLS takes -k or --cacert FILE"),
            NotOpen::Allowance => Failure::new("no connection may be opened"),
        })?;
        let request = target.request("GET", &target.path, "Connection: keep-alive\r\n");
        let answer = wire.ask(&Method::GET, &request).await;
        answer.map_err(|lost| unanswered(url, lost))
    });
    let answer = answer.await.unwrap_or_else(|_| {
        let message = format!("{url} cannot be measured: it has not answered within the budget");
        Err(Failure::new(message).help("--budget gives it longer"))
    })?;
    target.note(answer.status);
    Ok(answer)
}

fn unanswered(url: &str, lost: Lost) -> Failure {
    let (what, help) = match lost {
        Lost::Closed(close) => (
            format!("it ended the connection ({})", close.name()),
            "'keepline get -v URL' shows what it answers",
        ),
        Lost::Silence => (
            "it does not answer".to_owned(),
            "'keepline get -v URL' shows how far it comes",
        ),
        Lost::Unfinished => (
            "its answer does not end".to_owned(),
            "take a path with a short answer",
        ),
        Lost::Malformed => (
            "what it answers is not HTTP/1.1".to_owned(),
            "'keepline get -v URL' shows what it answers",
        ),
    };
    Failure::new(format!("{url} cannot be measured: {what}")).help(help)
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::probe::requests::RowEnd;
    use crate::probe::schedule::{Observation, edge};
    use crate::probe::wire::Close;

    pub(crate) fn facts() -> Facts {
        Facts {
            url: "http://127.0.0.1:8080/".to_owned(),
            status: StatusCode::OK,
            turned: None,
            server: None,
            round_trip: Duration::from_micros(60),
            hint: KeepAlive::default(),
            row: Some(Row {
                answered: 1200,
                end: None,
                turned: None,
                hint: KeepAlive::default(),
                took: Duration::from_millis(90),
            }),
            after: Vec::new(),
            pipelining: Some(Pipelining::Ordered),
            answers_after_fin: Some(true),
            tls: None,
            idle: Some(idle(&[Observation::Closed {
                begun: Duration::ZERO,
                after: Duration::from_secs(5),
                close: Close::Fin,
                unsure: Duration::ZERO,
            }])),
            age: None,
            connections: 40,
            took: Duration::from_secs(11),
        }
    }

    fn idle(observations: &[Observation]) -> Idle {
        Idle {
            started: Instant::now(),
            lived_on: 0,
            observations: observations.to_vec(),
            edge: edge(observations),
            race: None,
            alive_after: Duration::ZERO,
        }
    }

    #[test]
    fn the_allowance_is_enough_for_all_that_is_measured() {
        // The first answer and the row; pipelining's four alone and four together; a FIN; TLS.
        let quick = 2 + Trigger::ALL.len() as u64 + 5 + 1 + 3;
        for is_ours in [true, false] {
            let Manners {
                connections, scale, ..
            } = Manners::towards(is_ours, None);
            let idle = u64::from(scale.watched + scale.asked + scale.around);
            let age = 1;
            assert!(quick + idle + age <= connections, "{is_ours}");
        }
    }

    #[test]
    fn a_promise_is_true_if_at_least_as_much_is_held() {
        let row = |answered| Row {
            answered,
            end: Some(RowEnd::Told),
            turned: None,
            hint: KeepAlive::default(),
            took: Duration::ZERO,
        };
        for (timeout, max, answered, truthful) in [
            (None, None, 7, Promise::Held),
            (Some(5), None, 7, Promise::Held),
            (Some(4), Some(7), 7, Promise::Held),
            (Some(6), None, 7, Promise::Broken),
            (None, Some(100), 7, Promise::Broken),
            (Some(4), Some(100), 7, Promise::Broken),
        ] {
            let facts = Facts {
                hint: KeepAlive {
                    timeout: timeout.map(Duration::from_secs),
                    max,
                },
                row: Some(row(answered)),
                ..facts()
            };
            assert_eq!(facts.promise(), truthful, "{timeout:?} {max:?}");
        }
        // Nothing was met: what was told was outlived, or not.
        for (alive, promise) in [(5, Promise::Untried), (60, Promise::Held)] {
            let mut idle = idle(&[]);
            idle.alive_after = Duration::from_secs(alive);
            let facts = Facts {
                hint: KeepAlive {
                    timeout: Some(Duration::from_secs(60)),
                    max: None,
                },
                idle: Some(idle),
                ..facts()
            };
            assert_eq!(facts.promise(), promise, "{alive}");
        }
    }

    #[test]
    fn a_server_that_restarts_or_refuses_is_not_said_to_have_a_timeout() {
        let started = Instant::now();
        let s = Duration::from_secs;
        let observations = [0, 1].map(|second| Observation::Closed {
            begun: s(second),
            after: s(7 - second),
            close: Close::Fin,
            unsure: Duration::ZERO,
        });
        let restarted = Facts {
            idle: Some(Idle {
                started,
                ..idle(&observations)
            }),
            age: Some(Age {
                begun: started,
                lived: s(7),
                requests: 30,
                pause: s(1),
                ended: true,
            }),
            ..facts()
        };
        let advice = advice::advise(&restarted);
        assert!(advice.sentence.contains("measure again"), "{advice:?}");
        assert_eq!((advice.safe, restarted.max_age()), (None, None));
        let refused = Facts {
            turned: Some(StatusCode::TOO_MANY_REQUESTS),
            idle: None,
            ..facts()
        };
        let sentence = advice::advise(&refused).sentence;
        assert!(
            sentence.contains("429 (Too Many Requests) later"),
            "{sentence}"
        );
        let answered_by_another = Facts {
            status: StatusCode::BAD_GATEWAY,
            ..facts()
        };
        let sentence = advice::advise(&answered_by_another).sentence;
        assert!(sentence.contains("502 (Bad Gateway)"), "{sentence}");
    }

    #[test]
    fn the_verdict_has_the_numbers_in_it() {
        let advice = advice::advise(&facts());
        assert_eq!(
            advice.sentence,
            "The server ends idle connections after 5.00s (FIN): a client idle timeout of 4.00s or \
             less is safe."
        );
        let none = Facts {
            idle: Some(idle(&[])),
            ..facts()
        };
        assert_eq!(advice::advise(&none).safe, None);
        let one = Facts {
            row: facts().row.map(|row| Row {
                answered: 1,
                end: Some(RowEnd::Told),
                ..row
            }),
            ..facts()
        };
        assert!(advice::advise(&one).sentence.contains("nothing to reuse"));
    }
}

//! `keepline bench`: load a server, and see its latencies and its connections.
//!
//! - `schedule`: when requests start, in a closed loop or at a rate;
//! - `engine`: the loop of one thread;
//! - `tally`: what it counts, `phases`: where the time went; `report`: how that is told.

mod args;
mod engine;
mod phases;
mod report;
mod schedule;
mod tally;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use http::uri::Scheme;
use http::{HeaderMap, Method, Uri, Version};
use keepline::client::Versions;
use keepline::net::Stream;
use keepline::{Stats, Transport};
use tokio::net::UnixStream;

pub(crate) use args::Args;

use self::engine::Asked;
use self::report::Ran;
use self::schedule::Schedule;
use self::tally::Tally;
use crate::failure::{Failure, Stop, Verdict};
use crate::get::{content, tls, url};
use crate::output::Screen;
use crate::runtime;
use crate::summary::Summary;

/// Runs the sub-command.
pub(crate) fn run(args: &Args, screen: &mut Screen) -> Result<Verdict, Stop> {
    if args.threads > args.connections {
        let message = "-t: each thread needs a connection, and there are fewer";
        return Err(Stop::conflict("bench", message));
    }
    let asked = asked(args)?;
    if args.streams > 1 && !may_be_http2(args, &asked.uri) {
        let message = "--streams: HTTP/2 is spoken with https, or with --http2";
        return Err(Stop::conflict("bench", message));
    }
    // What cannot be built is said before anything starts.
    let transports = (0..args.threads)
        .map(|thread| transports(args, &asked.uri, connections_of(args, thread)))
        .collect::<Result<Vec<_>, _>>()?;
    let stops = Arc::new(AtomicBool::new(false));
    let begin = Instant::now();
    let mut threads = Vec::new();
    for (thread, transports) in (0..args.threads).zip(transports) {
        threads.push(start(args, &asked, (thread, transports), begin, &stops)?);
    }
    let is_whole = wait(args, begin, &threads, &stops, screen)?;
    let mut ran = Ran::new(is_whole);
    for thread in threads {
        let ended = thread.handle.join();
        let (tally, stats) = ended.map_err(|_| Failure::new("a thread of the load failed"))??;
        ran.add(tally, &stats, thread.schedule.missed());
    }
    let last = ran.tally.last.unwrap_or(begin);
    report::tell(args, &ran, last - begin, screen)?;
    if is_whole && ran.tally.failures() == 0 {
        Ok(Verdict::AllWell)
    } else {
        Ok(Verdict::SomethingFailed)
    }
}

/// The part of `whole` that thread number `thread` has; the first ones have what does not divide.
fn share(whole: u64, threads: u16, thread: u16) -> u64 {
    let (threads, thread) = (u64::from(threads), u64::from(thread));
    whole / threads + u64::from(thread < whole % threads)
}

fn connections_of(args: &Args, thread: u16) -> usize {
    let connections = share(args.connections.into(), args.threads, thread);
    usize::try_from(connections).unwrap_or(usize::MAX)
}

fn asked(args: &Args) -> Result<Asked, Failure> {
    let content = args.data.as_deref().map(content).transpose()?;
    let default = match content {
        Some(_) => Method::POST,
        None => Method::GET,
    };
    let mut fields = HeaderMap::new();
    for line in &args.fields {
        fields.append(line.name.clone(), line.value.clone());
    }
    Ok(Asked {
        uri: url(&args.url)?,
        method: args.method.clone().unwrap_or(default),
        version: if args.version.http2 {
            Version::HTTP_2
        } else {
            Version::HTTP_11
        },
        fields,
        content: content.unwrap_or_default(),
        success: args.fail,
        timeout: Some(args.timeout).filter(|timeout| !timeout.is_zero()),
    })
}

fn may_be_http2(args: &Args, uri: &Uri) -> bool {
    let is_secure = uri.scheme().is_some_and(|scheme| *scheme == Scheme::HTTPS);
    // Requests that are pipelined are not offered anything else.
    args.version.http2 || (is_secure && !args.version.http1 && args.pipeline == 1)
}

/// Transports with so many connections in all. Where HTTP/2 may be spoken each has one: a Transport
/// shares a connection of HTTP/2 as long as the peer allows another stream, and here as many are
/// wanted as were asked for.
fn transports(args: &Args, uri: &Uri, connections: usize) -> Result<Vec<Transport>, Failure> {
    if may_be_http2(args, uri) {
        (0..connections).map(|_| transport(args, 1)).collect()
    } else {
        Ok(vec![transport(args, connections)?])
    }
}

fn transport(args: &Args, connections: usize) -> Result<Transport, Failure> {
    let versions = match (args.version.http1, args.version.http2) {
        (true, _) => Versions::Http1,
        (_, true) => Versions::Http2,
        _ => Versions::Auto,
    };
    let mut builder = Transport::builder()
        .versions(versions)
        .max_idle(connections)
        .max_connections_per_key(connections)
        .max_dials_per_key(connections)
        .pipeline(args.pipeline.into())
        .retry(!args.no_retry)
        .tls(tls(&args.tls, |tls| tls)?);
    if let Some(path) = args.unix.clone() {
        builder = builder.connector(move |_| {
            let path = path.clone();
            async move { UnixStream::connect(path).await.map(Stream::from) }
        });
    }
    builder
        .build()
        .map_err(|error| Failure::new(format!("cannot start: {error}")))
}

/// A thread of the load.
struct Thread {
    handle: JoinHandle<Result<(Tally, Vec<Stats>), Failure>>,
    schedule: Arc<Schedule>,
}

fn start(
    args: &Args,
    asked: &Asked,
    (thread, transports): (u16, Vec<Transport>),
    begin: Instant,
    stops: &Arc<AtomicBool>,
) -> Result<Thread, Failure> {
    let part = |whole| share(whole, args.threads, thread);
    let rate = args
        .rate
        .map(|rate| f64::from(rate) / f64::from(args.threads));
    // Requests of the threads alternate.
    let offset = rate.map_or(0.0, |rate| {
        f64::from(thread) / rate / f64::from(args.threads)
    });
    let begin = begin + Duration::from_secs_f64(offset);
    let schedule = Schedule::new(begin, args.requests.map(part), rate, Arc::clone(stops));
    let schedule = Arc::new(schedule);
    let depth = args.pipeline.max(args.streams);
    let in_flight = connections_of(args, thread) * usize::from(depth);
    let failed = |error| Failure::new(format!("cannot start a thread: {error}"));
    if args.rate.is_some() {
        let paced = Arc::clone(&schedule);
        let pacer = thread::Builder::new().name("pacer".to_owned());
        pacer.spawn(move || paced.pace()).map_err(failed)?;
    }
    let (asked, shared) = (asked.clone(), Arc::clone(&schedule));
    let handle = thread::Builder::new()
        .name(format!("load-{thread}"))
        .spawn(move || runtime::block_on(engine::run(asked, transports, shared, in_flight)))
        .map_err(failed)?;
    Ok(Thread { handle, schedule })
}

/// Waits for the end of the run. `false`: somebody broke it off.
fn wait(
    args: &Args,
    begin: Instant,
    threads: &[Thread],
    stops: &AtomicBool,
    screen: &mut Screen,
) -> Result<bool, Failure> {
    let end = begin + args.duration;
    let is_whole = runtime::block_on(async {
        let interrupted = tokio::signal::ctrl_c();
        tokio::pin!(interrupted);
        loop {
            if threads.iter().all(|thread| thread.handle.is_finished()) {
                return true;
            }
            let rest = match args.requests {
                Some(_) => Duration::MAX,
                None => end.saturating_duration_since(Instant::now()),
            };
            if rest.is_zero() {
                return true;
            }
            if args.requests.is_none() {
                screen.countdown("load", end);
            }
            let pause = rest.min(Duration::from_millis(20));
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                _ = &mut interrupted => return false,
            }
        }
    })?;
    if args.requests.is_none() || !is_whole {
        stops.store(true, Ordering::Relaxed);
    }
    screen.finish();
    Ok(is_whole)
}

impl Ran {
    fn new(is_whole: bool) -> Self {
        Self {
            tally: Tally::default(),
            summary: Summary::default(),
            missed: 0,
            is_whole,
        }
    }

    fn add(&mut self, tally: Tally, stats: &[Stats], missed: u64) {
        for stats in stats {
            let mut of_pool = Summary::default();
            of_pool.account(stats);
            self.summary.merge(&of_pool);
        }
        self.tally.merge(tally);
        self.missed += missed;
    }
}

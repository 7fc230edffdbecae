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

use std::io;
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use http::uri::Scheme;
use http::{HeaderMap, Method, Uri, Version};
use keepline::client::Versions;
use keepline::net::Stream;
use keepline::{Stats, Transport};
use tokio::net::UnixStream;
use tokio::signal::unix::{SignalKind, signal};

pub(crate) use args::Args;

use self::engine::Asked;
use self::report::Ran;
use self::schedule::{Ending, Schedule};
use self::tally::Tally;
use crate::failure::{Failure, Stop, Verdict};
use crate::get::{content, tls, url};
use crate::output::Screen;
use crate::runtime;
use crate::summary::Summary;

/// It is looked so often whether the run is over.
const PAUSE: Duration = Duration::from_millis(20);

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
    let ending = Arc::new(Ending::default());
    let begin = Instant::now();
    let mut threads = Vec::new();
    for (thread, transports) in (0..args.threads).zip(transports) {
        threads.push(start(args, &asked, (thread, transports), begin, &ending)?);
    }
    let is_whole = runtime::block_on(wait(args, begin, &threads, &ending, screen))??;
    screen.finish();
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
    ending: &Arc<Ending>,
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
    let schedule = Schedule::new(begin, args.requests.map(part), rate, Arc::clone(ending));
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

/// Waits for the end of the run. `false`: somebody broke it off: once, and no more requests start;
/// twice, and those in progress are not waited for.
async fn wait(
    args: &Args,
    begin: Instant,
    threads: &[Thread],
    ending: &Ending,
    screen: &mut Screen,
) -> io::Result<bool> {
    // One for the whole run: an interrupt that comes between two waits is heard too.
    let mut interrupts = signal(SignalKind::interrupt())?;
    let end = args.requests.is_none().then(|| begin + args.duration);
    if let Some(end) = end {
        screen.countdown("load", end);
    }
    let mut is_whole = true;
    while !threads.iter().all(|thread| thread.handle.is_finished()) {
        if end.is_some_and(|end| Instant::now() >= end) {
            ending.start_none();
        }
        show(args, begin, threads, ending, screen);
        let rest = end.map(|end| end.saturating_duration_since(Instant::now()));
        let pause = rest
            .filter(|rest| !rest.is_zero())
            .unwrap_or(PAUSE)
            .min(PAUSE);
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            _ = interrupts.recv() => {
                is_whole = false;
                if ending.starts_none() {
                    ending.drop_all();
                }
                ending.start_none();
            }
        }
    }
    Ok(is_whole)
}

/// How far it has come.
fn show(args: &Args, begin: Instant, threads: &[Thread], ending: &Ending, screen: &mut Screen) {
    let started = threads.iter().map(|thread| thread.schedule.started()).sum();
    if ending.starts_none() {
        screen.doing("waiting for the last answers (Ctrl-C drops them)");
    } else if let Some(total) = args.requests {
        screen.progress(started, total, begin);
    } else {
        screen.doing(format!("{started} requests"));
    }
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

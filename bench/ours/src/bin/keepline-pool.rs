//! The pool by itself: an idle connection is checked out and given back, without a request.
//!
//! `[--threads N] [--idle N] [-n TURNS]`. The connections are fakes in memory on which nothing ever
//! arrives. Each thread has a runtime of its own, as the workers of the gateway have, and all of them
//! one Transport and one key. `--mutex` does the same with the least that is shared and safe, boxes
//! on a stack under a lock: what is above it is the pool's own.
//!
//! Prints `{"turns":…,"seconds":…,"cpu_ns_each":…}`: the time until all threads had done theirs, and
//! the CPU time of a turn, which a machine that is busy with something else does not change.

use std::error::Error;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Barrier, Mutex};
use std::task::{Context, Poll};
use std::thread;
use std::time::{Duration, Instant};

use http::Uri;
use keepline::Transport;
use keepline::client::{Freshness, Target};
use keepline::net::Stream;
use lexopt::prelude::*;
use rustix::time::{ClockId, clock_gettime};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::runtime::Runtime;

struct Args {
    threads: usize,
    idle: usize,
    turns: usize,
    mutex: bool,
}

fn main() -> Result<(), Box<dyn Error>> {
    let args = arguments()?;
    // Makes what a thread turns with.
    let prepare: Arc<dyn Fn() -> Turning + Send + Sync> = if args.mutex {
        let stack = Arc::new(Mutex::new((0..args.idle).map(Box::new).collect::<Vec<_>>()));
        Arc::new(move || {
            let stack = Arc::clone(&stack);
            Box::new(move |turns| on_a_stack(&stack, turns))
        })
    } else {
        let transport = filled(&args)?;
        Arc::new(move || {
            let (transport, runtime) = (transport.clone(), runtime());
            Box::new(move |turns| in_the_pool(&runtime, &transport, turns))
        })
    };
    let together = Arc::new(Barrier::new(args.threads));
    let threads: Vec<_> = (0..args.threads)
        .map(|_| {
            let (prepare, together) = (Arc::clone(&prepare), Arc::clone(&together));
            let turns = args.turns / args.threads;
            thread::spawn(move || {
                let turn = prepare();
                // Warms up caches and whatever is made once for a thread.
                turn(turns / 20);
                together.wait();
                let (begun, used) = (Instant::now(), cpu_time());
                turn(turns);
                let took = (begun.elapsed(), cpu_time() - used);
                // A runtime that ends takes its connections with it, which others may be using.
                together.wait();
                took
            })
        })
        .collect();
    let (mut elapsed, mut used) = (Duration::ZERO, Duration::ZERO);
    for thread in threads {
        let (took, cpu) = thread.join().expect("a thread does not panic");
        elapsed = elapsed.max(took);
        used += cpu;
    }
    let turns = args.turns / args.threads * args.threads;
    let seconds = elapsed.as_secs_f64();
    println!(
        r#"{{"turns":{turns},"seconds":{seconds:.6},"cpu_ns_each":{:.2}}}"#,
        used.as_secs_f64() * 1e9 / turns as f64,
    );
    Ok(())
}

type Turning = Box<dyn Fn(usize)>;

/// CPU time of this thread.
fn cpu_time() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    time.try_into().expect("CPU time is not negative")
}

fn arguments() -> Result<Args, lexopt::Error> {
    let mut found = Args {
        threads: 1,
        idle: 10,
        turns: 1_000_000,
        mutex: false,
    };
    let mut args = lexopt::Parser::from_env();
    while let Some(arg) = args.next()? {
        match arg {
            Long("threads") => found.threads = args.value()?.parse()?,
            Long("idle") => found.idle = args.value()?.parse()?,
            Short('n') => found.turns = args.value()?.parse()?,
            Long("mutex") => found.mutex = true,
            other => return Err(other.unexpected()),
        }
    }
    if found.threads == 0 || found.idle < found.threads {
        return Err("--threads starts at 1, and each has an idle connection".into());
    }
    Ok(found)
}

fn runtime() -> Runtime {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime can be made")
}

fn target() -> Target {
    let uri: Uri = "http://127.0.0.1:8080/".parse().expect("the URI is valid");
    Target::of(&uri).expect("the scheme is http")
}

/// A Transport with idle connections, made on a runtime that stays as long as the process.
fn filled(args: &Args) -> Result<Transport, Box<dyn Error>> {
    let transport = Transport::builder()
        .connector(|_| async { Ok(Stream::new(Silent)) })
        .max_idle(args.idle)
        .max_idle_per_key(args.idle)
        .max_dials_per_key(args.idle)
        .idle_timeout(None)
        .build()?;
    let runtime = Box::leak(Box::new(runtime()));
    let target = target();
    runtime.block_on(async {
        let mut out = Vec::with_capacity(args.idle);
        for _ in 0..args.idle {
            out.push(transport.exchange_with(&target, Freshness::Any).await?);
        }
        out.into_iter()
            .for_each(keepline::client::Exchange::give_back);
        Ok::<_, keepline::Error>(())
    })?;
    let idle = transport.stats().idle;
    if idle != args.idle {
        return Err(format!("{idle} idle connections, not {}", args.idle).into());
    }
    Ok(transport)
}

fn in_the_pool(runtime: &Runtime, transport: &Transport, turns: usize) {
    let target = target();
    let opened = transport.stats().opened.total();
    runtime.block_on(async {
        for _ in 0..turns {
            transport
                .exchange_with(&target, Freshness::Any)
                .await
                .expect("a connection is idle")
                .give_back();
        }
    });
    assert_eq!(
        transport.stats().opened.total(),
        opened,
        "a dial is not measured"
    );
}

#[expect(clippy::vec_box, reason = "connections are boxed in the pool too")]
fn on_a_stack(stack: &Mutex<Vec<Box<usize>>>, turns: usize) {
    for _ in 0..turns {
        let taken = stack.lock().expect("no holder panics").pop();
        let taken = std::hint::black_box(taken.expect("each thread finds one"));
        stack.lock().expect("no holder panics").push(taken);
    }
}

/// Nothing arrives, and what is sent is gone.
struct Silent;

impl AsyncRead for Silent {
    fn poll_read(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        _: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Poll::Pending
    }
}

impl AsyncWrite for Silent {
    fn poll_write(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

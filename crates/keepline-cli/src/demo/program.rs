//! A program of the demo: what it asks, what it does with the answers, and what that came to.

use std::time::{Duration, Instant};

use bytes::Bytes;
use http::{HeaderMap, Method, Version};
use keepline::Transport;
use rustix::time::{ClockId, clock_gettime};

use super::place::Place;
use crate::failure::Failure;
use crate::kernel::{Tally, Watch};
use crate::load::{Discard, Plan, Wanted};
use crate::summary::Summary;

/// A program that asks the same question again and again.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Program {
    /// Its name in JSON.
    pub(crate) name: &'static str,
    pub(crate) path: &'static str,
    /// It drops each body after so many lines.
    pub(crate) read_lines: Option<u64>,
    /// It drains nothing of what it drops.
    pub(crate) is_drain_off: bool,
    /// It keeps no connection.
    pub(crate) is_reuse_off: bool,
}

/// What running a program came to.
#[derive(Debug, Clone)]
pub(crate) struct Measured {
    pub(crate) summary: Summary,
    /// As the kernel counted; `None` where it does not tell.
    pub(crate) kernel: Option<Tally>,
    pub(crate) tls_handshakes: u64,
    /// CPU time of this process: client, server and the system calls of both.
    pub(crate) cpu: Duration,
}

impl Measured {
    pub(crate) fn cpu_per_request(&self) -> Duration {
        let requests = u32::try_from(self.summary.requests).unwrap_or(u32::MAX);
        self.cpu / requests.max(1)
    }
}

impl Program {
    /// Runs it, one request after the other.
    pub(crate) async fn run(&self, place: &Place, requests: u64) -> Result<Measured, Failure> {
        let transport = self.transport(place)?;
        let plan = self.plan(place, requests)?;
        let mut watch = Watch::start(place.address.port()).ok();
        let mut summary = Summary::default();
        let mut tls_handshakes = 0;
        let cpu_before = cpu_time();
        for number in 1..=requests {
            let outcome = plan.make(&transport, number, &mut Discard).await;
            if let Some(trouble) = &outcome.trouble {
                return Err(trouble.explain(&place.url(self.path)));
            }
            let new = outcome.connection().filter(|connection| !connection.reused);
            tls_handshakes += u64::from(new.is_some_and(|new| new.timings.tls.is_some()));
            summary.add(&outcome);
            if let Some(watch) = &mut watch {
                watch.tally();
            }
        }
        transport.shutdown().await;
        let cpu = cpu_time().saturating_sub(cpu_before);
        summary.account(&transport.stats());
        Ok(Measured {
            kernel: match watch {
                Some(watch) => Some(settled(watch, summary.opened.total()).await),
                None => None,
            },
            summary,
            tls_handshakes,
            cpu,
        })
    }

    fn transport(&self, place: &Place) -> Result<Transport, Failure> {
        let mut builder = Transport::builder();
        if self.is_drain_off {
            builder = builder.drain(0, Duration::ZERO);
        }
        if self.is_reuse_off {
            builder = builder.max_idle(0);
        }
        if let Some(tls) = &place.trust {
            builder = builder.tls(tls.clone());
        }
        builder
            .build()
            .map_err(|error| Failure::new(format!("the client of the demo: {error}")))
    }

    fn plan(&self, place: &Place, requests: u64) -> Result<Plan, Failure> {
        let url = place.url(self.path);
        let target = url
            .parse()
            .map_err(|error| Failure::new(format!("{url}: {error}")))?;
        Ok(Plan {
            targets: vec![Ok(target)],
            method: Method::GET,
            version: Version::HTTP_11,
            fields: HeaderMap::new(),
            content: Bytes::new(),
            requests,
            in_flight: 1,
            redirects: 0,
            interval: Duration::ZERO,
            wanted: Wanted {
                lines: self.read_lines,
                timeout: Some(Duration::from_secs(10)),
                success: true,
            },
        })
    }
}

/// The kernel's count, once it has seen the end of all connections that were opened.
async fn settled(mut watch: Watch, opened: u64) -> Tally {
    const PATIENCE: Duration = Duration::from_millis(500);
    let started = Instant::now();
    loop {
        let tally = watch.tally();
        if tally.connections >= opened || started.elapsed() > PATIENCE {
            return tally;
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

/// CPU time that this process has used.
fn cpu_time() -> Duration {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    Duration::try_from(time).unwrap_or_default()
}

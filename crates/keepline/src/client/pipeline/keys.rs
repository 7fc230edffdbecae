//! The pipelines of a Transport: one for each key and runtime, while it has a line.
//!
//! Invariant: whoever asks in a runtime is served by the lines of that runtime. What is known of a
//! server is shared by all pipelines of its key, and remembered when the last of them goes.
//! Locks are taken in the order keys, verdict, queue.

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Waker;

use tokio::runtime::{Handle, Id};
use tokio::time::Instant;

use super::place::Place;
use super::queue::Queue;
use super::verdict::{Memory, Shown, Verdict};
use super::{Job, run};
use crate::client::Shared;
use crate::client::key::Key;
use crate::error::{Error, ErrorKind};

/// The pipelines of a Transport.
#[derive(Debug)]
pub(in crate::client) struct Pipelines {
    depths: Depths,
    keys: Mutex<Keys>,
}

/// Which keys pipeline, and how deep.
#[derive(Debug, Default)]
pub(in crate::client) struct Depths {
    pub(in crate::client) for_all: Option<usize>,
    pub(in crate::client) overrides: HashMap<Key, Option<usize>>,
}

impl Depths {
    /// Something is pipelined.
    #[cfg(feature = "http2")]
    pub(in crate::client) fn are_any(&self) -> bool {
        self.for_all.is_some() || self.overrides.values().any(Option::is_some)
    }
}

#[derive(Debug)]
struct Keys {
    /// Those of each key, one for each runtime; there is no key without any.
    active: HashMap<Key, Vec<Arc<Pipeline>>>,
    memory: Memory<Key>,
    is_stopped: bool,
}

/// The pipeline of one key in one runtime, while it has a line.
#[derive(Debug)]
pub(super) struct Pipeline {
    pub(super) key: Key,
    runtime: Id,
    pub(super) depth: usize,
    queue: Mutex<Queue<Box<Job>, Waker>>,
    /// Of all pipelines of the key.
    verdict: Arc<Mutex<Verdict>>,
    /// Lines that are being opened.
    opening: AtomicUsize,
}

impl Pipelines {
    /// `remembered`: keys whose verdict is kept while they have no line.
    pub(in crate::client) fn new(depths: Depths, remembered: usize) -> Self {
        Self {
            depths,
            keys: Mutex::new(Keys {
                active: HashMap::new(),
                memory: Memory::new(remembered),
                is_stopped: false,
            }),
        }
    }

    /// How many requests of a key may share a connection, if any.
    pub(in crate::client) fn depth(&self, key: &Key) -> Option<usize> {
        let Depths { for_all, overrides } = &self.depths;
        if overrides.is_empty() {
            return *for_all;
        }
        overrides.get(key).copied().unwrap_or(*for_all)
    }

    fn lock(&self) -> MutexGuard<'_, Keys> {
        self.keys.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Queues a request, and opens a line for it if need be. `Err`: the server does not bear
    /// pipelining, or the Transport is shut down.
    pub(super) fn enter(
        &self,
        shared: &Arc<Shared>,
        key: &Key,
        depth: usize,
        job: Box<Job>,
    ) -> Result<Place, Box<Job>> {
        let here = Handle::current().id();
        let mut keys = self.lock();
        if keys.is_stopped {
            return Err(job);
        }
        let pipeline = match keys.find(key, here) {
            Some(pipeline) if pipeline.verdict().refuses(job.asked_at) => return Err(job),
            Some(pipeline) => Arc::clone(pipeline),
            None => match keys.open(key, here, depth, job.asked_at) {
                Some(pipeline) => pipeline,
                None => return Err(job),
            },
        };
        let pushed = pipeline.lock().push(job);
        drop(keys);
        if let Some(line) = pushed.wake {
            line.wake();
        }
        if let Some(line) = pushed.opens {
            run::spawn(shared, &pipeline, line, VecDeque::new());
        }
        Ok(Place {
            serial: pushed.serial,
            pipeline,
            is_over: false,
        })
    }

    /// A line has gone: its pipeline is forgotten with the last of them, and what is known of the
    /// server remembered.
    pub(super) fn left(&self, pipeline: &Arc<Pipeline>) {
        let mut keys = self.lock();
        let Keys { active, memory, .. } = &mut *keys;
        let Some(of_key) = active.get_mut(&pipeline.key) else {
            return;
        };
        if pipeline.lock().is_over() {
            of_key.retain(|x| !Arc::ptr_eq(x, pipeline));
        }
        if of_key.is_empty() {
            active.remove(&pipeline.key);
            memory.keep(&pipeline.key, pipeline.verdict());
        }
    }

    /// Nothing more is sent; what waits fails. What is on its way is answered.
    pub(in crate::client) fn stop(&self) {
        let mut keys = self.lock();
        keys.is_stopped = true;
        let pipelines = keys.active.values().flatten();
        let waiting: Vec<_> = pipelines.flat_map(|x| x.lock().clear()).collect();
        drop(keys);
        for job in waiting {
            job.fail(Error::new(ErrorKind::Shutdown));
        }
    }
}

impl Keys {
    fn find(&self, key: &Key, runtime: Id) -> Option<&Arc<Pipeline>> {
        self.active.get(key)?.iter().find(|x| x.runtime == runtime)
    }

    /// A new pipeline, unless the server does not bear it.
    fn open(
        &mut self,
        key: &Key,
        runtime: Id,
        depth: usize,
        now: Instant,
    ) -> Option<Arc<Pipeline>> {
        let of_key = self.active.get(key).and_then(|all| all.first());
        let verdict = match of_key {
            Some(other) => Arc::clone(&other.verdict),
            None => Arc::new(Mutex::new(self.memory.recall(key))),
        };
        let pipeline = Arc::new(Pipeline::new(key.clone(), runtime, depth, verdict));
        if pipeline.verdict().refuses(now) {
            return None;
        }
        let of_key = self.active.entry(key.clone()).or_default();
        of_key.push(Arc::clone(&pipeline));
        Some(pipeline)
    }
}

impl Pipeline {
    const fn new(key: Key, runtime: Id, depth: usize, verdict: Arc<Mutex<Verdict>>) -> Self {
        Self {
            key,
            runtime,
            depth,
            queue: Mutex::new(Queue::new(depth)),
            verdict,
            opening: AtomicUsize::new(0),
        }
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, Queue<Box<Job>, Waker>> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn lock_verdict(&self) -> MutexGuard<'_, Verdict> {
        self.verdict.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn verdict(&self) -> Verdict {
        *self.lock_verdict()
    }

    /// The server has answered a request that was sent behind another.
    pub(super) fn bore(&self) {
        self.lock_verdict().bore();
    }

    /// A connection has ended. Answers whether the server does not bear pipelining, and then hands
    /// out what waits.
    pub(super) fn learn(&self, shown: &Shown) -> Option<VecDeque<Box<Job>>> {
        let now = Instant::now();
        let refuses = {
            let mut verdict = self.lock_verdict();
            verdict.learn(shown, now);
            verdict.refuses(now)
        };
        refuses.then(|| self.lock().clear())
    }

    /// A line is being opened, until what this answers is dropped.
    pub(super) fn opening(&self) -> Opening<'_> {
        self.opening.fetch_add(1, Ordering::Relaxed);
        Opening(self)
    }

    /// Lines that are being opened.
    pub(super) fn lines_opening(&self) -> usize {
        self.opening.load(Ordering::Relaxed)
    }
}

/// A line is being opened.
pub(super) struct Opening<'a>(&'a Pipeline);

impl Drop for Opening<'_> {
    fn drop(&mut self) {
        self.0.opening.fetch_sub(1, Ordering::Relaxed);
    }
}

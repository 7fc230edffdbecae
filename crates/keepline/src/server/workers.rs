//! A thread and a runtime for each worker: nothing that changes with a request is shared.
//!
//! Each worker has a listening socket of its own on the common port (SO_REUSEPORT, from
//! [`bind_workers`](crate::net::bind_workers)); the kernel spreads the connections.

use std::io;
use std::thread::{self, JoinHandle};

use bytes::Bytes;
use http::{Request, Response};
use http_body::Body as HttpBody;
use tower_service::Service;

use super::Server;
use super::exchange::Handler;
use super::service::ServiceHandler;
use super::speaks::{Raw, Speaks};
use crate::Body;
use crate::error::BoxError;
use crate::net::Listener;

/// The threads of a server that runs workers.
#[derive(Debug)]
pub struct Workers(Vec<JoinHandle<io::Result<()>>>);

impl Server {
    /// Serves each of `listeners` in a thread with a `current_thread` runtime of its own. `make`
    /// is called once for each, with its number, and makes its service.
    ///
    /// # Errors
    /// A thread could not be started; those that run shut down.
    pub fn spawn_workers<S, B>(
        &self,
        listeners: Vec<Listener>,
        mut make: impl FnMut(usize) -> S,
    ) -> io::Result<Workers>
    where
        S: Service<Request<Body>, Response = Response<B>> + Clone + Send + 'static,
        S::Future: Send + 'static,
        S::Error: Into<BoxError> + 'static,
        B: HttpBody<Data = Bytes> + Send + 'static,
        B::Error: Into<BoxError>,
    {
        self.spawn_speaking(listeners, |number| ServiceHandler(make(number)))
    }

    /// The same with handlers of the raw exchange.
    ///
    /// # Errors
    /// As [`spawn_workers`](Self::spawn_workers).
    pub fn spawn_workers_raw<H: Handler>(
        &self,
        listeners: Vec<Listener>,
        mut make: impl FnMut(usize) -> H,
    ) -> io::Result<Workers> {
        self.spawn_speaking(listeners, |number| Raw(make(number)))
    }

    fn spawn_speaking<H: Speaks>(
        &self,
        listeners: Vec<Listener>,
        mut make: impl FnMut(usize) -> H,
    ) -> io::Result<Workers> {
        let mut threads = Vec::with_capacity(listeners.len());
        for (number, listener) in listeners.into_iter().enumerate() {
            let (server, handler) = (self.clone(), make(number));
            let thread = thread::Builder::new()
                .name(format!("keepline-{number}"))
                .spawn(move || {
                    tokio::runtime::Builder::new_current_thread()
                        .enable_all()
                        .build()?
                        .block_on(server.serve_speaking(listener, handler))
                });
            match thread {
                Ok(thread) => threads.push(thread),
                Err(error) => {
                    self.handle().shutdown();
                    return Err(error);
                }
            }
        }
        Ok(Workers(threads))
    }
}

impl Workers {
    /// Waits, blocking this thread, until all workers have ended: after
    /// [`Handle::shutdown`](super::Handle::shutdown), when the last connection is gone.
    ///
    /// # Errors
    /// The first error of a worker: a listener that could not be registered, or a panic.
    pub fn join(self) -> io::Result<()> {
        let mut outcome = Ok(());
        for thread in self.0 {
            let ended = thread
                .join()
                .unwrap_or_else(|_| Err(io::Error::other("a worker panicked")));
            outcome = outcome.and(ended);
        }
        outcome
    }
}

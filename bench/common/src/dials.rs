//! Counts the connections that a pooled client opens, by a layer around its connector.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};

use tower_layer::Layer;
use tower_service::Service;

/// How many connections were dialled.
#[derive(Clone, Debug, Default)]
pub struct Dials(Arc<AtomicU64>);

impl Dials {
    pub fn count(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }

    pub fn layer(&self) -> CountDials<()> {
        CountDials {
            dials: self.clone(),
            inner: (),
        }
    }
}

/// A connector that counts its calls: nothing is added to a request on a reused connection.
#[derive(Clone, Debug)]
pub struct CountDials<S> {
    dials: Dials,
    inner: S,
}

impl<S> Layer<S> for CountDials<()> {
    type Service = CountDials<S>;

    fn layer(&self, inner: S) -> Self::Service {
        CountDials {
            dials: self.dials.clone(),
            inner,
        }
    }
}

impl<S: Service<Target>, Target> Service<Target> for CountDials<S> {
    type Response = S::Response;
    type Error = S::Error;
    type Future = S::Future;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, target: Target) -> Self::Future {
        self.dials.0.fetch_add(1, Ordering::Relaxed);
        self.inner.call(target)
    }
}

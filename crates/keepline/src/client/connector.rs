//! Opens streams in place of resolving a name and connecting a TCP socket.

use std::fmt;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;

use super::key::Origin;
use crate::net::Stream;

/// A function that opens a stream to an origin.
#[derive(Clone)]
pub(crate) struct Connector(Arc<dyn Fn(Origin) -> Connecting + Send + Sync>);

type Connecting = Pin<Box<dyn Future<Output = io::Result<Stream>> + Send>>;

impl Connector {
    pub(crate) fn new<F, C>(connect: F) -> Self
    where
        F: Fn(Origin) -> C + Send + Sync + 'static,
        C: Future<Output = io::Result<Stream>> + Send + 'static,
    {
        Self(Arc::new(move |origin| -> Connecting {
            Box::pin(connect(origin))
        }))
    }

    pub(crate) fn connect(&self, origin: &Origin) -> Connecting {
        (self.0)(origin.clone())
    }
}

impl fmt::Debug for Connector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Connector")
    }
}

//! The demo's server.

use std::net::Ipv4Addr;

use keepline::net::Listener;
use keepline::server::{Handle, Server, Workers};
use keepline::tls::ClientTls;

use super::place::Place;
use crate::failure::Failure;
use crate::serve::{self, SelfSigned};

/// A server in a thread of this process; dropping it ends it.
#[derive(Debug)]
pub(crate) struct Origin {
    place: Place,
    handle: Handle,
    workers: Option<Workers>,
}

impl Origin {
    pub(crate) fn start_http() -> Result<Self, Failure> {
        Self::start(&server(Server::builder())?, None)
    }

    pub(crate) fn start_https() -> Result<Self, Failure> {
        let certificate = SelfSigned::make()?;
        let trust = ClientTls::builder()
            .root_pem(certificate.certificate_pem.as_bytes())
            .build()
            .map_err(|error| Failure::new(format!("the client of the demo: {error}")))?;
        let server = server(Server::builder().tls(certificate.server_tls()?))?;
        Self::start(&server, Some(trust))
    }

    fn start(server: &Server, trust: Option<ClientTls>) -> Result<Self, Failure> {
        let any_port = (Ipv4Addr::LOCALHOST, 0).into();
        let listeners = serve::listen(any_port, 1)?;
        let address = listeners.first().and_then(Listener::local_addr);
        let address = address.ok_or_else(|| Failure::new("the demo's server has no address"))?;
        Ok(Self {
            place: Place { address, trust },
            handle: server.handle(),
            workers: Some(serve::start(server, listeners, None)?),
        })
    }

    pub(crate) const fn place(&self) -> &Place {
        &self.place
    }

    /// The connections that it has accepted so far.
    pub(crate) fn accepted(&self) -> u64 {
        self.handle.stats().opened
    }
}

impl Drop for Origin {
    fn drop(&mut self) {
        self.handle.abort();
        if let Some(workers) = self.workers.take() {
            // What it says is of no use to anybody any more.
            let _ = workers.join();
        }
    }
}

fn server(builder: keepline::server::ServerBuilder) -> Result<Server, Failure> {
    builder
        .build()
        .map_err(|error| Failure::new(format!("the server of the demo: {error}")))
}

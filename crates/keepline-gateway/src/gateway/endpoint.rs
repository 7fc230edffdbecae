//! An address that is listened on, with the virtual servers behind it.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;

use crate::config::{Http, Listen, ListenAddress, Pattern, Server};
use crate::route::Names;

/// An address and its servers.
#[derive(Debug)]
pub(crate) struct Endpoint {
    pub(crate) listen: Listen,
    /// The place in `http.servers` of the one that has the requests that no name fits.
    default: usize,
    names: Names<usize>,
    /// All of its servers.
    servers: Vec<usize>,
}

impl Endpoint {
    /// Those of a configuration.
    pub(crate) fn all(http: &Http) -> BTreeMap<ListenAddress, Arc<Self>> {
        let mut endpoints: BTreeMap<ListenAddress, Self> = BTreeMap::new();
        for (number, server) in http.servers.iter().enumerate() {
            for listen in &server.listen {
                let endpoint = endpoints
                    .entry(listen.address.clone())
                    .or_insert_with(|| Self::new(listen, number));
                endpoint.add(listen, number, server);
            }
        }
        endpoints
            .into_iter()
            .map(|(address, endpoint)| (address, Arc::new(endpoint)))
            .collect()
    }

    fn new(listen: &Listen, default: usize) -> Self {
        Self {
            listen: listen.clone(),
            default,
            names: Names::default(),
            servers: Vec::new(),
        }
    }

    fn add(&mut self, listen: &Listen, number: usize, server: &Server) {
        if listen.is_default {
            self.default = number;
        }
        self.listen.is_tls |= listen.is_tls;
        self.servers.push(number);
        for name in &server.names {
            self.names.add(name, number);
        }
    }

    /// The server of a host (in lower case, without port), and the regular expression that named it.
    pub(crate) fn server_of(&self, host: &[u8]) -> (usize, Option<&Pattern>) {
        // With one server there is no choice, but a regular expression may have groups.
        match self.names.find(host) {
            Some((number, pattern)) => (*number, pattern),
            None => (self.default, None),
        }
    }

    /// The server whose settings hold before the host is known.
    pub(crate) const fn default_server(&self) -> usize {
        self.default
    }

    pub(crate) fn port(&self) -> u16 {
        match &self.listen.address {
            ListenAddress::Inet(address) => SocketAddr::port(address),
            ListenAddress::Unix(_) => 0,
        }
    }
}

//! Another configuration in the place of the one that is in force.
//!
//! Either all of it is put in force or nothing: what can fail comes first. Addresses that stay keep
//! their sockets and their connections, whose next requests find the new configuration. Addresses that go
//! are served, with the configuration that had them, until the last of their connections is gone. With more
//! workers each address gets more sockets; with fewer, those that stay take over the sockets, and those that go
//! end when the last of their connections is gone.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError};

use super::{Gateway, Listening, Live, StartError, Worker, bind, live, server, start_workers};
use crate::config::{Config, ListenAddress};

impl Gateway {
    /// Puts another configuration in force. Upstreams that did not change keep their connections.
    ///
    /// # Errors
    /// As [`start`](Self::start); then the configuration in force stays.
    pub fn reload(&mut self, config: &Config) -> Result<(), StartError> {
        let before = self.shared.live.load_full();
        let process = Arc::clone(&self.process);
        let live = Arc::new(Live::new(config, Some(&before), process)?);
        let count = live::worker_count(config);
        let listening = self.listening.get_mut();
        let listening = listening.unwrap_or_else(PoisonError::into_inner);

        let endpoints = live.endpoints.iter();
        let added = endpoints.filter(|(address, _)| !listening.contains_key(*address));
        let added: Vec<_> = added.map(|(_, endpoint)| endpoint).collect();
        let is_ours = |address: &ListenAddress| listening.keys().any(|own| overlap(own, address));
        let added = bind(&live, &added, &self.shared, count, is_ours)?;
        let staying = listening.iter();
        let staying = staying.filter(|(address, _)| live.endpoints.contains_key(*address));
        let staying = staying.map(|(address, one)| Ok((address.clone(), one.prepare(count)?)));
        let mut moves = staying.collect::<Result<HashMap<_, _>, StartError>>()?;
        let mut receptions = Vec::new();
        for (address, one) in &*listening {
            if let Some(endpoint) = live.endpoints.get(address) {
                let like = server(&live, endpoint, &self.shared)?;
                receptions.push((one.handle(), like.handle().reception()));
            }
        }
        let known = self.workers.len();
        let further = start_workers(known..count.max(known), &self.shared)?;

        // From here on nothing fails: receptions that a server has taken, another takes too.
        self.retire(&before, &live);
        self.shared.live.store(Arc::clone(&live));
        for (handle, reception) in receptions {
            handle.receive_with(reception).map_err(StartError::server)?;
        }
        self.follow(&live);
        self.workers.extend(further);
        let listening = self.listening.get_mut();
        let listening = listening.unwrap_or_else(PoisonError::into_inner);
        for (address, (one, of_one)) in added {
            self.process.add_server(one.handle());
            listening.insert(address.clone(), one);
            moves.insert(address, of_one);
        }
        for (address, of_one) in moves {
            if let Some(one) = listening.get_mut(&address) {
                one.assign(of_one, &self.workers);
            }
        }
        let left = self.workers.drain(count..).map(Worker::leave);
        self.leaving.retain(|worker| !worker.has_ended());
        self.leaving.extend(left);
        Ok(())
    }

    /// Stops listening on the addresses that `live` has not. What is left of their connections is
    /// served as before.
    fn retire(&mut self, before: &Arc<Live>, live: &Live) {
        let listening = self.listening.get_mut();
        let listening = listening.unwrap_or_else(PoisonError::into_inner);
        let is_gone = |address: &ListenAddress| !live.endpoints.contains_key(address);
        let mut retired = HashMap::clone(&self.shared.retired.load());
        // An address that has come back is not retired, and its old connections are gone or served anew.
        retired.retain(|address, _| is_gone(address));
        let gone: Vec<_> = listening
            .extract_if(|address, _| is_gone(address))
            .collect();
        for (address, mut one) in gone {
            Listening::close(&mut one);
            one.handle().shutdown();
            retired.insert(address, Arc::clone(before));
        }
        self.shared.retired.store(Arc::new(retired));
    }
}

/// The kernel could not tell whose a connection is, but for who is more exact.
fn overlap(one: &ListenAddress, other: &ListenAddress) -> bool {
    match (one, other) {
        (ListenAddress::Inet(one), ListenAddress::Inet(other)) => one.port() == other.port(),
        _ => false,
    }
}

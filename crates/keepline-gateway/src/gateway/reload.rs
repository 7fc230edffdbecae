//! Another configuration in the place of the one that is in force.
//!
//! Either all of it is put in force or nothing: what can fail comes first. Addresses that stay keep
//! their sockets and their connections, whose next requests find the new configuration. Addresses that go
//! are served, with the configuration that had them, until the last of their connections is gone.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError};

use super::{Gateway, Live, StartError, bind};
use crate::config::{Config, ListenAddress};

impl Gateway {
    /// Puts another configuration in force. Upstreams that did not change keep their connections. The
    /// number of workers stays as it was.
    ///
    /// # Errors
    /// As [`start`](Self::start); then the configuration in force stays.
    pub fn reload(&self, config: &Config) -> Result<(), StartError> {
        let before = self.shared.live.load_full();
        let process = Arc::clone(&self.process);
        let live = Arc::new(Live::new(config, Some(&before), process)?);
        let mut sockets = Vec::new();
        for (address, endpoint) in &live.endpoints {
            if !self.is_listening(address) {
                sockets.push((Arc::clone(endpoint), bind(endpoint, self.workers.len())?));
            }
        }
        self.retire(&before, &live);
        self.shared.live.store(Arc::clone(&live));
        self.follow(&live);
        for (endpoint, listeners) in sockets {
            self.listen(&live, &endpoint, listeners)?;
        }
        Ok(())
    }

    fn is_listening(&self, address: &ListenAddress) -> bool {
        let listening = self.listening.lock();
        let listening = listening.unwrap_or_else(PoisonError::into_inner);
        listening.contains_key(address)
    }

    /// Stops listening on the addresses that `live` has not. What is left of their connections is
    /// served as before.
    fn retire(&self, before: &Arc<Live>, live: &Live) {
        let mut listening = self
            .listening
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let gone: Vec<ListenAddress> = listening
            .keys()
            .filter(|address| !live.endpoints.contains_key(*address))
            .cloned()
            .collect();
        let mut retired = HashMap::clone(&self.shared.retired.load());
        // An address that has come back is not retired, and its old connections are gone or served anew.
        retired.retain(|address, _| !live.endpoints.contains_key(address));
        for address in gone {
            if let Some(gone) = listening.remove(&address) {
                gone.server.handle().shutdown();
                super::remove_socket(&address);
            }
            retired.insert(address, Arc::clone(before));
        }
        self.shared.retired.store(Arc::new(retired));
    }
}

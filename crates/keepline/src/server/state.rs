//! What a connection is doing, for whoever wants to be told (Go: `ConnState`).

use std::sync::Arc;

use crate::CloseReason;
use crate::net::PeerAddr;

/// What a server connection is doing.
///
/// `New → Active → Idle → Active → … → Closed` or `Upgraded`. A connection is active from the
/// first byte of a request (Go: from its whole head), so that whoever closes idle connections
/// never cuts a request that is arriving; it is idle again when its answer has been sent and
/// nothing of a further request is here. A batch of pipelined requests is one active period.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum ConnectionState {
    /// Accepted; nothing has come.
    New,
    /// A request is arriving or being answered.
    Active,
    /// Waiting for a further request.
    Idle,
    /// Over, for this reason. Final.
    Closed(CloseReason),
    /// Handed over to whoever speaks its new protocol. Final.
    Upgraded,
}

/// A connection has come into a state.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct StateChange {
    /// Number of the connection, from 1, in the order in which the server accepted them.
    pub connection: u64,
    /// The other end.
    pub peer: PeerAddr,
    /// Its state now.
    pub state: ConnectionState,
}

/// Called with each change, on the connection's own task: it must not block.
pub(crate) type StateHook = Arc<dyn Fn(StateChange) + Send + Sync>;

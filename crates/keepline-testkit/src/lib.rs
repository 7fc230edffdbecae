//! What keepline's tests play against: scripted peers, awkward streams, the kernel's own view of
//! the sockets, certificates, and the real servers and clients of other projects.
//!
//! Three rules hold throughout:
//!
//! - **Nothing sleeps to synchronise.** A test waits for a fact (bytes arrived, a connection
//!   ended, a [`Gate`] opened), never for time to pass.
//! - **Every wait is bounded** by [`within()`], in real time even under a paused clock, and fails by
//!   naming what it waited for and where.
//! - **This crate depends on none of the workspace's crates**, so that it can test all of them and
//!   shares none of their mistakes: it has its own, deliberately literal, idea of HTTP.
//!
//! Where to look:
//!
//! | to test | use |
//! |---|---|
//! | a client | [`peer::Peer`], a server that does exactly what a [`peer::Script`] says |
//! | a server | [`RawClient`], which sends the bytes it is told to |
//! | timeouts, without sockets | [`stream::duplex`] and a paused clock |
//! | every split of the input | [`stream::Dribble`] |
//! | errors and stalls in mid-stream | [`stream::Faulty`] |
//! | how many connections there really are | [`sockets`], [`process_facts`] |
//! | what TCP does about a peer that has vanished | [`Link`] |
//! | TLS | [`certs`] |
//! | names whose addresses change | [`dns`] |
//! | nginx, Go, curl, … | [`peers::require`] and [`Process`] |

mod background;
pub mod certs;
pub mod dns;
mod gate;
mod head;
mod link;
pub mod peer;
pub mod peers;
mod process;
pub mod process_facts;
mod raw_client;
mod scratch;
pub mod sockets;
pub mod stream;
mod within;

pub use gate::Gate;
pub use head::length as head_length;
pub use link::Link;
pub use process::Process;
pub use raw_client::{End, RawClient};
pub use scratch::ScratchDir;
pub use within::{PATIENCE, until, within};

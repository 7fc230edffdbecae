//! An HTTP/1.1 server that fails as servers fail, at the worst moment, for tests of clients.
//!
//! A [`Fault`] is a way to misbehave with a name: to close an idle connection without a word, to
//! reset it in the middle of a body, to promise with `Keep-Alive` what it does not hold. A
//! [`Plan`] says which fault, at which request and after how long; a [`FaultServer`] plays it on
//! every connection and tells what happened.
//!
//! ```
//! use keepline_faults::{Fault, FaultServer, Plan};
//!
//! # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
//! // The first connection is cut in its second answer; those that follow are served well.
//! let plan = Plan::new(Fault::FinMidBody).at(2).times(1);
//! let server = FaultServer::start(plan).await?;
//! let url = server.url("/"); // … to give to the client under test
//! # assert!(url.starts_with("http://127.0.0.1:"));
//! # std::io::Result::Ok(()) }).unwrap();
//! ```
//!
//! Until the fault's turn, and with [`Plan::times`] after it, requests get the ordinary answer: 200
//! and [`CONTENT`], with its length. Request bodies are read and dropped, whatever the method, so
//! that no reset comes from the kernel where the script wants none.
//!
//! It depends on none of keepline's crates and shares none of their mistakes: its idea of HTTP is
//! literal, its answers are bytes. It is not a server to run where others can reach it.

mod event;
mod fault;
mod plan;
mod player;
mod request;
mod script;
mod server;

pub use event::{End, Event, EventKind};
pub use fault::{Fault, UnknownFault};
pub use plan::Plan;
pub use script::{CONTENT, FOREIGN};
pub use server::FaultServer;

//! In-memory and awkward streams: the same bytes, split, cut, failed or stalled.
//!
//! [`Dribble`] and [`Faulty`] wrap anything that reads and writes, a [`TcpStream`] as well as one
//! end of a [`duplex`], and wrap each other. They change when and how much arrives, never what.
//!
//! [`TcpStream`]: tokio::net::TcpStream

mod dribble;
mod faulty;

pub use dribble::Dribble;
pub use faulty::{Fault, Faulty};
/// Two connected streams in memory, of which each buffers up to a limit.
///
/// Use it wherever time is what is tested: with `#[tokio::test(start_paused = true)]` the clock
/// jumps from timer to timer, but only while nothing waits for a real socket. Dropping one end is
/// a FIN to the other; there is no reset, for which see [`Faulty`].
pub use tokio::io::{DuplexStream, duplex};

//! When TCP asks a silent peer whether it is still there.

use std::time::Duration;

use socket2::TcpKeepalive;

/// TCP keep-alive: probes that tell a peer that is gone from one that is silent. Not to be confused
/// with HTTP's `Keep-Alive`. Times are rounded to seconds by the system.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TcpKeepAlive {
    /// The first probe is sent after so much silence. Default 30 s, as Go.
    pub time: Duration,
    /// Between probes that are not answered. Default 15 s, as Go.
    pub interval: Duration,
    /// After so many the connection is dead. Default 9, as Go.
    pub retries: u32,
}

impl Default for TcpKeepAlive {
    fn default() -> Self {
        Self {
            time: Duration::from_secs(30),
            interval: Duration::from_secs(15),
            retries: 9,
        }
    }
}

impl TcpKeepAlive {
    pub(crate) const fn as_option(&self) -> TcpKeepalive {
        TcpKeepalive::new()
            .with_time(self.time)
            .with_interval(self.interval)
            .with_retries(self.retries)
    }
}

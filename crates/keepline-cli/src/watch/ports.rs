//! How many local ports are left for connections to one address, and for how long that is enough.
//!
//! Pure. A connection is known by its two addresses and ports, so ports run out for each remote
//! address and port by themselves; those in TIME-WAIT are used too.

use std::collections::{HashMap, HashSet, VecDeque};
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use crate::kernel::sockets::Socket;

/// Growth is measured over so many looks.
const LOOKS: usize = 10;

/// The local ports used towards the remote address that has most.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct HeadRoom {
    pub(crate) remote: SocketAddr,
    pub(crate) used: u64,
    pub(crate) left: u64,
    /// At the present rate; `None` if it does not grow.
    pub(crate) exhausted_in: Option<Duration>,
}

/// The use of ports over the last looks.
#[derive(Debug)]
pub(crate) struct Ports {
    range: (u16, u16),
    remote: Option<SocketAddr>,
    used: VecDeque<(Instant, u64)>,
}

impl Ports {
    /// Of a machine that hands out ports of this range, both ends included.
    pub(crate) const fn new(range: (u16, u16)) -> Self {
        Self {
            range,
            remote: None,
            used: VecDeque::new(),
        }
    }

    /// Looks at the clients' ends that there are now.
    pub(crate) fn look(&mut self, now: Instant, clients: &[Socket]) -> Option<HeadRoom> {
        let mut used: HashMap<(IpAddr, SocketAddr), HashSet<u16>> = HashMap::new();
        for socket in clients {
            let port = socket.local.port();
            if (self.range.0..=self.range.1).contains(&port) {
                let key = (socket.local.ip(), socket.remote);
                used.entry(key).or_default().insert(port);
            }
        }
        let busiest = used
            .into_iter()
            .map(|((_, remote), ports)| (ports.len() as u64, remote));
        let (used, remote) = busiest.max()?;
        if self.remote != Some(remote) {
            self.remote = Some(remote);
            self.used.clear();
        }
        self.used.push_back((now, used));
        if self.used.len() > LOOKS {
            self.used.pop_front();
        }
        let all = u64::from(self.range.1 - self.range.0) + 1;
        let left = all.saturating_sub(used);
        Some(HeadRoom {
            remote,
            used,
            left,
            exhausted_in: self.exhausted_in(left),
        })
    }

    fn exhausted_in(&self, left: u64) -> Option<Duration> {
        let ((began, before), (ended, now)) = (self.used.front()?, self.used.back()?);
        let growth = now.checked_sub(*before).filter(|growth| *growth > 0)?;
        let per_second = growth as f64 / ended.duration_since(*began).as_secs_f64();
        Duration::try_from_secs_f64(left as f64 / per_second).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::sockets::State;

    fn clients(remote: u16, local: std::ops::Range<u16>) -> Vec<Socket> {
        local
            .map(|port| Socket {
                state: State::TimeWait,
                local: SocketAddr::from(([127, 0, 0, 1], port)),
                remote: SocketAddr::from(([127, 0, 0, 1], remote)),
                inode: 0,
                idle: None,
                retransmits: None,
                is_whole: false,
            })
            .collect()
    }

    #[test]
    fn the_busiest_address_counts_and_its_growth_says_how_long_it_lasts() {
        let (mut ports, now) = (Ports::new((1000, 1999)), Instant::now());
        assert_eq!(ports.look(now, &[]), None);
        let both = [clients(80, 1000..1100), clients(443, 1000..1010)].concat();
        let first = ports.look(now, &both).expect("some are used");
        assert_eq!(
            (first.remote.port(), first.used, first.left),
            (80, 100, 900)
        );
        assert_eq!(first.exhausted_in, None);
        let later = now + Duration::from_secs(2);
        let more = ports
            .look(later, &clients(80, 1000..1300))
            .expect("some are used");
        assert_eq!(more.exhausted_in, Some(Duration::from_secs(7)));
        let fewer = ports
            .look(later, &clients(80, 1000..1050))
            .expect("some are used");
        assert_eq!(fewer.exhausted_in, None);
    }

    #[test]
    fn ports_that_are_not_handed_out_do_not_count() {
        let mut ports = Ports::new((1000, 1999));
        assert_eq!(ports.look(Instant::now(), &clients(80, 5000..5100)), None);
    }
}

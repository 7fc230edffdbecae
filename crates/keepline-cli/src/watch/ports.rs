//! How many local ports are left for connections to one address, and for how long that is enough.
//!
//! Pure. A connection is known by its two addresses and ports, so ports run out for each remote
//! address and port by themselves; those in TIME-WAIT are used too.

use std::collections::{HashMap, HashSet, VecDeque};
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use crate::kernel::sockets::{Socket, State};

/// For so long a port is used after its connection has ended (Linux: `TCP_TIMEWAIT_LEN`).
const TIME_WAIT: Duration = Duration::from_secs(60);

/// Growth is measured over so many looks.
const LOOKS: usize = 10;

/// The local ports used towards the remote address that has most.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct HeadRoom {
    pub(crate) remote: SocketAddr,
    pub(crate) used: u64,
    pub(crate) left: u64,
    /// At the present rate; `None` if that goes on for ever.
    pub(crate) exhausted_in: Option<Duration>,
}

/// The use of ports over the last looks.
#[derive(Debug)]
pub(crate) struct Ports {
    range: (u16, u16),
    remote: Option<SocketAddr>,
    looks: VecDeque<Use>,
}

/// The use of ports at a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Use {
    at: Instant,
    /// By connections that are open.
    open: u64,
    /// By connections in TIME-WAIT.
    waiting: u64,
}

impl Ports {
    /// Of a machine that hands out ports of this range, both ends included.
    pub(crate) const fn new(range: (u16, u16)) -> Self {
        Self {
            range,
            remote: None,
            looks: VecDeque::new(),
        }
    }

    /// Looks at the clients' ends that there are now.
    pub(crate) fn look(&mut self, now: Instant, clients: &[Socket]) -> Option<HeadRoom> {
        let mut used: HashMap<(IpAddr, SocketAddr), Sides> = HashMap::new();
        for socket in clients {
            let port = socket.local.port();
            if (self.range.0..=self.range.1).contains(&port) {
                let sides = used.entry((socket.local.ip(), socket.remote)).or_default();
                match socket.state {
                    State::TimeWait => sides.waiting.insert(port),
                    _ => sides.open.insert(port),
                };
            }
        }
        let busiest = used.into_iter().map(|((_, remote), sides)| {
            let (open, waiting) = (sides.open.len() as u64, sides.waiting.len() as u64);
            (open + waiting, remote, open, waiting)
        });
        let (used, remote, open, waiting) = busiest.max()?;
        if self.remote != Some(remote) {
            self.remote = Some(remote);
            self.looks.clear();
        }
        self.looks.push_back(Use {
            at: now,
            open,
            waiting,
        });
        if self.looks.len() > LOOKS {
            self.looks.pop_front();
        }
        let all = u64::from(self.range.1 - self.range.0) + 1;
        let left = all.saturating_sub(used);
        let first = *self.looks.front()?;
        Some(HeadRoom {
            remote,
            used,
            left,
            exhausted_in: exhausted_in(
                left,
                first,
                Use {
                    at: now,
                    open,
                    waiting,
                },
            ),
        })
    }
}

/// The local ports towards one address.
#[derive(Debug, Default)]
struct Sides {
    open: HashSet<u16>,
    waiting: HashSet<u16>,
}

/// When `left` ports are used up, if the use goes on to grow as it did between two looks. Those in
/// TIME-WAIT come back after a minute: what they take counts for as long, and no longer.
fn exhausted_in(left: u64, before: Use, now: Use) -> Option<Duration> {
    let elapsed = now.at.duration_since(before.at).as_secs_f64();
    let rate = |before: u64, now: u64| (now as f64 - before as f64) / elapsed;
    let (open, waiting) = (
        rate(before.open, now.open),
        rate(before.waiting, now.waiting),
    );
    let at_rate = |rate: f64| {
        let is_growing = elapsed > 0.0 && rate > 0.0;
        is_growing.then(|| Duration::try_from_secs_f64(left as f64 / rate).ok())?
    };
    at_rate(open + waiting)
        .filter(|time| *time <= TIME_WAIT)
        .or_else(|| at_rate(open))
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
    fn what_waits_comes_back_after_a_minute_and_what_is_open_does_not() {
        let now = Instant::now();
        let at = |seconds, open, waiting| Use {
            at: now + Duration::from_secs(seconds),
            open,
            waiting,
        };
        let s = Duration::from_secs;
        for (left, open, waiting, exhausted) in [
            (1000, 0, 100, Some(s(10))),
            // A minute's worth of them fits.
            (7000, 0, 100, None),
            (7000, 10, 100, Some(s(700))),
            (1000, 100, 0, Some(s(10))),
            (1000, 100, -100, Some(s(10))),
            (1000, 0, 0, None),
            (1000, 0, -5, None),
        ] {
            let grown = |base: u64, by: i64| base.checked_add_signed(by).expect("it is positive");
            let found = exhausted_in(
                left,
                at(0, 500, 500),
                at(1, grown(500, open), grown(500, waiting)),
            );
            assert_eq!(
                found, exhausted,
                "{left} left, {open} and {waiting} more a second"
            );
        }
        assert_eq!(exhausted_in(1, at(0, 1, 1), at(0, 2, 2)), None);
    }

    #[test]
    fn ports_that_are_not_handed_out_do_not_count() {
        let mut ports = Ports::new((1000, 1999));
        assert_eq!(ports.look(Instant::now(), &clients(80, 5000..5100)), None);
    }
}

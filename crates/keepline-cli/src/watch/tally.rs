//! What happens to connections between two looks at the kernel's tables.
//!
//! Pure: sockets and the time go in, a sample comes out. Where the kernel tells of each socket that
//! ends, connections are counted by conservation: those that are there now are those that were, and
//! those that were opened, less those that ended. So one that came and went between two looks is
//! counted too. Where it does not, the tables are compared, and such a one shows only by the
//! TIME-WAIT that it leaves.
//!
//! A side that resets its own connection (`SO_LINGER` of 0) makes the kernel forget the ports before
//! it tells of the end: such a one is seen to be gone, and not seen at all if it came and went
//! between two looks. Its other side is told of as ever.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use crate::kernel::sockets::{Socket, State};

/// Upper bounds of the columns of a histogram; the last column has none.
pub(crate) const BOUNDS: [(Duration, &str); 4] = [
    (Duration::from_secs(1), "<1s"),
    (Duration::from_secs(10), "<10s"),
    (Duration::from_secs(60), "<1m"),
    (Duration::from_secs(600), "<10m"),
];
/// The name of the last column.
pub(crate) const BEYOND: &str = ">=10m";

/// How many connections are in each column.
pub(crate) type Histogram = [u64; BOUNDS.len() + 1];

/// Both ends of a connection, this one first.
type Pair = (SocketAddr, SocketAddr);

/// The connections of one side, over time.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    live: HashMap<Pair, Seen>,
    waiting: HashSet<Pair>,
    /// Connections there were at the first look; `None` before it.
    at_start: Option<u64>,
    ended: u64,
    told_opened: u64,
    /// Counted as ended at the look before without the kernel's word, which may yet come.
    vanished: HashSet<Pair>,
}

#[derive(Debug, Clone, Copy)]
struct Seen {
    since: Instant,
    retransmits: u64,
}

/// What happened on one side since the look before, and what there is now.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Sample {
    pub(crate) states: BTreeMap<State, u64>,
    pub(crate) opened: u64,
    pub(crate) closed: u64,
    /// Connections that this side closed first, for which it now waits a minute.
    pub(crate) time_wait_made: u64,
    pub(crate) retransmits: u64,
    /// Since they were first seen: at least.
    pub(crate) ages: Histogram,
    /// Since data went either way; `None` where the kernel does not tell.
    pub(crate) idle: Option<Histogram>,
}

impl Tally {
    /// A connection of which this is one end is known.
    pub(crate) fn knows(&self, socket: &Socket) -> bool {
        let pair = pair(socket);
        self.live.contains_key(&pair) || self.waiting.contains(&pair)
    }

    /// Looks at the sockets that there are now, and at those that the kernel says have ended since,
    /// `None` if it does not say.
    pub(crate) fn look(
        &mut self,
        now: Instant,
        sockets: &[Socket],
        ended: Option<&[Socket]>,
    ) -> Sample {
        let mut sample = Sample {
            idle: sockets
                .iter()
                .any(|socket| socket.idle.is_some())
                .then(Histogram::default),
            ..Sample::default()
        };
        let is_first = self.at_start.is_none();
        let (mut live, mut waiting) = (HashMap::new(), HashSet::new());
        let mut unseen_waits = 0;
        for socket in sockets {
            *sample.states.entry(socket.state).or_default() += 1;
            if socket.is_whole {
                let seen = self.see(now, socket, is_first, &mut sample);
                live.insert(pair(socket), seen);
            } else if socket.state == State::TimeWait {
                let pair = pair(socket);
                let is_new = !self.waiting.contains(&pair) && !is_first;
                sample.time_wait_made += u64::from(is_new);
                unseen_waits += u64::from(is_new && !self.live.contains_key(&pair));
                waiting.insert(pair);
            }
        }
        match ended {
            _ if is_first => {}
            Some(ended) => self.by_conservation(ended, &live, &mut sample),
            None => {
                let news = live
                    .keys()
                    .filter(|pair| !self.live.contains_key(*pair))
                    .count();
                let gone = self
                    .live
                    .keys()
                    .filter(|pair| !live.contains_key(*pair))
                    .count();
                sample.opened = news as u64 + unseen_waits;
                sample.closed = gone as u64 + unseen_waits;
            }
        }
        self.at_start = Some(self.at_start.unwrap_or(live.len() as u64));
        (self.live, self.waiting) = (live, waiting);
        sample
    }

    /// Enters a socket into the histograms.
    fn see(&self, now: Instant, socket: &Socket, is_first: bool, sample: &mut Sample) -> Seen {
        let before = self.live.get(&pair(socket)).copied();
        let since = before.map_or(now, |seen| seen.since);
        let retransmits = socket.retransmits.unwrap_or_default();
        if !is_first {
            let known = before.map_or(0, |seen| seen.retransmits);
            sample.retransmits += retransmits.saturating_sub(known);
        }
        sample.ages[column(now.duration_since(since))] += 1;
        // One that is not open yet has never carried anything; the kernel's figure is then the time since
        // the machine was started.
        let is_open = !matches!(socket.state, State::SynSent | State::SynReceived);
        let idle = socket.idle.filter(|_| is_open);
        if let (Some(idle), Some(histogram)) = (idle, &mut sample.idle) {
            histogram[column(idle)] += 1;
        }
        Seen { since, retransmits }
    }

    fn by_conservation(
        &mut self,
        ended: &[Socket],
        live: &HashMap<Pair, Seen>,
        sample: &mut Sample,
    ) {
        let told: HashSet<_> = ended.iter().map(pair).collect();
        let known_late = told.intersection(&self.vanished).count();
        self.vanished = self
            .live
            .keys()
            .filter(|pair| !live.contains_key(*pair) && !told.contains(*pair))
            .copied()
            .collect();
        sample.closed = (ended.len() - known_late + self.vanished.len()) as u64;
        self.ended += sample.closed;
        for socket in ended {
            let known = self
                .live
                .get(&pair(socket))
                .map_or(0, |seen| seen.retransmits);
            sample.retransmits += socket.retransmits.unwrap_or_default().saturating_sub(known);
        }
        // One that ends between the kernel's two answers is made up for at the next look.
        let opened =
            (live.len() as u64 + self.ended).saturating_sub(self.at_start.unwrap_or_default());
        sample.opened = opened.saturating_sub(self.told_opened);
        self.told_opened += sample.opened;
    }
}

fn pair(socket: &Socket) -> Pair {
    (socket.local, socket.remote)
}

fn column(time: Duration) -> usize {
    let bound = BOUNDS.iter().position(|(bound, _)| time < *bound);
    bound.unwrap_or(BOUNDS.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn socket(port: u16, state: State) -> Socket {
        Socket {
            state,
            local: SocketAddr::from(([127, 0, 0, 1], port)),
            remote: SocketAddr::from(([127, 0, 0, 1], 80)),
            inode: 0,
            idle: Some(Duration::from_secs(u64::from(port))),
            retransmits: Some(0),
            is_whole: state != State::TimeWait,
        }
    }

    fn open(ports: std::ops::Range<u16>) -> Vec<Socket> {
        ports.map(|port| socket(port, State::Established)).collect()
    }

    #[test]
    fn those_that_were_there_before_are_not_new() {
        let (mut tally, now) = (Tally::default(), Instant::now());
        let first = tally.look(now, &open(0..5), Some(&[]));
        assert_eq!((first.opened, first.closed), (0, 0));
        assert_eq!(first.states[&State::Established], 5);
        let second = tally.look(now, &open(0..7), Some(&[]));
        assert_eq!((second.opened, second.closed), (2, 0));
    }

    #[test]
    fn one_that_came_and_went_between_two_looks_is_counted() {
        let (mut tally, now) = (Tally::default(), Instant::now());
        tally.look(now, &open(0..5), Some(&[]));
        let gone = [socket(4, State::Closed), socket(99, State::Closed)];
        let sample = tally.look(now, &open(0..4), Some(&gone));
        assert_eq!((sample.opened, sample.closed), (1, 2));
    }

    #[test]
    fn one_that_is_gone_is_counted_once_whether_and_whenever_the_kernel_tells() {
        let (mut tally, now) = (Tally::default(), Instant::now());
        tally.look(now, &open(0..5), Some(&[]));
        // One that reset itself, of which nothing is told; and one that is told of late.
        let sample = tally.look(now, &open(0..3), Some(&[]));
        assert_eq!((sample.opened, sample.closed), (0, 2));
        let sample = tally.look(now, &open(0..4), Some(&[socket(4, State::Closed)]));
        assert_eq!((sample.opened, sample.closed), (1, 0));
        let sample = tally.look(now, &open(0..4), Some(&[]));
        assert_eq!((sample.opened, sample.closed), (0, 0));
    }

    #[test]
    fn without_the_kernels_word_the_tables_are_compared() {
        let (mut tally, now) = (Tally::default(), Instant::now());
        tally.look(now, &open(0..5), None);
        let mut sockets = open(2..6);
        // One that was seen open, and one that was not.
        sockets.extend([socket(0, State::TimeWait), socket(99, State::TimeWait)]);
        let sample = tally.look(now, &sockets, None);
        assert_eq!((sample.opened, sample.closed), (2, 3));
        assert_eq!(sample.time_wait_made, 2);
        assert_eq!(tally.look(now, &sockets, None).time_wait_made, 0);
    }

    #[test]
    fn ages_count_from_the_first_look_and_idle_times_are_the_kernels() {
        let (mut tally, now) = (Tally::default(), Instant::now());
        tally.look(now, &open(0..2), None);
        let sample = tally.look(now + Duration::from_secs(5), &open(0..3), None);
        assert_eq!(sample.ages, [1, 2, 0, 0, 0]);
        assert_eq!(sample.idle, Some([1, 2, 0, 0, 0]));
        let silent = Socket {
            idle: None,
            ..socket(1, State::Established)
        };
        assert_eq!(tally.look(now, &[silent], None).idle, None);
    }

    #[test]
    fn one_that_is_not_open_yet_has_an_age_and_is_not_idle() {
        let (mut tally, now) = (Tally::default(), Instant::now());
        let dialled = Socket {
            state: State::SynSent,
            idle: Some(Duration::from_secs(100_000)),
            ..socket(1, State::Established)
        };
        let sample = tally.look(now, &[dialled], None);
        assert_eq!(sample.ages, [1, 0, 0, 0, 0]);
        assert_eq!(sample.idle, Some([0; 5]));
    }

    #[test]
    fn retransmits_are_those_since_the_look_before() {
        let (mut tally, now) = (Tally::default(), Instant::now());
        let with = |retransmits| Socket {
            retransmits: Some(retransmits),
            ..socket(1, State::Established)
        };
        assert_eq!(tally.look(now, &[with(5)], Some(&[])).retransmits, 0);
        assert_eq!(tally.look(now, &[with(7)], Some(&[])).retransmits, 2);
        assert_eq!(tally.look(now, &[], Some(&[with(8)])).retransmits, 1);
    }
}

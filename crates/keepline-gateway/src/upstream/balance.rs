//! Which server of an upstream gets a request, and which are left out for a while: nginx's rules, as
//! a pure structure. `now` and random numbers are arguments.
//!
//! Invariant: each server that [`Balancer::choose`] answers with is given back by
//! [`Balancer::release`] exactly once; its busy connections are counted between the two.

use std::time::Duration;

use tokio::time::Instant;

use super::hash::{Ring, crc32, memcached_step};
use crate::config::{Address, Balance, Upstream};

/// How often a hash looks for a server that is available, before it is chosen in turn (nginx: 20).
const MOST_REHASHES: u32 = 20;

/// The servers of an upstream, and how they fared.
#[derive(Debug)]
pub(crate) struct Balancer {
    peers: Vec<Peer>,
    /// How many of them have not left.
    present: usize,
    method: Method,
}

#[derive(Debug)]
enum Method {
    InTurn,
    LeastConn,
    IpHash,
    Hash,
    Ring(Ring),
    Random,
    RandomTwo,
}

/// One server.
#[derive(Debug, Clone)]
struct Peer {
    weight: i64,
    /// Its weight less what its failures cost; grows back with each choice.
    effective: i64,
    current: i64,
    busy: u32,
    max_busy: Option<u32>,
    max_fails: u32,
    fail_timeout: Duration,
    is_backup: bool,
    is_down: bool,
    /// Its address is no longer one of its name. Its number is given to another when nobody is there.
    has_left: bool,
    fails: u32,
    /// When it failed last.
    failed: Option<Instant>,
    /// When it failed last, or was chosen again after its timeout.
    checked: Option<Instant>,
}

/// What a choice depends on besides the servers.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Asker<'a> {
    /// What is hashed: the client's address for `ip_hash`, the key for `hash`.
    pub(crate) key: &'a [u8],
    /// A random number.
    pub(crate) random: u64,
}

/// Servers that a request has been to.
#[derive(Debug, Clone, Default)]
pub(crate) struct Tried(Vec<usize>);

impl Tried {
    pub(crate) fn add(&mut self, index: usize) {
        self.0.push(index);
    }

    fn has(&self, index: usize) -> bool {
        self.0.contains(&index)
    }
}

/// No server is available.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct NoLiveServer;

/// How an attempt ended, for the server's health.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fared {
    /// It answered.
    Well,
    /// It counts against the server.
    Failed,
}

/// A failure was one too many: the server is left out from now on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Disabled;

impl Balancer {
    /// The servers in the order of the configuration, each address one.
    pub(crate) fn new(upstream: &Upstream) -> Self {
        let addresses = |server: &crate::config::UpstreamServer| server.addresses.len();
        let peers: Vec<_> = upstream
            .servers
            .iter()
            .flat_map(|server| std::iter::repeat_n(Peer::new(server), addresses(server)))
            .collect();
        let method = match &upstream.balance {
            Balance::RoundRobin => Method::InTurn,
            Balance::LeastConn => Method::LeastConn,
            Balance::IpHash => Method::IpHash,
            Balance::Hash {
                is_consistent: true,
                ..
            } => Method::Ring(Ring::new(upstream)),
            Balance::Hash { .. } => Method::Hash,
            Balance::Random => Method::Random,
            Balance::RandomTwo => Method::RandomTwo,
        };
        Self {
            present: peers.len(),
            peers,
            method,
        }
    }

    /// A further address of a server. Answers the number that it has from now on.
    pub(crate) fn join(&mut self, server: &crate::config::UpstreamServer) -> usize {
        self.present += 1;
        let vacant = |peer: &Peer| peer.has_left && peer.busy == 0;
        if let Some(index) = self.peers.iter().position(vacant) {
            self.peers[index] = Peer::new(server);
            return index;
        }
        self.peers.push(Peer::new(server));
        self.peers.len() - 1
    }

    /// An address has left: it is not chosen again.
    pub(crate) fn leave(&mut self, index: usize) {
        if let Some(peer) = self.peers.get_mut(index).filter(|peer| !peer.has_left) {
            peer.has_left = true;
            self.present -= 1;
        }
    }

    pub(crate) fn has_left(&self, index: usize) -> bool {
        self.peers.get(index).is_none_or(|peer| peer.has_left)
    }

    /// Places keys on these servers from now on, where a ring does it.
    pub(crate) fn place_on<'a>(
        &mut self,
        servers: impl Iterator<Item = (&'a Address, u32, usize)>,
    ) {
        if let Method::Ring(ring) = &mut self.method {
            *ring = Ring::of(servers);
        }
    }

    /// How many servers a request may try: those that are not down.
    pub(crate) fn tries(&self) -> u32 {
        let up = self
            .peers
            .iter()
            .filter(|peer| !peer.is_down && !peer.has_left)
            .count();
        u32::try_from(up).unwrap_or(u32::MAX)
    }

    /// There is one server: its failures are not counted, and it is never left out.
    pub(crate) fn is_single(&self) -> bool {
        self.present == 1
    }

    /// The server for a request.
    ///
    /// # Errors
    /// All are down, left out, at their limit, or have been tried.
    pub(crate) fn choose(
        &mut self,
        now: Instant,
        tried: &Tried,
        asker: Asker<'_>,
    ) -> Result<usize, NoLiveServer> {
        let chosen = if self.is_single() {
            let only = self.peers.iter().position(|peer| !peer.has_left);
            only.filter(|&only| !self.peers[only].is_down && !self.peers[only].is_full())
        } else {
            let by_method = match &self.method {
                Method::InTurn => None,
                Method::LeastConn => self.least_busy(now, tried),
                Method::IpHash => self.by_ip(now, tried, asker.key),
                Method::Hash => self.by_hash(now, tried, asker.key),
                Method::Ring(ring) => ring.find(crc32(&[asker.key]), MOST_REHASHES, |index| {
                    self.is_available(index, false, now, tried)
                }),
                Method::Random => self.by_chance(now, tried, asker.random),
                Method::RandomTwo => self.of_two(now, tried, asker.random),
            };
            by_method
                .or_else(|| self.in_turn(now, tried, false))
                .or_else(|| self.in_turn(now, tried, true))
        };
        let index = chosen.ok_or(NoLiveServer)?;
        let peer = &mut self.peers[index];
        peer.busy += 1;
        // Once its time is over, one request at a time tells whether it is well again.
        if peer.since_checked(now) > peer.fail_timeout {
            peer.checked = Some(now);
        }
        Ok(index)
    }

    /// Gives a server back after an attempt.
    pub(crate) fn release(&mut self, index: usize, fared: Fared, now: Instant) -> Option<Disabled> {
        let is_single = self.is_single();
        let peer = self.peers.get_mut(index)?;
        peer.busy = peer.busy.saturating_sub(1);
        if is_single {
            return None;
        }
        match fared {
            Fared::Well => {
                if peer.failed < peer.checked {
                    peer.fails = 0;
                }
                None
            }
            Fared::Failed => {
                peer.fails = peer.fails.saturating_add(1);
                (peer.failed, peer.checked) = (Some(now), Some(now));
                if peer.max_fails == 0 {
                    return None;
                }
                let cost = peer.weight / i64::from(peer.max_fails);
                peer.effective = (peer.effective - cost).max(0);
                (peer.fails >= peer.max_fails).then_some(Disabled)
            }
        }
    }

    fn is_available(&self, index: usize, backup: bool, now: Instant, tried: &Tried) -> bool {
        let peer = &self.peers[index];
        peer.is_backup == backup
            && !peer.is_down
            && !peer.has_left
            && !peer.is_full()
            && !peer.is_left_out(now)
            && !tried.has(index)
    }

    /// Smooth weighted round robin: each that is available gains its weight, the richest is
    /// chosen and pays for all.
    fn in_turn(&mut self, now: Instant, tried: &Tried, backup: bool) -> Option<usize> {
        let available: Vec<bool> = (0..self.peers.len())
            .map(|index| self.is_available(index, backup, now, tried))
            .collect();
        self.smooth(|index| available[index])
    }

    fn smooth(&mut self, is_candidate: impl Fn(usize) -> bool) -> Option<usize> {
        let mut total = 0;
        let mut best: Option<usize> = None;
        for index in 0..self.peers.len() {
            if !is_candidate(index) {
                continue;
            }
            let peer = &mut self.peers[index];
            peer.current += peer.effective;
            total += peer.effective;
            if peer.effective < peer.weight {
                peer.effective += 1;
            }
            let current = peer.current;
            if best.is_none_or(|best| current > self.peers[best].current) {
                best = Some(index);
            }
        }
        self.peers[best?].current -= total;
        best
    }

    /// The fewest busy connections for its weight; of several, in turn.
    fn least_busy(&mut self, now: Instant, tried: &Tried) -> Option<usize> {
        let load = |peers: &[Peer], a: usize, b: usize| {
            let (a, b) = (&peers[a], &peers[b]);
            (i64::from(a.busy) * b.weight).cmp(&(i64::from(b.busy) * a.weight))
        };
        let available: Vec<usize> = (0..self.peers.len())
            .filter(|&index| self.is_available(index, false, now, tried))
            .collect();
        let least = available
            .iter()
            .copied()
            .min_by(|&a, &b| load(&self.peers, a, b))?;
        let equal: Vec<usize> = available
            .into_iter()
            .filter(|&index| load(&self.peers, index, least).is_eq())
            .collect();
        self.smooth(|index| equal.contains(&index))
    }

    /// nginx's `ip_hash`: of IPv4 the first three bytes, of IPv6 all.
    fn by_ip(&self, now: Instant, tried: &Tried, address: &[u8]) -> Option<usize> {
        let network = if address.len() == 4 {
            &address[..3]
        } else {
            address
        };
        let mut hash: u64 = 89;
        (0..MOST_REHASHES).find_map(|_| {
            for &byte in network {
                hash = (hash * 113 + u64::from(byte)) % 6271;
            }
            let index = self.at_weight(hash)?;
            self.is_available(index, false, now, tried).then_some(index)
        })
    }

    /// `hash KEY`, as Cache::Memcached places keys.
    fn by_hash(&self, now: Instant, tried: &Tried, key: &[u8]) -> Option<usize> {
        let mut hash: u64 = 0;
        (0..MOST_REHASHES).find_map(|step| {
            hash += u64::from(memcached_step(key, step));
            let index = self.at_weight(hash)?;
            self.is_available(index, false, now, tried).then_some(index)
        })
    }

    fn by_chance(&self, now: Instant, tried: &Tried, random: u64) -> Option<usize> {
        let mut random = Random(random);
        (0..MOST_REHASHES).find_map(|_| {
            let index = self.at_weight(random.next())?;
            self.is_available(index, false, now, tried).then_some(index)
        })
    }

    /// Two different ones at random; the one with fewer busy connections for its weight.
    fn of_two(&self, now: Instant, tried: &Tried, random: u64) -> Option<usize> {
        let mut random = Random(random);
        let mut first: Option<usize> = None;
        for _ in 0..MOST_REHASHES {
            let index = self.at_weight(random.next())?;
            if Some(index) == first || !self.is_available(index, false, now, tried) {
                continue;
            }
            let Some(other) = first else {
                first = Some(index);
                continue;
            };
            let (a, b) = (&self.peers[other], &self.peers[index]);
            let is_busier = i64::from(a.busy) * b.weight > i64::from(b.busy) * a.weight;
            return Some(if is_busier { index } else { other });
        }
        first
    }

    /// The server at a place on the line of all weights (backup servers have none there).
    fn at_weight(&self, place: u64) -> Option<usize> {
        let mut line = self
            .peers
            .iter()
            .enumerate()
            .filter(|x| !x.1.is_backup && !x.1.has_left);
        let total: i64 = line.clone().map(|(_, peer)| peer.weight).sum();
        let mut place = i64::try_from(place % u64::try_from(total).ok()?.max(1)).ok()?;
        line.find_map(|(index, peer)| {
            place -= peer.weight;
            (place < 0).then_some(index)
        })
    }
}

impl Peer {
    fn new(server: &crate::config::UpstreamServer) -> Self {
        Self {
            weight: i64::from(server.weight),
            effective: i64::from(server.weight),
            current: 0,
            busy: 0,
            max_busy: server.max_conns,
            max_fails: server.max_fails,
            fail_timeout: server.fail_timeout,
            is_backup: server.is_backup,
            is_down: server.is_down,
            has_left: false,
            fails: 0,
            failed: None,
            checked: None,
        }
    }

    fn is_full(&self) -> bool {
        self.max_busy.is_some_and(|max| self.busy >= max)
    }

    fn is_left_out(&self, now: Instant) -> bool {
        self.max_fails > 0
            && self.fails >= self.max_fails
            && self.since_checked(now) <= self.fail_timeout
    }

    fn since_checked(&self, now: Instant) -> Duration {
        match self.checked {
            Some(checked) => now.saturating_duration_since(checked),
            None => Duration::MAX,
        }
    }
}

/// Numbers that follow from a random one (splitmix64).
struct Random(u64);

impl Random {
    const fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Address, Template, UpstreamServer};

    const ANYBODY: Asker<'static> = Asker {
        key: b"",
        random: 0,
    };

    fn servers(weights: &[u32]) -> Vec<UpstreamServer> {
        let server = |(index, &weight): (usize, &u32)| {
            let port = 8000 + u16::try_from(index).unwrap();
            let address = Address::Inet(([127, 0, 0, 1], port).into());
            UpstreamServer {
                weight,
                ..UpstreamServer::new(address)
            }
        };
        weights.iter().enumerate().map(server).collect()
    }

    fn balancer(balance: Balance, weights: &[u32]) -> Balancer {
        let upstream = Upstream {
            balance,
            ..Upstream::new("u", servers(weights))
        };
        Balancer::new(&upstream)
    }

    fn choose(balancer: &mut Balancer, now: Instant, asker: Asker<'_>) -> usize {
        let index = balancer.choose(now, &Tried::default(), asker).unwrap();
        balancer.release(index, Fared::Well, now);
        index
    }

    #[test]
    fn in_turn_is_smooth() {
        let now = Instant::now();
        let mut balancer = balancer(Balance::RoundRobin, &[5, 1, 1]);
        let chosen: Vec<_> = (0..7)
            .map(|_| choose(&mut balancer, now, ANYBODY))
            .collect();
        assert_eq!(chosen, [0, 0, 1, 0, 2, 0, 0]);
    }

    #[test]
    fn a_server_that_failed_is_left_out_for_its_timeout() {
        let start = Instant::now();
        let mut balancer = balancer(Balance::RoundRobin, &[1, 1]);
        let index = balancer.choose(start, &Tried::default(), ANYBODY).unwrap();
        assert_eq!(index, 0);
        assert_eq!(balancer.release(0, Fared::Failed, start), Some(Disabled));
        let timeout = Duration::from_secs(10);
        for _ in 0..4 {
            assert_eq!(choose(&mut balancer, start + timeout, ANYBODY), 1);
        }
        // Then one request tries it, and others have to wait for how that ends.
        let later = start + timeout + Duration::from_millis(1);
        let mut tried = Tried::default();
        tried.add(1);
        assert_eq!(balancer.choose(later, &tried, ANYBODY), Ok(0));
        assert_eq!(balancer.choose(later, &tried, ANYBODY), Err(NoLiveServer));
        assert_eq!(balancer.release(0, Fared::Well, later), None);
        assert_eq!(balancer.choose(later, &tried, ANYBODY), Ok(0));
    }

    #[test]
    fn backups_serve_when_nobody_else_can() {
        let now = Instant::now();
        let mut servers = servers(&[1, 1]);
        servers[1].is_backup = true;
        let mut balancer = Balancer::new(&Upstream::new("u", servers));
        assert_eq!(choose(&mut balancer, now, ANYBODY), 0);
        balancer.release(0, Fared::Failed, now);
        assert_eq!(choose(&mut balancer, now, ANYBODY), 1);
    }

    #[test]
    fn the_failures_of_an_only_server_do_not_count() {
        let now = Instant::now();
        let mut balancer = balancer(Balance::RoundRobin, &[1]);
        for _ in 0..5 {
            assert_eq!(balancer.choose(now, &Tried::default(), ANYBODY), Ok(0));
            assert_eq!(balancer.release(0, Fared::Failed, now), None);
        }
    }

    #[test]
    fn a_server_at_its_limit_gets_nothing() {
        let now = Instant::now();
        let mut servers = servers(&[1, 1]);
        servers[0].max_conns = Some(1);
        servers[1].is_down = true;
        let mut balancer = Balancer::new(&Upstream::new("u", servers));
        assert_eq!(balancer.tries(), 1);
        assert_eq!(balancer.choose(now, &Tried::default(), ANYBODY), Ok(0));
        let none = balancer.choose(now, &Tried::default(), ANYBODY);
        assert_eq!(none, Err(NoLiveServer));
        balancer.release(0, Fared::Well, now);
        assert_eq!(choose(&mut balancer, now, ANYBODY), 0);
    }

    #[test]
    fn least_conn_goes_by_busy_connections_for_weight() {
        let now = Instant::now();
        let mut balancer = balancer(Balance::LeastConn, &[1, 2]);
        let held: Vec<_> = (0..6)
            .map(|_| balancer.choose(now, &Tried::default(), ANYBODY).unwrap())
            .collect();
        assert_eq!(held.iter().filter(|&&index| index == 1).count(), 4);
        balancer.release(0, Fared::Well, now);
        let next = balancer.choose(now, &Tried::default(), ANYBODY);
        assert_eq!(next, Ok(0));
    }

    #[test]
    fn hashes_stick_to_their_server_and_move_only_when_it_is_gone() {
        let now = Instant::now();
        let hash = |is_consistent| Balance::Hash {
            key: Template::default(),
            is_consistent,
        };
        for balance in [Balance::IpHash, hash(false), hash(true)] {
            let mut balancer = balancer(balance.clone(), &[1, 1, 1]);
            let mut used = std::collections::HashSet::new();
            for n in 0..100_u8 {
                let address = [10, n, n.wrapping_mul(7), 1];
                let asker = Asker {
                    key: &address,
                    random: 0,
                };
                let first = choose(&mut balancer, now, asker);
                assert_eq!(choose(&mut balancer, now, asker), first, "{balance:?}");
                let mut tried = Tried::default();
                tried.add(first);
                let other = balancer.choose(now, &tried, asker).unwrap();
                balancer.release(other, Fared::Well, now);
                assert_ne!(other, first);
                used.insert(first);
            }
            assert_eq!(used.len(), 3, "{balance:?}");
        }
    }

    #[test]
    fn chance_goes_by_weight_and_two_by_busy_connections() {
        let now = Instant::now();
        let mut balancer = balancer(Balance::Random, &[3, 1]);
        let chosen = (0..1000).map(|random| {
            let asker = Asker { key: b"", random };
            choose(&mut balancer, now, asker)
        });
        let first = chosen.filter(|&index| index == 0).count();
        assert!((650..850).contains(&first), "{first}");

        let mut balancer = self::balancer(Balance::RandomTwo, &[1, 1]);
        let held = balancer.choose(now, &Tried::default(), ANYBODY).unwrap();
        for random in 0..50 {
            let asker = Asker { key: b"", random };
            assert_ne!(choose(&mut balancer, now, asker), held);
        }
    }
}

//! The servers of an upstream that are resolved while it is used: which of their addresses join, which leave.
//!
//! Invariants: a server that is chosen has an address; an address that has left is not chosen again, what is
//! idle there is closed, and what is busy is not used again; attempts that are on their way there end as they do.

use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};

use arc_swap::ArcSwap;
use keepline::net::PeerAddr;
use tokio::sync::watch;

use super::Group;
use super::follow::{Follower, Presence};
use super::roster::{Listed, Roster};
use crate::config::{Address, MovingName, Upstream};

/// The servers of an upstream that are resolved while they are used.
#[derive(Debug)]
pub(super) struct Moves {
    /// The addresses of each server. Locked before the balancer.
    servers: Mutex<Vec<Vec<Known>>>,
    /// Which of them have had an answer, or need none. Dropped, it ends the tasks that follow them.
    answered: watch::Sender<Vec<bool>>,
    /// Somebody follows them.
    is_followed: AtomicBool,
}

/// An address of a server.
#[derive(Debug, Clone, Copy)]
struct Known {
    /// `None`: the configuration says it, and it never leaves.
    ip: Option<IpAddr>,
    /// The number that the balancer has for it.
    index: usize,
}

impl Moves {
    pub(super) fn new(upstream: &Upstream) -> Self {
        // Those that don't move have their numbers, in the order of the configuration.
        let mut next = 0;
        let servers = upstream.servers.iter().map(|server| -> Vec<Known> {
            let fixed = server.addresses.iter().map(|_| {
                let index = next;
                next += 1;
                Known { ip: None, index }
            });
            fixed.collect()
        });
        let servers = servers.collect();
        let answered = upstream.servers.iter().map(|s| s.moves.is_none()).collect();
        Self {
            servers: Mutex::new(servers),
            answered: watch::Sender::new(answered),
            is_followed: AtomicBool::new(false),
        }
    }
}

impl Group {
    /// Who follows the servers that move; nobody, if somebody does already.
    pub(crate) fn followers(
        self: &Arc<Self>,
        make: impl Fn(Weak<Self>, usize, &MovingName) -> Option<Follower>,
    ) -> Vec<(Follower, Presence)> {
        let Some(moves) = &self.moves else {
            return Vec::new();
        };
        if moves.is_followed.swap(true, Ordering::Relaxed) {
            return Vec::new();
        }
        let servers = self.upstream.servers.iter().enumerate();
        let followers = servers.filter_map(|(index, server)| {
            let follower = make(Arc::downgrade(self), index, server.moves.as_ref()?)?;
            Some((follower, moves.answered.subscribe()))
        });
        followers.collect()
    }

    /// Ready when each name has had its first answer, or there is nothing to wait for.
    pub(crate) fn first_answers(&self) -> Option<impl Future<Output = ()> + use<>> {
        let moves = self.moves.as_ref()?;
        let all = |answered: &Vec<bool>| answered.iter().all(|is_answered| *is_answered);
        if all(&moves.answered.borrow()) {
            return None;
        }
        let mut answered = moves.answered.subscribe();
        Some(async move {
            // An end of the group is an end of the wait.
            let _ = answered.wait_for(all).await;
        })
    }

    /// Takes note of an answer for a server that moves: where it is from now on, or that nobody knows.
    pub(crate) fn learn(&self, server: usize, addresses: Option<&[IpAddr]>) {
        let (Some(moves), Roster::Moving(listed)) = (&self.moves, &self.roster) else {
            return;
        };
        if let Some(addresses) = addresses {
            let mut known = moves.servers.lock().unwrap_or_else(PoisonError::into_inner);
            let revised = self.revise(&mut known, listed, server, addresses);
            drop(known);
            if revised {
                self.close_left();
            }
        }
        moves.answered.send_if_modified(|answered| {
            let of_server = answered.get_mut(server);
            of_server.is_some_and(|is_answered| !std::mem::replace(is_answered, true))
        });
    }

    /// Has those join and leave that the answer says. True: some have left.
    fn revise(
        &self,
        known: &mut [Vec<Known>],
        listed: &ArcSwap<Vec<Arc<Listed>>>,
        server: usize,
        addresses: &[IpAddr],
    ) -> bool {
        let (Some(settings), Some(own)) =
            (self.upstream.servers.get(server), known.get_mut(server))
        else {
            return false;
        };
        let port = settings.moves.as_ref().map_or(0, |name| name.port);
        let mut balancer = self.balancer();
        let mut all = listed.load().to_vec();
        let before = own.len();
        own.retain(|known| {
            let stays = known.ip.is_none_or(|ip| addresses.contains(&ip));
            if !stays {
                balancer.leave(known.index);
            }
            stays
        });
        let some_left = own.len() < before;
        for ip in addresses {
            if own.iter().any(|known| known.ip == Some(*ip)) {
                continue;
            }
            let index = balancer.join(settings);
            let entry = Arc::new(Listed::new(Address::Inet(SocketAddr::new(*ip, port))));
            match all.get_mut(index) {
                Some(place) => *place = entry,
                None => all.push(entry),
            }
            own.push(Known {
                ip: Some(*ip),
                index,
            });
        }
        let present = known.iter().zip(&self.upstream.servers);
        let present = present.filter(|(_, server)| !server.is_backup);
        let points = present.flat_map(|(own, server)| {
            let all = &all;
            let listed = own
                .iter()
                .filter_map(|known| Some((all.get(known.index)?, known.index)));
            listed.map(|(listed, index)| (&listed.address, server.weight, index))
        });
        balancer.place_on(points);
        // Before the lock is released: who is chosen has an address.
        listed.store(Arc::new(all));
        some_left
    }

    /// Closes what is idle at addresses that have left.
    fn close_left(&self) {
        let Roster::Moving(listed) = &self.roster else {
            return;
        };
        let listed = listed.load();
        let balancer = self.balancer();
        let present = listed.iter().enumerate();
        let present = present.filter(|(index, _)| !balancer.has_left(*index));
        let present: Vec<_> = present.map(|(_, listed)| &listed.address).collect();
        self.transport.close_idle_to(|peer| match peer {
            PeerAddr::Tcp(peer) => {
                let is_it =
                    |address: &&Address| matches!(address, Address::Inet(known) if known == peer);
                !present.iter().any(is_it)
            }
            _ => false,
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Balance, Template, UpstreamServer};
    use crate::upstream::{Asker, Seat, Tried};

    const SERVER: usize = 1;

    /// A server that stays, and one that moves.
    fn group(balance: Balance) -> Arc<Group> {
        let stays = UpstreamServer::new(Address::Inet(([127, 0, 0, 9], 80).into()));
        let moves = UpstreamServer {
            addresses: Vec::new(),
            moves: Some(MovingName {
                host: "a.test".into(),
                port: 8080,
            }),
            ..stays.clone()
        };
        let mut upstream = Upstream::new("u", vec![stays, moves]);
        upstream.balance = balance;
        Group::new(&Arc::new(upstream)).unwrap()
    }

    fn ips(last: &[u8]) -> Vec<IpAddr> {
        let ip = |last: &u8| IpAddr::from([127, 0, 0, *last]);
        last.iter().map(ip).collect()
    }

    fn seat<'g>(group: &'g Group, key: &[u8]) -> Seat<'g> {
        let asker = Asker { key, random: 7 };
        group
            .choose(tokio::time::Instant::now(), &Tried::default(), asker)
            .unwrap()
    }

    fn name(group: &Group, seat: &Seat<'_>) -> String {
        group.server(seat.index).unwrap().name.to_string()
    }

    /// The addresses that requests with many keys go to.
    fn all(group: &Group) -> Vec<String> {
        let mut names: Vec<_> = (0..200_u8)
            .map(|key| name(group, &seat(group, &[key])))
            .collect();
        names.sort();
        names.dedup();
        names
    }

    #[test]
    fn requests_go_to_the_addresses_that_a_name_has_and_to_no_other() {
        for balance in [
            Balance::RoundRobin,
            Balance::LeastConn,
            Balance::IpHash,
            Balance::Hash {
                key: Template::default(),
                is_consistent: true,
            },
            Balance::Hash {
                key: Template::default(),
                is_consistent: false,
            },
        ] {
            let group = group(balance.clone());
            assert_eq!(all(&group), ["127.0.0.9:80"], "{balance:?}");
            for (answer, expected) in [
                (&[1][..], &["127.0.0.1:8080", "127.0.0.9:80"][..]),
                (
                    &[2, 1],
                    &["127.0.0.1:8080", "127.0.0.2:8080", "127.0.0.9:80"],
                ),
                (&[3], &["127.0.0.3:8080", "127.0.0.9:80"]),
                (&[], &["127.0.0.9:80"]),
                (
                    &[3, 4],
                    &["127.0.0.3:8080", "127.0.0.4:8080", "127.0.0.9:80"],
                ),
            ] {
                group.learn(SERVER, Some(&ips(answer)));
                // `ip_hash` looks at networks, which all of these keys share.
                if !matches!(balance, Balance::IpHash) {
                    assert_eq!(all(&group), expected, "{balance:?} {answer:?}");
                }
                assert_eq!(group.tries() as usize, expected.len());
                group.learn(SERVER, None);
                assert_eq!(group.tries() as usize, expected.len(), "nothing changes");
            }
        }
    }

    #[test]
    fn an_address_that_has_left_keeps_its_number_while_somebody_is_there() {
        let group = group(Balance::RoundRobin);
        group.learn(SERVER, Some(&ips(&[1])));
        let seats = [seat(&group, b""), seat(&group, b"")];
        let moved = seats
            .iter()
            .find(|seat| name(&group, seat) == "127.0.0.1:8080");
        let moved = moved.unwrap().index;
        group.learn(SERVER, Some(&ips(&[2])));
        assert_eq!(group.server(moved).unwrap().name.as_ref(), "127.0.0.1:8080");
        for seat in seats {
            assert_eq!(seat.has_left(), seat.index == moved);
        }
        // Nobody is left there: the next that joins has its number.
        group.learn(SERVER, Some(&ips(&[2, 3])));
        assert_eq!(group.server(moved).unwrap().name.as_ref(), "127.0.0.3:8080");
        assert!(group.server(3).is_none(), "no more numbers than are needed");
    }

    #[tokio::test]
    async fn whoever_comes_before_the_first_answer_waits_for_it() {
        for answer in [Some(&ips(&[1])[..]), None] {
            let group = group(Balance::RoundRobin);
            let first = group.first_answers().unwrap();
            group.learn(SERVER, answer);
            first.await;
            assert!(group.first_answers().is_none());
        }
    }
}

//! In which order addresses are tried, and for how long each: pure functions.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

/// The next address is tried after so much silence of the one before. Go's; RFC 8305 §5 recommends
/// 250 ms, and allows 100 ms to 2 s.
pub(in crate::client) const ATTEMPT_DELAY: Duration = Duration::from_millis(300);
/// An address gets at least this share of the connect timeout, however many follow (Go).
const LEAST_SHARE: Duration = Duration::from_secs(2);
/// No more addresses of a name are tried: an answer may hold thousands.
pub(super) const MOST_ADDRESSES: usize = 64;

/// The addresses in the order in which they are to be tried: families take turns, beginning with
/// that of the first (RFC 8305 §4, with a First Address Family Count of 1); within a family the
/// least used come first, else they stay as the resolver has sorted them. With a local address
/// only those of its family can be reached.
pub(super) fn arrange(
    addresses: &[IpAddr],
    port: u16,
    local: Option<SocketAddr>,
    used: impl Fn(IpAddr) -> usize,
) -> Vec<SocketAddr> {
    let is_reachable =
        |address: &IpAddr| local.is_none_or(|local| local.is_ipv4() == address.is_ipv4());
    let reachable = addresses.iter().copied().filter(is_reachable);
    let is_first_v4 = addresses.first().is_some_and(IpAddr::is_ipv4);
    let (mut first, mut second): (Vec<_>, Vec<_>) =
        reachable.partition(|address| address.is_ipv4() == is_first_v4);
    // Counted once: others dial meanwhile, and a sort may not see that.
    first.sort_by_cached_key(|address| used(*address));
    second.sort_by_cached_key(|address| used(*address));
    let (mut first, mut second) = (first.into_iter(), second.into_iter());
    let mut order = Vec::new();
    loop {
        let turn = [first.next(), second.next()];
        if turn == [None, None] || order.len() >= MOST_ADDRESSES {
            order.truncate(MOST_ADDRESSES);
            return order;
        }
        let turn = turn.into_iter().flatten();
        order.extend(turn.map(|address| SocketAddr::new(address, port)));
    }
}

/// How long an address may take of the time that is left, with so many yet to be tried, itself
/// among them: an equal share, but at least two seconds while there are any.
pub(super) fn share(left: Duration, addresses: usize) -> Duration {
    let addresses = u32::try_from(addresses.max(1)).unwrap_or(u32::MAX);
    (left / addresses).max(LEAST_SHARE).min(left)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ips(text: &str) -> Vec<IpAddr> {
        text.split_whitespace()
            .map(|x| x.parse().unwrap())
            .collect()
    }

    fn order(addresses: &str, local: Option<&str>, used: &[(&str, usize)]) -> String {
        let local = local.map(|local| SocketAddr::new(local.parse().unwrap(), 0));
        let used = |address: IpAddr| {
            let known = used.iter().find(|(known, _)| *known == address.to_string());
            known.map_or(0, |(_, count)| *count)
        };
        let order = arrange(&ips(addresses), 80, local, used);
        assert!(order.iter().all(|address| address.port() == 80));
        let order: Vec<_> = order.iter().map(|x| x.ip().to_string()).collect();
        order.join(" ")
    }

    #[test]
    fn families_take_turns_and_the_least_used_come_first() {
        let two = "2001:db8::1 2001:db8::2 192.0.2.1 192.0.2.2 192.0.2.3";
        let in_turns = "2001:db8::1 192.0.2.1 2001:db8::2 192.0.2.2 192.0.2.3";
        for (addresses, local, used, expected) in [
            ("", None, &[][..], ""),
            ("192.0.2.1", None, &[], "192.0.2.1"),
            ("192.0.2.9 192.0.2.1", None, &[], "192.0.2.9 192.0.2.1"),
            (two, None, &[], in_turns),
            ("192.0.2.1 2001:db8::1", None, &[], "192.0.2.1 2001:db8::1"),
            (two, Some("127.0.0.1"), &[], "192.0.2.1 192.0.2.2 192.0.2.3"),
            (two, Some("::1"), &[], "2001:db8::1 2001:db8::2"),
            ("192.0.2.1", Some("::1"), &[], ""),
            (
                two,
                None,
                // Use decides within a family; the family of the first stays first.
                &[("2001:db8::1", 5), ("2001:db8::2", 3), ("192.0.2.1", 1)],
                "2001:db8::2 192.0.2.2 2001:db8::1 192.0.2.3 192.0.2.1",
            ),
        ] {
            assert_eq!(order(addresses, local, used), expected, "{addresses}");
        }
    }

    #[test]
    fn of_too_many_addresses_the_first_are_tried() {
        let many: Vec<_> = (0..1000_u32).map(|x| IpAddr::V4(x.into())).collect();
        let order = arrange(&many, 1, None, |_| 0);
        assert_eq!(order.len(), MOST_ADDRESSES);
        assert_eq!(order.last().unwrap().ip(), many[MOST_ADDRESSES - 1]);
    }

    #[test]
    fn each_address_has_its_share_of_the_time() {
        for (left, addresses, expected) in [
            (30.0, 1, 30.0),
            (30.0, 3, 10.0),
            (30.0, 64, 2.0),
            (3.0, 3, 2.0),
            (1.0, 3, 1.0),
            (0.0, 3, 0.0),
            (5.0, 0, 5.0),
        ] {
            let share = share(Duration::from_secs_f64(left), addresses);
            assert_eq!(share.as_secs_f64(), expected, "{left} s for {addresses}");
        }
    }
}

//! Who may, and who a client really is: pure functions over addresses.

use std::net::IpAddr;

use keepline::proto::Fields;

use crate::config::{AccessRule, Network, RealIp, RealIpSource};
use crate::request::is_field;

/// The first rule that matches decides; without one it is allowed. `None` is a client of a Unix
/// socket.
pub(crate) fn is_allowed(rules: &[AccessRule], client: Option<IpAddr>) -> bool {
    let rule = rules.iter().find(|rule| contains(rule.network, client));
    rule.is_none_or(|rule| rule.allows)
}

/// An address is in a network.
fn contains(network: Network, client: Option<IpAddr>) -> bool {
    match (network, client.map(|ip| ip.to_canonical())) {
        (Network::All, _) | (Network::Unix, None) => true,
        (Network::Unix, Some(_)) | (Network::Inet { .. }, None) => false,
        (Network::Inet { address, prefix }, Some(client)) => match (address, client) {
            (IpAddr::V4(network), IpAddr::V4(client)) => {
                let shift = 32_u32.saturating_sub(prefix.into());
                let bits = |ip: std::net::Ipv4Addr| ip.to_bits().checked_shr(shift).unwrap_or(0);
                bits(network) == bits(client)
            }
            (IpAddr::V6(network), IpAddr::V6(client)) => {
                let shift = 128_u32.saturating_sub(prefix.into());
                let bits = |ip: std::net::Ipv6Addr| ip.to_bits().checked_shr(shift).unwrap_or(0);
                bits(network) == bits(client)
            }
            (IpAddr::V4(_), IpAddr::V6(_)) | (IpAddr::V6(_), IpAddr::V4(_)) => false,
        },
    }
}

fn is_trusted(rules: &RealIp, ip: Option<IpAddr>) -> bool {
    rules.from.iter().any(|&network| contains(network, ip))
}

/// The address that a trusted peer tells of its client, and the port if it tells one (else 0).
/// `None`: it is the peer itself.
pub(crate) fn real_address(
    rules: &RealIp,
    peer: Option<IpAddr>,
    fields: &Fields,
) -> Option<(IpAddr, u16)> {
    if !is_trusted(rules, peer) {
        return None;
    }
    let name = match &rules.source {
        RealIpSource::XForwardedFor => "x-forwarded-for",
        RealIpSource::Field(name) => name,
    };
    let asked = name.replace('-', "_");
    let mut found = None;
    // From the last to the first; one that is no address ends the search.
    let values: Vec<&[u8]> = fields
        .iter()
        .filter(|field| is_field(field.name(), &asked))
        .map(|field| field.value())
        .collect();
    for value in values.into_iter().rev() {
        for part in value.rsplit(|&byte| byte == b',') {
            let part = part.trim_ascii();
            if part.is_empty() {
                continue;
            }
            let Some(address) = parse_address(part) else {
                return found;
            };
            found = Some(address);
            if !rules.is_recursive || !is_trusted(rules, Some(address.0)) {
                return found;
            }
        }
    }
    found
}

/// `1.2.3.4`, `1.2.3.4:5`, `::1`, `[::1]`, `[::1]:5`.
fn parse_address(text: &[u8]) -> Option<(IpAddr, u16)> {
    let text = std::str::from_utf8(text).ok()?;
    if let Ok(ip) = text.parse() {
        return Some((ip, 0));
    }
    if let Ok(address) = text.parse::<std::net::SocketAddr>() {
        return Some((address.ip(), address.port()));
    }
    let inner = text.strip_prefix('[')?.strip_suffix(']')?;
    Some((inner.parse().ok()?, 0))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn network(text: &str) -> Network {
        let (address, prefix) = text.split_once('/').unwrap();
        Network::Inet {
            address: address.parse().unwrap(),
            prefix: prefix.parse().unwrap(),
        }
    }

    #[test]
    fn the_first_rule_that_matches_decides() {
        let rule = |text, allows| AccessRule {
            network: network(text),
            allows,
        };
        let all = AccessRule {
            network: Network::All,
            allows: false,
        };
        let rules = [
            rule("192.168.1.1/32", false),
            rule("192.168.1.0/24", true),
            rule("2001:db8::/32", true),
            all,
        ];
        for (client, expected) in [
            ("192.168.1.1", false),
            ("192.168.1.2", true),
            ("::ffff:192.168.1.2", true),
            ("192.168.2.2", false),
            ("2001:db8::1", true),
            ("2001:db9::1", false),
        ] {
            let client = Some(client.parse().unwrap());
            assert_eq!(is_allowed(&rules, client), expected, "{client:?}");
        }
        assert!(!is_allowed(&rules, None));
        assert!(is_allowed(&rules[..3], None));
        assert!(is_allowed(
            &[rule("0.0.0.0/0", true), all],
            Some([1, 2, 3, 4].into())
        ));
    }

    #[test]
    fn addresses_as_fields_have_them() {
        for (text, expected) in [
            ("1.2.3.4", Some(("1.2.3.4", 0))),
            ("1.2.3.4:80", Some(("1.2.3.4", 80))),
            ("::1", Some(("::1", 0))),
            ("[::1]", Some(("::1", 0))),
            ("[::1]:80", Some(("::1", 80))),
            ("unknown", None),
            ("", None),
        ] {
            let expected = expected.map(|(ip, port)| (ip.parse().unwrap(), port));
            assert_eq!(parse_address(text.as_bytes()), expected, "{text}");
        }
    }
}

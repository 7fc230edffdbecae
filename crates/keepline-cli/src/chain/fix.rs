//! What to change where a chain is inverted. Pure.

use std::time::Duration;

use super::hop::Hop;
use super::products::{Rounding, setting};
use super::timeout::{Timeout, margin};
use crate::probe::safe_idle_timeout;

/// A change that mends the connections between two neighbours.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Fix {
    /// The hop to change.
    pub(crate) at: String,
    /// On which side of it.
    pub(crate) side: &'static str,
    /// The timeout that it needs.
    pub(crate) timeout: Duration,
    /// The directive or property, where it is known.
    pub(crate) setting: Option<String>,
}

/// The changes of which each alone is enough, the better one first: a server that waits for longer
/// keeps connections in use, a client that lets go earlier opens new ones.
pub(crate) fn fixes(client: &Hop, server: &Hop, round_trip: Duration) -> Vec<Fix> {
    let (Some(client_side), Some(server_side)) = (client.client, server.server) else {
        return Vec::new();
    };
    let mut fixes = Vec::new();
    if let Timeout::After(time) = client_side.timeout.at_the_longest() {
        let known = server.product.and_then(|product| product.server);
        let needed = whole_seconds(time + margin(time, round_trip));
        let template = known.and_then(|known| known.setting);
        // A product that cannot be changed is no place for a fix; one that is not known may be.
        if known.is_none() || template.is_some() {
            fixes.push(Fix {
                at: server.name.clone(),
                side: "server",
                timeout: needed,
                setting: template.map(|template| setting(template, needed, Rounding::Up)),
            });
        }
    }
    if let Timeout::After(time) = server_side.timeout.at_the_shortest() {
        let known = client.product.and_then(|product| product.client);
        let safe = safe_idle_timeout(time, round_trip);
        let template = known.and_then(|known| known.setting);
        let is_possible = known.is_none() || template.is_some();
        if is_possible && can_say(template, safe) {
            fixes.push(Fix {
                at: client.name.clone(),
                side: "client",
                timeout: safe,
                setting: template.map(|template| setting(template, safe, Rounding::Down)),
            });
        }
    }
    fixes
}

/// A setting in whole seconds cannot say less than one.
fn can_say(template: Option<&str>, timeout: Duration) -> bool {
    let in_seconds = template.is_some_and(|template| template.contains("{s}"));
    timeout >= Duration::from_secs(1) || (!in_seconds && !timeout.is_zero())
}

fn whole_seconds(time: Duration) -> Duration {
    let ms = u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
    Duration::from_secs(ms.div_ceil(1000))
}

#[cfg(test)]
mod tests {
    use super::super::hop::parse;
    use super::super::timeout::{Verdict, check};
    use super::*;

    fn fixed(client: &str, server: &str) -> Vec<(String, &'static str, String)> {
        let (client, server) = (parse(client).expect("a hop"), parse(server).expect("a hop"));
        fixes(&client, &server, Duration::ZERO)
            .into_iter()
            .map(|fix| (fix.at, fix.side, fix.setting.unwrap_or_default()))
            .collect()
    }

    #[test]
    fn the_directive_of_the_product_at_fault_is_named() {
        for (client, server, at_server, at_client) in [
            (
                "alb",
                "node",
                Some("server.keepAliveTimeout = 66000; server.headersTimeout = 67000"),
                Some("idle_timeout.timeout_seconds = 4"),
            ),
            (
                "nginx",
                "gunicorn",
                Some("gunicorn --keep-alive 66"),
                Some("upstream { … keepalive_timeout 1000ms; }"),
            ),
            (
                "alb:idle=2s",
                "uvicorn:server=1s",
                Some("uvicorn --timeout-keep-alive 3"),
                None,
            ),
            ("gcp-lb", "nginx", Some("keepalive_timeout 660s;"), None),
            ("requests", "node", None, None),
            (
                "haproxy",
                "apache",
                Some("KeepAliveTimeout 44"),
                Some(
                    "server … pool-purge-delay 500ms (with many connections they last for some 8 of these)",
                ),
            ),
            (
                "alb",
                "haproxy:server=10s",
                Some("timeout http-keep-alive 66s"),
                Some("idle_timeout.timeout_seconds = 9"),
            ),
            ("mine:client=10s", "yours:server=5s", Some(""), Some("")),
        ] {
            let found = fixed(client, server);
            let of = |side| {
                let fix = found.iter().find(|(_, found, _)| *found == side);
                fix.map(|(_, _, setting)| setting.as_str())
            };
            assert_eq!(
                (of("server"), of("client")),
                (at_server, at_client),
                "{client} {server}"
            );
        }
    }

    #[test]
    fn each_fix_alone_mends_it() {
        let (client, server) = (
            parse("nginx").expect("a hop"),
            parse("node").expect("a hop"),
        );
        let round_trip = Duration::from_millis(3);
        for fix in fixes(&client, &server, round_trip) {
            let after = Some(Timeout::After(fix.timeout));
            let (mut on_client, mut on_server) = (
                client.client.map(|x| x.timeout),
                server.server.map(|x| x.timeout),
            );
            match fix.side {
                "server" => on_server = after,
                _ => on_client = after,
            }
            assert_eq!(
                check(on_client, on_server, round_trip),
                Verdict::Holds,
                "{fix:?}"
            );
        }
    }
}

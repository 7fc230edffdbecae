//! What is known of products: for how long they keep idle connections unless they are told
//! otherwise, and how they are told.
//!
//! A table and nothing else. Each figure says how it is known; what only is said is marked so.

use std::time::Duration;

use super::timeout::Timeout;

/// How a figure is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Evidence {
    /// This run has measured it.
    Measured,
    /// `clients/idle-times` or a test has, with this version.
    Verified(&'static str),
    /// Read in the product's source or documentation.
    Documented,
    /// Said, and not checked.
    Unverified,
    /// Given on the command line.
    Given,
}

impl Evidence {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Measured => "measured",
            Self::Verified(_) => "verified",
            Self::Documented => "documented",
            Self::Unverified => "unverified",
            Self::Given => "given",
        }
    }

    /// Of which version it holds.
    pub(crate) const fn version(self) -> Option<&'static str> {
        match self {
            Self::Verified(version) => Some(version),
            Self::Measured | Self::Documented | Self::Unverified | Self::Given => None,
        }
    }
}

/// A timeout that a product has, and the setting that changes it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Known {
    /// `None`: it has no default.
    pub(crate) timeout: Option<Timeout>,
    pub(crate) evidence: Evidence,
    /// The setting, where `{s}` stands for seconds, `{ms}` for milliseconds, `{ms+1000}` for a second
    /// more and `{ms/8}` for an eighth; nothing if it cannot be changed.
    pub(crate) setting: Option<&'static str>,
}

/// A product, on the side of its clients and on the side of its servers.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Product {
    pub(crate) name: &'static str,
    /// How its `Server` field begins.
    pub(crate) server_field: Option<&'static str>,
    /// As a server: for how long it keeps a client's idle connection.
    pub(crate) server: Option<Known>,
    /// As a client: for how long it may reuse one to a server.
    pub(crate) client: Option<Known>,
}

/// The product of this name.
pub(crate) fn named(name: &str) -> Option<&'static Product> {
    PRODUCTS.iter().find(|product| product.name == name)
}

/// The product that a `Server` field names.
pub(crate) fn of_server_field(field: &str) -> Option<&'static Product> {
    PRODUCTS.iter().find(|product| {
        product
            .server_field
            .is_some_and(|begin| field.starts_with(begin))
    })
}

const fn known(seconds: u64, evidence: Evidence, setting: &'static str) -> Option<Known> {
    Some(Known {
        timeout: Some(Timeout::After(Duration::from_secs(seconds))),
        evidence,
        setting: Some(setting),
    })
}

const fn between(from: u64, to: u64, evidence: Evidence, setting: &'static str) -> Option<Known> {
    let (from, to) = (Duration::from_secs(from), Duration::from_secs(to));
    Some(Known {
        timeout: Some(Timeout::Between(from, to)),
        evidence,
        setting: Some(setting),
    })
}

const fn fixed(seconds: u64, evidence: Evidence) -> Option<Known> {
    Some(Known {
        timeout: Some(Timeout::After(Duration::from_secs(seconds))),
        evidence,
        setting: None,
    })
}

const fn never(evidence: Evidence, setting: &'static str) -> Option<Known> {
    Some(Known {
        timeout: Some(Timeout::Never),
        evidence,
        setting: Some(setting),
    })
}

const fn product(
    name: &'static str,
    server_field: Option<&'static str>,
    server: Option<Known>,
    client: Option<Known>,
) -> Product {
    Product {
        name,
        server_field,
        server,
        client,
    }
}

use Evidence::{Documented, Unverified, Verified};

const VERSION: &str = env!("CARGO_PKG_VERSION");

/// Clients, balancers, proxies and servers, in this order.
pub(crate) const PRODUCTS: &[Product] = &[
    product(
        "curl",
        None,
        None,
        known(118, Verified("7.88.1"), "CURLOPT_MAXAGE_CONN = {s}"),
    ),
    product(
        "reqwest",
        None,
        None,
        known(
            90,
            Documented,
            "ClientBuilder::pool_idle_timeout(Duration::from_millis({ms}))",
        ),
    ),
    product(
        "hyper-util",
        None,
        None,
        known(
            90,
            Documented,
            "Builder::pool_idle_timeout(Duration::from_millis({ms}))",
        ),
    ),
    product(
        "undici",
        None,
        None,
        known(4, Documented, "new Agent({ keepAliveTimeout: {ms} })"),
    ),
    product(
        "node-fetch",
        None,
        None,
        known(
            4,
            Verified("20.20.2"),
            "setGlobalDispatcher(new Agent({ keepAliveTimeout: {ms} }))",
        ),
    ),
    product(
        "aiohttp",
        None,
        None,
        known(
            15,
            Verified("3.14.5"),
            "TCPConnector(keepalive_timeout={s})",
        ),
    ),
    product(
        "httpx",
        None,
        None,
        known(5, Verified("0.28.1"), "Limits(keepalive_expiry={s})"),
    ),
    product(
        "requests",
        None,
        None,
        Some(Known {
            timeout: Some(Timeout::Never),
            evidence: Documented,
            setting: None,
        }),
    ),
    product(
        "java",
        None,
        None,
        known(30, Documented, "-Djdk.httpclient.keepalive.timeout={s}"),
    ),
    product(
        "dotnet",
        None,
        None,
        known(
            60,
            Documented,
            "SocketsHttpHandler.PooledConnectionIdleTimeout = TimeSpan.FromSeconds({s})",
        ),
    ),
    product(
        "okhttp",
        None,
        None,
        known(
            300,
            Documented,
            "new ConnectionPool(5, {s}, TimeUnit.SECONDS)",
        ),
    ),
    product(
        "alb",
        Some("awselb"),
        known(60, Documented, "idle_timeout.timeout_seconds = {s}"),
        known(60, Documented, "idle_timeout.timeout_seconds = {s}"),
    ),
    product(
        "gcp-lb",
        None,
        known(610, Unverified, "httpKeepAliveTimeoutSec = {s}"),
        fixed(600, Documented),
    ),
    product(
        "cloudfront",
        Some("CloudFront"),
        None,
        known(5, Unverified, "Origin keep-alive timeout = {s}"),
    ),
    product(
        "azure-lb",
        None,
        known(240, Unverified, "idleTimeoutInMinutes (at least {s} s)"),
        known(240, Unverified, "idleTimeoutInMinutes (at most {s} s)"),
    ),
    product(
        "nlb",
        None,
        known(350, Unverified, "tcp.idle_timeout.seconds = {s}"),
        known(350, Unverified, "tcp.idle_timeout.seconds = {s}"),
    ),
    product(
        "nginx",
        Some("nginx"),
        known(75, Verified("1.31.3"), "keepalive_timeout {s}s;"),
        known(
            60,
            Verified("1.31.3"),
            "upstream { … keepalive_timeout {ms}ms; }",
        ),
    ),
    // As a server it has no default: `timeout http-keep-alive`, or else `timeout client`, is the
    // operator's. As a client it has no timer of each connection: every pool-purge-delay (5 s) it
    // closes half of those that were not needed lately. One connection lasts for three of these, of 64
    // the last for eight.
    product(
        "haproxy",
        None,
        Some(Known {
            timeout: None,
            evidence: Documented,
            setting: Some("timeout http-keep-alive {s}s"),
        }),
        between(
            15,
            40,
            Verified("2.6.12"),
            "server … pool-purge-delay {ms/8}ms (with many connections they last for some 8 of these)",
        ),
    ),
    product(
        "envoy",
        Some("envoy"),
        known(
            3600,
            Documented,
            "http_connection_manager.common_http_protocol_options.idle_timeout: {s}s",
        ),
        known(
            3600,
            Documented,
            "cluster.common_http_protocol_options.idle_timeout: {s}s",
        ),
    ),
    product(
        "caddy",
        Some("Caddy"),
        known(
            300,
            Verified("2.11.7"),
            "servers { timeouts { idle {s}s } }",
        ),
        known(120, Verified("2.11.7"), "transport http { keepalive {s}s }"),
    ),
    product(
        "traefik",
        None,
        known(
            180,
            Unverified,
            "entryPoints.NAME.transport.respondingTimeouts.idleTimeout = {s}",
        ),
        known(
            90,
            Unverified,
            "serversTransport.forwardingTimeouts.idleConnTimeout = {s}",
        ),
    ),
    product(
        "pingora",
        None,
        known(60, Documented, "session.set_keepalive(Some({s}))"),
        never(
            Documented,
            "PeerOptions::idle_timeout = Some(Duration::from_millis({ms}))",
        ),
    ),
    product(
        "keepline",
        Some("keepline"),
        known(
            75,
            Verified(VERSION),
            "keepline serve --idle-timeout {s}s, Server::builder().idle_timeout(…)",
        ),
        known(
            90,
            Verified(VERSION),
            "Transport::builder().idle_timeout(Duration::from_millis({ms}))",
        ),
    ),
    product(
        "go",
        None,
        never(Documented, "http.Server{IdleTimeout: {s} * time.Second}"),
        known(
            90,
            Verified("1.27.3"),
            "http.Transport{IdleConnTimeout: {ms} * time.Millisecond}",
        ),
    ),
    product(
        "hyper",
        None,
        known(
            30,
            Documented,
            "http1::Builder::header_read_timeout(Duration::from_secs({s}))",
        ),
        None,
    ),
    // It tells 5 s. Newer ones, 20.20.2 among them, close a second later: the buffer that 24.6 has made
    // a setting, keepAliveTimeoutBuffer.
    product(
        "node",
        None,
        between(
            5,
            6,
            Verified("20.20.2"),
            "server.keepAliveTimeout = {ms}; server.headersTimeout = {ms+1000}",
        ),
        // The global agent; one of the program's own has no limit unless it is told.
        known(
            5,
            Verified("20.20.2"),
            "new http.Agent({ keepAlive: true, timeout: {ms} })",
        ),
    ),
    product(
        "gunicorn",
        Some("gunicorn"),
        known(2, Verified("27.0.1"), "gunicorn --keep-alive {s}"),
        None,
    ),
    product(
        "uvicorn",
        Some("uvicorn"),
        known(5, Verified("0.54.0"), "uvicorn --timeout-keep-alive {s}"),
        None,
    ),
    product(
        "apache",
        Some("Apache"),
        known(5, Verified("2.4.71"), "KeepAliveTimeout {s}"),
        never(Verified("2.4.71"), "ProxyPass … ttl={s}"),
    ),
    product(
        "puma",
        None,
        known(65, Unverified, "persistent_timeout {s}"),
        None,
    ),
    product(
        "tomcat",
        None,
        known(20, Unverified, "<Connector keepAliveTimeout=\"{ms}\">"),
        None,
    ),
    product(
        "jetty",
        Some("Jetty"),
        known(30, Unverified, "ServerConnector.setIdleTimeout({ms})"),
        None,
    ),
    product(
        "kestrel",
        Some("Kestrel"),
        known(
            130,
            Unverified,
            "KestrelServerLimits.KeepAliveTimeout = TimeSpan.FromSeconds({s})",
        ),
        None,
    ),
    product(
        "iis",
        Some("Microsoft-IIS"),
        known(120, Unverified, "connectionTimeout=\"{s} s\""),
        None,
    ),
];

/// The setting that gives a timeout: rounded up to the unit for a server, which has to wait for at
/// least so long, and down for a client, which may at most.
pub(crate) fn setting(template: &str, timeout: Duration, rounding: Rounding) -> String {
    let ms = timeout.as_millis();
    let (s, ms) = match rounding {
        Rounding::Up => (ms.div_ceil(1000), ms),
        Rounding::Down => (ms / 1000, ms),
    };
    template
        .replace("{s}", &s.to_string())
        .replace("{ms+1000}", &(ms + 1000).to_string())
        .replace("{ms/8}", &(ms / 8).to_string())
        .replace("{ms}", &ms.to_string())
}

/// Which way a timeout may be missed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Rounding {
    Up,
    Down,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unique_and_a_server_field_leads_to_its_product() {
        for (place, product) in PRODUCTS.iter().enumerate() {
            let first = PRODUCTS.iter().position(|other| other.name == product.name);
            assert_eq!(first, Some(place), "{}", product.name);
            assert!(
                product.server.is_some() || product.client.is_some(),
                "{}",
                product.name
            );
        }
        for (field, name) in [
            ("nginx/1.31.3", "nginx"),
            ("Apache/2.4.71 (Debian)", "apache"),
            ("gunicorn", "gunicorn"),
            ("awselb/2.0", "alb"),
        ] {
            assert_eq!(
                of_server_field(field).map(|product| product.name),
                Some(name)
            );
        }
        assert!(of_server_field("something").is_none());
    }

    #[test]
    fn a_setting_is_never_too_short_for_a_server_nor_too_long_for_a_client() {
        let time = Duration::from_millis(4500);
        assert_eq!(setting("a {s}s", time, Rounding::Up), "a 5s");
        assert_eq!(setting("a {s}s", time, Rounding::Down), "a 4s");
        let node = named("node")
            .and_then(|node| node.server?.setting)
            .expect("it is known");
        assert_eq!(
            setting(node, Duration::from_secs(66), Rounding::Up),
            "server.keepAliveTimeout = 66000; server.headersTimeout = 67000"
        );
    }
}

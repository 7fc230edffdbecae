//! Which proxy the environment names for an origin, by Go's rules: a pure function of the variables.
//!
//! hyper-util's matcher was considered: it knows no ports in `NO_PROXY`, sends loopback to the
//! proxy, and is silent about values that it cannot use.

use std::net::IpAddr;

use super::Proxy;
use crate::client::key::Origin;
use crate::error::{Error, ErrorKind};
use crate::net::literal;

/// What the environment says about proxies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Rules {
    http: Choice,
    https: Choice,
    bypass: Vec<Bypass>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Choice {
    Direct,
    Proxy(Proxy),
    /// A variable holds what cannot be used: its name, and why. Asking somebody else than was meant
    /// would be worse than an error.
    Unusable(&'static str, String),
}

/// An entry of `NO_PROXY`.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Bypass {
    Everything,
    Network {
        address: IpAddr,
        bits: u8,
    },
    Address {
        address: IpAddr,
        port: Option<u16>,
    },
    /// The domain begins with a dot.
    Domain {
        domain: String,
        itself: bool,
        port: Option<u16>,
    },
}

impl Rules {
    /// Reads `HTTP_PROXY`, `HTTPS_PROXY`, `ALL_PROXY` and `NO_PROXY`, each in upper case or else in
    /// lower case.
    pub(crate) fn of_environment() -> Self {
        Self::read(|name| std::env::var(name).ok())
    }

    fn read(variable: impl Fn(&str) -> Option<String>) -> Self {
        let value = |name: &str| {
            let set = |name: &str| variable(name).filter(|value| !value.is_empty());
            set(name).or_else(|| set(&name.to_ascii_lowercase()))
        };
        let choice = |name: &'static str| {
            let (name, url) = match (value(name), value("ALL_PROXY")) {
                (Some(url), _) => (name, url),
                (None, Some(url)) => ("ALL_PROXY", url),
                (None, None) => return Choice::Direct,
            };
            match url.trim().parse() {
                Ok(proxy) => Choice::Proxy(proxy),
                Err(error) => Choice::Unusable(name, error.to_string()),
            }
        };
        // A CGI program gets the field `Proxy` of a request as HTTP_PROXY (CVE-2016-5386).
        let is_cgi = value("REQUEST_METHOD").is_some() && value("HTTP_PROXY").is_some();
        let http = if is_cgi {
            let why = "in a CGI program whoever sends the request sets it";
            Choice::Unusable("HTTP_PROXY", why.to_owned())
        } else {
            choice("HTTP_PROXY")
        };
        let bypass = value("NO_PROXY").unwrap_or_default();
        Self {
            http,
            https: choice("HTTPS_PROXY"),
            bypass: bypass.split(',').filter_map(Bypass::of).collect(),
        }
    }

    /// Some origin goes through a proxy.
    pub(crate) fn is_any(&self) -> bool {
        self.http != Choice::Direct || self.https != Choice::Direct
    }

    /// The proxy for an origin. `localhost` and loopback addresses have none.
    ///
    /// # Errors
    /// A variable cannot be used, and says about this origin.
    pub(crate) fn choose(&self, origin: &Origin) -> Result<Option<Proxy>, Error> {
        let choice = if origin.is_secure {
            &self.https
        } else {
            &self.http
        };
        if *choice == Choice::Direct || self.is_bypassed(origin) {
            return Ok(None);
        }
        match choice {
            Choice::Direct => Ok(None),
            Choice::Proxy(proxy) => Ok(Some(proxy.clone())),
            Choice::Unusable(name, why) => Err(Error::caused(
                ErrorKind::InvalidRequest,
                format!("the environment variable {name}: {why}"),
            )),
        }
    }

    fn is_bypassed(&self, origin: &Origin) -> bool {
        let address = literal(&origin.host).map(|address| address.to_canonical());
        let is_here = match address {
            Some(address) => address.is_loopback(),
            None => &*origin.host == "localhost",
        };
        let mut bypass = self.bypass.iter();
        is_here || bypass.any(|bypass| bypass.covers(&origin.host, address, origin.port))
    }
}

impl Bypass {
    /// An entry: `*`, `192.0.2.0/24`, `192.0.2.1`, `[2001:db8::1]:80`, `domain` (and what is below
    /// it), `.domain` or `*.domain` (only what is below it), each but the first two perhaps with a
    /// port.
    fn of(entry: &str) -> Option<Self> {
        let entry = entry.trim().to_ascii_lowercase();
        if entry == "*" {
            return Some(Self::Everything);
        }
        if let Some(network) = network(&entry) {
            return Some(network);
        }
        let (host, port) = split_port(&entry);
        if let Some(address) = literal(host) {
            let address = address.to_canonical();
            return Some(Self::Address { address, port });
        }
        let below = host.strip_prefix('*').filter(|x| x.starts_with('.'));
        let host = below.unwrap_or(host);
        match host.strip_prefix('.') {
            _ if host.is_empty() => None,
            Some(_) => Some(Self::Domain {
                domain: host.to_owned(),
                itself: false,
                port,
            }),
            None => Some(Self::Domain {
                domain: format!(".{host}"),
                itself: true,
                port,
            }),
        }
    }

    fn covers(&self, host: &str, address: Option<IpAddr>, port: u16) -> bool {
        let of_port = |wanted: &Option<u16>| wanted.is_none_or(|wanted| wanted == port);
        match self {
            Self::Everything => true,
            Self::Network {
                address: network,
                bits,
            } => address.is_some_and(|address| prefix(address, *bits) == prefix(*network, *bits)),
            Self::Address {
                address: known,
                port,
            } => address == Some(*known) && of_port(port),
            Self::Domain {
                domain,
                itself,
                port,
            } => {
                let is_it = *itself && domain.get(1..) == Some(host);
                (is_it || host.ends_with(domain)) && of_port(port)
            }
        }
    }
}

fn network(entry: &str) -> Option<Bypass> {
    let (address, bits) = entry.split_once('/')?;
    let address: IpAddr = address.parse().ok()?;
    let bits = bits.parse().ok()?;
    let most = if address.is_ipv4() { 32 } else { 128 };
    (bits <= most).then_some(Bypass::Network { address, bits })
}

/// The first bits of an address, with its family.
fn prefix(address: IpAddr, bits: u8) -> (bool, u128) {
    let (width, number) = match address {
        IpAddr::V4(address) => (32, u128::from(u32::from(address))),
        IpAddr::V6(address) => (128, u128::from(address)),
    };
    let rest = width - u32::from(bits);
    (address.is_ipv4(), number.checked_shr(rest).unwrap_or(0))
}

/// `host:port`, `[address]:port`, or a host alone; an IPv6 address without brackets has no port.
fn split_port(entry: &str) -> (&str, Option<u16>) {
    match entry.rsplit_once(':') {
        Some((host, port)) if !host.contains(':') || host.ends_with(']') => match port.parse() {
            Ok(port) => (host, Some(port)),
            Err(_) => (entry, None),
        },
        _ => (entry, None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::key::Key;

    fn rules(variables: &[(&str, &str)]) -> Rules {
        let of = |name: &str| {
            variables
                .iter()
                .find(|x| x.0 == name)
                .map(|x| x.1.to_owned())
        };
        Rules::read(of)
    }

    fn choose(rules: &Rules, uri: &str) -> String {
        let key = Key::of(&uri.parse().unwrap()).unwrap();
        match rules.choose(key.origin()) {
            Ok(Some(proxy)) => proxy.to_string(),
            Ok(None) => "direct".to_owned(),
            Err(error) => error.to_string(),
        }
    }

    /// After the table of Go's `ProxyFromEnvironment`.
    #[test]
    fn the_environment_names_a_proxy_by_scheme() {
        for (variables, uri, chosen) in [
            (&[][..], "http://a.test", "direct"),
            (&[("HTTP_PROXY", "p")], "http://a.test", "http://p:80"),
            (&[("HTTP_PROXY", "p:81")], "http://a.test", "http://p:81"),
            (&[("http_proxy", "p:81")], "http://a.test", "http://p:81"),
            (&[("HTTP_PROXY", "p")], "https://a.test", "direct"),
            (
                &[("HTTPS_PROXY", "https://p")],
                "https://a.test",
                "https://p:443",
            ),
            (
                &[("https_proxy", "socks5://p")],
                "https://a.test",
                "socks5://p:1080",
            ),
            (&[("HTTPS_PROXY", "p")], "http://a.test", "direct"),
            (
                &[("HTTP_PROXY", "p"), ("http_proxy", "q")],
                "http://a.test",
                "http://p:80",
            ),
            (
                &[("HTTP_PROXY", ""), ("http_proxy", "q")],
                "http://a.test",
                "http://q:80",
            ),
            (&[("ALL_PROXY", "p")], "https://a.test", "http://p:80"),
            (
                &[("all_proxy", "p"), ("HTTP_PROXY", "q")],
                "http://a.test",
                "http://q:80",
            ),
            // Never to a proxy.
            (&[("ALL_PROXY", "p")], "http://localhost", "direct"),
            (&[("ALL_PROXY", "p")], "http://LOCALHOST:81", "direct"),
            (&[("ALL_PROXY", "p")], "http://127.0.0.9:81", "direct"),
            (&[("ALL_PROXY", "p")], "https://[::1]:81", "direct"),
            (
                &[("ALL_PROXY", "p")],
                "https://[::ffff:127.0.0.1]",
                "direct",
            ),
        ] {
            assert_eq!(
                choose(&rules(variables), uri),
                chosen,
                "{variables:?} {uri}"
            );
        }
    }

    #[test]
    fn no_proxy_is_read_as_go_reads_it() {
        for (no_proxy, host, is_direct) in [
            ("", "a.test", false),
            (" , ,", "a.test", false),
            ("*", "a.test", true),
            ("b.test, *", "192.0.2.1", true),
            ("a.test", "a.test", true),
            ("a.test", "x.a.test", true),
            ("a.test", "xa.test", false),
            (" A.Test ", "a.tEst", true),
            (".a.test", "a.test", false),
            (".a.test", "x.a.test", true),
            ("*.a.test", "a.test", false),
            ("*.a.test", "y.x.a.test", true),
            ("a.test:80", "a.test", true),
            ("a.test:81", "a.test", false),
            ("a.test:81", "a.test:81", true),
            (".a.test:81", "x.a.test:81", true),
            ("192.0.2.1", "192.0.2.1", true),
            ("192.0.2.1", "192.0.2.10", false),
            ("192.0.2.1:81", "192.0.2.1", false),
            ("192.0.2.1:81", "192.0.2.1:81", true),
            ("192.0.2.0/24", "192.0.2.77", true),
            ("192.0.2.0/24", "192.0.3.1", false),
            ("192.0.2.7/24", "192.0.2.1", true),
            ("0.0.0.0/0", "192.0.2.1", true),
            ("0.0.0.0/0", "[2001:db8::1]", false),
            ("192.0.2.0/33", "192.0.2.1", false),
            ("2001:db8::/32", "[2001:db8:1::1]", true),
            ("2001:db8::1", "[2001:db8::1]", true),
            ("[2001:db8::1]", "[2001:db8::1]", true),
            ("[2001:db8::1]:81", "[2001:db8::1]", false),
            ("[2001:db8::1]:81", "[2001:db8::1]:81", true),
            ("::/0", "[2001:db8::1]", true),
            ("192.0.2.1", "a.test", false),
            (":80", "a.test", false),
            ("*a.test", "xa.test", false),
        ] {
            let rules = rules(&[("HTTP_PROXY", "p"), ("NO_PROXY", no_proxy)]);
            let chosen = choose(&rules, &format!("http://{host}/"));
            assert_eq!(
                chosen == "direct",
                is_direct,
                "{no_proxy} for {host}: {chosen}"
            );
        }
    }

    /// Whoever has named a proxy does not want to be connected without.
    #[test]
    fn what_cannot_be_used_is_an_error_and_not_a_detour() {
        let bad = rules(&[("HTTPS_PROXY", "ftp://me:secret@p"), ("NO_PROXY", "b.test")]);
        let said = choose(&bad, "https://a.test");
        assert!(
            said.contains("HTTPS_PROXY") && said.contains("scheme"),
            "{said}"
        );
        assert!(!said.contains("secret"), "{said}");
        assert_eq!(choose(&bad, "https://b.test"), "direct");
        assert_eq!(choose(&bad, "http://a.test"), "direct");
        let cgi = rules(&[
            ("REQUEST_METHOD", "GET"),
            ("HTTP_PROXY", "p"),
            ("HTTPS_PROXY", "q"),
        ]);
        assert!(choose(&cgi, "http://a.test").contains("CGI"));
        assert_eq!(choose(&cgi, "https://a.test"), "http://q:80");
    }
}

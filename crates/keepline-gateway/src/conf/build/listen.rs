//! `listen`: addresses, ranges of ports, and the options of sockets.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use crate::conf::error::ConfError;
use crate::conf::lexer::Word;
use crate::conf::outside::Outside;
use crate::conf::tree::Directive;
use crate::conf::units;
use crate::conf::value::{invalid, unknown_parameter, unsupported};
use crate::config::{Listen, ListenAddress};

const PARAMETERS: [&str; 9] = [
    "default_server",
    "ssl",
    "backlog=",
    "rcvbuf=",
    "sndbuf=",
    "ipv6only=",
    "so_keepalive=",
    "reuseport",
    "deferred",
];

/// Ports of one `listen` are at most so many: each is a socket for each worker.
const MAX_RANGE: u16 = 4096;

/// The sockets of a `listen`: one for each port of a range.
pub(super) fn listen(
    directive: &Directive,
    outside: &dyn Outside,
    ignored: &mut Vec<(Word, &'static str)>,
) -> Result<Vec<Listen>, ConfError> {
    let word = directive.arg(0)?;
    let mut option = Listen::new(ListenAddress::Unix("".into()));
    for word in directive.args.iter().skip(1) {
        match word.text.as_str() {
            "reuseport" | "bind" => {
                ignored.push((word.clone(), "each worker has a socket of its own"));
            }
            "deferred" => ignored.push((word.clone(), "connections are accepted as they come")),
            _ => parameter(directive, word, &mut option)?,
        }
    }
    let addresses = addresses(directive, word, outside)?;
    let listens = addresses.into_iter().map(|address| Listen {
        address,
        ..option.clone()
    });
    Ok(listens.collect())
}

fn parameter(directive: &Directive, word: &Word, listen: &mut Listen) -> Result<(), ConfError> {
    let bytes = |text: &str| {
        let size = units::size(text).and_then(|size| usize::try_from(size).ok());
        size.ok_or_else(|| invalid(directive, word, "a size"))
    };
    let switch = |text: &str| match text {
        "on" => Ok(true),
        "off" => Ok(false),
        _ => Err(invalid(directive, word, "on or off")),
    };
    match word.text.split_once('=') {
        None => match word.text.as_str() {
            "default_server" | "default" => listen.is_default = true,
            "ssl" => listen.is_tls = true,
            "http2" | "quic" | "spdy" => {
                return Err(unsupported(directive, word, "HTTP/1.1 only: leave it out"));
            }
            "proxy_protocol" | "multipath" => {
                return Err(unsupported(directive, word, "leave it out"));
            }
            _ => return Err(unknown_parameter(directive, word, &PARAMETERS)),
        },
        Some(("backlog", value)) => {
            let backlog = units::number(value).filter(|backlog| *backlog > 0);
            listen.backlog = Some(backlog.ok_or_else(|| invalid(directive, word, "a number"))?);
        }
        Some(("rcvbuf", value)) => listen.receive_buffer = Some(bytes(value)?),
        Some(("sndbuf", value)) => listen.send_buffer = Some(bytes(value)?),
        Some(("ipv6only", value)) => listen.ipv6_only = switch(value)?,
        Some(("so_keepalive", value)) if value.contains(':') => {
            return Err(unsupported(directive, word, "so_keepalive=on or off"));
        }
        Some(("so_keepalive", value)) => listen.tcp_keep_alive = Some(switch(value)?),
        Some(("fastopen" | "setfib" | "accept_filter", _)) => {
            return Err(unsupported(directive, word, "leave it out"));
        }
        _ => return Err(unknown_parameter(directive, word, &PARAMETERS)),
    }
    Ok(())
}

fn addresses(
    directive: &Directive,
    word: &Word,
    outside: &dyn Outside,
) -> Result<Vec<ListenAddress>, ConfError> {
    let text = word.text.as_str();
    if let Some(path) = text.strip_prefix("unix:") {
        if !path.starts_with('/') {
            return Err(invalid(directive, word, "unix:/path"));
        }
        return Ok(vec![ListenAddress::Unix(path.into())]);
    }
    let any = IpAddr::V4(Ipv4Addr::UNSPECIFIED);
    let (hosts, ports) = if text
        .bytes()
        .all(|byte| byte.is_ascii_digit() || byte == b'-')
    {
        (vec![any], ports(text))
    } else {
        let split = match text.rfind(']') {
            Some(end) => text.split_at(end + 1),
            None => text.split_at(text.find(':').unwrap_or(text.len())),
        };
        let ports = match split.1.strip_prefix(':') {
            Some(text) => ports(text),
            None if split.1.is_empty() => Some((80, 80)),
            None => None,
        };
        (hosts(split.0, word, outside)?, ports)
    };
    let Some((first, last)) = ports else {
        let expected = "[ADDRESS:]PORT, ADDRESS or unix:PATH, a port from 1 to 65535";
        return Err(invalid(directive, word, expected));
    };
    if last - first >= MAX_RANGE {
        let expected = format!("a range of at most {MAX_RANGE} ports");
        return Err(invalid(directive, word, &expected));
    }
    let sockets = (first..=last).flat_map(|port| hosts.iter().map(move |host| (*host, port)));
    Ok(sockets
        .map(|socket| ListenAddress::Inet(SocketAddr::from(socket)))
        .collect())
}

fn hosts(host: &str, word: &Word, outside: &dyn Outside) -> Result<Vec<IpAddr>, ConfError> {
    if host == "*" {
        return Ok(vec![Ipv4Addr::UNSPECIFIED.into()]);
    }
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    if let Ok(address) = bare.parse() {
        return Ok(vec![address]);
    }
    let what = format!(
        "host not found in \"{}\" of the \"listen\" directive",
        word.text
    );
    let found = outside.addresses(bare);
    found.map_err(|error| ConfError::new(&word.place, what).note(error.to_string()))
}

/// `80`, or `8080-8090`.
fn ports(text: &str) -> Option<(u16, u16)> {
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    let (first, last) = (units::number(first)?, units::number(last)?);
    (first > 0 && first <= last).then_some((first, last))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::conf::outside::Memory;
    use crate::conf::tree;

    fn told(text: &str) -> Result<Vec<String>, String> {
        let files = Memory::default().with("/n", format!("listen {text};"));
        let tree = tree::read("/n".as_ref(), "", &files).unwrap();
        let listens = listen(
            &tree.root.directives[0],
            &Memory::default(),
            &mut Vec::new(),
        )
        .map_err(|error| error.to_string())?;
        let address = |listen: &Listen| match &listen.address {
            ListenAddress::Inet(address) => address.to_string(),
            ListenAddress::Unix(path) => path.display().to_string(),
        };
        Ok(listens.iter().map(address).collect())
    }

    #[test]
    fn addresses_and_ranges() {
        for (text, expected) in [
            ("80", vec!["0.0.0.0:80"]),
            ("*:8080", vec!["0.0.0.0:8080"]),
            ("127.0.0.1", vec!["127.0.0.1:80"]),
            ("127.0.0.1:81 ssl default_server", vec!["127.0.0.1:81"]),
            ("[::1]:82", vec!["[::1]:82"]),
            ("[::]", vec!["[::]:80"]),
            ("unix:/tmp/s", vec!["/tmp/s"]),
            (
                "127.0.0.1:8001-8003",
                vec!["127.0.0.1:8001", "127.0.0.1:8002", "127.0.0.1:8003"],
            ),
        ] {
            let expected: Vec<_> = expected.into_iter().map(str::to_owned).collect();
            assert_eq!(told(text), Ok(expected), "{text}");
        }
    }

    #[test]
    fn what_is_no_address_is_refused() {
        for text in [
            "0",
            "65536",
            "127.0.0.1:",
            "127.0.0.1:x",
            "9-8",
            "1-65535",
            "unix:",
            "[::1]x",
            "80 http2",
            "80 backlog=0",
            "80 nonsense",
            "80 so_keepalive=1:2:3",
        ] {
            assert!(told(text).is_err(), "{text}");
        }
    }
}

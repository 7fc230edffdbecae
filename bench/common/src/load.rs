//! The command line of a load program.

use std::io::{self, Read};
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use lexopt::prelude::*;

use crate::answer::HELLO;

/// When a load ends.
#[derive(Clone, Copy, Debug)]
pub enum Amount {
    Requests(u64),
    For(Duration),
}

/// `URL [-c CONNECTIONS] [-n REQUESTS | -d SECONDS] [--pipeline DEPTH] [--body-bytes N]
/// [--post-bytes N] [--origins N] [--close-every N] [--hold]`
#[derive(Clone, Debug)]
pub struct Load {
    pub url: String,
    pub address: SocketAddr,
    pub path: String,
    /// Connections, or for a pooled client requests in flight: it decides how many connections.
    pub connections: usize,
    pub amount: Amount,
    /// Requests in flight on each connection.
    pub pipeline: usize,
    /// The body that every answer must have.
    pub body_bytes: usize,
    /// Requests are POSTs with so much content; 0: GETs.
    pub post_bytes: usize,
    /// Requests go round so many origins, see [`origin`].
    pub origins: usize,
    /// The client closes a connection after so many requests.
    pub close_every: Option<u64>,
    /// After the load, keep the idle connections until stdin ends.
    pub hold: bool,
}

impl Load {
    pub fn from_args() -> Result<Self, lexopt::Error> {
        let mut url = None;
        let mut connections = 64;
        let mut amount = Amount::Requests(100_000);
        let mut pipeline = 1;
        let mut body_bytes = HELLO.len();
        let mut post_bytes = 0;
        let mut origins = 1;
        let mut close_every = None;
        let mut hold = false;

        let mut args = lexopt::Parser::from_env();
        while let Some(arg) = args.next()? {
            match arg {
                Short('c') => connections = args.value()?.parse()?,
                Short('n') => amount = Amount::Requests(args.value()?.parse()?),
                Short('d') => {
                    amount = Amount::For(Duration::from_secs_f64(args.value()?.parse()?));
                }
                Long("pipeline") => pipeline = args.value()?.parse()?,
                Long("body-bytes") => body_bytes = args.value()?.parse()?,
                Long("post-bytes") => post_bytes = args.value()?.parse()?,
                Long("origins") => origins = args.value()?.parse()?,
                Long("close-every") => close_every = Some(args.value()?.parse()?),
                Long("hold") => hold = true,
                Value(value) if url.is_none() => url = Some(value.string()?),
                other => return Err(other.unexpected()),
            }
        }
        let url = url.ok_or("a URL is needed")?;
        if connections == 0 || pipeline == 0 || origins == 0 || close_every == Some(0) {
            return Err("-c, --pipeline, --origins and --close-every start at 1".into());
        }
        let (address, path) = split_url(&url)?;
        Ok(Self {
            url,
            address,
            path,
            connections,
            amount,
            pipeline,
            body_bytes,
            post_bytes,
            origins,
            close_every,
            hold,
        })
    }

    /// The URL of each origin.
    pub fn urls(&self) -> Vec<String> {
        (0..self.origins)
            .map(|number| format!("http://{}{}", origin(self.address, number), self.path))
            .collect()
    }

    /// Where a worker's request goes. Those of all workers that are held go to the same origin at the
    /// same time, so that it has a connection for each.
    pub fn origin_of(&self, worker: usize, turn: usize) -> usize {
        let number = if self.hold {
            turn
        } else {
            worker + turn * self.connections * self.pipeline
        };
        number % self.origins
    }

    /// With `--hold`, after a load: says that the connections are idle and keeps them until stdin
    /// ends. Blocks: nothing happens on them meanwhile.
    pub fn hold_if_asked(&self, connections: u64) -> io::Result<()> {
        if self.hold {
            println!("idle {connections}");
            io::stdin().read_to_end(&mut Vec::new())?;
        }
        Ok(())
    }

    /// As [`Self::from_args`], for a pooled client that cannot pipeline.
    pub fn from_args_unpipelined() -> Result<Self, lexopt::Error> {
        let load = Self::from_args()?;
        if load.pipeline != 1 || load.close_every.is_some() {
            return Err("this client does not pipeline, nor close by itself".into());
        }
        Ok(load)
    }
}

/// Origins differ by their loopback address and share the port: 127.0.0.1, 127.0.0.2, … 127.0.1.1, …
pub fn origin(first: SocketAddr, number: usize) -> SocketAddr {
    if number == 0 {
        return first;
    }
    let (third, fourth) = (number / 250, number % 250 + 1);
    let octet = |n: usize| u8::try_from(n).expect("at most 64,000 origins");
    (
        Ipv4Addr::new(127, 0, octet(third), octet(fourth)),
        first.port(),
    )
        .into()
}

/// Only literal addresses: the bench measures connections, not name resolution.
fn split_url(url: &str) -> Result<(SocketAddr, String), lexopt::Error> {
    let rest = url
        .strip_prefix("http://")
        .ok_or("the URL must start with http://")?;
    let (authority, path) = match rest.find('/') {
        Some(slash) => rest.split_at(slash),
        None => (rest, "/"),
    };
    let address = authority
        .parse()
        .map_err(|_| format!("{authority} is not an IP address and a port"))?;
    Ok((address, path.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn origins_differ_by_their_address() {
        let first = "127.0.0.1:80".parse().unwrap();
        let all: std::collections::HashSet<_> = (0..1000).map(|n| origin(first, n)).collect();
        assert_eq!(all.len(), 1000);
        assert!(all.contains(&first));
    }

    #[test]
    fn a_url_splits_into_address_and_path() {
        let (address, path) = split_url("http://127.0.0.1:80/bytes/1?x").unwrap();
        assert_eq!((address.port(), path.as_str()), (80, "/bytes/1?x"));
        assert_eq!(split_url("http://[::1]:81").unwrap().1, "/");
        assert!(split_url("http://localhost:80/").is_err());
        assert!(split_url("https://127.0.0.1:80/").is_err());
    }
}

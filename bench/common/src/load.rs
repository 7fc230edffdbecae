//! The command line of a load program.

use std::net::SocketAddr;
use std::time::Duration;

use lexopt::prelude::*;

use crate::answer::HELLO;

/// When a load ends.
#[derive(Clone, Copy, Debug)]
pub enum Amount {
    Requests(u64),
    For(Duration),
}

/// `URL [-c CONNECTIONS] [-n REQUESTS | -d SECONDS] [--pipeline DEPTH] [--body-bytes N]`
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
}

impl Load {
    pub fn from_args() -> Result<Self, lexopt::Error> {
        let mut url = None;
        let mut connections = 64;
        let mut amount = Amount::Requests(100_000);
        let mut pipeline = 1;
        let mut body_bytes = HELLO.len();

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
                Value(value) if url.is_none() => url = Some(value.string()?),
                other => return Err(other.unexpected()),
            }
        }
        let url = url.ok_or("a URL is needed")?;
        if connections == 0 || pipeline == 0 {
            return Err("-c and --pipeline start at 1".into());
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
        })
    }

    /// As [`Self::from_args`], for a client that cannot pipeline.
    pub fn from_args_unpipelined() -> Result<Self, lexopt::Error> {
        let load = Self::from_args()?;
        if load.pipeline != 1 {
            return Err("this client does not pipeline".into());
        }
        Ok(load)
    }
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
    fn a_url_splits_into_address_and_path() {
        let (address, path) = split_url("http://127.0.0.1:80/bytes/1?x").unwrap();
        assert_eq!((address.port(), path.as_str()), (80, "/bytes/1?x"));
        assert_eq!(split_url("http://[::1]:81").unwrap().1, "/");
        assert!(split_url("http://localhost:80/").is_err());
        assert!(split_url("https://127.0.0.1:80/").is_err());
    }
}

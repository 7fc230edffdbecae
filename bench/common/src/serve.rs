//! The command line of a server program.

use std::net::SocketAddr;
use std::path::PathBuf;

use lexopt::prelude::*;

use crate::answer::HELLO;

/// `--listen ADDRESS [--body-bytes N] [--post-bytes N] [--origins N] [--close-every N]
/// [--tls-cert FILE --tls-key FILE] [--gate N]` and the flags that one program adds.
#[derive(Clone, Debug)]
pub struct Serve {
    pub listen: SocketAddr,
    pub body_bytes: usize,
    /// The content that every request must have.
    pub post_bytes: usize,
    /// Listens at so many addresses, see [`origin`](crate::origin).
    pub origins: usize,
    /// Closes a connection after so many requests.
    pub close_every: Option<u64>,
    /// Answers nobody before so many have asked.
    pub gate: usize,
    /// Certificate chain and private key, both PEM.
    pub tls: Option<(PathBuf, PathBuf)>,
    /// Flags given, out of those the program knows.
    pub flags: Vec<&'static str>,
}

impl Serve {
    pub fn from_args(known_flags: &[&'static str]) -> Result<Self, lexopt::Error> {
        let mut listen = None;
        let mut body_bytes = HELLO.len();
        let (mut post_bytes, mut origins, mut close_every, mut gate) = (0, 1, None, 0);
        let (mut cert, mut key) = (None, None);
        let mut flags = Vec::new();

        let mut args = lexopt::Parser::from_env();
        while let Some(arg) = args.next()? {
            match arg {
                Long("listen") => listen = Some(args.value()?.parse()?),
                Long("body-bytes") => body_bytes = args.value()?.parse()?,
                Long("post-bytes") => post_bytes = args.value()?.parse()?,
                Long("origins") => origins = args.value()?.parse()?,
                Long("close-every") => close_every = Some(args.value()?.parse()?),
                Long("gate") => gate = args.value()?.parse()?,
                Long("tls-cert") => cert = Some(args.value()?.into()),
                Long("tls-key") => key = Some(args.value()?.into()),
                Long(name) => match known_flags.iter().find(|flag| **flag == name) {
                    Some(flag) => flags.push(*flag),
                    None => return Err(arg.unexpected()),
                },
                other => return Err(other.unexpected()),
            }
        }
        Ok(Self {
            listen: listen.ok_or("--listen is needed")?,
            body_bytes,
            post_bytes,
            origins,
            close_every,
            gate,
            tls: cert.zip(key),
            flags,
        })
    }

    pub fn has(&self, flag: &str) -> bool {
        self.flags.contains(&flag)
    }
}

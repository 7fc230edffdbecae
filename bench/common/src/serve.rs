//! The command line of a server program.

use std::net::SocketAddr;

use lexopt::prelude::*;

use crate::answer::HELLO;

/// `--listen ADDRESS [--body-bytes N]` and the flags and addresses that one program adds.
#[derive(Clone, Debug)]
pub struct Serve {
    pub listen: SocketAddr,
    pub body_bytes: usize,
    /// Flags given, out of those the program knows.
    pub flags: Vec<&'static str>,
}

impl Serve {
    pub fn from_args(known_flags: &[&'static str]) -> Result<Self, lexopt::Error> {
        let mut listen = None;
        let mut body_bytes = HELLO.len();
        let mut flags = Vec::new();

        let mut args = lexopt::Parser::from_env();
        while let Some(arg) = args.next()? {
            match arg {
                Long("listen") => listen = Some(args.value()?.parse()?),
                Long("body-bytes") => body_bytes = args.value()?.parse()?,
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
            flags,
        })
    }

    pub fn has(&self, flag: &str) -> bool {
        self.flags.contains(&flag)
    }
}

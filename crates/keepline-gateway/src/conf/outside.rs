//! What reading a configuration needs of the outside: files and the addresses of names. Both come from
//! the system, or from the memory of a test.

use std::io;
use std::net::{IpAddr, ToSocketAddrs};
use std::path::{Path, PathBuf};

/// Where a configuration comes from.
pub(crate) trait Outside {
    /// The content of a file.
    fn read(&self, path: &Path) -> io::Result<Vec<u8>>;

    /// The files that a pattern matches, in alphabetical order, as glob(3) has them: `*`, `?` and
    /// `[…]`, none of which matches a slash or a leading dot.
    fn matching(&self, pattern: &str) -> Result<Vec<PathBuf>, String>;

    /// The addresses of a host; at least one.
    fn addresses(&self, host: &str) -> io::Result<Vec<IpAddr>>;
}

/// The largest file of a configuration. Larger ones are no configuration.
const MAX_FILE: u64 = 16 * 1024 * 1024;

const GLOB: glob::MatchOptions = glob::MatchOptions {
    case_sensitive: true,
    require_literal_separator: true,
    require_literal_leading_dot: true,
};

/// The file system and the system's resolver.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Disk;

impl Outside for Disk {
    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        use std::io::Read;
        let mut content = Vec::new();
        let file = std::fs::File::open(path)?;
        // Bounded by reading, because the length of /dev/zero is 0.
        file.take(MAX_FILE + 1).read_to_end(&mut content)?;
        if content.len() as u64 > MAX_FILE {
            return Err(io::Error::other(format!("larger than {MAX_FILE} bytes")));
        }
        Ok(content)
    }

    fn matching(&self, pattern: &str) -> Result<Vec<PathBuf>, String> {
        let paths = glob::glob_with(pattern, GLOB).map_err(|error| error.to_string())?;
        // What cannot be looked at is left out, as glob(3) does.
        Ok(paths.flatten().collect())
    }

    fn addresses(&self, host: &str) -> io::Result<Vec<IpAddr>> {
        let mut addresses: Vec<_> = (host, 0).to_socket_addrs()?.map(|a| a.ip()).collect();
        addresses.dedup();
        match addresses.is_empty() {
            false => Ok(addresses),
            true => Err(io::Error::other("no address")),
        }
    }
}

/// The disk, with a text in the place of one file.
#[derive(Debug, Clone, Copy)]
pub(crate) struct WithText<'a> {
    pub(crate) path: &'a Path,
    pub(crate) text: &'a str,
}

impl Outside for WithText<'_> {
    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        if path == self.path {
            return Ok(self.text.into());
        }
        Disk.read(path)
    }

    fn matching(&self, pattern: &str) -> Result<Vec<PathBuf>, String> {
        Disk.matching(pattern)
    }

    fn addresses(&self, host: &str) -> io::Result<Vec<IpAddr>> {
        Disk.addresses(host)
    }
}

/// Files by their name, for tests and for the fuzz target.
#[cfg(any(test, fuzzing))]
#[derive(Debug, Clone, Default)]
pub(crate) struct Memory(std::collections::BTreeMap<PathBuf, Vec<u8>>);

#[cfg(any(test, fuzzing))]
impl Memory {
    pub(crate) fn with(mut self, path: &str, content: impl Into<Vec<u8>>) -> Self {
        self.0.insert(path.into(), content.into());
        self
    }
}

#[cfg(any(test, fuzzing))]
impl Outside for Memory {
    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        let content = self.0.get(path).cloned();
        content.ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    fn matching(&self, pattern: &str) -> Result<Vec<PathBuf>, String> {
        let pattern = glob::Pattern::new(pattern).map_err(|error| error.to_string())?;
        let paths = self.0.keys();
        let matching = paths.filter(|path| pattern.matches_path_with(path, GLOB));
        Ok(matching.cloned().collect())
    }

    fn addresses(&self, host: &str) -> io::Result<Vec<IpAddr>> {
        match host {
            "localhost" => Ok(vec![IpAddr::from([127, 0, 0, 1])]),
            _ => Err(io::Error::other("this test knows localhost alone")),
        }
    }
}

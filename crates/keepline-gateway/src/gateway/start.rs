//! What can go wrong when a configuration is put in force.

use std::fmt;
use std::io;
use std::path::Path;

use crate::config::ListenAddress;

/// A configuration that cannot be put in force: nothing of it is.
#[derive(Debug)]
pub struct StartError {
    what: String,
    source: Box<dyn std::error::Error + Send + Sync>,
}

impl StartError {
    fn new(what: String, source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        Self {
            what,
            source: source.into(),
        }
    }

    pub(crate) fn upstream(name: &str, error: keepline::Error) -> Self {
        Self::new(format!("upstream \"{name}\""), error)
    }

    pub(crate) fn scope(error: keepline::Error) -> Self {
        Self::new("proxy_pass".to_owned(), error)
    }

    pub(crate) fn resolver(error: keepline::Error) -> Self {
        Self::new("resolver".to_owned(), error)
    }

    pub(crate) fn log(path: &Path, error: io::Error) -> Self {
        Self::new(format!("open() \"{}\" failed", path.display()), error)
    }

    /// The error has the path.
    pub(crate) fn error_log(error: io::Error) -> Self {
        Self::new("error_log".to_owned(), error)
    }

    pub(crate) fn bind(address: &ListenAddress, error: io::Error) -> Self {
        Self::new(format!("bind() to {} failed", display(address)), error)
    }

    pub(crate) fn worker(error: io::Error) -> Self {
        Self::new("a worker could not be started".to_owned(), error)
    }

    pub(crate) fn certificate(
        path: &Path,
        error: impl Into<Box<dyn std::error::Error + Send + Sync>>,
    ) -> Self {
        Self::new(
            format!("cannot load certificate or key \"{}\"", path.display()),
            error,
        )
    }

    pub(crate) fn tls(error: rustls::Error) -> Self {
        Self::new("TLS".to_owned(), error)
    }

    pub(crate) fn server(error: keepline::server::InvalidSetting) -> Self {
        Self::new("server".to_owned(), error)
    }
}

fn display(address: &ListenAddress) -> String {
    match address {
        ListenAddress::Inet(address) => address.to_string(),
        ListenAddress::Unix(path) => format!("unix:{}", path.display()),
    }
}

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.what, self.source)
    }
}

impl std::error::Error for StartError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&*self.source)
    }
}

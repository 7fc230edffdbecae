//! What the process is told on its command line, and the paths that follow from it.

use std::path::{Path, PathBuf};

use crate::conf::Paths;
use crate::conf::paths::STDERR;

/// The command line, read.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Options {
    /// `-p`: the directory that relative paths in the configuration begin at.
    pub prefix: Option<PathBuf>,
    /// `-c`: the configuration.
    pub configuration: Option<PathBuf>,
    /// `-e`: the error log until the configuration names one; `stderr` is standard error.
    pub error_log: Option<PathBuf>,
    /// `-g`: directives that come before those of the file.
    pub directives: String,
    /// `-q`: no messages but errors while testing.
    pub is_quiet: bool,
}

impl Options {
    /// The paths that follow from them: given, or by default.
    ///
    /// Without `-p` they are those of Debian's package; with it, everything lies below the prefix
    /// as in nginx's own package. A relative `-c` or `-e` is relative to the prefix.
    #[must_use]
    pub fn paths(&self) -> Paths {
        let (prefix, paths) = match &self.prefix {
            Some(prefix) => (prefix.clone(), &BELOW_PREFIX),
            None => (PREFIX.into(), &BY_PACKAGE),
        };
        let or = |given: &Option<PathBuf>, default: &str| {
            prefix.join(given.as_deref().unwrap_or_else(|| default.as_ref()))
        };
        Paths {
            configuration: or(&self.configuration, paths.configuration),
            error_log: match self.error_log.as_deref() {
                Some(path) if path == Path::new(STDERR) => STDERR.into(),
                _ => or(&self.error_log, paths.error_log),
            },
            pid: prefix.join(paths.pid),
            access_log: prefix.join(paths.access_log),
            body_temp: prefix.join(paths.body_temp),
            proxy_temp: prefix.join(paths.proxy_temp),
            prefix,
        }
    }
}

/// Paths where nothing else is said.
#[derive(Debug)]
pub(crate) struct DefaultPaths {
    pub(crate) configuration: &'static str,
    pub(crate) error_log: &'static str,
    pub(crate) access_log: &'static str,
    pub(crate) pid: &'static str,
    pub(crate) body_temp: &'static str,
    pub(crate) proxy_temp: &'static str,
}

/// As Debian's package has it.
pub(crate) const PREFIX: &str = "/usr/share/nginx";

/// Likewise.
pub(crate) const BY_PACKAGE: DefaultPaths = DefaultPaths {
    configuration: "/etc/nginx/nginx.conf",
    error_log: "/var/log/nginx/error.log",
    access_log: "/var/log/nginx/access.log",
    pid: "/run/nginx.pid",
    body_temp: "/var/lib/nginx/body",
    proxy_temp: "/var/lib/nginx/proxy",
};

/// As nginx's sources have it.
const BELOW_PREFIX: DefaultPaths = DefaultPaths {
    configuration: "conf/nginx.conf",
    error_log: "logs/error.log",
    access_log: "logs/access.log",
    pid: "logs/nginx.pid",
    body_temp: "client_body_temp",
    proxy_temp: "proxy_temp",
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_a_prefix_the_paths_are_those_of_the_packages() {
        let paths = Options::default().paths();
        assert_eq!(paths.configuration(), Path::new("/etc/nginx/nginx.conf"));
        assert_eq!(paths.error_log(), Path::new("/var/log/nginx/error.log"));
        assert_eq!(paths.pid(), Path::new("/run/nginx.pid"));
    }

    #[test]
    fn with_one_everything_lies_below_it() {
        let paths = Options {
            prefix: Some("/p/".into()),
            ..Options::default()
        }
        .paths();
        assert_eq!(paths.configuration(), Path::new("/p/conf/nginx.conf"));
        assert_eq!(paths.pid(), Path::new("/p/logs/nginx.pid"));
        assert_eq!(paths.access_log(), Path::new("/p/logs/access.log"));
    }

    #[test]
    fn what_is_given_is_relative_to_the_prefix_unless_it_is_absolute() {
        let paths = Options {
            prefix: Some("/p".into()),
            configuration: Some("n.conf".into()),
            error_log: Some("/e.log".into()),
            ..Options::default()
        }
        .paths();
        assert_eq!(paths.configuration(), Path::new("/p/n.conf"));
        assert_eq!(paths.error_log(), Path::new("/e.log"));
    }

    #[test]
    fn stderr_is_no_file() {
        let paths = Options {
            prefix: Some("/p".into()),
            error_log: Some("stderr".into()),
            ..Options::default()
        }
        .paths();
        assert_eq!(paths.error_log(), Path::new("stderr"));
    }
}

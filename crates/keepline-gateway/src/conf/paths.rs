//! What relative paths of a configuration are relative to, and where things are that it does not name.

use std::path::{Path, PathBuf};

/// The paths that a configuration is read with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Paths {
    pub(crate) prefix: PathBuf,
    pub(crate) configuration: PathBuf,
    pub(crate) error_log: PathBuf,
    pub(crate) pid: PathBuf,
    pub(crate) access_log: PathBuf,
    pub(crate) body_temp: PathBuf,
    pub(crate) proxy_temp: PathBuf,
}

/// Stands for standard error where the name of a log is expected.
pub(crate) const STDERR: &str = "stderr";

impl Paths {
    /// Where relative paths begin: logs, pid file, temporary files, `root`.
    #[must_use]
    pub fn prefix(&self) -> &Path {
        &self.prefix
    }

    /// The configuration. Paths of included files and certificates are relative to its directory.
    #[must_use]
    pub fn configuration(&self) -> &Path {
        &self.configuration
    }

    /// The error log, unless the configuration names another.
    #[must_use]
    pub fn error_log(&self) -> &Path {
        &self.error_log
    }

    /// The pid file, unless the configuration names another.
    #[must_use]
    pub fn pid(&self) -> &Path {
        &self.pid
    }

    /// The access log, unless the configuration names another.
    #[must_use]
    pub fn access_log(&self) -> &Path {
        &self.access_log
    }

    /// A path relative to the prefix.
    pub(crate) fn below_prefix(&self, path: &str) -> PathBuf {
        self.prefix.join(path)
    }

    /// A path relative to the directory of the configuration.
    pub(crate) fn beside_configuration(&self, path: &str) -> PathBuf {
        let directory = self.configuration.parent();
        directory.unwrap_or(&self.prefix).join(path)
    }

    /// Those of a configuration in a directory of its own, for tests and the fuzz target.
    #[cfg(any(test, fuzzing))]
    pub(crate) fn of(configuration: &str) -> Self {
        let configuration = PathBuf::from(configuration);
        let prefix = configuration.parent().map(Path::to_path_buf);
        let prefix = prefix.unwrap_or_default();
        Self {
            error_log: prefix.join("error.log"),
            access_log: prefix.join("access.log"),
            body_temp: prefix.join("client_body_temp"),
            proxy_temp: prefix.join("proxy_temp"),
            pid: prefix.join("nginx.pid"),
            prefix,
            configuration,
        }
    }
}

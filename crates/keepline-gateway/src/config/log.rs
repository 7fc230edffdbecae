//! Access logs and error logs.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use super::{LogFileId, Template};

/// `log_format`: how a line of an access log looks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogFormat {
    /// Its name.
    pub name: Box<str>,
    /// How the values of variables are written.
    pub escape: Escape,
    /// The line without its end.
    pub line: Template,
}

/// `escape=` of a `log_format`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Escape {
    /// `"`, `\` and bytes outside 32 to 126 as `\xXX`; an undefined variable is `-`.
    #[default]
    Default,
    /// As in a JSON string; an undefined variable is empty.
    Json,
    /// As they are; an undefined variable is empty.
    None,
}

/// `access_log`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AccessLog {
    /// The file; the same for all that name its path.
    pub file: LogFileId,
    /// What is written.
    pub format: Arc<LogFormat>,
    /// `if=`: only if this is neither empty nor `0`.
    pub condition: Option<Template>,
}

/// A file of access logs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogFile {
    /// Where it is.
    pub path: PathBuf,
    /// `buffer=`: bytes that are collected before they are written. Default 0: each line is written at once.
    pub buffer: usize,
    /// `flush=`: how long a line may wait in the buffer. Default: until it is full.
    pub flush: Option<Duration>,
}

/// How grave a message is, the gravest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub enum Level {
    /// The process cannot go on.
    Emerg,
    /// A bug of the program, or a resource that ran out.
    Alert,
    /// Critical.
    Crit,
    /// A request failed.
    #[default]
    Error,
    /// Something is wrong, and was coped with.
    Warn,
    /// Worth noting.
    Notice,
    /// What clients do.
    Info,
    /// Everything.
    Debug,
}

impl fmt::Display for Level {
    /// As nginx prints it in brackets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Emerg => "emerg",
            Self::Alert => "alert",
            Self::Crit => "crit",
            Self::Error => "error",
            Self::Warn => "warn",
            Self::Notice => "notice",
            Self::Info => "info",
            Self::Debug => "debug",
        })
    }
}

/// Where an error log goes.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum LogTarget {
    /// A file.
    File(PathBuf),
    /// Standard error.
    Stderr,
}

/// `error_log`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ErrorLog {
    /// Where to.
    pub target: LogTarget,
    /// Messages of this level and graver ones. Default error.
    pub level: Level,
}

//! The access logs of a configuration, open.

use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::start::StartError;
use crate::config::{Http, LogFileId};
use crate::log::LineFile;

/// How often logs are looked at none of which has a `flush`: a reload may bring one.
const IDLE_LOOK: Duration = Duration::from_secs(5);

/// The logs, by [`LogFileId`]. Those that a reload does not change stay open.
#[derive(Debug, Default)]
pub(crate) struct Logs(Vec<Arc<LineFile>>);

impl Logs {
    pub(crate) fn open(http: &Http, before: Option<&Self>) -> Result<Self, StartError> {
        let known = before.map_or(&[][..], |before| &before.0);
        let files = http.log_files.iter().map(|spec| {
            let mut known = known.iter();
            match known.find(|file| file.is_like(spec)) {
                Some(file) => Ok(Arc::clone(file)),
                None => LineFile::open(spec).map_err(|error| StartError::log(&spec.path, error)),
            }
        });
        files.collect::<Result<_, _>>().map(Self)
    }

    pub(crate) fn file(&self, id: LogFileId) -> Option<Arc<LineFile>> {
        self.0.get(id.0).cloned()
    }

    /// Goes on in the files that have the names now.
    pub(crate) fn reopen(&self) -> io::Result<()> {
        let mut outcome = Ok(());
        for file in &self.0 {
            let reopened = file.reopen();
            outcome = outcome.and(reopened);
        }
        outcome
    }

    /// Writes all that waits.
    pub(crate) fn flush(&self) {
        self.0.iter().for_each(|file| file.flush());
    }

    /// Writes the lines whose time is over, and tells how long until the next look.
    pub(crate) fn write_due(&self, now: Instant) -> Duration {
        let waits = self.0.iter().filter_map(|file| file.write_due(now));
        waits.min().unwrap_or(IDLE_LOOK)
    }
}

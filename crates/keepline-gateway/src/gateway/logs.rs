//! The log files of a configuration, open.

use std::collections::HashMap;
use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::start::StartError;
use crate::config::{Config, ErrorLog, LogFileId, LogTarget, Location, Scope};
use crate::log::{Files, LineFile};

/// The logs. Those that a reload does not change stay open.
#[derive(Debug, Default)]
pub(crate) struct Logs {
    files: Files,
    access: Vec<Arc<LineFile>>,
    errors: HashMap<LogTarget, Arc<LineFile>>,
}

impl Logs {
    pub(crate) fn open(config: &Config, before: Option<&Self>) -> Result<Self, StartError> {
        let mut logs = Self::default();
        let known = before.map(|before| &before.files);
        for file in config.http.iter().flat_map(|http| &http.log_files) {
            let opened = logs.files.open(known, &file.path, file.buffer, file.flush);
            let opened = opened.map_err(|error| StartError::log(&file.path, error))?;
            logs.access.push(opened);
        }
        let mut failed = None;
        for_each_error_log(config, &mut |log| {
            if logs.errors.contains_key(&log.target) {
                return;
            }
            let opened = match &log.target {
                LogTarget::Stderr => Ok(LineFile::stderr()),
                LogTarget::File(path) => logs
                    .files
                    .open(known, path, 0, None)
                    .map_err(|error| StartError::log(path, error)),
            };
            match opened {
                Ok(file) => {
                    logs.errors.insert(log.target.clone(), file);
                }
                Err(error) => failed = Some(error),
            }
        });
        failed.map_or(Ok(logs), Err)
    }

    pub(crate) fn access(&self, id: LogFileId) -> Option<Arc<LineFile>> {
        self.access.get(id.0).cloned()
    }

    pub(crate) fn error(&self, target: &LogTarget) -> Option<Arc<LineFile>> {
        self.errors.get(target).cloned()
    }

    /// Goes on in the files that have the names now.
    pub(crate) fn reopen(&self) -> io::Result<()> {
        let mut outcome = Ok(());
        for file in self.files.iter() {
            let reopened = file.reopen();
            outcome = outcome.and(reopened);
        }
        outcome
    }

    pub(crate) fn flush(&self) {
        self.files.iter().for_each(|file| file.flush());
    }

    /// Writes the lines whose time is over, and tells how long until the next look.
    pub(crate) fn write_due(&self, now: Instant) -> Duration {
        let waits = self.files.iter().filter_map(|file| file.write_due(now));
        waits.min().unwrap_or(IDLE_LOOK)
    }
}

/// How often logs are looked at none of which has a `flush`: a reload may bring one.
const IDLE_LOOK: Duration = Duration::from_secs(5);

fn for_each_error_log(config: &Config, f: &mut impl FnMut(&ErrorLog)) {
    config.main.error_log.iter().for_each(&mut *f);
    for server in config.http.iter().flat_map(|http| &http.servers) {
        of_scope(&server.scope, f);
        let named = server.named_locations.iter().map(|(_, location)| location);
        for location in server.locations.iter().chain(named) {
            of_location(location, f);
        }
    }
}

fn of_location(location: &Location, f: &mut impl FnMut(&ErrorLog)) {
    of_scope(&location.scope, f);
    for inner in &location.locations {
        of_location(inner, f);
    }
}

fn of_scope(scope: &Scope, f: &mut impl FnMut(&ErrorLog)) {
    scope.settings.error_logs.iter().for_each(f);
}

//! A file that lines are appended to, by all workers.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::config::LogFile;

/// A log file. Lines of several workers never mix.
#[derive(Debug)]
pub(crate) struct LineFile {
    spec: LogFile,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    file: File,
    buffered: Vec<u8>,
    /// When the oldest line came that waits.
    since: Option<Instant>,
}

impl LineFile {
    /// Opens or creates a file.
    pub(crate) fn open(spec: &LogFile) -> io::Result<Arc<Self>> {
        Ok(Arc::new(Self {
            spec: spec.clone(),
            state: Mutex::new(State {
                file: append_to(&spec.path)?,
                buffered: Vec::new(),
                since: None,
            }),
        }))
    }

    /// It is what a configuration asks for.
    pub(crate) fn is_like(&self, spec: &LogFile) -> bool {
        self.spec == *spec
    }

    /// Appends a line, which ends with a line end.
    pub(crate) fn append(&self, line: &[u8]) {
        let mut state = self.state();
        if self.spec.buffer == 0 {
            write(&mut state.file, line);
            return;
        }
        if state.buffered.len() + line.len() > self.spec.buffer {
            state.write_out();
        }
        if line.len() > self.spec.buffer {
            write(&mut state.file, line);
            return;
        }
        state.buffered.extend_from_slice(line);
        state.since.get_or_insert_with(Instant::now);
    }

    /// Writes what has waited for its time. How long until the next look, if lines have a limit.
    pub(crate) fn write_due(&self, now: Instant) -> Option<Duration> {
        let flush = self.spec.flush?;
        let mut state = self.state();
        if let Some(since) = state.since {
            let waited = now.saturating_duration_since(since);
            if waited < flush {
                return Some(flush - waited);
            }
            state.write_out();
        }
        Some(flush)
    }

    /// Writes all that waits.
    pub(crate) fn flush(&self) {
        self.state().write_out();
    }

    /// Writes all that waits, and goes on with the file that has this name now.
    pub(crate) fn reopen(&self) -> io::Result<()> {
        let mut state = self.state();
        state.write_out();
        state.file = append_to(&self.spec.path)?;
        Ok(())
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for LineFile {
    fn drop(&mut self) {
        self.flush();
    }
}

impl State {
    fn write_out(&mut self) {
        if !self.buffered.is_empty() {
            write(&mut self.file, &self.buffered);
            self.buffered.clear();
        }
        self.since = None;
    }
}

/// A full disk costs lines, not requests.
fn write(file: &mut File, bytes: &[u8]) {
    let _ = file.write_all(bytes);
}

fn append_to(path: &Path) -> io::Result<File> {
    OpenOptions::new().create(true).append(true).open(path)
}

#[cfg(test)]
mod tests {
    use super::*;
    use keepline_testkit::ScratchDir;

    fn spec(path: &Path, buffer: usize, flush: Option<Duration>) -> LogFile {
        LogFile {
            path: path.to_owned(),
            buffer,
            flush,
        }
    }

    fn content(path: &Path) -> String {
        std::fs::read_to_string(path).unwrap()
    }

    #[test]
    fn lines_wait_in_a_buffer_until_it_is_full_or_their_time_is_over() {
        let dir = ScratchDir::new("log");
        let path = dir.path().join("access.log");
        let second = Duration::from_secs(1);
        let file = LineFile::open(&spec(&path, 8, Some(second))).unwrap();
        file.append(b"1234\n");
        assert_eq!(content(&path), "");
        file.append(b"5678\n");
        assert_eq!(content(&path), "1234\n");
        assert!(
            file.write_due(Instant::now())
                .is_some_and(|wait| wait <= second)
        );
        assert_eq!(content(&path), "1234\n");
        file.write_due(Instant::now() + second * 2);
        assert_eq!(content(&path), "1234\n5678\n");
        file.append(b"a long line\n");
        file.append(b"x\n");
        drop(file);
        assert_eq!(content(&path), "1234\n5678\na long line\nx\n");
    }

    #[test]
    fn reopened_it_goes_on_in_a_new_file() {
        let dir = ScratchDir::new("log");
        let (path, old) = (dir.path().join("a.log"), dir.path().join("a.log.1"));
        let file = LineFile::open(&spec(&path, 0, None)).unwrap();
        file.append(b"1\n");
        std::fs::rename(&path, &old).unwrap();
        file.append(b"2\n");
        file.reopen().unwrap();
        file.append(b"3\n");
        assert_eq!(
            (content(&old), content(&path)),
            ("1\n2\n".into(), "3\n".into())
        );
    }
}

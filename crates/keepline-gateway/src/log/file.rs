//! A file that lines are appended to, by all workers.

use std::collections::HashMap;
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// A log file. Lines of several workers never mix.
#[derive(Debug)]
pub(crate) struct LineFile {
    path: PathBuf,
    /// Bytes that are collected before they are written.
    capacity: usize,
    /// How long a line may wait.
    flush: Option<Duration>,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    file: Output,
    buffered: Vec<u8>,
    /// When the oldest line came that waits.
    since: Option<Instant>,
}

#[derive(Debug)]
enum Output {
    File(File),
    Stderr,
}

impl LineFile {
    /// Opens or creates a file. `capacity` 0: each line is written at once.
    pub(crate) fn open(
        path: &Path,
        capacity: usize,
        flush: Option<Duration>,
    ) -> io::Result<Arc<Self>> {
        let file = Output::File(append_to(path)?);
        Ok(Arc::new(Self {
            path: path.to_owned(),
            capacity,
            flush,
            state: Mutex::new(State {
                file,
                buffered: Vec::new(),
                since: None,
            }),
        }))
    }

    /// Standard error, unbuffered.
    pub(crate) fn stderr() -> Arc<Self> {
        Arc::new(Self {
            path: PathBuf::new(),
            capacity: 0,
            flush: None,
            state: Mutex::new(State {
                file: Output::Stderr,
                buffered: Vec::new(),
                since: None,
            }),
        })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// It is what a configuration asks for.
    pub(crate) fn is_like(&self, path: &Path, capacity: usize, flush: Option<Duration>) -> bool {
        self.path == path && self.capacity == capacity && self.flush == flush
    }

    /// Appends a line, which ends with a line end.
    pub(crate) fn append(&self, line: &[u8]) {
        let mut state = self.state();
        if self.capacity == 0 {
            state.file.write(line);
            return;
        }
        if state.buffered.len() + line.len() > self.capacity {
            state.write_out();
        }
        if line.len() > self.capacity {
            state.file.write(line);
            return;
        }
        state.buffered.extend_from_slice(line);
        state.since.get_or_insert_with(Instant::now);
    }

    /// Writes what has waited for its time. How long until the next look, if lines have a limit.
    pub(crate) fn write_due(&self, now: Instant) -> Option<Duration> {
        let flush = self.flush?;
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
        if matches!(state.file, Output::File(_)) {
            state.file = Output::File(append_to(&self.path)?);
        }
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
            self.file.write(&self.buffered);
            self.buffered.clear();
        }
        self.since = None;
    }
}

impl Output {
    /// A full disk costs lines, not requests.
    fn write(&mut self, bytes: &[u8]) {
        let _ = match self {
            Self::File(file) => file.write_all(bytes),
            Self::Stderr => io::stderr().write_all(bytes),
        };
    }
}

fn append_to(path: &Path) -> io::Result<File> {
    OpenOptions::new().create(true).append(true).open(path)
}

/// The open files of a configuration, each path once.
#[derive(Debug, Default)]
pub(crate) struct Files {
    by_path: HashMap<PathBuf, Arc<LineFile>>,
}

impl Files {
    /// The file of this path, opened now or taken over from `before`.
    pub(crate) fn open(
        &mut self,
        before: Option<&Self>,
        path: &Path,
        capacity: usize,
        flush: Option<Duration>,
    ) -> io::Result<Arc<LineFile>> {
        if let Some(file) = self.by_path.get(path) {
            return Ok(Arc::clone(file));
        }
        let known = before
            .and_then(|before| before.by_path.get(path))
            .filter(|file| file.is_like(path, capacity, flush));
        let file = match known {
            Some(file) => Arc::clone(file),
            None => LineFile::open(path, capacity, flush)?,
        };
        self.by_path.insert(path.to_owned(), Arc::clone(&file));
        Ok(file)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Arc<LineFile>> {
        self.by_path.values()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use keepline_testkit::ScratchDir;

    fn content(path: &Path) -> String {
        std::fs::read_to_string(path).unwrap()
    }

    #[test]
    fn lines_wait_in_a_buffer_until_it_is_full_or_their_time_is_over() {
        let dir = ScratchDir::new("log");
        let path = dir.path().join("access.log");
        let second = Duration::from_secs(1);
        let file = LineFile::open(&path, 8, Some(second)).unwrap();
        file.append(b"1234\n");
        assert_eq!(content(&path), "");
        file.append(b"5678\n");
        assert_eq!(content(&path), "1234\n");
        assert!(file.write_due(Instant::now()).is_some_and(|wait| wait <= second));
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
        let file = LineFile::open(&path, 0, None).unwrap();
        file.append(b"1\n");
        std::fs::rename(&path, &old).unwrap();
        file.append(b"2\n");
        file.reopen().unwrap();
        file.append(b"3\n");
        assert_eq!((content(&old), content(&path)), ("1\n2\n".into(), "3\n".into()));
    }
}

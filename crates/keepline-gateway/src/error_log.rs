//! The error logs of the process, in nginx's format.
//!
//! A line is `YYYY/MM/DD hh:mm:ss [level] PID#TID: *CONNECTION message`. A file is open as long as it is
//! written to; each line is one write to its end, so that several processes can share it. A log that cannot be written
//! to loses lines: there is nowhere to complain.

use std::collections::HashMap;
use std::fmt;
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

use rustix::process::getpid;
use rustix::thread::gettid;

use crate::config::{ErrorLog, Level, LogTarget};
use crate::request::Civil;

/// The longest message (nginx: 2048 bytes with what stands before it).
const MAX_MESSAGE: usize = 2048;

/// The files of all error logs, by their path.
#[derive(Debug, Default)]
pub(crate) struct ErrorLogs {
    files: Mutex<HashMap<PathBuf, Arc<File>>>,
}

impl ErrorLogs {
    /// Opens the files of these, and so creates them.
    ///
    /// # Errors
    /// One cannot be opened; its path is in the message.
    pub(crate) fn open(&self, logs: &[ErrorLog]) -> io::Result<()> {
        for log in logs {
            if let LogTarget::File(path) = &log.target {
                self.file(path)?;
            }
        }
        Ok(())
    }

    /// Opens all files anew, because somebody has moved them away. Those that cannot be opened stay as
    /// they are.
    ///
    /// # Errors
    /// The first that cannot be opened.
    pub(crate) fn reopen(&self) -> io::Result<()> {
        let mut files = self.files.lock().unwrap_or_else(PoisonError::into_inner);
        let mut outcome = Ok(());
        for (path, file) in files.iter_mut() {
            match append_to(path) {
                Ok(opened) => *file = Arc::new(opened),
                Err(error) => outcome = outcome.and(Err(error)),
            }
        }
        outcome
    }

    /// Writes a message to those of `logs` that want its level. `connection` is the number of the client's
    /// connection, if the message is about one.
    pub(crate) fn write(
        &self,
        logs: &[ErrorLog],
        level: Level,
        connection: Option<u64>,
        message: impl fmt::Display,
    ) {
        let mut line = None;
        for log in logs.iter().filter(|log| level <= log.level) {
            let line = line.get_or_insert_with(|| line_of(level, connection, &message));
            // See above: nobody can be told.
            let _ = match &log.target {
                LogTarget::Stderr => io::stderr().lock().write_all(line),
                LogTarget::File(path) => self.file(path).and_then(|file| (&*file).write_all(line)),
            };
        }
    }

    /// The file that is open for a path. It is opened if it is not yet.
    pub(crate) fn file(&self, path: &Path) -> io::Result<Arc<File>> {
        let mut files = self.files.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(file) = files.get(path) {
            return Ok(Arc::clone(file));
        }
        let file = Arc::new(append_to(path)?);
        files.insert(path.to_path_buf(), Arc::clone(&file));
        Ok(file)
    }
}

/// Opens a log to write at its end.
pub(crate) fn append_to(path: &Path) -> io::Result<File> {
    let opened = OpenOptions::new().append(true).create(true).open(path);
    opened.map_err(|error| {
        let message = format!("open() \"{}\" failed: {error}", path.display());
        io::Error::new(error.kind(), message)
    })
}

fn line_of(level: Level, connection: Option<u64>, message: &impl fmt::Display) -> Vec<u8> {
    let now = Civil::of(SystemTime::now());
    let mut line = format!(
        "{:04}/{:02}/{:02} {:02}:{:02}:{:02} [{level}] {}#{}: ",
        now.year,
        now.month,
        now.day,
        now.hour,
        now.minute,
        now.second,
        getpid().as_raw_nonzero(),
        gettid().as_raw_nonzero(),
    );
    if let Some(number) = connection {
        line.push_str(&format!("*{number} "));
    }
    let mut bounded = Bounded {
        text: &mut line,
        left: MAX_MESSAGE,
    };
    // It fails when the message is too long, which is when it may be cut.
    let _ = fmt::write(&mut bounded, format_args!("{message}"));
    line.push('\n');
    line.into_bytes()
}

/// Takes so much of a message, and what would begin a new line as an escape: messages have words of
/// clients in them.
struct Bounded<'a> {
    text: &'a mut String,
    left: usize,
}

impl fmt::Write for Bounded<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for c in text.chars() {
            self.left = self.left.checked_sub(c.len_utf8()).ok_or(fmt::Error)?;
            if c.is_control() {
                self.text.push_str(&format!("\\x{:02X}", u32::from(c)));
            } else {
                self.text.push(c);
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use keepline_testkit::ScratchDir;

    fn log(path: &Path, level: Level) -> ErrorLog {
        ErrorLog {
            target: LogTarget::File(path.to_path_buf()),
            level,
        }
    }

    #[test]
    fn a_line_is_nginxs() {
        let line = line_of(Level::Error, Some(7), &"upstream timed out");
        let line = String::from_utf8(line).unwrap();
        let pid = std::process::id();
        let (time, rest) = line.split_at(20);
        assert!(
            time.chars().filter(char::is_ascii_digit).count() == 14,
            "{line}"
        );
        assert!(rest.starts_with(&format!("[error] {pid}#")), "{line}");
        assert!(rest.ends_with(": *7 upstream timed out\n"), "{line}");
    }

    #[test]
    fn a_message_is_one_line_of_bounded_length() {
        let line = line_of(
            Level::Info,
            None,
            &format_args!("a\r\nb {}", "x".repeat(5000)),
        );
        let line = String::from_utf8(line).unwrap();
        assert_eq!(line.matches('\n').count(), 1);
        assert!(line.contains("a\\x0D\\x0Ab xxx"), "{line}");
        assert!(line.len() < MAX_MESSAGE + 100);
    }

    #[test]
    fn graver_messages_than_the_level_are_written_to_files_that_exist_from_the_start() {
        let directory = ScratchDir::new("error-log");
        let path = directory.path().join("error.log");
        let (logs, all) = (ErrorLogs::default(), [log(&path, Level::Warn)]);
        logs.open(&all).unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"");
        logs.write(&all, Level::Info, None, "not this");
        logs.write(&all, Level::Warn, None, "this");
        logs.write(&all, Level::Emerg, None, "and this");
        let text = std::fs::read_to_string(&path).unwrap();
        assert_eq!(text.lines().count(), 2, "{text}");
        assert!(
            text.contains("[warn]") && text.contains("[emerg]"),
            "{text}"
        );
    }

    #[test]
    fn reopened_a_log_is_the_file_of_its_name_again() {
        let directory = ScratchDir::new("error-log");
        let (path, moved) = (directory.path().join("e"), directory.path().join("e.1"));
        let (logs, all) = (ErrorLogs::default(), [log(&path, Level::Error)]);
        logs.open(&all).unwrap();
        std::fs::rename(&path, &moved).unwrap();
        logs.write(&all, Level::Error, None, "before");
        logs.reopen().unwrap();
        logs.write(&all, Level::Error, None, "after");
        assert!(std::fs::read_to_string(&moved).unwrap().contains("before"));
        assert!(std::fs::read_to_string(&path).unwrap().contains("after"));
    }

    #[test]
    fn a_log_that_cannot_be_opened_is_named() {
        let logs = ErrorLogs::default();
        let error = logs
            .open(&[log("/nonexistent/e".as_ref(), Level::Error)])
            .unwrap_err();
        assert!(
            error
                .to_string()
                .starts_with("open() \"/nonexistent/e\" failed: "),
            "{error}"
        );
    }
}

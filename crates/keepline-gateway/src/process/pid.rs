//! The pid file: how other programs find the process.
//!
//! It is written when every socket listens, so that its existence says "ready". It is removed at the
//! end, unless another process has written its own there.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use rustix::process::{Pid, getpid};

/// The pid file of this process.
#[derive(Debug)]
pub(crate) struct PidFile {
    path: PathBuf,
}

impl PidFile {
    /// Writes the number of this process and a newline.
    pub(crate) fn write(path: &Path) -> io::Result<Self> {
        fs::write(path, content())?;
        Ok(Self {
            path: path.to_path_buf(),
        })
    }
}

impl Drop for PidFile {
    fn drop(&mut self) {
        if fs::read_to_string(&self.path).is_ok_and(|found| found == content()) {
            // Who removed it before us has done what is to be done.
            let _ = fs::remove_file(&self.path);
        }
    }
}

fn content() -> String {
    format!("{}\n", getpid().as_raw_nonzero())
}

/// The process that a pid file names.
pub(crate) fn read(path: &Path) -> io::Result<Pid> {
    let text = fs::read_to_string(path)?;
    let number: Option<i32> = text.trim().parse().ok();
    // Negative numbers would signal whole groups of processes.
    number
        .filter(|number| *number > 0)
        .and_then(Pid::from_raw)
        .ok_or_else(|| {
            let begin: String = text.chars().take(20).collect();
            io::Error::new(
                io::ErrorKind::InvalidData,
                format!("\"{}\" is no process number", begin.escape_debug()),
            )
        })
}

#[cfg(test)]
mod tests {
    use super::*;
    use keepline_testkit::ScratchDir;

    #[test]
    fn it_names_this_process_as_long_as_it_is_held() {
        let directory = ScratchDir::new("pid");
        let path = directory.path().join("nginx.pid");
        let file = PidFile::write(&path).unwrap();
        assert_eq!(
            fs::read_to_string(&path).unwrap(),
            format!("{}\n", std::process::id())
        );
        assert_eq!(read(&path).unwrap(), getpid());
        drop(file);
        assert!(!path.exists());
    }

    #[test]
    fn the_file_of_a_successor_is_left_alone() {
        let directory = ScratchDir::new("pid");
        let path = directory.path().join("nginx.pid");
        let file = PidFile::write(&path).unwrap();
        fs::write(&path, "1\n").unwrap();
        drop(file);
        assert_eq!(fs::read_to_string(&path).unwrap(), "1\n");
    }

    #[test]
    fn what_is_no_process_number_is_refused() {
        let directory = ScratchDir::new("pid");
        let path = directory.path().join("nginx.pid");
        for text in ["", "x", "-1", "0", "99999999999"] {
            fs::write(&path, text).unwrap();
            assert_eq!(
                read(&path).unwrap_err().kind(),
                io::ErrorKind::InvalidData,
                "{text}"
            );
        }
    }
}

//! A file for content that does not fit into memory: of requests, and of answers.
//!
//! What is in it ends where the last whole [`append`](TempFile::append) ended: a write that failed in
//! the middle leaves nothing behind that is ever read. Reading and writing block the worker, as in nginx
//! without threads: they meet the page cache, not the disk.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;

/// What becomes of the file when nobody needs it any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Afterwards {
    Removed,
    Stays,
}

/// A file with content, and the place of its end.
#[derive(Debug)]
pub(super) struct TempFile {
    file: File,
    path: PathBuf,
    length: u64,
    afterwards: Afterwards,
}

impl TempFile {
    /// A new file in a directory of temporary files.
    pub(super) fn create(directory: &Path, afterwards: Afterwards) -> io::Result<Self> {
        static NUMBER: AtomicU64 = AtomicU64::new(0);
        loop {
            let number = NUMBER.fetch_add(1, Ordering::Relaxed);
            let path = directory.join(format!("{:010}-{}", number, std::process::id()));
            let opened = OpenOptions::new()
                .read(true)
                .write(true)
                .create_new(true)
                .open(&path);
            return match opened {
                Ok(file) => Ok(Self {
                    file,
                    path,
                    length: 0,
                    afterwards,
                }),
                // Another process of the same number has left it.
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => continue,
                Err(error) => Err(error),
            };
        }
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    pub(super) const fn length(&self) -> u64 {
        self.length
    }

    /// Adds these bytes, or none of them.
    pub(super) fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.file.write_all_at(bytes, self.length)?;
        self.length += bytes.len() as u64;
        Ok(())
    }

    /// At most `room` bytes from `offset`; empty at the end.
    pub(super) fn piece(&self, offset: u64, room: usize) -> io::Result<Bytes> {
        let left = self.length.saturating_sub(offset);
        let size = usize::try_from(left).unwrap_or(room).min(room);
        let mut piece = vec![0; size];
        self.file.read_exact_at(&mut piece, offset)?;
        Ok(piece.into())
    }

    /// Forgets what is in it, and gives the room on the disk back.
    pub(super) fn empty(&mut self) {
        self.length = 0;
        // Where that fails, the room is given back with the file.
        let _ = self.file.set_len(0);
    }
}

impl Drop for TempFile {
    fn drop(&mut self) {
        match self.afterwards {
            Afterwards::Stays => {}
            Afterwards::Removed => {
                // If somebody was faster, it is gone too.
                let _ = std::fs::remove_file(&self.path);
            }
        }
    }
}

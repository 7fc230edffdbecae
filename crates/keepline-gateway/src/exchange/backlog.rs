//! What has come of an answer and the client has not taken yet: first in memory, what is older in a
//! file.
//!
//! Bytes leave in the order in which they came: those of the file, then those of memory. Nothing is
//! allocated before the client falls behind. Memory holds `proxy_buffers` and no more; the file
//! `proxy_max_temp_file_size`. Where the file cannot be written, memory is all there is: the upstream
//! then waits for the client, and the answer is whole all the same.

use std::io;
use std::path::Path;

use bytes::{Buf, Bytes, BytesMut};

use super::temp_file::{Afterwards, TempFile};
use crate::config::ProxySettings;

/// What waits for the client.
#[derive(Debug)]
pub(super) struct Backlog<'l> {
    bounds: Bounds<'l>,
    memory: BytesMut,
    spill: Spill,
}

/// How much may wait, and where.
#[derive(Debug, Clone, Copy)]
struct Bounds<'l> {
    memory: usize,
    file: u64,
    /// What is written at a time.
    write: usize,
    directory: &'l Path,
}

/// The file, and what of it has been read.
#[derive(Debug)]
enum Spill {
    /// Memory has been enough so far.
    Unneeded,
    Open {
        file: TempFile,
        read: u64,
    },
    /// It cannot be written any more; what is in it can still be read.
    Full {
        file: Option<TempFile>,
        read: u64,
    },
}

/// What a file has to do with bytes that were added.
#[derive(Debug)]
pub(super) enum Kept {
    Room,
    /// A file was made for them.
    NewFile,
    /// They could not be written to a file, and stay in memory.
    Unwritten(io::Error),
}

impl<'l> Backlog<'l> {
    pub(super) fn new(proxy: &'l ProxySettings) -> Self {
        let (number, size) = proxy.buffers;
        Self {
            bounds: Bounds {
                memory: number.saturating_mul(size),
                file: proxy.max_temp_file_size,
                write: proxy.temp_file_write_size.max(1),
                directory: &proxy.temp_path,
            },
            memory: BytesMut::new(),
            spill: Spill::Unneeded,
        }
    }

    /// Nothing waits.
    pub(super) fn is_empty(&self) -> bool {
        self.memory.is_empty() && self.filed() == 0
    }

    /// What waits in the file.
    fn filed(&self) -> u64 {
        match &self.spill {
            Spill::Open { file, read } => file.length() - read,
            Spill::Full { file, read } => file.as_ref().map_or(0, |file| file.length() - read),
            Spill::Unneeded => 0,
        }
    }

    /// A further piece may be added. (One piece, whatever its size: it was read already.)
    pub(super) fn has_room(&self) -> bool {
        self.memory.len() < self.bounds.memory
    }

    /// Adds a piece behind all that waits. What is beyond the memory goes to the file.
    pub(super) fn push(&mut self, piece: &[u8]) -> Kept {
        self.memory.extend_from_slice(piece);
        if self.memory.len() < self.bounds.memory {
            return Kept::Room;
        }
        self.spill_over()
    }

    /// Moves what is in memory to the file, as far as that may grow.
    fn spill_over(&mut self) -> Kept {
        if self.bounds.file == 0 {
            return Kept::Room;
        }
        let mut kept = Kept::Room;
        if matches!(self.spill, Spill::Unneeded) {
            self.spill = match TempFile::create(self.bounds.directory, Afterwards::Removed) {
                Ok(file) => Spill::Open { file, read: 0 },
                Err(error) => {
                    self.spill = Spill::Full {
                        file: None,
                        read: 0,
                    };
                    return Kept::Unwritten(error);
                }
            };
            kept = Kept::NewFile;
        }
        while let Spill::Open { file, read } = &mut self.spill {
            let left = self.bounds.file.saturating_sub(file.length());
            let left = usize::try_from(left).unwrap_or(usize::MAX);
            let size = self.memory.len().min(self.bounds.write).min(left);
            if size == 0 {
                break;
            }
            match file.append(&self.memory[..size]) {
                Ok(()) => self.memory.advance(size),
                Err(error) => {
                    let read = *read;
                    self.spill = match std::mem::replace(&mut self.spill, Spill::Unneeded) {
                        Spill::Open { file, .. } => Spill::Full {
                            file: Some(file),
                            read,
                        },
                        other => other,
                    };
                    return Kept::Unwritten(error);
                }
            }
        }
        kept
    }

    /// Takes the oldest bytes, at most `most`; `None` if nothing waits.
    ///
    /// # Errors
    /// The file cannot be read: what follows is lost.
    pub(super) fn take(&mut self, most: usize) -> io::Result<Option<Bytes>> {
        let filed = match &mut self.spill {
            Spill::Open { file, read }
            | Spill::Full {
                file: Some(file),
                read,
            } if *read < file.length() => {
                let piece = file.piece(*read, most)?;
                *read += piece.len() as u64;
                if *read == file.length() {
                    // What comes next may use the room again.
                    file.empty();
                    *read = 0;
                }
                Some(piece)
            }
            Spill::Open { .. } | Spill::Full { .. } | Spill::Unneeded => None,
        };
        if filed.is_some() {
            return Ok(filed);
        }
        let size = self.memory.len().min(most);
        Ok((size > 0).then(|| self.memory.split_to(size).freeze()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use keepline_testkit::ScratchDir;

    fn settings(directory: &Path, memory: usize, file: u64) -> ProxySettings {
        ProxySettings {
            buffers: (1, memory),
            max_temp_file_size: file,
            temp_file_write_size: 3,
            temp_path: directory.to_owned(),
            ..ProxySettings::default()
        }
    }

    fn files(directory: &ScratchDir) -> usize {
        std::fs::read_dir(directory.path()).unwrap().count()
    }

    /// Everything that waits, taken in pieces of at most `most`.
    fn drain(backlog: &mut Backlog<'_>, most: usize) -> Vec<u8> {
        let mut all = Vec::new();
        while let Some(piece) = backlog.take(most).unwrap() {
            assert!(!piece.is_empty() && piece.len() <= most);
            all.extend_from_slice(&piece);
        }
        all
    }

    #[test]
    fn what_fits_into_memory_makes_no_file() {
        let dir = ScratchDir::new("backlog");
        let settings = settings(dir.path(), 8, 100);
        let mut backlog = Backlog::new(&settings);
        assert!(backlog.is_empty() && backlog.take(9).unwrap().is_none());
        assert!(matches!(backlog.push(b"1234567"), Kept::Room));
        assert_eq!(drain(&mut backlog, 2), b"1234567");
        assert_eq!(files(&dir), 0);
    }

    #[test]
    fn bytes_leave_in_the_order_in_which_they_came_wherever_they_were() {
        let dir = ScratchDir::new("backlog");
        let settings = settings(dir.path(), 8, 100);
        let (mut came, mut left) = (Vec::new(), Vec::new());
        let mut backlog = Backlog::new(&settings);
        for n in 0..200_usize {
            let piece: Vec<u8> = (0..n % 11).map(|i| (n * 7 + i) as u8).collect();
            if backlog.has_room() {
                backlog.push(&piece);
                came.extend_from_slice(&piece);
            }
            if n % 5 != 0
                && let Some(piece) = backlog.take(n % 9 + 1).unwrap()
            {
                left.extend_from_slice(&piece);
            }
        }
        assert_eq!(files(&dir), 1);
        left.extend(drain(&mut backlog, 5));
        assert_eq!(left, came);
        assert!(backlog.is_empty());
        drop(backlog);
        assert_eq!(files(&dir), 0);
    }

    #[test]
    fn memory_and_file_are_bounded_and_their_room_comes_back() {
        let dir = ScratchDir::new("backlog");
        let settings = settings(dir.path(), 8, 20);
        let mut backlog = Backlog::new(&settings);
        for _ in 0..2 {
            let mut held = 0;
            while backlog.has_room() {
                backlog.push(b"1234");
                held += 4;
                assert!(held <= 32, "no bound");
            }
            // The file is full, and so is the memory.
            assert_eq!(held, 28);
            assert_eq!(drain(&mut backlog, 64).len(), held);
        }
    }

    #[test]
    fn without_a_file_memory_is_the_bound() {
        let dir = ScratchDir::new("backlog");
        let settings = settings(dir.path(), 8, 0);
        let mut backlog = Backlog::new(&settings);
        assert!(matches!(backlog.push(b"123456789"), Kept::Room));
        assert!(!backlog.has_room());
        assert_eq!(drain(&mut backlog, 64), b"123456789");
        assert!(backlog.has_room());
        assert_eq!(files(&dir), 0);
    }

    #[test]
    fn where_no_file_can_be_written_nothing_is_lost() {
        let dir = ScratchDir::new("backlog");
        let settings = settings(&dir.path().join("missing"), 8, 100);
        let mut backlog = Backlog::new(&settings);
        assert!(matches!(backlog.push(b"123456789"), Kept::Unwritten(_)));
        assert!(!backlog.has_room());
        assert_eq!(drain(&mut backlog, 64), b"123456789");
        // It is told once.
        assert!(matches!(backlog.push(b"123456789"), Kept::Room));
    }

    #[test]
    fn a_file_that_somebody_has_cut_short_is_an_error_and_not_the_end() {
        let dir = ScratchDir::new("backlog");
        let settings = settings(dir.path(), 4, 100);
        let mut backlog = Backlog::new(&settings);
        assert!(matches!(backlog.push(b"123456789"), Kept::NewFile));
        let path = std::fs::read_dir(dir.path()).unwrap().next().unwrap();
        std::fs::write(path.unwrap().path(), b"1").unwrap();
        assert!(backlog.take(64).is_err());
    }
}

//! A directory for one test.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::{env, fs, process};

/// A new, empty directory that is removed with all its content on drop.
#[derive(Debug)]
pub struct ScratchDir {
    path: PathBuf,
}

impl ScratchDir {
    /// Creates the directory below the system's directory for temporary files. `purpose` becomes a
    /// part of its name, for whoever finds it after a crash.
    ///
    /// # Panics
    ///
    /// If it can't be created.
    #[must_use]
    pub fn new(purpose: &str) -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let path = env::temp_dir().join(format!("keepline-{purpose}-{}-{number}", process::id()));
        // A process that had our id and was killed may have left its directory.
        let _ = fs::remove_dir_all(&path);
        fs::create_dir_all(&path)
            .unwrap_or_else(|error| panic!("can't create {}: {error}", path.display()));
        Self { path }
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Writes a file into it and answers the file's path.
    ///
    /// # Panics
    ///
    /// If it can't be written.
    #[track_caller]
    pub fn write(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path.join(name);
        fs::write(&path, content)
            .unwrap_or_else(|error| panic!("can't write {}: {error}", path.display()));
        path
    }
}

impl Drop for ScratchDir {
    fn drop(&mut self) {
        // What remains is harmless, and a test that passed shall not fail for it.
        let _ = fs::remove_dir_all(&self.path);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_there_until_dropped() {
        let scratch = ScratchDir::new("scratch");
        let other = ScratchDir::new("scratch");
        assert_ne!(scratch.path(), other.path());
        let file = scratch.write("file", "content");
        assert_eq!(fs::read(&file).expect("it was written"), b"content");
        drop(scratch);
        assert!(!file.exists());
        assert!(other.path().exists());
    }
}

//! Where the real servers and clients of other projects are, if they are installed.
//!
//! They are optional for a developer and required in CI. A test that needs one says so with
//! [`require`] and returns if there is none; that is printed, past the test harness's capture, so
//! that a skipped test never passes for one that ran. What a peer is used for is up to the test:
//! this module only finds it.

use std::env;
use std::ffi::OsString;
use std::io::{self, Write};
use std::os::unix::fs::PermissionsExt;
use std::panic::Location;
use std::path::{Path, PathBuf};
use std::thread;

/// Where `./dev peers` puts the peers that no package manager installs, unless the environment
/// variable `KEEPLINE_PEERS` names another directory.
const INSTALLED: &str = "target/peers/bin";

/// The path of the peer `name`, or nothing after printing that the running test is skipped.
///
/// # Panics
///
/// If it is not there and `KEEPLINE_REQUIRE_PEERS=1`.
#[must_use]
#[track_caller]
pub fn require(name: &str) -> Option<PathBuf> {
    let found = find(name);
    if found.is_none() {
        let needs = format!("{name} (install with ./dev peers)");
        skip(Location::caller(), &needs, true);
    }
    found
}

/// Prints that the running test is skipped for want of something.
///
/// # Panics
///
/// If it `can_be_had` on this machine and `KEEPLINE_REQUIRE_PEERS=1`.
pub(crate) fn skip(caller: &Location<'_>, what: &str, can_be_had: bool) {
    let needs = format!("{} needs {what}", running_test(caller));
    let required = env::var_os("KEEPLINE_REQUIRE_PEERS").is_some_and(|value| value == "1");
    assert!(!(required && can_be_had), "{needs}");
    // The harness captures what the macros print, but not this. If standard error is closed
    // there is nobody to tell.
    let _ = writeln!(io::stderr(), "skipped: {needs}");
}

/// The path of the peer `name`: first among what `./dev peers` has installed, then on the `PATH`
/// and where a system keeps its servers.
#[must_use]
pub fn find(name: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    installed_dir()
        .into_iter()
        .chain(env::split_paths(&path))
        .chain(["/usr/local/sbin", "/usr/sbin", "/sbin"].map(PathBuf::from))
        .map(|dir| dir.join(name))
        .find(|file| is_program(file))
}

fn installed_dir() -> Option<PathBuf> {
    let from = env::var_os("CARGO_MANIFEST_DIR")
        .unwrap_or_else(|| OsString::from(env!("CARGO_MANIFEST_DIR")));
    installed_dir_as(env::var_os("KEEPLINE_PEERS"), Path::new(&from))
}

fn installed_dir_as(told: Option<OsString>, from: &Path) -> Option<PathBuf> {
    match told {
        Some(dir) => Some(dir.into()),
        None => from
            .ancestors()
            .map(|dir| dir.join(INSTALLED))
            .find(|dir| dir.is_dir()),
    }
}

fn is_program(file: &Path) -> bool {
    file.metadata()
        .is_ok_and(|meta| meta.is_file() && meta.permissions().mode() & 0o111 != 0)
}

/// The harness names the thread of a test after it, unless it runs all tests on the main thread.
fn running_test(caller: &Location<'_>) -> String {
    match thread::current().name() {
        Some(name) if name != "main" => name.to_owned(),
        _ => format!("the test at {caller}"),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::ScratchDir;

    #[test]
    fn what_every_system_has_is_found() {
        let shell = find("sh").expect("a Unix has a shell");
        assert!(is_program(&shell));
        assert_eq!(find("no-such-program-anywhere"), None);
    }

    #[test]
    fn a_file_that_cannot_be_run_is_no_program() {
        let scratch = ScratchDir::new("peers");
        let file = scratch.write("nginx", "not a program");
        assert!(!is_program(&file));
        assert!(!is_program(scratch.path()));
    }

    #[test]
    fn the_installed_peers_are_looked_for_upwards_unless_told() {
        let scratch = ScratchDir::new("peers");
        let crate_dir = scratch.path().join("crates/some");
        fs::create_dir_all(&crate_dir).expect("a scratch directory is writable");
        let installed = scratch.path().join(INSTALLED);
        fs::create_dir_all(&installed).expect("a scratch directory is writable");
        assert_eq!(installed_dir_as(None, &crate_dir), Some(installed));
        let told = installed_dir_as(Some("/elsewhere".into()), &crate_dir);
        assert_eq!(told, Some("/elsewhere".into()));
    }

    #[test]
    fn the_skipped_test_is_named() {
        let name = running_test(Location::caller());
        let here = "peers::tests::the_skipped_test_is_named";
        assert!(name == here || name.contains("peers.rs"), "{name}");
    }
}

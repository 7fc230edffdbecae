//! Who the workers are: the user of `user`, as with nginx.
//!
//! A process that root has started serves with threads that are not root: each worker gives root up before it
//! serves anything, and so does whatever it starts. The thread that reads configurations, opens logs and binds
//! ports stays root, as nginx's master does, so that a reload can read keys and open ports that only root may; it
//! serves nobody. What is left open by that: who could run code of their own in a worker would find root in the same
//! process. Where that matters, start the process as the user that it should be; then there is no root in it.
//!
//! Invariant: a worker that cannot become who it should be serves nothing.

use std::ffi::CString;
use std::io;
use std::os::unix::fs::chown;
use std::path::Path;

use nix::unistd::{self, Group, User};
use rustix::process::{Gid, Uid, geteuid};

/// Who serves if the configuration says nothing and the process is root's.
const NOBODY: &str = "nobody";

/// Somebody else than root.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Identity {
    user: Uid,
    group: Gid,
    /// All groups, that one among them.
    groups: Vec<Gid>,
}

impl Identity {
    /// Who the workers of a process of root become: `user`, with its group, or nobody. `None`: they stay who
    /// they are, because the process is not root's or root is asked for.
    ///
    /// # Errors
    /// There is no such user or group. The message is nginx's.
    pub(crate) fn of(user: Option<&(Box<str>, Option<Box<str>>)>) -> Result<Option<Self>, String> {
        if !geteuid().is_root() {
            return Ok(None);
        }
        let name = user.map_or(NOBODY, |(name, _)| name);
        let failed = |what: &str, name: &str| format!("{what}(\"{name}\") failed");
        let known = User::from_name(name).ok().flatten();
        let known = known.ok_or_else(|| failed("getpwnam", name))?;
        // Of a user without a group it is the one of the same name; of nobody, whichever it has.
        let group = match user {
            None => known.gid,
            Some((_, group)) => {
                let group = group.as_deref().unwrap_or(name);
                let found = Group::from_name(group).ok().flatten();
                found.ok_or_else(|| failed("getgrnam", group))?.gid
            }
        };
        if known.uid.is_root() {
            return Ok(None);
        }
        let c_name = CString::new(name).map_err(|_| failed("getpwnam", name))?;
        let groups = unistd::getgrouplist(&c_name, group);
        let groups = groups.map_err(|error| format!("getgrouplist(\"{name}\") failed: {error}"))?;
        Ok(Some(Self {
            user: Uid::from_raw(known.uid.as_raw()),
            group: Gid::from_raw(group.as_raw()),
            groups: groups
                .iter()
                .map(|group| Gid::from_raw(group.as_raw()))
                .collect(),
        }))
    }

    /// Has the calling thread be it, for good.
    #[cfg(target_os = "linux")]
    pub(crate) fn assume(&self) -> io::Result<()> {
        use rustix::thread::{set_thread_groups, set_thread_res_gid, set_thread_res_uid};
        set_thread_groups(&self.groups)?;
        set_thread_res_gid(self.group, self.group, self.group)?;
        set_thread_res_uid(self.user, self.user, self.user)?;
        Ok(())
    }

    /// Elsewhere the users of threads are those of their process.
    #[cfg(not(target_os = "linux"))]
    pub(crate) fn assume(&self) -> io::Result<()> {
        let message = "workers cannot give up root here: start the process as their user";
        Err(io::Error::new(io::ErrorKind::Unsupported, message))
    }

    /// Gives it a directory that workers write to.
    pub(crate) fn own(&self, path: &Path) -> io::Result<()> {
        chown(path, Some(self.user.as_raw()), None)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_root_becomes_somebody_else_and_only_somebody_who_exists() {
        let unknown = ("no-such-user".into(), None);
        let outcome = Identity::of(Some(&unknown));
        if !geteuid().is_root() {
            return assert_eq!(outcome, Ok(None));
        }
        assert_eq!(outcome, Err("getpwnam(\"no-such-user\") failed".into()));
        let root = ("root".into(), None);
        assert_eq!(Identity::of(Some(&root)), Ok(None));
        let no_group = ("root".into(), Some("no-such-group".into()));
        let outcome = Identity::of(Some(&no_group));
        assert_eq!(outcome, Err("getgrnam(\"no-such-group\") failed".into()));
        let nobody = Identity::of(None).unwrap().unwrap();
        assert!(!nobody.user.is_root() && nobody.groups.contains(&nobody.group));
    }

    #[test]
    fn a_thread_gives_root_up_for_good_and_the_others_keep_it() {
        let Ok(Some(nobody)) = Identity::of(None) else {
            return;
        };
        let there = std::thread::spawn(move || {
            nobody.assume().unwrap();
            let status = std::fs::read_to_string("/proc/thread-self/status").unwrap();
            let ids = status
                .lines()
                .find(|line| line.starts_with("Uid:"))
                .unwrap();
            assert!(!ids.split_whitespace().any(|id| id == "0"), "{ids}");
            assert!(rustix::thread::set_thread_res_uid(Uid::ROOT, Uid::ROOT, Uid::ROOT).is_err());
            // What it starts is not root either.
            let inner = std::thread::spawn(|| std::fs::read("/proc/self/mem").is_err());
            let status =
                std::thread::spawn(|| std::fs::read_to_string("/proc/thread-self/status").unwrap());
            assert!(inner.join().unwrap());
            assert!(status.join().unwrap().contains(ids));
        });
        there.join().unwrap();
        assert!(geteuid().is_root());
    }
}

//! What the kernel says about a process: open files, memory, processor time.
//!
//! Linux only, from `/proc`. The figures are those of a whole process, so measure one that does
//! nothing else: not the process of the test.

use std::time::Duration;
use std::{fs, io};

/// How many files, sockets included, the process `pid` has open.
///
/// # Errors
///
/// If there is no such process, or it belongs to another user.
pub fn open_files(pid: u32) -> io::Result<usize> {
    let open = fs::read_dir(format!("/proc/{pid}/fd"))?.count();
    // Reading the directory opens a file, which is one of our own.
    Ok(if pid == std::process::id() {
        open - 1
    } else {
        open
    })
}

/// How much memory of the process `pid` is resident, in bytes.
///
/// # Errors
///
/// If there is no such process.
pub fn resident_bytes(pid: u32) -> io::Result<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
    resident_kib(&status)
        .map(|kib| kib * 1024)
        .ok_or_else(|| malformed("status"))
}

/// How much processor time, user and system, all threads of the process `pid` have used.
///
/// It is counted in ticks of 10 ms: measure over a second at least.
///
/// # Errors
///
/// If there is no such process.
pub fn cpu_time(pid: u32) -> io::Result<Duration> {
    /// `USER_HZ`, which is 100 on every Linux that Rust runs on.
    const TICK: Duration = Duration::from_millis(10);
    let stat = fs::read_to_string(format!("/proc/{pid}/stat"))?;
    ticks(&stat)
        .map(|ticks| TICK * ticks)
        .ok_or_else(|| malformed("stat"))
}

fn resident_kib(status: &str) -> Option<u64> {
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))?;
    line.trim().strip_suffix(" kB")?.parse().ok()
}

/// `utime` and `stime`, fields 14 and 15. The name of the program, field 2, stands in parentheses
/// and may hold spaces and parentheses, so fields are counted from behind the last one.
fn ticks(stat: &str) -> Option<u32> {
    let (_, after_name) = stat.rsplit_once(')')?;
    let mut times = after_name.split_ascii_whitespace().skip(11);
    let user: u32 = times.next()?.parse().ok()?;
    let system: u32 = times.next()?.parse().ok()?;
    Some(user + system)
}

fn malformed(file: &str) -> io::Error {
    io::Error::new(
        io::ErrorKind::InvalidData,
        format!("/proc/PID/{file} has an unknown form"),
    )
}

#[cfg(test)]
mod tests {
    use std::process::id;

    use super::*;

    #[test]
    fn a_file_more_is_counted() {
        // Other tests of this process open files as well; a hundred more than those show.
        let before = open_files(id()).expect("this process exists");
        let files: Vec<_> = (0..500)
            .map(|_| fs::File::open("/dev/null").expect("the null device can be opened"))
            .collect();
        let with = open_files(id()).expect("this process exists");
        assert!(with >= before + 400, "{before} files, then {with}");
        drop(files);
    }

    #[test]
    fn memory_and_time_are_read() {
        assert!(resident_bytes(id()).expect("this process exists") > 1 << 18);
        assert!(cpu_time(id()).expect("this process exists") < Duration::from_secs(3600));
    }

    #[test]
    fn a_name_with_parentheses_shifts_nothing() {
        let stat = "7 (a) b) (c) S 1 7 7 0 -1 4194560 100 0 0 0 30 12 0 0 20 0 1 0 100";
        assert_eq!(ticks(stat), Some(42));
    }

    #[test]
    fn a_process_that_is_gone_is_an_error() {
        assert!(open_files(u32::MAX).is_err());
        assert!(resident_bytes(u32::MAX).is_err());
    }
}

"""Processes pinned to a core, and what the kernel says they used."""

import contextlib
import os
import select
import signal
import socket
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path
from typing import IO

MEASURED_CORE = 0
LOAD_CORE = 1
# The highest: at -10 a build on the same cores still took a tenth of them.
PRIORITY = -20
START_TIMEOUT = 10.0
STOP_TIMEOUT = 5.0
MEMORY_LOOKS = 0.1


class VoidRun(Exception):
    """Something happened that makes the figures of this run worthless."""


def spawn(argv: list[str], core: int | None, **options) -> subprocess.Popen:
    """Starts a process on one core, or all, before whatever else wants that core."""
    return subprocess.Popen(
        argv, start_new_session=True, preexec_fn=lambda: _settle(core), **options
    )


def _settle(core: int | None) -> None:
    """In the child, between fork and exec. Measured process and load are treated alike."""
    if core is not None:
        os.sched_setaffinity(0, {core})
    try:
        os.setpriority(os.PRIO_PROCESS, 0, PRIORITY)
        # Where the kernel groups processes by session, nice counts only within the group.
        with open("/proc/self/autogroup", "w") as group:
            group.write(str(PRIORITY))
    except OSError:
        # Not allowed, or no such groups: then a busy machine disturbs more, and "waited" shows it.
        pass


@dataclass(frozen=True)
class Usage:
    cpu_ns: int
    waited_ns: int

    def __sub__(self, earlier: "Usage") -> "Usage":
        return Usage(self.cpu_ns - earlier.cpu_ns, self.waited_ns - earlier.waited_ns)


class Server:
    """A long-lived process, started for one sample and stopped after it."""

    def __init__(
        self,
        argv: list[str],
        core: int,
        directory: Path,
        port: int,
        environment: dict[str, str] | None = None,
    ):
        self.port = port
        self.directory = directory
        self._log = directory / f"{Path(argv[0]).name}.log"
        with self._log.open("ab") as log:
            self._process = spawn(
                argv,
                core,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=directory,
                env=os.environ | (environment or {}),
            )

    def __enter__(self) -> "Server":
        deadline = time.monotonic() + START_TIMEOUT
        while True:
            if self._process.poll() is not None:
                raise VoidRun(f"ended at its start: {self._last_words()}")
            try:
                socket.create_connection(("127.0.0.1", self.port), timeout=1).close()
                return self
            except OSError:
                if time.monotonic() > deadline:
                    self.__exit__()
                    raise VoidRun(f"did not listen within {START_TIMEOUT:.0f} s") from None
                time.sleep(0.02)

    def __exit__(self, *_: object) -> None:
        self._process.terminate()
        try:
            self._process.wait(STOP_TIMEOUT)
        except subprocess.TimeoutExpired:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()

    def check_alive(self) -> None:
        if self._process.poll() is not None:
            raise VoidRun(f"ended under load: {self._last_words()}")

    def usage(self) -> Usage:
        """CPU time of all threads of all its processes, to the nanosecond.

        utime and stime of /proc/PID/stat hold the same time (the kernel scales them to it), but in
        ticks of 10 ms. Threads that ended are missing here; no server in the bench has such.
        """
        cpu = waited = 0
        for pid in self.pids():
            for task in Path(f"/proc/{pid}/task").iterdir():
                fields = (task / "schedstat").read_text().split()
                cpu += int(fields[0])
                waited += int(fields[1])
        return Usage(cpu, waited)

    def resident_kib(self) -> int:
        return sum(resident_kib(pid) for pid in self.pids())

    def pids(self) -> list[int]:
        """The process and its descendants (nginx: master and worker)."""
        children: dict[int, list[int]] = {}
        for stat in Path("/proc").glob("[0-9]*/stat"):
            try:
                # The name in parentheses may hold anything; the parent is the second field after.
                parent = int(stat.read_text().rpartition(")")[2].split()[1])
            except (FileNotFoundError, ProcessLookupError):
                continue
            children.setdefault(parent, []).append(int(stat.parent.name))
        found = [self._process.pid]
        for pid in found:
            found += children.get(pid, [])
        return found

    def _last_words(self) -> str:
        return self._log.read_text(errors="replace").strip()[-500:] or "no output"


def resident_kib(pid: int) -> int:
    try:
        # Exact; VmRSS is summed from per-core counters and may be some hundred KiB off.
        text = Path(f"/proc/{pid}/smaps_rollup").read_text()
        label = "Rss:"
    except PermissionError:
        text = Path(f"/proc/{pid}/status").read_text()
        label = "VmRSS:"
    return int(next(line for line in text.splitlines() if line.startswith(label)).split()[1])


@dataclass(frozen=True)
class Finished:
    stdout: str
    seconds: float
    user_us: float
    system_us: float
    peak_kib: int


def run_to_end(
    argv: list[str],
    core: int | None,
    timeout: float,
    environment: dict[str, str] | None = None,
) -> Finished:
    """Runs a program that ends by itself; a non-zero exit voids the run.

    wait4 gives the time of the whole process in microseconds: start and dials are in it, which a
    hundred thousand requests make invisible.
    """
    started = time.monotonic()
    pipe = subprocess.PIPE
    process = spawn(
        argv,
        core,
        stdin=subprocess.DEVNULL,
        stdout=pipe,
        stderr=pipe,
        text=True,
        env=os.environ | (environment or {}),
    )
    try:
        # The programs print a line or two: no pipe fills up while the process is waited for.
        with os.fdopen(os.pidfd_open(process.pid)) as ended:
            peak_kib = _await_end(process.pid, ended, timeout)
    except BaseException:
        process.kill()
        process.wait()
        raise
    _, status, usage = os.wait4(process.pid, 0)
    seconds = time.monotonic() - started
    process.returncode = os.waitstatus_to_exitcode(status)
    stdout, stderr = process.stdout.read(), process.stderr.read()
    if process.returncode != 0:
        words = (stderr or stdout).strip()[-500:]
        raise VoidRun(f"{Path(argv[0]).name} ended with {process.returncode}: {words}")
    used = (usage.ru_utime * 1e6, usage.ru_stime * 1e6)
    return Finished(stdout, seconds, *used, peak_kib=peak_kib)


def _await_end(pid: int, ended: IO, timeout: float) -> int:
    """The most that was resident, as often as it is looked: what wait4 tells has the runner's own
    memory from before the exec in it."""
    peak_kib = 0
    deadline = time.monotonic() + timeout
    while not select.select([ended], [], [], MEMORY_LOOKS)[0]:
        with contextlib.suppress(OSError, IndexError):
            pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
            peak_kib = max(peak_kib, pages * os.sysconf("SC_PAGE_SIZE") // 1024)
        if time.monotonic() > deadline:
            raise VoidRun(f"{pid} did not end within {timeout:.0f} s")
    return peak_kib


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]

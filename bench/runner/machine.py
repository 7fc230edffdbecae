"""The machine, as far as figures depend on it; nothing that names it."""

import os
import time
from pathlib import Path

QUIET_WINDOW = 0.5
# What the kernel and the runner themselves may take of all cores.
QUIET_SHARE = 0.05


def describe() -> dict[str, object]:
    cpuinfo = Path("/proc/cpuinfo").read_text()
    fields = dict(
        (part.strip() for part in line.split(":", 1))
        for line in cpuinfo.splitlines()
        if ":" in line
    )
    memory_kib = int(Path("/proc/meminfo").read_text().split()[1])
    return {
        "processor": fields.get("model name", "unknown"),
        "family/model/stepping": "/".join(
            fields.get(key, "?") for key in ("cpu family", "model", "stepping")
        ),
        "cores": os.cpu_count(),
        "memory GiB": round(memory_kib / 1024 / 1024),
        "kernel": os.uname().release.split("-")[0],
        # Above about 0.5 something else was using the cores.
        "load before": round(os.getloadavg()[0], 1),
    }


def wait_until_quiet(patience: float) -> tuple[bool, float]:
    """Waits for a moment in which nothing else runs: whether it came, and the patience left.

    A disturbed sample does not only wait longer: a load that loses its core sends in bursts, and the
    measured process finds its caches cold. Both shift ratios.
    """
    begun = time.monotonic()
    while True:
        # The first look is free: patience is spent only on a busy machine.
        waited = time.monotonic() - begun
        busy, total = _core_ticks()
        time.sleep(QUIET_WINDOW)
        later_busy, later_total = _core_ticks()
        quiet = later_busy - busy <= QUIET_SHARE * (later_total - total)
        if quiet or waited >= patience:
            return quiet, max(0.0, patience - waited)


def _core_ticks() -> tuple[int, int]:
    """Busy and all ticks of all cores since boot."""
    ticks = [int(field) for field in Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:9]]
    idle = ticks[3] + ticks[4]
    return sum(ticks) - idle, sum(ticks)

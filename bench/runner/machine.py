"""The machine, as far as figures depend on it; nothing that names it."""

import os
import time
from pathlib import Path

QUIET_WINDOW = 0.1
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


class Patience:
    """Waits for moments in which nothing else runs, so many seconds in all.

    A disturbed sample does not only wait longer: a load that loses its core sends in bursts, and the
    measured process finds its caches cold. Both shift ratios.
    """

    def __init__(self, seconds: float):
        self._left = seconds

    def wait_until_quiet(self) -> bool:
        """Whether such a moment came."""
        while True:
            busy, total = _core_ticks()
            time.sleep(QUIET_WINDOW)
            later_busy, later_total = _core_ticks()
            if later_busy - busy <= QUIET_SHARE * (later_total - total):
                return True
            if self._left <= 0:
                return False
            # The look that finds a quiet machine is free.
            self._left -= QUIET_WINDOW


def _core_ticks() -> tuple[int, int]:
    """Busy and all ticks of all cores since boot."""
    ticks = [int(field) for field in Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:9]]
    idle = ticks[3] + ticks[4]
    return sum(ticks) - idle, sum(ticks)

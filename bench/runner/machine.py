"""The machine, as far as figures depend on it; nothing that names it."""

import os
from pathlib import Path


def describe() -> dict[str, object]:
    cpuinfo = Path("/proc/cpuinfo").read_text()
    fields = dict(
        (part.strip() for part in line.split(":", 1)) for line in cpuinfo.splitlines() if ":" in line
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

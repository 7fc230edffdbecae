"""The programs that load a server."""

import json
from dataclasses import dataclass
from pathlib import Path

from .places import cargo_program, system_program
from .process import LOAD_CORE, VoidRun, run_to_end

WRK_SUMMARY = Path(__file__).with_name("wrk_summary.lua")


@dataclass(frozen=True)
class Loaded:
    """What a load saw; nothing but right answers, or the run would be void."""

    requests: int
    seconds: float
    latency_us: dict[str, int]

    @classmethod
    def from_summary(cls, stdout: str) -> "Loaded":
        """From the last line of a load program: the summary of `keepline bench --json`."""
        summary = last_json(stdout)
        if summary["failed"] or summary["ok"] != summary["requests"] or not summary["requests"]:
            raise VoidRun(f"failed requests: {stdout.strip()[-500:]}")
        return cls(summary["requests"], summary.get("seconds", 0.0), summary["latency_us"])


def last_json(stdout: str) -> dict:
    try:
        return json.loads(stdout.strip().splitlines()[-1])
    except (IndexError, ValueError):
        raise VoidRun(f"no summary in {stdout[-300:]!r}") from None


def epoll_client(port: int, connections: int, seconds: float, pipeline: int) -> Loaded:
    argv = [str(cargo_program("epoll-client")), f"http://127.0.0.1:{port}/"]
    argv += ["-c", str(connections), "-d", str(seconds), "--pipeline", str(pipeline)]
    return Loaded.from_summary(run_to_end(argv, LOAD_CORE, seconds + 30).stdout)


def wrk(port: int, connections: int, seconds: float, answer_length: int) -> Loaded:
    argv = [str(system_program("wrk")), "-t1", f"-c{connections}", f"-d{max(1, round(seconds))}s"]
    argv += ["-s", str(WRK_SUMMARY), f"http://127.0.0.1:{port}/"]
    summary = last_json(run_to_end(argv, LOAD_CORE, seconds + 30).stdout)
    if any(summary["errors"].values()) or not summary["requests"]:
        raise VoidRun(f"wrk saw errors: {summary}")
    # wrk compares no bodies, but all answers are of one length: what came in must be that many
    # answers and at most one begun on each connection.
    surplus = summary["bytes"] - summary["requests"] * answer_length
    if not 0 <= surplus <= connections * answer_length:
        raise VoidRun(f"wrk read {surplus} bytes beyond answers of {answer_length}: {summary}")
    return Loaded(summary["requests"], summary["microseconds"] / 1e6, summary["latency_us"])

"""The programs that load a server."""

import json
from dataclasses import dataclass
from pathlib import Path

from .places import cargo_program, system_program
from .process import LOAD_CORE, VoidRun, run_to_end
from .work import Work

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


def put(port: int, work: Work, amount: list[str], answer_length: int, use_wrk: bool) -> Loaded:
    """Loads a server; `amount` is `-d SECONDS` or, without wrk, `-n REQUESTS`."""
    if work.tls or use_wrk:
        return _wrk(port, work, float(amount[1]), answer_length)
    argv = [str(cargo_program("epoll-client")), f"http://127.0.0.1:{port}{work.path}"]
    argv += [*amount, *work.load_options()]
    if work.close_every:
        argv += ["--close-every", str(work.close_every)]
    return Loaded.from_summary(run_to_end(argv, LOAD_CORE, 60).stdout)


def _wrk(port: int, work: Work, seconds: float, answer_length: int) -> Loaded:
    """The only load of the bench that speaks TLS; it knows whole seconds only."""
    scheme = "https" if work.tls else "http"
    argv = [str(system_program("wrk")), "-t1", f"-c{work.connections}"]
    argv += [f"-d{max(1, round(seconds))}s", "-s", str(WRK_SUMMARY)]
    argv += [f"{scheme}://127.0.0.1:{port}{work.path}"]
    summary = last_json(run_to_end(argv, LOAD_CORE, 60).stdout)
    if any(summary["errors"].values()) or not summary["requests"]:
        raise VoidRun(f"wrk saw errors: {summary}")
    # wrk compares no bodies, but all answers are of one length: what came in must be that many
    # answers and at most one begun on each connection.
    surplus = summary["bytes"] - summary["requests"] * answer_length
    if not 0 <= surplus <= work.connections * answer_length:
        raise VoidRun(f"wrk read {surplus} bytes beyond answers of {answer_length}: {summary}")
    return Loaded(summary["requests"], summary["microseconds"] / 1e6, summary["latency_us"])

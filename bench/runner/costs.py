"""System calls and allocations of a request, counted in runs of their own.

Counting slows a program down, so nothing of this touches the figures of time. For allocations, and for
a client's system calls, each program does few and many requests; the difference, divided, has neither start
nor dials in it. A server's system calls are those of one load, its 64 connections among them.
"""

import re
import signal
import struct
import subprocess
import time
from collections import Counter
from pathlib import Path

from . import loads, suites
from .places import COUNT_MALLOC, system_program
from .probe import answer_length
from .process import LOAD_CORE, MEASURED_CORE, VoidRun, run_to_end, spawn
from .programs import Program, Seat
from .report import Cost

FEW, MANY = 2_000, 12_000
SMOKE_MANY = 3_000


def of(table: suites.Table, program: Program, is_smoke: bool) -> Cost:
    """What cannot be counted here is None."""
    many = SMOKE_MANY if is_smoke else MANY
    is_client = table.group == "client"
    calls = _calls_of_client if is_client else _calls_of_server
    allocations = _allocations_of_client if is_client else _allocations_of_server
    counted = calls(table, program, many) if system_program("strace") else None
    # Go has an allocator of its own, and so has Caddy, which is made with it.
    is_go = program.name.startswith(("Go ", "Caddy"))
    can_count = COUNT_MALLOC.is_file() and not is_go
    return Cost(counted, allocations(table, program, many) if can_count else None)


def _calls_of_server(table: suites.Table, program: Program, many: int) -> dict[str, float]:
    with suites.serving(table, program) as server:
        length = answer_length(server.port, table.work)
        _load(table, server.port, FEW, length)
        summary = server.directory / "calls"
        attach = [option for pid in server.pids() for option in ("-p", str(pid))]
        tracer = spawn(
            [*_strace(summary), *attach],
            LOAD_CORE,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            _await_tracer(server.pids(), tracer)
            requests = _load(table, server.port, many, length)
        finally:
            tracer.send_signal(signal.SIGINT)
            tracer.wait()
        return {name: count / requests for name, count in _read_calls(summary).items()}


def _await_tracer(pids: list[int], tracer: subprocess.Popen) -> None:
    deadline = time.monotonic() + 5
    while not all("TracerPid:\t0\n" not in Path(f"/proc/{pid}/status").read_text() for pid in pids):
        if tracer.poll() is not None or time.monotonic() > deadline:
            raise VoidRun("strace could not attach")
        time.sleep(0.02)


def _calls_of_client(table: suites.Table, program: Program, many: int) -> dict[str, float]:
    def counted(requests: int, seat: Seat) -> Counter[str]:
        summary = seat.directory / f"calls-{requests}"
        argv = program.argv(_asking(seat, requests))
        run_to_end([*_strace(summary), "--", *argv], MEASURED_CORE, timeout=60)
        return _read_calls(summary)

    with suites.answering(table) as seat:
        few, most = counted(FEW, seat), counted(many, seat)
    return {name: (most[name] - few[name]) / (many - FEW) for name in most}


def _allocations_of_server(table: suites.Table, program: Program, many: int) -> float:
    with suites.serving(table, program, environment=counting) as server:
        length = answer_length(server.port, table.work)
        _load(table, server.port, FEW, length)
        begun = _allocations(server.directory)
        few = _load(table, server.port, FEW, length)
        between = _allocations(server.directory)
        most = _load(table, server.port, many, length)
        after = _allocations(server.directory)
    # Both loads open the same connections.
    return ((after - between) - (between - begun)) / (most - few)


def _allocations_of_client(table: suites.Table, program: Program, many: int) -> float:
    def counted(requests: int, seat: Seat) -> int:
        environment = counting(seat.directory)
        argv = program.argv(_asking(seat, requests))
        run_to_end(argv, MEASURED_CORE, timeout=60, environment=environment)
        return _allocations(seat.directory)

    with suites.answering(table) as seat:
        few, most = counted(FEW, seat), counted(many, seat)
    return (most - few) / (many - FEW)


def _asking(seat: Seat, requests: int) -> Seat:
    return Seat(seat.work, seat.directory, seat.port, amount=("-n", str(requests)))


def _load(table: suites.Table, port: int, requests: int, length: int) -> int:
    return loads.put(port, table.work, ["-n", str(requests)], length, use_wrk=False).requests


def _strace(summary: Path) -> list[str]:
    return [str(system_program("strace")), "-f", "-c", "-U", "calls,name", "-o", str(summary)]


def _read_calls(summary: Path) -> Counter[str]:
    lines = summary.read_text().splitlines()
    found = (re.match(r"\s*(\d+)\s+(\w+)$", line) for line in lines)
    calls = Counter({match[2]: int(match[1]) for match in found if match})
    calls.pop("total", None)
    if not calls:
        raise VoidRun(f"strace counted nothing: {lines}")
    return calls


def counting(directory: Path) -> dict[str, str]:
    """For the environment of a process whose allocations are to be counted from zero."""
    counts = directory / "allocations"
    counts.write_bytes(bytes(16))
    # Daemons started by root change to a user of their own, after this has been opened.
    return {"LD_PRELOAD": str(COUNT_MALLOC), "COUNT_MALLOC": str(counts)}


def _allocations(directory: Path) -> int:
    return struct.unpack("=QQ", (directory / "allocations").read_bytes())[0]

"""What is measured: each suite takes one sample of one program at a time."""

import os
import subprocess
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from . import loads, programs
from .places import cargo_program
from .probe import answer_length
from .process import (
    LOAD_CORE,
    MEASURED_CORE,
    Server,
    VoidRun,
    free_port,
    run_to_end,
    spawn,
)
from .programs import Program
from .report import Column

Sample = dict[str, float]


@dataclass(frozen=True)
class Effort:
    """How long and how much: the full measure, --quick or --smoke."""

    rounds: int
    seconds: float
    requests: int
    idle_connections: int


FULL = Effort(rounds=5, seconds=4, requests=300_000, idle_connections=8000)
QUICK = Effort(rounds=3, seconds=2, requests=100_000, idle_connections=8000)
SMOKE = Effort(rounds=1, seconds=1, requests=2_000, idle_connections=200)


@dataclass(frozen=True)
class Settings:
    effort: Effort
    # Of a load; for a pooled client the requests in flight.
    connections: int
    # "epoll" or "wrk".
    load: str


@dataclass(frozen=True)
class Suite:
    name: str
    title: str
    programs: Callable[[], list[Program]]
    sample: Callable[[Program, Settings], Sample]
    # The first column is the one that ratios are made of.
    columns: list[Column]


CPU = Column("CPU µs/request", "cpu_us", 2)
RATE = Column("requests/s", "rate", 0)
LATENCY = [Column("p50 µs", "p50_us", 0), Column("p99 µs", "p99_us", 0)]
BUSY = Column("core busy %", "busy", 0)
# Ready to run while something else had the core: a disturbed run shows here.
WAITED = Column("waited %", "waited", 1)
MEMORY = Column("MiB", "mib", 1)

WARM_UP_SECONDS = 0.3
# Long enough for an allocator or a collector to give back what it will.
SETTLE_SECONDS = 0.5


def _server(program: Program, settings: Settings, pipeline: int = 1) -> Sample:
    with _directory() as directory:
        port = free_port()
        with Server(program.argv(port, directory), MEASURED_CORE, directory, port) as server:
            return _under_load(server, settings, pipeline)


def _pipeline(program: Program, settings: Settings) -> Sample:
    return _server(program, settings, programs.PIPELINE)


def _gateway(program: Program, settings: Settings) -> Sample:
    with _directory() as directory, _responder(directory) as origin:
        port = free_port()
        argv = program.argv(port, origin.port, directory)
        with Server(argv, MEASURED_CORE, directory, port) as gateway:
            return _under_load(gateway, settings, pipeline=1)


def _under_load(server: Server, settings: Settings, pipeline: int) -> Sample:
    length = answer_length(server.port)
    loads.epoll_client(server.port, settings.connections, WARM_UP_SECONDS, pipeline)
    before = server.usage()
    if settings.load == "wrk" and pipeline == 1:
        loaded = loads.wrk(server.port, settings.connections, settings.effort.seconds, length)
    else:
        loaded = loads.epoll_client(
            server.port, settings.connections, settings.effort.seconds, pipeline
        )
    used = server.usage() - before
    server.check_alive()
    memory = server.resident_kib()
    if answer_length(server.port) != length:
        raise VoidRun("the answer changed its length under load")
    return {
        "cpu_us": used.cpu_ns / 1000 / loaded.requests,
        "rate": loaded.requests / loaded.seconds,
        "requests": loaded.requests,
        "busy": 100 * used.cpu_ns / 1e9 / loaded.seconds,
        "waited": 100 * used.waited_ns / 1e9 / loaded.seconds,
        "mib": memory / 1024,
        **{f"{name}_us": value for name, value in loaded.latency_us.items()},
    }


def _client(program: Program, settings: Settings) -> Sample:
    with _directory() as directory, _responder(directory) as responder:
        url = f"http://127.0.0.1:{responder.port}/"
        requests = settings.effort.requests
        argv = program.argv(url, requests, settings.connections)
        done = run_to_end(argv, MEASURED_CORE, timeout=30 + requests / 5000)
        loaded = loads.Loaded.from_summary(done.stdout)
        # Whole pipelined batches may leave a remainder.
        if not 0 <= requests - loaded.requests < programs.PIPELINE:
            raise VoidRun(f"{loaded.requests} requests, asked for {requests}")
        opened = loads.last_json(done.stdout).get("connections_opened", 0)
        return {
            "cpu_us": (done.user_us + done.system_us) / loaded.requests,
            "system_us": done.system_us / loaded.requests,
            "rate": loaded.requests / done.seconds,
            "requests": loaded.requests,
            "opened": opened,
            "busy": 100 * (done.user_us + done.system_us) / 1e6 / done.seconds,
            **{f"{name}_us": value for name, value in loaded.latency_us.items()},
        }


def _idle(program: Program, settings: Settings) -> Sample:
    connections = settings.effort.idle_connections
    with _directory() as directory:
        port = free_port()
        with Server(program.argv(port, directory), MEASURED_CORE, directory, port) as server:
            answer_length(port)
            time.sleep(SETTLE_SECONDS)
            empty = server.resident_kib()
            with _IdleConnections(port, connections) as idle:
                time.sleep(SETTLE_SECONDS)
                full = server.resident_kib()
                idle.check_open()
            server.check_alive()
    return {
        "bytes_each": (full - empty) * 1024 / connections,
        "empty_mib": empty / 1024,
        "full_mib": full / 1024,
        "connections": connections,
    }


class _IdleConnections:
    """Connections in a process of their own, each idle after one request."""

    def __init__(self, port: int, count: int):
        self._count = count
        argv = [str(cargo_program("idle-holder")), f"127.0.0.1:{port}", "-c", str(count)]
        pipe = subprocess.PIPE
        self._process = spawn(argv, LOAD_CORE, stdin=pipe, stdout=pipe, text=True)

    def __enter__(self) -> "_IdleConnections":
        self._expect("idle")
        return self

    def check_open(self) -> None:
        self._process.stdin.close()
        self._expect("open")

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.wait()

    def _expect(self, what: str) -> None:
        line = self._process.stdout.readline().strip()
        if line != f"{what} {self._count}":
            raise VoidRun(f"of {self._count} connections: {line or 'the client failed'}")


def _responder(directory: Path) -> Server:
    """The other side of clients and gateways: the least that answers."""
    port = free_port()
    argv = [str(cargo_program("epoll-responder")), "--listen", f"127.0.0.1:{port}"]
    return Server(argv, LOAD_CORE, directory, port)


def _directory() -> tempfile.TemporaryDirectory:
    """Configuration, logs and temporary files of one sample."""
    return _TraversableDirectory(prefix="keepline-bench-")


class _TraversableDirectory(tempfile.TemporaryDirectory):
    def __enter__(self) -> Path:
        directory = Path(super().__enter__())
        # Daemons started by root change to a user of their own and must still reach it.
        os.chmod(directory, 0o755)
        return directory


SUITES = [
    Suite(
        "server",
        "Server, 13-byte answer",
        programs.servers,
        _server,
        [CPU, RATE, *LATENCY, BUSY, WAITED, MEMORY],
    ),
    Suite(
        "pipeline",
        f"Server, {programs.PIPELINE} requests pipelined",
        programs.pipelined_servers,
        _pipeline,
        [CPU, RATE, *LATENCY, BUSY, WAITED, MEMORY],
    ),
    Suite(
        "gateway",
        "Gateway, 13-byte answer",
        programs.gateways,
        _gateway,
        [CPU, RATE, *LATENCY, BUSY, WAITED, MEMORY],
    ),
    Suite(
        "client",
        "Client, 13-byte answer",
        programs.clients,
        _client,
        [CPU, RATE, *LATENCY, BUSY, Column("opened", "opened", 0)],
    ),
    Suite(
        "idle",
        "Memory of an idle server connection",
        programs.idle_servers,
        _idle,
        [
            Column("bytes/connection", "bytes_each", 0),
            Column("MiB before", "empty_mib", 1),
            Column("MiB with them", "full_mib", 1),
        ],
    ),
]

"""What is measured: tables in groups, and how one sample of one program is taken."""

import contextlib
import os
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from . import loads, pool, programs
from .places import cargo_program
from .probe import answer_length
from .process import (
    LOAD_CORE,
    MEASURED_CORE,
    Server,
    VoidRun,
    free_port,
    resident_kib,
    run_to_end,
    spawn,
)
from .programs import Program, Seat
from .report import Column, Sample
from .work import HELLO, KIB, MIB, PIPELINE, Work


@dataclass(frozen=True)
class Effort:
    """How long and how much: the full measure, --quick or --smoke."""

    rounds: int
    # Of the tables that targets rest on; the others have less.
    seconds: float
    idle_connections: int
    pool_turns: int


FULL = Effort(rounds=5, seconds=1.5, idle_connections=8000, pool_turns=1_000_000)
QUICK = Effort(rounds=3, seconds=1, idle_connections=8000, pool_turns=300_000)
SMOKE = Effort(rounds=1, seconds=0.3, idle_connections=240, pool_turns=10_000)


@dataclass(frozen=True)
class Settings:
    effort: Effort
    # wrk instead of the bare epoll client, where either will do.
    use_wrk: bool = False


@dataclass(frozen=True)
class Table:
    """A page of results: programs side by side at the same work."""

    group: str
    name: str
    title: str
    work: Work
    programs: Callable[[Work], list[Program]]
    sample: Callable[["Table", Program, Settings], Sample]
    # The first column is the one that ratios are made of.
    columns: list[Column]
    # Targets rest on it: it has the longer samples, and system calls and allocations are counted.
    is_main: bool = False

    def seconds(self, settings: Settings) -> float:
        # A thousand connections take their time to open, which is not to weigh.
        is_long = self.is_main or self.work.connections > 64
        return round(settings.effort.seconds * (1 if is_long else 0.3), 2)


CPU = Column("CPU µs/request", "cpu_us", 2)
RATE = Column("requests/s", "rate", 0)
THROUGHPUT = Column("MiB/s", "mib_per_second", 0)
LATENCY = [
    Column("p50 µs", "p50_us", 0),
    Column("p99 µs", "p99_us", 0),
    Column("p99.9 µs", "p999_us", 0),
]
BUSY = Column("core busy %", "busy", 0)
# Ready to run while something else had the core: a disturbed run shows here.
WAITED = Column("waited %", "waited", 1)
MEMORY = Column("MiB", "mib", 1)
OPENED = Column("opened", "opened", 0)

WARM_UP_SECONDS = "0.1"
# Long enough for an allocator or a collector to give back what it will.
SETTLE_SECONDS = 0.5
# Idle connections of a client: requests that are in flight together, to each of many origins.
WAVE = 80


@contextlib.contextmanager
def serving(
    table: Table,
    program: Program,
    environment: Callable[[Path], dict[str, str]] = lambda _: {},
) -> Iterator[Server]:
    """A server or gateway that runs on the measured core, with what it needs."""
    with contextlib.ExitStack() as stack:
        directory = stack.enter_context(_directory(table.work))
        origin = 0
        if table.group == "gateway":
            origin = stack.enter_context(_responder(directory, table.work)).port
        seat = Seat(table.work, directory, free_port(), origin)
        yield stack.enter_context(
            Server(
                program.argv(seat), MEASURED_CORE, directory, seat.port, environment(directory)
            )
        )


@contextlib.contextmanager
def answering(table: Table, gate: int = 0) -> Iterator[Seat]:
    """What a client talks to; the seat still needs an amount."""
    with _directory(table.work) as directory, _responder(directory, table.work, gate) as responder:
        yield Seat(table.work, directory, responder.port)


def _server(table: Table, program: Program, settings: Settings) -> Sample:
    work = table.work
    with serving(table, program) as server:
        length = answer_length(server.port, work)
        loads.put(server.port, work, ["-d", WARM_UP_SECONDS], length, use_wrk=False)
        before = server.usage()
        amount = ["-d", str(table.seconds(settings))]
        loaded = loads.put(server.port, work, amount, length, settings.use_wrk)
        used = server.usage() - before
        server.check_alive()
        memory = server.resident_kib()
        if answer_length(server.port, work) != length:
            raise VoidRun("the answer changed its length under load")
    return {
        "cpu_us": used.cpu_ns / 1000 / loaded.requests,
        "busy": 100 * used.cpu_ns / 1e9 / loaded.seconds,
        "waited": 100 * used.waited_ns / 1e9 / loaded.seconds,
        "mib": memory / 1024,
        **_of_load(work, loaded, loaded.seconds),
    }


def _client(table: Table, program: Program, settings: Settings) -> Sample:
    with answering(table) as seat:
        amount = ("-d", str(table.seconds(settings)))
        argv = program.argv(Seat(seat.work, seat.directory, seat.port, amount=amount))
        done = run_to_end(argv, MEASURED_CORE, timeout=60)
    loaded = loads.Loaded.from_summary(done.stdout)
    used = done.user_us + done.system_us
    return {
        "cpu_us": used / loaded.requests,
        "opened": loads.last_json(done.stdout).get("connections_opened", 0),
        "busy": 100 * used / 1e6 / done.seconds,
        "mib": done.peak_kib / 1024,
        **_of_load(table.work, loaded, done.seconds),
    }


def _of_load(work: Work, loaded: loads.Loaded, seconds: float) -> Sample:
    rate = loaded.requests / seconds
    return {
        "rate": rate,
        "mib_per_second": rate * (work.body + work.post) / MIB,
        "requests": loaded.requests,
        **{f"{name}_us": value for name, value in loaded.latency_us.items()},
    }


def _idle_server(table: Table, program: Program, settings: Settings) -> Sample:
    connections = settings.effort.idle_connections
    with serving(table, program) as server:
        answer_length(server.port, table.work)
        time.sleep(SETTLE_SECONDS)
        empty = server.resident_kib()
        argv = [str(cargo_program("idle-holder")), f"127.0.0.1:{server.port}"]
        with _Held([*argv, "-c", str(connections)], LOAD_CORE, connections) as held:
            time.sleep(SETTLE_SECONDS)
            full = server.resident_kib()
            held.release()
            held.expect("open")
        server.check_alive()
    return {
        "bytes_each": (full - empty) * 1024 / connections,
        "empty_mib": empty / 1024,
        "full_mib": full / 1024,
        "connections": connections,
    }


def _idle_client(table: Table, program: Program, settings: Settings) -> Sample:
    """From few to many connections, so that what is there once is in neither."""
    origins = settings.effort.idle_connections // WAVE
    few, many = (_held_kib(table, program, count) for count in (max(1, origins // 10), origins))
    connections = (origins - max(1, origins // 10)) * WAVE
    return {
        "bytes_each": (many - few) * 1024 / connections,
        "empty_mib": few / 1024,
        "full_mib": many / 1024,
        "connections": connections,
    }


def _held_kib(table: Table, program: Program, origins: int) -> int:
    connections = origins * WAVE
    work = Work(connections=WAVE, origins=origins)
    wide = Table(**{**table.__dict__, "work": work})
    with answering(wide, gate=WAVE) as seat:
        amount = ("-n", str(connections))
        argv = program.argv(Seat(work, seat.directory, seat.port, amount=amount))
        with _Held([*argv, "--hold"], MEASURED_CORE, connections) as held:
            time.sleep(SETTLE_SECONDS)
            return resident_kib(held.pid)


class _Held:
    """A process that opens connections, says `idle N`, and keeps them until its stdin ends."""

    def __init__(self, argv: list[str], core: int, count: int):
        self._count = count
        pipe = subprocess.PIPE
        self._process = spawn(argv, core, stdin=pipe, stdout=pipe, text=True)

    @property
    def pid(self) -> int:
        return self._process.pid

    def __enter__(self) -> "_Held":
        self.expect("idle")
        return self

    def release(self) -> None:
        self._process.stdin.close()

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.wait()

    def expect(self, what: str) -> None:
        line = self._process.stdout.readline().strip()
        if line != f"{what} {self._count}":
            raise VoidRun(f"of {self._count} connections: {line or 'the client failed'}")


def _responder(directory: Path, work: Work, gate: int = 0) -> Server:
    """The other side of clients and gateways: the least that answers."""
    port = free_port()
    argv = [str(cargo_program("epoll-responder")), "--listen", f"127.0.0.1:{port}"]
    argv += [*work.serve_options(), "--origins", str(work.origins), "--gate", str(gate)]
    if work.close_every and not gate:
        argv += ["--close-every", str(work.close_every)]
    return Server(argv, LOAD_CORE, directory, port)


@contextlib.contextmanager
def _directory(work: Work) -> Iterator[Path]:
    """Configuration, logs, files and certificates of one sample."""
    with tempfile.TemporaryDirectory(prefix="keepline-bench-") as name:
        directory = Path(name)
        # Daemons started by root change to a user of their own and must still reach it.
        os.chmod(directory, 0o755)
        if work.body > HELLO:
            (directory / "body").write_bytes(work.body_bytes())
        if work.tls:
            _certificate(directory)
        yield directory


def _certificate(directory: Path) -> None:
    argv = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"]
    argv += ["-nodes", "-days", "1", "-subj", "/CN=localhost", "-keyout", "key.pem"]
    subprocess.run([*argv, "-out", "cert.pem"], cwd=directory, check=True, capture_output=True)


def _tables() -> Iterator[Table]:
    of_server = [CPU, RATE, *LATENCY, BUSY, WAITED, MEMORY]
    of_client = [CPU, RATE, *LATENCY, BUSY, OPENED, MEMORY]
    of_idle = [
        Column("bytes/connection", "bytes_each", 0),
        Column("MiB before", "empty_mib", 1),
        Column("MiB with them", "full_mib", 1),
    ]
    hello = "13-byte answers"
    bodies = [
        ("1k", "answers of 1 KiB", Work(body=KIB)),
        ("64k", "answers of 64 KiB", Work(body=64 * KIB)),
        ("1m", "answers of 1 MiB", Work(body=MIB)),
        ("post-1k", "POST of 1 KiB", Work(post=KIB)),
        ("post-1m", "POST of 1 MiB", Work(post=MIB)),
    ]
    numbers = [
        ("1c", f"{hello}, 1 connection", Work(connections=1)),
        ("1000c", f"{hello}, 1,000 connections", Work(connections=1000)),
        ("churn", f"{hello}, closed every 10 requests", Work(close_every=10)),
    ]
    seats = [
        ("server", programs.servers, _server, of_server),
        ("gateway", programs.gateways, _server, of_server),
        ("client", programs.clients, _client, of_client),
    ]
    for group, of_group, sample, columns in seats:
        title = group.capitalize()
        yield Table(group, group, f"{title}, {hello}", Work(), of_group, sample, columns, True)
        for name, what, work in bodies:
            yield Table(
                *(group, f"{group}-{name}", f"{title}, {what}", work, of_group, sample),
                [*columns[:2], THROUGHPUT, *columns[2:]],
            )
        for name, what, work in numbers:
            yield Table(
                *(group, f"{group}-{name}", f"{title}, {what}", work, of_group, sample, columns)
            )
    tls = Work(tls=True)
    yield Table(
        "server", "server-tls", f"Server, TLS 1.3, {hello}", tls, programs.servers, _server, of_server
    )
    origins = Work(origins=1000)
    yield Table(
        *("client", "client-keys", f"Client, {hello}, 1,000 origins in turn", origins),
        *(programs.clients, _client, of_client),
    )
    pipelined = Work(pipeline=PIPELINE)
    yield Table(
        *("pipeline", "pipeline", f"Server, {PIPELINE} requests pipelined", pipelined),
        *(programs.servers, _server, of_server, True),
    )
    yield Table(
        *("idle", "idle", "Memory of an idle server connection", Work()),
        *(programs.idle_servers, _idle_server, of_idle),
    )
    yield Table(
        *("idle", "idle-client", "Memory of an idle connection of a client", Work()),
        *(programs.idle_clients, _idle_client, of_idle),
    )
    yield Table(
        *("pool", "pool", "Checkout and check-in of an idle connection", Work()),
        *(pool.programs, _pool, pool.COLUMNS),
    )


def _pool(_: Table, program: Program, settings: Settings) -> Sample:
    return pool.sample(program, settings.effort.pool_turns)


TABLES = list(_tables())
GROUPS = list(dict.fromkeys(table.group for table in TABLES))
# Every path once, without what takes long to build.
SMOKE_TABLES = {
    *("server", "server-64k", "server-post-1m", "server-churn"),
    *("gateway", "gateway-1m", "gateway-post-1k"),
    *("client", "client-keys", "client-churn", "pipeline", "idle", "idle-client", "pool"),
}

"""Who is measured: limits, peers and keepline, each with the way it is started."""

import re
import shutil
import subprocess
import tomllib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from . import places
from .places import BENCH, GO_PROGRAMS, cargo_program
from .work import HELLO, KIB, LARGE, PIPELINE, Work

LIMIT, PEER, OURS = "limit", "peer", "keepline"


@dataclass(frozen=True)
class Seat:
    """Where a program is put: what it listens at, what it talks to, what it is to do."""

    work: Work
    directory: Path
    port: int
    # Of gateways: the server behind them. Of clients: `-d SECONDS` or `-n REQUESTS`.
    origin: int = 0
    amount: tuple[str, ...] = ()

    @property
    def listen(self) -> str:
        return f"127.0.0.1:{self.port}"

    @property
    def url(self) -> str:
        return f"http://{self.listen}{self.work.path}"

    @property
    def certificate(self) -> tuple[str, str]:
        return str(self.directory / "cert.pem"), str(self.directory / "key.pem")

    def filled(self, template: str) -> str:
        """A configuration, with what is written @SO@ in it replaced."""
        text = (BENCH / "peers" / template).read_text()
        text = text.replace("@PORT@", str(self.port)).replace("@ORIGIN@", str(self.origin))
        text = text.replace("@DIRECTORY@", str(self.directory))
        conf = self.directory / Path(template).name
        conf.write_text(text)
        return str(conf)


@dataclass(frozen=True)
class Program:
    name: str
    role: str
    argv: Callable[[Seat], list[str]]
    # Why it cannot be measured here, if so.
    missing: str | None = None


def servers(work: Work) -> list[Program]:
    """All of them at the work of the main tables, else the ones that matter: time is short."""
    found = []
    if not work.tls:
        found.append(Program("limit: bare epoll", LIMIT, _serving("epoll-responder")))
    if work.is_common:
        found.append(Program("floor: bare tokio", LIMIT, _serving("tokio-responder")))
    found.append(Program("keepline", OURS, _serving("keepline-server"), built("keepline-server")))
    if work.is_common or work.body == LARGE:
        found.append(_keepline("keepline serve", _keepline_serve))
    found.append(Program("hyper", PEER, _serving("hyper-server")))
    if work.is_common:
        found.append(Program("hyper, head timeout", PEER, _serving("hyper-server", "--timer")))
    if work.pipeline > 1:
        # At its best too: by default it writes each answer by itself.
        flushing = _serving("hyper-server", "--pipeline-flush")
        found.append(Program("hyper, pipeline_flush", PEER, flushing))
    if not work.post:
        found.append(Program("nginx", PEER, _nginx(_server_conf), _there(places.nginx())))
    if work.is_common:
        found.append(Program("Go net/http", PEER, _go_server, _there(GO_PROGRAMS / "server")))
    return found


def idle_servers(work: Work) -> list[Program]:
    """Without the bare epoll server: it keeps so little that no ratio to it means anything."""
    return servers(work)[1:]


def gateways(work: Work) -> list[Program]:
    found = []
    if not work.close_every:
        # It opens a connection for each connection, which no gateway does.
        found.append(Program("limit: bare relay", LIMIT, _relaying("epoll-relay")))
    found.append(_keepline("keepline", _keepline_proxy))
    haproxy = places.system_program("haproxy")
    found.append(Program("HAProxy", PEER, _haproxy("haproxy/gateway.cfg"), _there(haproxy)))
    if work.body == LARGE or work.post == LARGE:
        splicing = _haproxy("haproxy/gateway-splice.cfg")
        found.append(Program("HAProxy, splice", PEER, splicing, _there(haproxy)))
    found.append(Program("nginx", PEER, _nginx(_gateway_conf), _there(places.nginx())))
    pingora = cargo_program("pingora-gateway")
    if work.is_common or work.body == LARGE:
        found.append(Program("Pingora", PEER, _relaying("pingora-gateway"), _there(pingora)))
    if work.is_common:
        go = GO_PROGRAMS / "gateway"
        found.append(Program("Go ReverseProxy", PEER, _go_gateway, _there(go)))
        caddy = places.peer("caddy")
        found.append(Program("Caddy", PEER, _caddy, _there(caddy)))
    return found


def clients(work: Work) -> list[Program]:
    found = []
    if not work.close_every and work.origins == 1:
        found.append(Program("limit: bare epoll", LIMIT, _loading("epoll-client")))
    found += [
        Program("keepline", OURS, _loading("keepline-client"), built("keepline-client")),
        Program("hyper-util legacy", PEER, _loading("hyper-util-client")),
        Program("reqwest", PEER, _loading("reqwest-client")),
    ]
    if work.is_common:
        found.insert(2, _keepline("keepline bench", _keepline_bench))
        pipelined = f", {PIPELINE} pipelined"
        found += [
            Program("Go net/http", PEER, _go_client, _there(GO_PROGRAMS / "client")),
            Program(f"bare epoll{pipelined}", LIMIT, _loading("epoll-client", PIPELINE)),
            Program(f"keepline{pipelined}", OURS, _loading("keepline-client", PIPELINE)),
        ]
    return found


def idle_clients(_: Work) -> list[Program]:
    return [
        Program("keepline", OURS, _loading("keepline-client")),
        Program("hyper-util legacy", PEER, _loading("hyper-util-client")),
        Program("reqwest", PEER, _loading("reqwest-client")),
    ]


def versions() -> dict[str, str]:
    """Of everything that a figure may depend on."""
    found = {"rustc": _says(["rustc", "--version"])}
    wanted = {"tokio", "hyper", "hyper-util", "reqwest", "httparse", "rustls"}
    found |= _locked(BENCH / "Cargo.lock", wanted)
    found |= _locked(places.PINGORA / "Cargo.lock", {"pingora-proxy"})
    for name, program, option in [
        ("keepline", places.keepline(), "--version"),
        ("nginx", places.nginx(), "-v"),
        ("haproxy", places.system_program("haproxy"), "-v"),
        ("caddy", places.peer("caddy"), "version"),
        ("wrk", places.system_program("wrk"), "-v"),
        ("go", places.go(), "version"),
    ]:
        if program:
            found[name] = _says([str(program), option])
    revision = ["git", "-C", str(BENCH), "describe", "--always", "--dirty", "--abbrev=12"]
    found["source"] = _says(revision)
    return found


def _locked(lock: Path, wanted: set[str]) -> dict[str, str]:
    packages = tomllib.loads(lock.read_text())["package"]
    return {p["name"]: p["version"] for p in packages if p["name"] in wanted}


def _says(argv: list[str]) -> str:
    try:
        done = subprocess.run(argv, capture_output=True, text=True, timeout=10, check=False)
    except OSError:
        return "unknown"
    lines = (done.stdout + done.stderr).strip().splitlines()
    line = lines[0] if lines else "unknown"
    # "nginx version: nginx/1.31.3" and its like: the number is what matters.
    number = re.search(r"\d+\.\d+[\w.+-]*", line)
    return number.group() if number else line


def _there(program: Path | None) -> str | None:
    return None if program and program.exists() else "not installed: ./dev peers"


def built(name: str) -> str | None:
    return None if cargo_program(name).is_file() else "not built"


def _keepline(name: str, argv: Callable[[Seat], list[str]]) -> Program:
    """The binary that users have."""
    missing = None if places.keepline() else "no binary: cargo build --release, or set KEEPLINE_BIN"
    return Program(name, OURS, argv, missing)


def _serving(name: str, *options: str) -> Callable[[Seat], list[str]]:
    def argv(seat: Seat) -> list[str]:
        found = [str(cargo_program(name)), *options, "--listen", seat.listen]
        found += seat.work.serve_options()
        if seat.work.tls:
            cert, key = seat.certificate
            found += ["--tls-cert", cert, "--tls-key", key]
        return found

    return argv


def _relaying(name: str) -> Callable[[Seat], list[str]]:
    return lambda seat: [
        *(str(cargo_program(name)), "--listen", seat.listen),
        *("--upstream", f"127.0.0.1:{seat.origin}"),
    ]


def _loading(name: str, pipeline: int = 1) -> Callable[[Seat], list[str]]:
    def argv(seat: Seat) -> list[str]:
        work = seat.work
        found = [str(cargo_program(name)), seat.url, *seat.amount]
        # As many requests in flight whether pipelined or not.
        found += ["-c", str(max(1, work.connections // pipeline)), "--pipeline", str(pipeline)]
        found += ["--body-bytes", str(work.body), "--post-bytes", str(work.post)]
        if work.origins > 1:
            found += ["--origins", str(work.origins)]
        return found

    return argv


def _keepline_serve(seat: Seat) -> list[str]:
    argv = [str(places.keepline()), "serve", "--listen", seat.listen, "--workers", "1"]
    if seat.work.body > HELLO:
        argv += ["--root", str(seat.directory)]
    if seat.work.tls:
        cert, key = seat.certificate
        argv += ["--tls-cert", cert, "--tls-key", key]
    return argv


def _keepline_proxy(seat: Seat) -> list[str]:
    conf = seat.filled(_gateway_conf(seat.work))
    return [str(places.keepline()), "proxy", "-p", str(seat.directory), "-c", conf]


def _keepline_bench(seat: Seat) -> list[str]:
    amount = [f"{seat.amount[1]}s" if seat.amount[0] == "-d" else seat.amount[1]]
    argv = [str(places.keepline()), "bench", seat.url, "--json", seat.amount[0], *amount]
    return [*argv, "-c", str(seat.work.connections)]


def _gateway_conf(work: Work) -> str:
    """One configuration for nginx and keepline. Large buffers make short answers slower."""
    is_large = max(work.body, work.post) > 4 * KIB
    return "nginx/gateway-large.conf" if is_large else "nginx/gateway.conf"


def _server_conf(work: Work) -> str:
    return "nginx/server-tls.conf" if work.tls else "nginx/server.conf"


def _nginx(template: Callable[[Work], str]) -> Callable[[Seat], list[str]]:
    def argv(seat: Seat) -> list[str]:
        conf = seat.filled(template(seat.work))
        return [str(places.nginx()), "-p", str(seat.directory), "-e", "stderr", "-c", conf]

    return argv


def _haproxy(template: str) -> Callable[[Seat], list[str]]:
    program = places.system_program("haproxy")
    return lambda seat: [str(program), "-db", "-f", seat.filled(template)]


def _caddy(seat: Seat) -> list[str]:
    # What it keeps goes below the sample's directory, not into a home.
    environment = [f"HOME={seat.directory}", f"XDG_DATA_HOME={seat.directory}", "GOMAXPROCS=1"]
    argv = [str(shutil.which("env")), *environment, str(places.peer("caddy"))]
    return [*argv, "run", "--config", seat.filled("caddy/gateway.json")]


def _go_server(seat: Seat) -> list[str]:
    work = seat.work
    argv = [str(GO_PROGRAMS / "server"), "-listen", seat.listen]
    return [*argv, "-body-bytes", str(work.body), "-post-bytes", str(work.post)]


def _go_gateway(seat: Seat) -> list[str]:
    argv = [str(GO_PROGRAMS / "gateway"), "-listen", seat.listen]
    return [*argv, "-upstream", f"127.0.0.1:{seat.origin}"]


def _go_client(seat: Seat) -> list[str]:
    work = seat.work
    argv = [str(GO_PROGRAMS / "client"), seat.url, *seat.amount, "-c", str(work.connections)]
    argv += ["-body-bytes", str(work.body), "-post-bytes", str(work.post)]
    return [*argv, "-origins", str(work.origins)]

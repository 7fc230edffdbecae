"""Who is measured: limits, peers and keepline, each with the way it is started."""

import re
import subprocess
import tomllib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from . import places
from .places import BENCH, GO_PROGRAMS, cargo_program

LIMIT, PEER, OURS = "limit", "peer", "keepline"

# Requests in flight on a connection, where they are pipelined.
PIPELINE = 16


@dataclass(frozen=True)
class Program:
    name: str
    role: str
    # What it needs differs by seat: a server (port, directory), a gateway (port, origin,
    # directory), a client (url, requests, in flight).
    argv: Callable[..., list[str]]
    # Why it cannot be measured here, if so.
    missing: str | None = None


def servers() -> list[Program]:
    return [
        Program("limit: bare epoll", LIMIT, _listening("epoll-responder")),
        Program("floor: bare tokio", LIMIT, _listening("tokio-responder")),
        _keepline("keepline", "serve", "--listen", _keepline_server),
        Program("hyper", PEER, _listening("hyper-server")),
        Program("hyper, head timeout", PEER, _listening("hyper-server", "--timer")),
        Program("nginx", PEER, _nginx_server, _absent(places.nginx())),
        Program("Go net/http", PEER, _go_server, _absent(places.go())),
    ]


def pipelined_servers() -> list[Program]:
    """hyper at its best too: by default it writes each answer by itself."""
    flushing = _listening("hyper-server", "--pipeline-flush")
    return [*servers(), Program("hyper, pipeline_flush", PEER, flushing)]


def idle_servers() -> list[Program]:
    """Without the bare epoll server: it keeps so little that no ratio to it means anything."""
    return servers()[1:]


def gateways() -> list[Program]:
    relay = cargo_program("epoll-relay")
    haproxy = places.system_program("haproxy")
    return [
        Program(
            "limit: bare relay",
            LIMIT,
            lambda port, origin, _: [
                *(str(relay), "--listen", f"127.0.0.1:{port}"),
                *("--upstream", f"127.0.0.1:{origin}"),
            ],
        ),
        _keepline("keepline", "proxy", "-c", _keepline_gateway),
        Program(
            "HAProxy",
            PEER,
            lambda port, origin, directory: [
                *(str(haproxy), "-db", "-f"),
                str(_filled("haproxy/gateway.cfg", directory, port, origin)),
            ],
            _absent(haproxy),
        ),
        Program("nginx", PEER, _nginx_gateway, _absent(places.nginx())),
    ]


def clients() -> list[Program]:
    def loading(program: Path, *options: str) -> Callable[..., list[str]]:
        return lambda url, requests, in_flight: [
            *(str(program), url, "-c", str(in_flight), "-n", str(requests), *options)
        ]

    def pipelining(program: Path, *options: str) -> Callable[..., list[str]]:
        # As many requests in flight as the others have, on a sixteenth of the connections.
        return lambda url, requests, in_flight: [
            *(str(program), *options[:1], url, "-c", str(max(1, in_flight // PIPELINE))),
            *("-n", str(requests), "--pipeline", str(PIPELINE), *options[1:]),
        ]

    epoll = cargo_program("epoll-client")
    ours = str(places.keepline())
    return [
        Program("limit: bare epoll", LIMIT, loading(epoll)),
        _keepline(
            "keepline",
            "bench",
            "--json",
            lambda url, requests, in_flight: [
                *(ours, "bench", url, "-c", str(in_flight), "-n", str(requests), "--json")
            ],
        ),
        Program("hyper-util legacy", PEER, loading(cargo_program("hyper-util-client"))),
        Program("reqwest", PEER, loading(cargo_program("reqwest-client"))),
        Program("Go net/http", PEER, _go_client, _absent(places.go())),
        Program(f"bare epoll, {PIPELINE} pipelined", LIMIT, pipelining(epoll)),
        _keepline(
            f"keepline, {PIPELINE} pipelined",
            "bench",
            "--pipeline",
            pipelining(Path(ours), "bench", "--json"),
        ),
    ]


def versions() -> dict[str, str]:
    """Of everything that a figure may depend on."""
    found = {"rustc": _says(["rustc", "--version"])}
    lock = tomllib.loads((BENCH / "Cargo.lock").read_text())
    wanted = {"tokio", "hyper", "hyper-util", "reqwest", "httparse"}
    found |= {p["name"]: p["version"] for p in lock["package"] if p["name"] in wanted}
    for name, program, option in [
        ("keepline", places.keepline(), "--version"),
        ("nginx", places.nginx(), "-v"),
        ("haproxy", places.system_program("haproxy"), "-v"),
        ("wrk", places.system_program("wrk"), "-v"),
        ("go", places.go(), "version"),
    ]:
        if program:
            found[name] = _says([str(program), option])
    revision = ["git", "-C", str(BENCH), "describe", "--always", "--dirty", "--abbrev=12"]
    found["source"] = _says(revision)
    return found


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


def _absent(program: Path | None) -> str | None:
    return None if program else "not installed"


def _keepline(name: str, command: str, needed: str, argv: Callable[..., list[str]]) -> Program:
    """Missing while the binary is not built or its sub-command not written."""
    program = places.keepline()
    if program is None:
        return Program(name, OURS, argv, "no binary: cargo build --release, or set KEEPLINE_BIN")
    done = subprocess.run(
        [program, command, "--help"], capture_output=True, text=True, timeout=10, check=False
    )
    if done.returncode != 0 or needed not in done.stdout:
        return Program(name, OURS, argv, f"`keepline {command}` has no {needed}")
    return Program(name, OURS, argv)


def _listening(name: str, *options: str) -> Callable[..., list[str]]:
    program = str(cargo_program(name))
    return lambda port, _: [program, *options, "--listen", f"127.0.0.1:{port}"]


def _keepline_server(port: int, _: Path) -> list[str]:
    listen = f"127.0.0.1:{port}"
    return [str(places.keepline()), "serve", "--listen", listen, "--workers", "1"]


def _keepline_gateway(port: int, origin: int, directory: Path) -> list[str]:
    conf = _filled("nginx/gateway.conf", directory, port, origin)
    return [str(places.keepline()), "proxy", "-p", str(directory), "-c", str(conf)]


def _nginx_server(port: int, directory: Path) -> list[str]:
    conf = _filled("nginx/server.conf", directory, port)
    return [str(places.nginx()), "-p", str(directory), "-e", "stderr", "-c", str(conf)]


def _nginx_gateway(port: int, origin: int, directory: Path) -> list[str]:
    conf = _filled("nginx/gateway.conf", directory, port, origin)
    return [str(places.nginx()), "-p", str(directory), "-e", "stderr", "-c", str(conf)]


def _go_server(port: int, _: Path) -> list[str]:
    return [str(GO_PROGRAMS / "server"), "-listen", f"127.0.0.1:{port}"]


def _go_client(url: str, requests: int, in_flight: int) -> list[str]:
    return [str(GO_PROGRAMS / "client"), url, "-c", str(in_flight), "-n", str(requests)]


def _filled(template: str, directory: Path, port: int, origin: int | None = None) -> Path:
    text = (BENCH / "peers" / template).read_text()
    text = text.replace("@PORT@", str(port)).replace("@ORIGIN@", str(origin))
    conf = directory / Path(template).name
    conf.write_text(text)
    return conf

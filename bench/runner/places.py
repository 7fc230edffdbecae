"""Where programs are found, and how the bench's own are built."""

import os
import shutil
import subprocess
from pathlib import Path

BENCH = Path(__file__).resolve().parent.parent
REPOSITORY = BENCH.parent
TARGET = Path(os.environ.get("CARGO_TARGET_DIR", BENCH / "target")).resolve()
# What `./dev peers` installed.
PEERS = Path(os.environ.get("KEEPLINE_PEERS", REPOSITORY / "target" / "peers" / "bin"))
GO_PROGRAMS = TARGET / "go"
COUNT_MALLOC = TARGET / "count_malloc.so"
PINGORA = BENCH / "peers" / "pingora-gateway"


def cargo_program(name: str) -> Path:
    return TARGET / "release" / name


def keepline() -> Path | None:
    chosen = os.environ.get("KEEPLINE_BIN")
    program = Path(chosen) if chosen else REPOSITORY / "target" / "release" / "keepline"
    return program.resolve() if program.is_file() else None


def nginx() -> Path | None:
    """The one asked for, else the current one, else the system's."""
    if chosen := os.environ.get("NGINX_BIN"):
        return Path(chosen)
    return peer("nginx131") or system_program("nginx")


def peer(name: str) -> Path | None:
    installed = PEERS / name
    return installed if installed.exists() else None


def go() -> Path | None:
    return peer("go") or system_program("go")


def system_program(name: str) -> Path | None:
    """Daemons live in sbin, which is not on every user's path."""
    found = shutil.which(name) or shutil.which(name, path="/usr/local/sbin:/usr/sbin")
    return Path(found) if found else None


def build(what: str) -> None:
    """Builds at low priority: a measurement of somebody else may be running.

    `counts` is one program, `smoke` what the project's own dependencies suffice for, `all` everything.
    What only peers need is allowed to fail: its row says that it is missing.
    """
    cargo = ["cargo", "build", "--release", "--locked"]
    if what == "counts":
        return _run([*cargo, "--package", "counts"], BENCH)
    if what == "smoke":
        return _run(cargo, BENCH)
    if not os.environ.get("KEEPLINE_BIN"):
        _run([*cargo, "--package", "keepline-cli"], REPOSITORY)
    _run([*cargo, "--features", "ours/tls,hyper-server/tls"], BENCH)
    TARGET.mkdir(parents=True, exist_ok=True)
    source = BENCH / "runner" / "count_malloc.c"
    _run(["cc", "-O2", "-shared", "-fPIC", "-o", str(COUNT_MALLOC), str(source)], BENCH, must=False)
    if compiler := go():
        GO_PROGRAMS.mkdir(parents=True, exist_ok=True)
        argv = [str(compiler), "build", "-trimpath", "-o", f"{GO_PROGRAMS}/", "./..."]
        _run(argv, BENCH / "peers" / "go", must=False, GOTOOLCHAIN="local")
    _run(cargo, PINGORA, must=False, CARGO_TARGET_DIR=str(TARGET))
    return None


def _run(argv: list[str], directory: Path, must: bool = True, **environment: str) -> None:
    try:
        subprocess.run(
            ["nice", "-n", "5", *argv], cwd=directory, env=os.environ | environment, check=True
        )
    except (OSError, subprocess.CalledProcessError) as error:
        if must:
            raise
        print(f"bench: not built, so not measured: {error}", flush=True)

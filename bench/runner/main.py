"""Command line: runs suites in interleaved rounds and writes their results."""

import argparse
import dataclasses
import datetime
import os
import resource
import sys
from pathlib import Path

from . import counts, machine, places, programs
from .process import VoidRun
from .report import Result
from .suites import FULL, QUICK, SMOKE, SUITES, Effort, Sample, Settings, Suite

SPARE_DESCRIPTORS = 200


def main() -> int:
    arguments = _arguments()
    if arguments.load == "wrk" and not places.system_program("wrk"):
        sys.exit("bench: wrk is not installed")
    if (os.cpu_count() or 1) < 2:
        sys.exit("bench: needs two cores, one for the measured process and one for the load")
    if not arguments.no_build:
        places.build(only="counts" if arguments.suite == "counts" else None)
    if arguments.suite == "counts":
        return counts.run(arguments.accept)
    effort = SMOKE if arguments.smoke else QUICK if arguments.quick else FULL
    if arguments.rounds:
        effort = dataclasses.replace(effort, rounds=arguments.rounds)
    effort = _within_descriptor_limit(effort)
    settings = Settings(effort, arguments.connections, arguments.load)

    chosen = [suite for suite in SUITES if arguments.suite in (suite.name, "all")]
    for suite in chosen:
        try:
            result = _measure(suite, settings, arguments.patience)
        except VoidRun as void:
            print(f"bench: {suite.name}: VOID, nothing written: {void}", file=sys.stderr)
            return 1
        page = result.write(_out(arguments), _file_name(suite, arguments))
        print(page.read_text())
        print(f"bench: written to {page}\n", file=sys.stderr)
    return 0


def _arguments() -> argparse.Namespace:
    names = [suite.name for suite in SUITES]
    parser = argparse.ArgumentParser(
        prog="bench/run", description=__doc__, epilog="What is measured and why: bench/README.md"
    )
    parser.add_argument("suite", nargs="?", choices=[*names, "counts", "all"], default="all")
    size = parser.add_mutually_exclusive_group()
    size.add_argument("--quick", action="store_true", help="3 shorter rounds")
    size.add_argument("--smoke", action="store_true", help="1 tiny round: does it all work?")
    parser.add_argument("--rounds", type=int, metavar="N", help="default 5")
    parser.add_argument(
        "--connections", type=int, default=64, metavar="C", help="or requests in flight (64)"
    )
    parser.add_argument(
        "--load",
        choices=["epoll", "wrk"],
        default="epoll",
        help="on servers and gateways; only the bare epoll client keeps all of them busy",
    )
    parser.add_argument(
        "--patience",
        type=float,
        metavar="S",
        help="seconds in all that a suite may wait for the machine to be quiet (60)",
    )
    parser.add_argument(
        "--accept", action="store_true", help="counts: what is counted now is expected from now on"
    )
    parser.add_argument("--no-build", action="store_true", help="use the programs as they are")
    parser.add_argument("--out", type=Path, metavar="DIR", help="default bench/runs/DATE")
    arguments = parser.parse_args()
    if arguments.patience is None:
        arguments.patience = 0 if arguments.smoke else 60
    return arguments


def _measure(suite: Suite, settings: Settings, patience: float) -> Result:
    described = machine.describe()
    all_programs = suite.programs()
    measured = [program for program in all_programs if not program.missing]
    samples: dict[str, list[Sample]] = {program.name: [] for program in measured}
    rounds = settings.effort.rounds
    disturbed = 0
    for number in range(rounds):
        # Interleaved, and each round begins with another program: whatever changes on the machine
        # while this runs falls on all of them.
        start = number % len(measured)
        for program in measured[start:] + measured[:start]:
            quiet, patience = machine.wait_until_quiet(patience)
            disturbed += not quiet
            print(
                f"bench: {suite.name} {number + 1}/{rounds}: {program.name}",
                file=sys.stderr,
                flush=True,
            )
            try:
                sample = suite.sample(program, settings)
            except VoidRun as void:
                raise VoidRun(f"{program.name}: {void}") from None
            samples[program.name].append(sample)
    return Result(
        suite.name,
        suite.title,
        suite.columns,
        all_programs,
        samples,
        _circumstances(suite, settings) | {"begun on a busy machine": disturbed},
        described,
        programs.versions(),
    )


def _circumstances(suite: Suite, settings: Settings) -> dict[str, object]:
    effort = settings.effort
    if suite.name == "idle":
        return {"rounds": effort.rounds, "connections": effort.idle_connections}
    common = {"rounds": effort.rounds, "connections": settings.connections}
    if suite.name == "client":
        return common | {"requests": effort.requests}
    load = "epoll" if suite.name == "pipeline" else settings.load
    return common | {"seconds": effort.seconds, "load": load}


def _within_descriptor_limit(effort: Effort) -> Effort:
    """Raises the soft limit for all children; fewer idle connections where that is not enough."""
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    wanted = effort.idle_connections + SPARE_DESCRIPTORS
    allowed = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
    soft = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, allowed), hard))
    return dataclasses.replace(effort, idle_connections=allowed - SPARE_DESCRIPTORS)


def _out(arguments: argparse.Namespace) -> Path:
    if arguments.out:
        return arguments.out
    if arguments.smoke:
        # Figures of a smoke test mean nothing: they are kept out of the record.
        return places.TARGET / "smoke"
    return places.BENCH / "runs" / datetime.date.today().isoformat()


def _file_name(suite: Suite, arguments: argparse.Namespace) -> str:
    parts = [suite.name]
    if arguments.connections != 64 and suite.name != "idle":
        parts.append(f"{arguments.connections}c")
    if arguments.load != "epoll" and suite.name in ("server", "gateway"):
        parts.append(arguments.load)
    if arguments.quick:
        parts.append("quick")
    return "-".join(parts)

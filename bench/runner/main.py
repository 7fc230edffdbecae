"""Command line: runs suites in interleaved rounds and writes their results."""

import argparse
import dataclasses
import datetime
import os
import resource
import sys
from pathlib import Path

from . import machine, places, programs
from .process import VoidRun
from .report import Result
from .suites import FULL, QUICK, SMOKE, SUITES, Effort, Sample, Suite

SPARE_DESCRIPTORS = 200


def main() -> int:
    arguments = _arguments()
    if (os.cpu_count() or 1) < 2:
        sys.exit("bench: needs two cores, one for the measured process and one for the load")
    if not arguments.no_build:
        places.build()
    effort = SMOKE if arguments.smoke else QUICK if arguments.quick else FULL
    if arguments.rounds:
        effort = dataclasses.replace(effort, rounds=arguments.rounds)
    effort = _within_descriptor_limit(effort)

    chosen = [suite for suite in SUITES if arguments.suite in (suite.name, "all")]
    for suite in chosen:
        try:
            result = _measure(suite, effort, arguments)
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
    parser.add_argument("suite", nargs="?", choices=[*names, "all"], default="all")
    size = parser.add_mutually_exclusive_group()
    size.add_argument("--quick", action="store_true", help="3 shorter rounds")
    size.add_argument("--smoke", action="store_true", help="1 tiny round: does it all work?")
    parser.add_argument("--rounds", type=int, metavar="N", help="default 5")
    parser.add_argument(
        "--connections", type=int, default=64, metavar="C", help="or requests in flight (64)"
    )
    parser.add_argument(
        "--patience",
        type=float,
        metavar="S",
        help="seconds to wait, before each sample, for the machine to be quiet (10)",
    )
    parser.add_argument("--no-build", action="store_true", help="use the programs as they are")
    parser.add_argument("--out", type=Path, metavar="DIR", help="default bench/runs/DATE")
    arguments = parser.parse_args()
    if arguments.patience is None:
        arguments.patience = 0 if arguments.smoke else 10
    return arguments


def _measure(suite: Suite, effort: Effort, arguments: argparse.Namespace) -> Result:
    described = machine.describe()
    all_programs = suite.programs()
    measured = [program for program in all_programs if not program.missing]
    samples: dict[str, list[Sample]] = {program.name: [] for program in measured}
    disturbed = 0
    for number in range(effort.rounds):
        # Interleaved, and each round begins with another program: whatever changes on the machine
        # while this runs falls on all of them.
        start = number % len(measured)
        for program in measured[start:] + measured[:start]:
            if arguments.patience and not machine.wait_until_quiet(arguments.patience):
                disturbed += 1
            print(
                f"bench: {suite.name} {number + 1}/{effort.rounds}: {program.name}",
                file=sys.stderr,
                flush=True,
            )
            try:
                sample = suite.sample(program, effort, arguments.connections)
            except VoidRun as void:
                raise VoidRun(f"{program.name}: {void}") from None
            samples[program.name].append(sample)
    return Result(
        suite.name,
        suite.title,
        suite.columns,
        all_programs,
        samples,
        _settings(suite, effort, arguments.connections) | {"begun on a busy machine": disturbed},
        described,
        programs.versions(),
    )


def _settings(suite: Suite, effort: Effort, connections: int) -> dict[str, object]:
    if suite.name == "idle":
        return {"rounds": effort.rounds, "connections": effort.idle_connections}
    if suite.name == "client":
        size: dict[str, object] = {"requests": effort.requests}
    else:
        size = {"seconds": effort.seconds}
    return {"rounds": effort.rounds, "connections": connections} | size


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
    if arguments.quick:
        parts.append("quick")
    return "-".join(parts)

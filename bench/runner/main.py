"""Command line: takes samples in interleaved rounds and writes the tables."""

import argparse
import dataclasses
import datetime
import os
import resource
import sys
import time
from pathlib import Path

from . import costs, counts, machine, places, programs, targets
from .process import VoidRun
from .report import Cost, Result, Sample
from .suites import FULL, GROUPS, QUICK, SMOKE, SMOKE_TABLES, TABLES, Effort, Settings, Table

SPARE_DESCRIPTORS = 1500


def main() -> int:
    arguments = _arguments()
    if arguments.what == "targets":
        return targets.write(_out(arguments))
    if arguments.wrk and not places.system_program("wrk"):
        sys.exit("bench: wrk is not installed")
    if (os.cpu_count() or 1) < 2:
        sys.exit("bench: needs two cores, one for the measured process and one for the load")
    if not arguments.no_build:
        is_counts = arguments.what == "counts"
        places.build("counts" if is_counts else "smoke" if arguments.smoke else "all")
    if arguments.what == "counts":
        return counts.run(arguments.accept)
    effort = SMOKE if arguments.smoke else QUICK if arguments.quick else FULL
    if arguments.rounds:
        effort = dataclasses.replace(effort, rounds=arguments.rounds)
    settings = Settings(_within_descriptor_limit(effort), arguments.wrk)

    begun = time.monotonic()
    patience = machine.Patience(arguments.patience)
    for table in _chosen(arguments):
        try:
            result = _measure(table, settings, patience, arguments.smoke)
        except VoidRun as void:
            print(f"bench: {table.name}: VOID, nothing written: {void}", file=sys.stderr)
            return 1
        page = result.write(_out(arguments), table.name)
        print(page.read_text())
        print(f"bench: written to {page}\n", file=sys.stderr)
    print(f"bench: took {time.monotonic() - begun:.0f} s", file=sys.stderr)
    if arguments.what == "all" and not arguments.smoke:
        return targets.write(_out(arguments))
    return 0


def _arguments() -> argparse.Namespace:
    tables = [table.name for table in TABLES]
    parser = argparse.ArgumentParser(
        prog="./dev bench", description=__doc__, epilog="What is measured and why: bench/README.md"
    )
    parser.add_argument(
        "what",
        nargs="?",
        choices=[*dict.fromkeys([*GROUPS, *tables]), "all", "counts", "targets"],
        metavar="WHAT",
        default="all",
        help=f"a group ({', '.join(GROUPS)}) with all its tables; one table (--only "
        "where its group is called so too); all; counts (instructions); or targets: write "
        "docs/performance.md from a run",
    )
    parser.add_argument("--only", action="store_true", help="the table of that name, not its group")
    size = parser.add_mutually_exclusive_group()
    size.add_argument("--quick", action="store_true", help="3 shorter rounds")
    size.add_argument("--smoke", action="store_true", help="1 tiny round: does it all work?")
    parser.add_argument("--rounds", type=int, metavar="N", help="default 5")
    parser.add_argument(
        "--wrk", action="store_true", help="load servers and gateways with wrk where it can do it"
    )
    parser.add_argument(
        "--patience",
        type=float,
        default=60,
        metavar="S",
        help="seconds in all to wait for the machine to be quiet (60)",
    )
    parser.add_argument(
        "--accept", action="store_true", help="counts: what is counted now is expected from now on"
    )
    parser.add_argument("--no-build", action="store_true", help="use the programs as they are")
    parser.add_argument("--out", type=Path, metavar="DIR", help="default bench/runs/DATE")
    arguments = parser.parse_args()
    if arguments.smoke:
        arguments.patience = 0
    return arguments


def _chosen(arguments: argparse.Namespace) -> list[Table]:
    what = arguments.what
    if what == "all":
        return [t for t in TABLES if not arguments.smoke or t.name in SMOKE_TABLES]
    if what in GROUPS and not arguments.only:
        return [t for t in TABLES if t.group == what]
    return [t for t in TABLES if t.name == what]


def _measure(
    table: Table, settings: Settings, patience: machine.Patience, is_smoke: bool
) -> Result:
    described = machine.describe()
    all_programs = table.programs(table.work)
    measured = [program for program in all_programs if not program.missing]
    samples: dict[str, list[Sample]] = {program.name: [] for program in measured}
    rounds = settings.effort.rounds
    disturbed = 0
    for number in range(rounds):
        # Interleaved, and each round begins with another program: whatever changes on the machine
        # while this runs falls on all of them.
        start = number % len(measured)
        for program in measured[start:] + measured[:start]:
            disturbed += not patience.wait_until_quiet()
            _say(f"{table.name} {number + 1}/{rounds}: {program.name}")
            with _naming(program):
                samples[program.name].append(table.sample(table, program, settings))
    counted: dict[str, Cost] = {}
    if table.is_main:
        for program in measured:
            _say(f"{table.name}, counting: {program.name}")
            with _naming(program):
                counted[program.name] = costs.of(table, program, is_smoke)
    return Result(
        table.name,
        table.title,
        table.columns,
        all_programs,
        samples,
        _circumstances(table, settings) | {"begun on a busy machine": disturbed},
        described,
        programs.versions(),
        counted,
    )


class _naming:
    """A void run says whose it was."""

    def __init__(self, program: programs.Program):
        self._program = program

    def __enter__(self) -> None:
        pass

    def __exit__(self, _: object, error: BaseException | None, __: object) -> None:
        if isinstance(error, VoidRun):
            raise VoidRun(f"{self._program.name}: {error}") from None


def _say(what: str) -> None:
    print(f"bench: {what}", file=sys.stderr, flush=True)


def _circumstances(table: Table, settings: Settings) -> dict[str, object]:
    effort = settings.effort
    if table.group == "idle":
        return {"rounds": effort.rounds, "connections": effort.idle_connections}
    if table.group == "pool":
        return {"rounds": effort.rounds, "turns": effort.pool_turns}
    found = {"rounds": effort.rounds, "seconds": table.seconds(settings)}
    found |= {"connections": table.work.connections}
    if table.group != "client":
        found["load"] = "wrk" if settings.use_wrk or table.work.tls else "epoll"
    return found


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

"""Instructions and allocations of one exchange, counted by valgrind: the same on a busy machine.

Each case runs twice with different numbers of turns; the difference, divided, is one turn. The counts
are compared with those in counts/expected.json, which belong to one processor model (libc and memchr
choose their code by it) and one compiler: elsewhere they are shown and not judged.
"""

import json
import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from . import machine, programs
from .places import BENCH, cargo_program

EXPECTED = BENCH / "counts" / "expected.json"
FEW, MANY = 200, 1200
# Above this a case fails; as far below, and the expectation is due for an update.
TOLERANCE = 0.05


@dataclass(frozen=True)
class Count:
    instructions: float
    allocations: float


def run(accept: bool) -> int:
    if not shutil.which("valgrind"):
        print("bench: counts: valgrind is not installed, nothing is counted")
        return 0
    counted = {case: _count(case) for case in _cases()}
    here = {
        "processor": machine.describe()["processor"],
        "rustc": programs.versions()["rustc"],
    }
    if accept:
        EXPECTED.write_text(_as_json(here, counted))
        print(_table(counted, {}))
        print(f"bench: counts: written to {EXPECTED.relative_to(BENCH.parent)}")
        return 0
    expected = json.loads(EXPECTED.read_text())
    known = {case: Count(**count) for case, count in expected["cases"].items()}
    print(_table(counted, known))
    if expected["machine"] != here:
        print(f"bench: counts: expected on {expected['machine']}, this is {here}: not judged")
        return 0
    return _judge(counted, known)


def _judge(counted: dict[str, Count], known: dict[str, Count]) -> int:
    failed = False
    for case, count in counted.items():
        if case not in known:
            print(f"bench: counts: {case} has no expectation: bench/run counts --accept")
            failed = True
        elif count.instructions > known[case].instructions * (1 + TOLERANCE):
            print(f"bench: counts: {case} takes more instructions than expected")
            failed = True
        elif count.allocations > known[case].allocations + TOLERANCE:
            print(f"bench: counts: {case} allocates more often than expected")
            failed = True
        elif count.instructions < known[case].instructions * (1 - TOLERANCE):
            print(f"bench: counts: {case} has become faster: bench/run counts --accept")
    return 1 if failed else 0


def _cases() -> list[str]:
    done = subprocess.run([_program()], capture_output=True, text=True, check=False)
    found = re.search(r"cases: ([\w -]+)", done.stderr.replace("\\n", "\n"))
    if not found:
        raise RuntimeError(f"counts named no cases: {done.stderr}")
    return found[1].split()


def _count(case: str) -> Count:
    def each(tool: list[str], pattern: str) -> float:
        few, many = (_total(tool, pattern, case, turns) for turns in (FEW, MANY))
        return (many - few) / (MANY - FEW)

    callgrind = ["--tool=callgrind", "--callgrind-out-file=/dev/null"]
    return Count(
        each(callgrind, r"Collected : (\d+)"),
        # memcheck counts calls of the allocator; what it checks besides is not asked for.
        each(["--leak-check=no", "--undef-value-errors=no"], r"total heap usage: ([\d,]+) allocs"),
    )


def _total(tool: list[str], pattern: str, case: str, turns: int) -> int:
    argv = ["valgrind", *tool, _program(), case, str(turns)]
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    found = re.search(pattern, done.stderr)
    if done.returncode != 0 or not found:
        raise RuntimeError(f"{' '.join(argv)}: {done.stderr[-500:]}")
    return int(found[1].replace(",", ""))


def _program() -> str:
    return str(cargo_program("counts"))


def _as_json(here: dict[str, object], counted: dict[str, Count]) -> str:
    cases = {
        case: {
            "instructions": round(count.instructions),
            "allocations": round(count.allocations, 2),
        }
        for case, count in counted.items()
    }
    return json.dumps({"machine": here, "cases": cases}, indent=1) + "\n"


def _table(counted: dict[str, Count], known: dict[str, Count]) -> str:
    lines = ["| case | instructions | expected | allocations | expected |", "|---|--:|--:|--:|--:|"]
    for case, count in counted.items():
        was = known.get(case)
        cells = [f"{count.instructions:,.0f}", f"{was.instructions:,.0f}" if was else ""]
        cells += [f"{count.allocations:.1f}", f"{was.allocations:.1f}" if was else ""]
        lines.append(f"| {case} | " + " | ".join(cells) + " |")
    return "\n".join(lines)

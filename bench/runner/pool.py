"""The pool by itself: checkout and check-in, alone and contended, with few idle connections and many."""

from . import loads
from .places import cargo_program
from .process import MEASURED_CORE, run_to_end
from .programs import LIMIT, OURS, Program, built
from .report import Column, Sample
from .work import Work

COLUMNS = [Column("CPU ns/turn", "cpu_ns", 1), Column("turns/s", "rate", 0)]
# Threads, idle connections, and whether it is the bare stack.
CASES = {
    "limit: a stack under a lock": (1, 10, True),
    "keepline": (1, 10, False),
    "keepline, 100,000 idle": (1, 100_000, False),
    "keepline, 2 threads": (2, 64, False),
    "keepline, 8 threads": (8, 64, False),
    "keepline, 32 threads": (32, 64, False),
    "a stack under a lock, 8 threads": (8, 64, True),
}


def programs(_: Work) -> list[Program]:
    def argv(threads: int, idle: int, is_bare: bool) -> list[str]:
        found = [str(cargo_program("keepline-pool")), "--threads", str(threads)]
        return [*found, "--idle", str(idle), *(["--mutex"] if is_bare else [])]

    missing = built("keepline-pool")
    return [
        Program(name, LIMIT if case[2] else OURS, lambda _, case=case: argv(*case), missing)
        for name, case in CASES.items()
    ]


def sample(program: Program, turns: int) -> Sample:
    argv = [*program.argv(None), "-n", str(turns)]
    # Threads contend on all cores: that is what they are measured for.
    core = MEASURED_CORE if CASES[program.name][0] == 1 else None
    summary = loads.last_json(run_to_end(argv, core, timeout=60).stdout)
    return {"cpu_ns": summary["cpu_ns_each"], "rate": summary["turns"] / summary["seconds"]}

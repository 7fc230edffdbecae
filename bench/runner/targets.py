"""Holds the results of a run against the targets, and writes both into docs/performance.md.

What it writes lies between `<!-- bench NAME -->` and `<!-- bench end -->`; the rest of the page is
written by hand.
"""

import json
import operator
import re
import statistics
import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from .places import REPOSITORY
from .suites import GROUPS, TABLES

PAGE = REPOSITORY / "docs" / "performance.md"
# A connection that the load opens and closes is counted too, and what a program does once a second.
CALLS_SLACK = 0.1
WAITS = {"epoll_wait", "epoll_pwait", "epoll_pwait2"}
# What reaches the first idle connection is further away among many, though no further to go.
CONSTANT_TIME = 1.5

Run = dict[str, dict]


def shown(figure: float, digits: int) -> str:
    """Without a minus before a zero, which differences of counts may leave."""
    return f"{round(figure, digits) + 0.0:,.{digits}f}"


@dataclass(frozen=True)
class Check:
    """One figure against its bound; without a bound it is only stated."""

    figure: float
    unit: str
    holds: Callable[[float, float], bool] = operator.le
    bound: float | None = None
    digits: int = 2

    @property
    def is_met(self) -> bool:
        return self.bound is None or self.holds(round(self.figure, self.digits), self.bound)

    def __str__(self) -> str:
        text = f"{shown(self.figure, self.digits)} {self.unit}"
        return text if self.is_met else f"**{text}**"


@dataclass(frozen=True)
class Target:
    what: str
    wanted: str
    checks: Callable[[Run], list[Check]]
    command: str


def write(directory: Path) -> int:
    run = {path.stem: json.loads(path.read_text()) for path in sorted(directory.glob("*.json"))}
    if not run:
        print(f"bench: no results in {directory}", file=sys.stderr)
        return 1
    sections = {"targets": _targets(run), "circumstances": _circumstances(run, directory)}
    sections |= {group: _group(run, group) for group in GROUPS}
    (directory / "targets.md").write_text(f"# Targets\n\n{sections['targets']}\n")
    page = PAGE.read_text()
    for name, text in sections.items():
        if text:
            page = _replaced(page, name, text)
    PAGE.write_text(page)
    print(sections["targets"])
    print(f"bench: written to {PAGE.relative_to(REPOSITORY)}", file=sys.stderr)
    return 0


def _replaced(page: str, name: str, text: str) -> str:
    place = re.compile(rf"(<!-- bench {name} -->\n).*?(<!-- bench end -->)", re.DOTALL)
    if not place.search(page):
        print(f"bench: {PAGE.name} has no place for {name}", file=sys.stderr)
    return place.sub(lambda found: f"{found[1]}\n{text}\n\n{found[2]}", page)


def _targets(run: Run) -> str:
    lines = ["| what | target | measured | | again by |", "|---|---|---|---|---|"]
    for target in TARGETS:
        try:
            checks = target.checks(run)
        except KeyError as missing:
            lines.append(f"| {target.what} | {target.wanted} | not measured: {missing.args[0]} | | {target.command} |")
            continue
        verdict = "met" if all(check.is_met for check in checks) else "missed"
        measured = "; ".join(map(str, checks))
        lines.append(
            f"| {target.what} | {target.wanted} | {measured} | {verdict} | {target.command} |"
        )
    return "\n".join(lines)


def _circumstances(run: Run, directory: Path) -> str:
    first = next(iter(run.values()))
    busy = sum(table["settings"].get("begun on a busy machine", 0) for table in run.values())
    samples = sum(len(p["samples"]) for table in run.values() for p in table["programs"])
    machine = ", ".join(
        f"{key} {value}" for key, value in first["machine"].items() if key != "load before"
    )
    versions = ", ".join(f"{k} {v}" for k, v in first["versions"].items())
    return (
        f"Run of {directory.name}: {machine}. {versions}.\n"
        f"{samples} samples, {busy} of them begun while something else was running on the machine."
    )


def _group(run: Run, group: str) -> str:
    """The main table in full, and what the others come to."""
    tables = [table for table in TABLES if table.group == group and table.name in run]
    if not tables:
        return ""
    pages = [_in_full(run, table.name) for table in tables if table.is_main or group in ("idle", "pool")]
    others = [table for table in tables if not table.is_main and group not in ("idle", "pool")]
    if others:
        pages.append(_overview(run, [table.name for table in others]))
    return "\n\n".join(pages)


def _in_full(run: Run, name: str) -> str:
    table = run[name]
    columns = [c for c in table["columns"] if c["key"] not in ("busy", "waited")]
    has_costs = any(program["cost"] for program in table["programs"])
    titles = [_title(name), *(column["title"] for column in columns)]
    titles[2:2] = ["spread", "keepline ÷ it"]
    titles += ["system calls", "allocations"] if has_costs else []
    lines = ["| " + " | ".join(titles) + " |", "|---" + "|--:" * (len(titles) - 1) + "|"]
    for program in table["programs"]:
        if program["missing"]:
            lines.append(f"| {program['name']} | not measured: {program['missing']} |")
            continue
        cells = [_median_text(program, column) for column in columns]
        first = columns[0]
        values = [sample[first["key"]] for sample in program["samples"]]
        spread = f"{min(values):,.{first['digits']}f} – {max(values):,.{first['digits']}f}"
        cells[1:1] = [spread, _compared(run, name, program["name"])]
        if has_costs:
            cost = program["cost"] or {}
            calls, allocations = cost.get("calls"), cost.get("allocations")
            cells.append("" if calls is None else f"{sum(calls.values()):.2f}")
            cells.append("" if allocations is None else shown(allocations, 2))
        name_of = f"**{program['name']}**" if program["role"] == "keepline" else program["name"]
        lines.append(f"| {name_of} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _compared(run: Run, table: str, name: str) -> str:
    try:
        return f"{ratio(run, table, 'keepline', name):.2f}"
    except KeyError:
        return ""


def _median_text(program: dict, column: dict) -> str:
    values = [s[column["key"]] for s in program["samples"] if column["key"] in s]
    return f"{statistics.median(values):,.{column['digits']}f}" if values else ""


def _overview(run: Run, names: list[str]) -> str:
    """CPU time of each program at each work; a program that cannot do it has no figure."""
    programs = dict.fromkeys(
        program["name"]
        for name in names
        for program in run[name]["programs"]
        if not program["missing"] and not program["name"].startswith("floor")
    )
    lines = [
        "| CPU µs/request | " + " | ".join(programs) + " |",
        "|---" + "|--:" * len(programs) + "|",
    ]
    for name in names:
        cells = []
        for program in programs:
            try:
                cells.append(f"{median(run, name, program, 'cpu_us'):,.2f}")
            except KeyError:
                cells.append("")
        lines.append(f"| {_title(name)} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _title(name: str) -> str:
    title = next(table.title for table in TABLES if table.name == name)
    return title.split(", ", 1)[-1]


def _program(run: Run, table: str, name: str) -> dict:
    if table not in run:
        raise KeyError(table)
    found = next((p for p in run[table]["programs"] if p["name"] == name), None)
    if not found or not found["samples"]:
        raise KeyError(f"{name} in {table}")
    return found


def _values(run: Run, table: str, name: str, key: str | None) -> list[float]:
    program = _program(run, table, name)
    key = key or run[table]["columns"][0]["key"]
    return [sample[key] for sample in program["samples"]]


def median(run: Run, table: str, name: str, key: str | None = None) -> float:
    return statistics.median(_values(run, table, name, key))


def ratio(run: Run, table: str, ours: str, theirs: str, key: str | None = None) -> float:
    """Round by round, as in the tables."""
    pairs = zip(_values(run, table, ours, key), _values(run, table, theirs, key), strict=True)
    ratios = [ours / theirs for ours, theirs in pairs if theirs > 0]
    return statistics.median(ratios) if ratios else float("nan")


def _against(table: str, bounds: Iterable[tuple[str, str, float]], ours: str = "keepline"):
    """Our first figure over that of others: at most these, or below where it is 1."""
    return lambda run: [
        Check(
            ratio(run, table, ours, name),
            f"× {short}",
            operator.lt if bound == 1 else operator.le,
            bound,
        )
        for name, short, bound in bounds
    ]


def _throughput(run: Run) -> list[Check]:
    return [
        Check(
            ratio(run, "gateway-1m", "keepline", name, "mib_per_second"),
            f"× {name}",
            operator.ge,
            1,
        )
        for name in ("nginx", "HAProxy", "HAProxy, splice")
    ]


def _pipelined(run: Run) -> list[Check]:
    others = ("keepline", "hyper-util legacy", "reqwest", "Go net/http")
    best = min(others, key=lambda name: median(run, "client", name))
    gain = ratio(run, "client", best, "keepline, 16 pipelined")
    return [Check(gain, f"× the best, {best}", operator.ge, 5)]


def _checkout(run: Run) -> list[Check]:
    alone = median(run, "pool", "keepline")
    found = [Check(alone, "ns", bound=150, digits=0)]
    for threads, bound in ((2, None), (8, 4), (32, None)):
        contended = ratio(run, "pool", f"keepline, {threads} threads", "keepline")
        found.append(Check(contended, f"× with {threads} threads", bound=bound))
    many = ratio(run, "pool", "keepline, 100,000 idle", "keepline")
    return [*found, Check(many, "× with 100,000 idle", bound=CONSTANT_TIME)]


def _idle(run: Run) -> list[Check]:
    return [
        Check(median(run, "idle", "keepline serve"), "bytes, `keepline serve`", bound=1536, digits=0),
        Check(median(run, "idle", "keepline"), "bytes, server, typed API", bound=1536, digits=0),
        Check(median(run, "idle-client", "keepline"), "bytes, client", bound=1536, digits=0),
    ]


def _cost(run: Run, table: str, name: str = "keepline") -> dict:
    cost = _program(run, table, name)["cost"]
    if not cost or cost["calls"] is None or cost["allocations"] is None:
        raise KeyError(f"costs in {table}")
    return cost


def _allocations(run: Run) -> list[Check]:
    return [
        Check(_cost(run, "gateway")["allocations"], "gateway", bound=0, digits=1),
        Check(_cost(run, "server", "keepline serve")["allocations"], "`keepline serve`", digits=1),
        Check(_cost(run, "server")["allocations"], "server, typed API", digits=1),
        Check(_cost(run, "client")["allocations"], "client, typed API", digits=1),
    ]


def _calls(run: Run) -> list[Check]:
    found = []
    for table, bound in (("server", 2), ("gateway", 4), ("client", 2)):
        calls = _cost(run, table)["calls"]
        own = sum(count for name, count in calls.items() if name not in WAITS)
        found.append(Check(own, table, bound=bound + CALLS_SLACK))
    return found


def _growth(run: Run) -> list[Check]:
    found = []
    for group in ("server", "gateway"):
        many = median(run, f"{group}-1000c", "keepline") / median(run, group, "keepline")
        found.append(Check(many, f"× {group}", bound=1.15))
        limit = next(p["name"] for p in run[group]["programs"] if p["role"] == "limit")
        least = median(run, f"{group}-1000c", limit) / median(run, group, limit)
        found.append(Check(least, "× bare" if group == "server" else "× bare relay"))
    memory = [median(run, name, "keepline", "mib") for name in ("server", "server-1000c")]
    each = (memory[1] - memory[0]) * 1024 / (1000 - 64)
    return [*found, Check(each, "KiB for each more connection of the server, busy", digits=1)]


def _command(name: str) -> str:
    return f"`./dev bench {name}`"


# The binary stands for the server as users start it; the typed API for a service made with the library,
# which is what hyper's is.
BOTH_SERVERS = (("`keepline serve`", "keepline serve"), ("typed API", "keepline"))

TARGETS = [
    *(
        Target(
            f"server, 13 bytes, 64 connections: {kind}",
            "≤ 1.10 × bare epoll, below hyper and nginx",
            _against(
                "server",
                [("limit: bare epoll", "bare epoll", 1.1), ("hyper", "hyper", 1), ("nginx", "nginx", 1)],
                name,
            ),
            _command("server"),
        )
        for kind, name in BOTH_SERVERS
    ),
    *(
        Target(
            f"server, 16 pipelined: {kind}",
            "≤ 1.5 × bare epoll, below hyper",
            _against(
                "pipeline",
                [
                    ("limit: bare epoll", "bare epoll", 1.5),
                    ("hyper", "hyper", 1),
                    ("hyper, pipeline_flush", "hyper with pipeline_flush", 1),
                ],
                name,
            ),
            _command("pipeline"),
        )
        for kind, name in BOTH_SERVERS
    ),
    Target(
        "gateway, 13 bytes, 64 connections",
        "≤ 1.20 × bare relay, below HAProxy, ≤ 0.6 × nginx and Pingora",
        _against(
            "gateway",
            [
                ("limit: bare relay", "bare relay", 1.2),
                ("HAProxy", "HAProxy", 1),
                ("nginx", "nginx", 0.6),
                ("Pingora", "Pingora", 0.6),
            ],
        ),
        _command("gateway"),
    ),
    Target(
        "gateway, answers of 1 MiB, throughput",
        "≥ nginx and HAProxy",
        _throughput,
        _command("gateway-1m"),
    ),
    Target(
        "client, 64 in flight",
        "≤ 0.80 × hyper-util, ≤ 0.60 × reqwest, ≤ 0.35 × Go",
        _against(
            "client",
            [
                ("hyper-util legacy", "hyper-util", 0.8),
                ("reqwest", "reqwest", 0.6),
                ("Go net/http", "Go", 0.35),
            ],
        ),
        _command("client"),
    ),
    Target(
        "client, 16 pipelined: requests per CPU second",
        "≥ 5 × the best client without",
        _pipelined,
        _command("client"),
    ),
    Target(
        "checkout and check-in",
        "≤ 150 ns alone, ≤ 4 × that with 8 threads, as fast with 100,000 idle as with 10",
        _checkout,
        _command("pool"),
    ),
    Target("idle connection", "≤ 1.5 KiB (1,536 bytes) resident", _idle, _command("idle")),
    Target(
        "allocations a request",
        "gateway 0; server and client with the typed API stated",
        _allocations,
        _command("gateway"),
    ),
    Target(
        "system calls a request, without epoll waits",
        "server 2, gateway 4, client 2",
        _calls,
        _command("gateway"),
    ),
    Target(
        "server, TLS 1.3",
        "≤ hyper with rustls",
        lambda run: [Check(ratio(run, "server-tls", "keepline", "hyper"), "× hyper", bound=1)],
        _command("server-tls"),
    ),
    Target(
        "CPU at 1,000 connections against 64",
        "≤ 1.15 ×; memory linear",
        _growth,
        "`./dev bench server` and `gateway`",
    ),
]

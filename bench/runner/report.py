"""Medians, ratios, the Markdown table and the raw data."""

import json
import statistics
from dataclasses import asdict, dataclass, field
from pathlib import Path

from .programs import LIMIT, OURS, Program

Sample = dict[str, float]


@dataclass(frozen=True)
class Column:
    title: str
    key: str
    digits: int

    def show(self, value: float) -> str:
        return f"{value:,.{self.digits}f}"


@dataclass(frozen=True)
class Cost:
    """Of one request, counted once: None where it could not be."""

    calls: dict[str, float] | None
    allocations: float | None

    def show_calls(self) -> str:
        return "" if self.calls is None else f"{sum(self.calls.values()):.2f}"

    def show_allocations(self) -> str:
        return "" if self.allocations is None else f"{self.allocations:.2f}"


@dataclass(frozen=True)
class Result:
    """Samples of one suite: those of a round lie at the same index."""

    name: str
    title: str
    columns: list[Column]
    programs: list[Program]
    samples: dict[str, list[Sample]]
    settings: dict[str, object]
    machine: dict[str, object]
    versions: dict[str, str]
    # By program; of the tables that targets rest on.
    costs: dict[str, Cost] = field(default_factory=dict)

    def markdown(self) -> str:
        first = self.columns[0]
        against_us = self._measured(OURS)
        titles = ["program", first.title, "min – max", "× limit"]
        titles += ["keepline ÷ it"] if against_us else []
        titles += [column.title for column in self.columns[1:]]
        titles += ["system calls", "allocations"] if self.costs else []
        rows = [self._row(program, against_us) for program in self.programs]
        lines = [f"# {self.title}", "", self._circumstances(), ""]
        lines += ["| " + " | ".join(titles) + " |", "|---" + "|--:" * (len(titles) - 1) + "|"]
        lines += ["| " + " | ".join(row + [""] * (len(titles) - len(row))) + " |" for row in rows]
        lines += [
            "",
            "Medians over the rounds; ratios are medians of the ratios within each round.",
            "Versions: " + ", ".join(f"{k} {v}" for k, v in self.versions.items()) + ".",
        ]
        return "\n".join(lines) + "\n"

    def raw(self) -> str:
        data = {
            "table": self.name,
            "settings": self.settings,
            "machine": self.machine,
            "versions": self.versions,
            "columns": [asdict(column) for column in self.columns],
            "programs": [
                {
                    "name": program.name,
                    "role": program.role,
                    "missing": program.missing,
                    "samples": self.samples.get(program.name, []),
                    "cost": self._raw_cost(program),
                }
                for program in self.programs
            ],
        }
        return json.dumps(data, indent=1) + "\n"

    def write(self, directory: Path, name: str) -> Path:
        directory.mkdir(parents=True, exist_ok=True)
        (directory / f"{name}.json").write_text(self.raw())
        page = directory / f"{name}.md"
        page.write_text(self.markdown())
        return page

    def _row(self, program: Program, against_us: Program | None) -> list[str]:
        if program.missing:
            return [program.name, f"not available: {program.missing}"]
        first = self.columns[0]
        values = [sample[first.key] for sample in self.samples[program.name]]
        row = [
            program.name,
            first.show(statistics.median(values)),
            f"{first.show(min(values))} – {first.show(max(values))}",
            self._ratio(program, self._measured(LIMIT)),
        ]
        if against_us:
            row.append(self._ratio(against_us, program))
        for column in self.columns[1:]:
            # keepline bench, for one, tells no p99.9.
            values = [s[column.key] for s in self.samples[program.name] if column.key in s]
            row.append(column.show(statistics.median(values)) if values else "")
        if cost := self.costs.get(program.name):
            row += [cost.show_calls(), cost.show_allocations()]
        return row

    def _raw_cost(self, program: Program) -> dict | None:
        cost = self.costs.get(program.name)
        return asdict(cost) if cost else None

    def _ratio(self, program: Program, reference: Program | None) -> str:
        """Round by round: both were measured within seconds, so a slow machine cancels out."""
        if reference is None:
            return ""
        key = self.columns[0].key
        pairs = zip(self.samples[program.name], self.samples[reference.name], strict=True)
        ratios = [ours[key] / theirs[key] for ours, theirs in pairs if theirs[key] > 0]
        return f"{statistics.median(ratios):.2f}" if ratios else ""

    def _measured(self, role: str) -> Program | None:
        """The first of its role is the one that others are compared with."""
        return next((p for p in self.programs if p.role == role and not p.missing), None)

    def _circumstances(self) -> str:
        settings = ", ".join(f"{key}: {value}" for key, value in self.settings.items())
        machine = ", ".join(f"{key}: {value}" for key, value in self.machine.items())
        return f"Settings: {settings}.\nMachine: {machine}."

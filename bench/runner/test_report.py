"""python3 -m unittest discover bench"""

import unittest

from .programs import LIMIT, OURS, PEER, Program
from .report import Column, Result


def result(samples: dict[str, list[float]], missing: str | None = None) -> Result:
    roles = {"limit": LIMIT, "keepline": OURS, "peer": PEER}
    return Result(
        name="server",
        title="Server",
        columns=[Column("CPU", "cpu_us", 1), Column("rate", "rate", 0)],
        programs=[
            Program(name, role, lambda: [], missing if name == "keepline" else None)
            for name, role in roles.items()
        ],
        samples={
            name: [{"cpu_us": value, "rate": 1000} for value in values]
            for name, values in samples.items()
        },
        settings={},
        machine={},
        versions={},
    )


def row(markdown: str, program: str) -> list[str]:
    line = next(line for line in markdown.splitlines() if line.startswith(f"| {program} "))
    return [cell.strip() for cell in line.strip("|").split("|")]


class Report(unittest.TestCase):
    def test_ratios_are_taken_within_a_round(self) -> None:
        # The machine was twice as slow in the second round: no ratio changes.
        page = result({"limit": [4, 8, 4], "keepline": [5, 10, 5], "peer": [10, 20, 10]}).markdown()
        self.assertEqual(row(page, "keepline")[1:5], ["5.0", "5.0 – 10.0", "1.25", "1.00"])
        self.assertEqual(row(page, "peer")[3:5], ["2.50", "0.50"])

    def test_what_is_missing_is_said_and_the_others_are_shown(self) -> None:
        page = result({"limit": [4], "peer": [8]}, missing="no binary").markdown()
        self.assertEqual(row(page, "keepline")[1], "not available: no binary")
        self.assertEqual(row(page, "peer")[3], "2.00")
        self.assertNotIn("keepline ÷ it", page)


if __name__ == "__main__":
    unittest.main()

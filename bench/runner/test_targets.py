"""python3 -m unittest discover bench"""

import operator
import unittest

from . import targets
from .targets import Check, Target


def run(**figures: list[float]) -> targets.Run:
    programs = [
        {"name": name, "role": "peer", "missing": None, "samples": [{"cpu_us": x} for x in values], "cost": None}
        for name, values in figures.items()
    ]
    columns = [{"title": "CPU", "key": "cpu_us", "digits": 2}]
    return {"server": {"columns": columns, "programs": programs}}


class Targets(unittest.TestCase):
    def test_a_figure_meets_its_bound_as_it_is_shown(self) -> None:
        self.assertTrue(Check(1.104, "×", bound=1.1).is_met)
        self.assertFalse(Check(1.106, "×", bound=1.1).is_met)
        self.assertFalse(Check(1.0, "×", operator.lt, 1).is_met)
        self.assertEqual(str(Check(1.2, "× hyper", bound=1.1)), "**1.20 × hyper**")
        self.assertTrue(Check(7, "stated").is_met)

    def test_ratios_are_those_of_each_round(self) -> None:
        self.assertEqual(targets.ratio(run(keepline=[5, 20, 5], hyper=[10, 20, 10]), "server", "keepline", "hyper"), 0.5)

    def test_what_was_not_measured_is_said_and_not_met(self) -> None:
        wanted = Target("a", "≤ 1", lambda found: [Check(targets.ratio(found, "server", "keepline", "nginx"), "×")], "`x`")
        known, targets.TARGETS = targets.TARGETS, [wanted]
        self.addCleanup(setattr, targets, "TARGETS", known)
        page = targets._targets(run(keepline=[1]))
        self.assertIn("not measured: nginx in server", page)
        self.assertNotIn("met |", page)

    def test_only_what_lies_between_the_marks_is_replaced(self) -> None:
        page = "a\n<!-- bench x -->\nold\n<!-- bench end -->\nb\n<!-- bench y -->\n<!-- bench end -->\n"
        expected = page.replace("old", "\nnew\n")
        self.assertEqual(targets._replaced(page, "x", "new"), expected)


if __name__ == "__main__":
    unittest.main()

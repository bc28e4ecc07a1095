"""A comparison and a configuration to verdicts: what passes, what fails, and why, in words."""

from __future__ import annotations

import fnmatch
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date
from typing import Literal

from evalkit.compare import Comparison, Unit
from evalkit.errors import UsageError
from evalkit.gateconfig import Expected, GateConfig
from evalkit.stats import equivalent
from evalkit.terminal import percent

Verdict = Literal[
    "improved", "same", "inconclusive", "warn", "regressed", "new_failure", "missing", "incomparable", "expected"
]
Answer = Literal["passed", "failed", "not comparable"]
ORDER: tuple[Verdict, ...] = (
    *("regressed", "new_failure", "missing", "incomparable", "expected", "warn"),
    *("inconclusive", "improved", "same"),
)
"""From what matters most to what matters least."""


@dataclass(frozen=True)
class Judged:
    """A unit and what was found about it.

    Attributes:
        unit: the task, group or suite.
        verdict: in one word.
        fails: whether it stops the gate.
        blocks: whether it leaves the gate without an answer.
        why: the verdict in a sentence.
    """

    unit: Unit
    verdict: Verdict
    fails: bool
    blocks: bool
    why: str


@dataclass(frozen=True)
class Gate:
    """What a gate says.

    Attributes:
        comparison: that it judged.
        config: by which.
        judged: one a unit, in the comparison's order.
    """

    comparison: Comparison
    config: GateConfig
    judged: tuple[Judged, ...]

    @property
    def failures(self) -> tuple[Judged, ...]:
        """What stops the gate."""
        return tuple(one for one in self.judged if one.fails)

    @property
    def blocked(self) -> tuple[Judged, ...]:
        """What leaves it without an answer."""
        return tuple(one for one in self.judged if one.blocks)

    @property
    def exit_code(self) -> Literal[0, 1, 3]:
        """0 passes, 1 fails, 3 where nothing fails but something could not be compared."""
        return 1 if self.failures else 3 if self.blocked else 0

    @property
    def answer(self) -> Answer:
        """In words."""
        return "failed" if self.failures else "not comparable" if self.blocked else "passed"


def judge(comparison: Comparison, config: GateConfig, *, today: date) -> Gate:
    """Verdicts of all units.

    Args:
        comparison: of level ``config.alpha``.
        config: what matters.
        today: the day that expected regressions are held against.

    Raises:
        UsageError: a floor or an expected regression whose scope chooses nothing.
    """
    floors: dict[str, float] = {}
    for number, limit in enumerate(config.limit):
        for name in _chosen(limit.scope, comparison.units, f"limit.{number}.scope"):
            floors[name] = max(limit.min, floors.get(name, 0))
    known: dict[str, Expected] = {}
    for number, one in enumerate(config.expected):
        known |= dict.fromkeys(_chosen(one.scope, comparison.units, f"expected.{number}.scope"), one)
    judged = []
    for unit in comparison.units:
        found = _floor(_judge(unit, config, comparison.alpha), floors.get(unit.name))
        judged.append(_expected(found, known[unit.name], today) if unit.name in known else found)
    return Gate(comparison, config, tuple(judged))


def _chosen(scope: str, units: Sequence[Unit], place: str) -> list[str]:
    """The names of the units that a scope chooses: one of its own name, else the tasks that its glob fits."""
    found = [unit.name for unit in units if unit.name == scope]
    found = found or [unit.name for unit in units if unit.level == "task" and fnmatch.fnmatchcase(unit.name, scope)]
    if not found:
        raise UsageError(
            f"{place}: {scope!r} is no suite, group or task of this comparison; there are "
            f"{', '.join(unit.name for unit in units)}"
        )
    return found


def _judge(unit: Unit, config: GateConfig, alpha: float) -> Judged:
    why = "; ".join(unit.why)
    if unit.status == "missing":
        return Judged(unit, "missing", not config.allow_missing, False, why)
    if unit.status == "failed":
        return Judged(unit, "new_failure", True, False, why)
    if unit.status == "incomparable" or unit.delta is None:
        return Judged(unit, "incomparable", False, not config.allow_incomparable, why)
    verdict, why = _difference(unit, unit.delta, config.effect(unit.level), alpha)
    return Judged(unit, verdict, verdict == "regressed" and unit.level in config.fail_on, False, why)


def _difference(unit: Unit, delta: float, effect: float, alpha: float) -> tuple[Verdict, str]:
    """The verdict of a difference by size and significance, and the verdict in words."""
    # A drop of 2 in 100 queries is one of 0.02, whatever the last bit of the subtraction.
    down, up = delta <= -effect + 1e-12, delta >= effect - 1e-12
    points = f"{100 * delta:+.2f} points"
    size = f"{100 * effect:g} points"
    if unit.paired is None:
        if down or up:
            return ("regressed" if down else "improved"), f"{points}, {size} or more; there are no samples to test it"
        return "same", f"{points}, less than {size}; there are no samples to test it"
    paired = unit.paired
    chance = f"p {paired.p_holm:.2g} for the family, {paired.p_value:.2g} alone"
    if paired.p_holm < alpha and (down or up):
        return ("regressed" if down else "improved"), f"{points}, {size} or more, {chance}"
    if paired.unchanged:
        return "same", "no query has another score"
    if equivalent(paired.narrow, effect):
        return "same", f"{points}, shown to be less than {size}"
    if down and paired.p_value < alpha:
        return "warn", f"{points}, {size} or more, but not significant among all tests: {chance}"
    if delta < 0 and paired.p_holm < alpha:
        return "warn", f"{points}, significant but less than {size}: {chance}"
    seen = (
        "" if paired.smallest is None else f"; a difference of {100 * paired.smallest:.1f} points would have been seen"
    )
    return "inconclusive", f"{points}, {chance}{seen}"


def _floor(found: Judged, floor: float | None) -> Judged:
    if floor is None or found.unit.new is None or found.unit.new >= floor:
        return found
    below = f"{percent(found.unit.new)} % is below the floor of {percent(floor)} %"
    why = f"{below}; {found.why}" if found.why else below
    if found.verdict in ("missing", "new_failure"):
        return replace(found, fails=True, why=why)
    return replace(found, verdict="regressed", fails=True, blocks=False, why=why)


def _expected(found: Judged, known: Expected, today: date) -> Judged:
    listed = f"expected until {known.expires}: {known.reason}"
    if found.blocks:
        return found
    if not found.fails:
        return replace(
            found,
            fails=True,
            why=f"it is listed as expected to fail but does not: take it off the list ({listed}); {found.why}",
        )
    if today > known.expires:
        return replace(found, why=f"{found.why}; it was {listed}")
    return replace(found, verdict="expected", fails=False, why=f"{listed}; {found.why}")

"""A comparison and a configuration to verdicts: what passes, what fails, and why, in words."""

from __future__ import annotations

import fnmatch
from dataclasses import dataclass, replace
from datetime import date
from typing import Literal

from evalkit.errors import UsageError
from evalkit.regression.comparand import Number
from evalkit.regression.config import Expected, GateConfig
from evalkit.regression.units import Comparison, Unit
from evalkit.scoring.paired import equivalent
from evalkit.suites.selecting import all_cards
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
        judged: one a unit, in the comparison's order; then tasks that the base has no number of and that are not above
            a floor.
        notes: what a reader should know of the whole.
    """

    comparison: Comparison
    config: GateConfig
    judged: tuple[Judged, ...]
    notes: tuple[str, ...] = ()

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
        """0 passes, 1 fails, 3 where nothing fails but something could not be compared, or nothing was."""
        codes: dict[Answer, Literal[0, 1, 3]] = {"passed": 0, "failed": 1, "not comparable": 3}
        return codes[self.answer]

    @property
    def answer(self) -> Answer:
        """In words."""
        if self.failures:
            return "failed"
        return "passed" if self.comparison.compared and not self.blocked else "not comparable"


def judge(comparison: Comparison, config: GateConfig, *, today: date) -> Gate:
    """Verdicts of all units.

    Args:
        comparison: of level ``config.alpha``.
        config: what matters.
        today: the day that expected regressions are held against.

    Raises:
        UsageError: a floor or an expected regression whose scope is nothing that there is.
    """
    names = _Names(comparison)
    floors: dict[str, float] = {}
    for number, limit in enumerate(config.limit):
        for name in names.chosen(limit.scope, f"limit.{number}.scope"):
            floors[name] = max(limit.min, floors.get(name, 0))
    known: dict[str, Expected] = {}
    for number, one in enumerate(config.expected):
        known |= dict.fromkeys(names.chosen(one.scope, f"expected.{number}.scope"), one)
    judged = [_floor(_judge(unit, config, comparison.alpha), floors.get(unit.name)) for unit in comparison.units] + [
        found
        for name, why in comparison.unjudged.items()
        if name in floors and (found := _unjudged(comparison.new.numbers.get(name), why, floors[name])) is not None
    ]
    judged = [
        _expected(found, known[found.unit.name], today) if found.unit.name in known else found for found in judged
    ]
    notes = [*comparison.notes, *names.notes]
    if not comparison.compared and not any(one.fails for one in judged):
        notes.append("nothing was compared: no task has a number on both sides that can be held against the other")
    return Gate(comparison, config, tuple(judged), tuple(notes))


class _Names:
    """What a scope can choose, and a note for each one that chooses nothing of this comparison."""

    def __init__(self, comparison: Comparison) -> None:
        numbers = [*comparison.base.numbers.values(), *comparison.new.numbers.values()]
        self._tasks = {one.task for one in numbers} | {card.name for card in all_cards()}
        self._groups = {group for one in numbers for group in one.groups}
        self._groups |= {group for card in all_cards() for group in card.groups}
        self._here = dict.fromkeys([*(unit.name for unit in comparison.units), *comparison.unjudged])
        self.notes: list[str] = []

    def chosen(self, scope: str, place: str) -> list[str]:
        """The tasks, groups and suites of a scope: one of its own name, else the tasks that its glob fits."""
        found = [name for name in self._tasks | self._groups if name == scope]
        found = found or [name for name in self._tasks if fnmatch.fnmatchcase(name, scope)]
        if not found:
            raise UsageError(
                f"{place}: {scope!r} is no suite, group or task; there are {', '.join(self._here)}, and those of "
                "evalkit tasks"
            )
        here = [name for name in found if name in self._here]
        if not here:
            self.notes.append(
                f"{place}: {scope} is not among what was compared here (a mean takes two tasks), so it says nothing"
            )
        return here


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
    if unit.paired is None and unit.why:
        return "inconclusive", f"{points}; {'; '.join(unit.why)}"
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
    if equivalent(paired.equivalence_interval, effect):
        return "same", f"{points}, shown to be less than {size}"
    if down and paired.p_value < alpha:
        return "warn", f"{points}, {size} or more, but not significant among all tests: {chance}"
    if delta < 0 and paired.p_holm < alpha:
        return "warn", f"{points}, significant but less than {size}: {chance}"
    smallest = paired.smallest_difference
    seen = "" if smallest is None else f"; a difference of {100 * smallest:.1f} points would have been seen"
    return "inconclusive", f"{points}, {chance}{seen}"


def _floor(found: Judged, floor: float | None) -> Judged:
    if floor is None or found.unit.new is None or found.unit.new >= floor:
        return found
    below = _below(found.unit.new, floor)
    why = f"{below}; {found.why}" if found.why else below
    if found.verdict in ("missing", "new_failure"):
        return replace(found, fails=True, why=why)
    return replace(found, verdict="regressed", fails=True, blocks=False, why=why)


def _below(value: float, floor: float) -> str:
    return f"{percent(value)} % is below the floor of {percent(floor)} %"


def _unjudged(new: Number | None, why: str, floor: float) -> Judged | None:
    """A task that the base has no number of, where it is not above its floor: that asks nothing of the base."""
    if new is None or (new.value is not None and new.value >= floor):
        return None
    unit = Unit(new.task, "task", new.groups, "incomparable", None, new.value, (new.task,), why=(why,))
    if new.value is None:
        said = f"{new.failure or 'it failed'}; there is no number for the floor of {percent(floor)} %"
        return Judged(unit, "new_failure", True, False, f"{said}; {why}")
    return Judged(unit, "regressed", True, False, f"{_below(new.value, floor)}; {why}")


def _expected(found: Judged, known: Expected, today: date) -> Judged:
    listed = f"expected until {known.expires}: {known.reason}"
    if found.verdict in ("incomparable", "missing") and not found.fails:
        return found  # whether it still regresses cannot be said
    if found.verdict != "regressed" and not found.fails:
        return replace(
            found,
            fails=True,
            why=f"it is listed as expected to fail but does not: take it off the list ({listed}); {found.why}",
        )
    if today > known.expires:
        return replace(found, why=f"{found.why}; it was {listed}")
    return replace(found, verdict="expected", fails=False, why=f"{listed}; {found.why}")

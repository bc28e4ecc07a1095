"""What a comparison is made of: tasks, groups and suites, and what their samples say of each."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from evalkit.regression.comparand import Comparand
from evalkit.regression.config import Level
from evalkit.written import Unwritten, written

Interval = tuple[float, float] | None
Status = Literal["compared", "incomparable", "failed", "missing"]


@written()
class Paired:
    """What the samples say of a difference."""

    # Fractions, of ``new`` less ``base``.
    n: int
    """Queries."""
    won: int
    """Queries that the new one scores higher on."""
    lost: int
    """Queries that it scores lower on."""
    clusters: int | None
    """Images, where several queries share one."""
    method: str
    """Of the test: mcnemar-midp or sign-flip."""
    interval: Interval
    """Of the difference, of level 1 - alpha; null where nothing is known of the spread."""
    equivalence_interval: Interval
    """Of level 1 - 2 alpha: inside the margin, the two are shown to be the same."""
    error: Unwritten[float | None]
    """Standard error; null where nothing is known of the spread."""
    p_value: float
    """Two-sided, of this difference alone."""
    p_holm: float = 1.0
    """Adjusted for the whole family of tests: what the gate goes by."""
    q_value: float = 1.0
    """Benjamini and Hochberg's, for exploring."""
    smallest_difference: float | None = None
    """What would have been found with 80 % power."""

    @property
    def unchanged(self) -> bool:
        """No query has another score."""
        return self.won == self.lost == 0


@dataclass(frozen=True)
class Unit:
    """A task, a group or a suite, on both comparands.

    Attributes:
        name: the task's, or the group's selector.
        level: what it is.
        groups: that a task belongs to, an own task to none; of a group its own name.
        status: whether it could be compared.
        base: Precision@1 of the base, or its mean over :attr:`tasks`; ``None`` where there is none.
        new: the same of the new one.
        tasks: that it is made of: those that could be compared.
        of: how many tasks the suite or group has; 1 for a task.
        why: what keeps it from being compared; or, where it is compared and has samples, from being tested.
        notes: what a reader should know.
        paired: what the samples say; ``None`` where there are none, and size alone is left.
    """

    name: str
    level: Level
    groups: tuple[str, ...]
    status: Status
    base: float | None
    new: float | None
    tasks: tuple[str, ...]
    of: int = 1
    why: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    paired: Paired | None = None

    @property
    def delta(self) -> float | None:
        """``new`` less ``base`` where they can be compared."""
        if self.status != "compared" or self.base is None or self.new is None:
            return None
        return self.new - self.base


@dataclass(frozen=True)
class Comparison:
    """Two comparands, unit by unit.

    Attributes:
        base: what is held against.
        new: what is looked at.
        units: suites first, then groups, then tasks.
        alpha: level of the whole family.
        family: how many tests are in it.
        seed: of permutations and resamples.
        unjudged: tasks that the base has no number of, with the reason.
        facts: what differs between the two and does not matter for comparing: embedder, versions, device.
        notes: what a reader should know of the whole.
    """

    base: Comparand
    new: Comparand
    units: tuple[Unit, ...]
    alpha: float
    family: int
    seed: int
    unjudged: Mapping[str, str]
    facts: Mapping[str, tuple[str, str]]
    notes: tuple[str, ...]

    @property
    def compared(self) -> bool:
        """Whether any task could be compared: without one there is nothing to say yes or no to."""
        return any(unit.delta is not None for unit in self.units)

    @property
    def mode(self) -> Literal["paired", "threshold", "mixed"]:
        """Whether differences are judged by their samples, by size alone where there are none, or some so, some so."""
        tasks = [unit for unit in self.units if unit.level == "task" and unit.delta is not None]
        kinds = {unit.paired is not None for unit in tasks}
        return "mixed" if len(kinds) > 1 else "threshold" if kinds == {False} else "paired"

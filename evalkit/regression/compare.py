"""Two runs to one comparison: what can be compared, by how much they differ, and how sure that is.

What is compared is a task, a group (the unweighted mean over its tasks) or a suite. All their tests are one family, so
that Holm's procedure holds the chance that any of them cries wolf.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, TypedDict

import numpy as np

from evalkit.errors import NotComparableError, UsageError
from evalkit.regression.comparable import hindrances
from evalkit.regression.comparand import Comparand, Number
from evalkit.regression.config import Level
from evalkit.regression.units import Comparison, Paired, Unit
from evalkit.runs.reducing import reducer_of
from evalkit.runs.samples import places
from evalkit.scoring.paired import (
    benjamini_hochberg,
    holm,
    paired_intervals,
    paired_test,
    sign_flip,
    smallest_difference,
)
from evalkit.scoring.stats import by_cluster, quantile_interval, resampled_means, standard_error
from evalkit.suites.card import OWN
from evalkit.suites.selecting import all_cards

if TYPE_CHECKING:
    from numpy.typing import NDArray

LEAST_PERMUTATIONS = 20_000
"""Enough for all 41 tasks and their means at a level of 5 %."""
MOST_PERMUTATIONS = 1_000_000
"""More would take minutes, and p-values that small say nothing that a reader can use."""


class _How(TypedDict):
    """How a difference is tested; what :func:`paired_of` and :func:`paired_mean` are told besides the scores."""

    alpha: float
    permutations: int
    resamples: int
    seed: int


@dataclass(frozen=True)
class _Task:
    """A task with what its groups need."""

    unit: Unit
    differences: NDArray[np.float64] | None = None
    clusters: NDArray[np.int64] | None = None


def compare(
    base: Comparand,
    new: Comparand,
    *,
    alpha: float = 0.05,
    allow: Collection[str] = (),
    permutations: int | None = None,
    resamples: int = 2000,
    seed: int = 0,
    alpha_from: str = "alpha",
) -> Comparison:
    """Compare two comparands, task by task and by suites and groups.

    Args:
        base: what is held against.
        new: what is looked at.
        alpha: level of the whole family of tests, in (0, 1).
        allow: which of :data:`evalkit.regression.comparable.ALLOWANCES` may differ.
        permutations: of sign flips; ``None`` for as many as ``alpha`` asks for.
        resamples: of bootstraps.
        seed: of both.
        alpha_from: where the user set it, for the error.

    Raises:
        NotComparableError: the two have no task in common.
        UsageError: an ``alpha`` that would take too many permutations.
    """
    if not base.numbers.keys() & new.numbers.keys():
        raise NotComparableError(
            f"{base.path} and {new.path} have no task in common: the first has {_listed(base.numbers)}, the second "
            f"{_listed(new.numbers)}; run both on the same tasks"
        )
    if permutations is None:
        permutations = _permutations(_tests(base, new), alpha, alpha_from)
    how: _How = {"alpha": alpha, "permutations": permutations, "resamples": resamples, "seed": seed}
    judged = {name: one for name, one in base.numbers.items() if one.value is not None}
    tasks = [_compared(one, new.numbers.get(name), allow, how, base, new) for name, one in judged.items()]
    groups = [_group(name, level, of, members, how) for name, level, of, members in _groups(tasks)]
    units = _adjusted([*groups, *(task.unit for task in tasks)], alpha)
    unjudged = {name: "the base has no such task" for name in new.numbers if name not in base.numbers}
    unjudged |= {name: "it failed in the base" for name in base.numbers if name not in judged}
    notes = []
    if any(unit.level == "task" and unit.delta is not None and unit.paired is None for unit in units):
        notes.append(
            "threshold mode: there are no samples of some tasks, so their differences are judged by size alone, which "
            "cannot tell a regression from chance"
        )
    facts = {
        name: (base.facts.get(name, "-"), new.facts.get(name, "-"))
        for name in dict.fromkeys([*base.facts, *new.facts])
        if "scores" not in (base.kind, new.kind) and base.facts.get(name) != new.facts.get(name)
    }
    family = sum(unit.paired is not None for unit in units)
    return Comparison(base, new, tuple(units), alpha, family, seed, unjudged, facts, tuple(notes))


def _tests(base: Comparand, new: Comparand) -> int:
    """At most so many tests will there be: tasks with samples on both, and what they belong to."""
    tasks = [
        one
        for name, one in base.numbers.items()
        if one.samples is not None and name in new.numbers and new.numbers[name].samples is not None
    ]
    return len(tasks) + len({group for task in tasks for group in task.groups})


def _permutations(tests: int, alpha: float, alpha_from: str) -> int:
    """How many sign flips a gate of this level takes.

    The smallest p-value that m permutations can give is 1 / (m + 1), and Holm's procedure multiplies it by the number
    of tests: with too few the gate could not fail, whatever the runs hold. Twenty times as many as would do leave a
    p-value at the limit with an error of a quarter.
    """
    needed = math.ceil(20 * tests / alpha)
    if needed > MOST_PERMUTATIONS:
        least = 20 * tests / MOST_PERMUTATIONS
        raise UsageError(
            f"{alpha_from}: {alpha:g} is too small for {tests} tests, which would take {needed} permutations; the "
            f"smallest that works here is {math.ceil(least * 1e5) / 1e5:g}"
        )
    return max(LEAST_PERMUTATIONS, needed)


def _compared(
    base: Number,
    new: Number | None,
    allow: Collection[str],
    how: _How,
    one: Comparand,
    other: Comparand,
) -> _Task:
    unit = Unit(base.task, "task", base.groups, "compared", base.value, new.value if new else None, (base.task,))
    if new is None:
        return _Task(replace(unit, status="missing", why=(f"{other.path} has no such task",)))
    why = hindrances(one, other, base.task, allow)
    if OWN in (base.suite, new.suite) and base.suite != new.suite:  # of one name, and not the same task
        why.append(f"suite differs: {base.suite} and {new.suite}")
    if new.failure is not None and (base.failure is None or new.value is None) and not why:
        return _Task(replace(unit, status="failed", why=(new.failure,)))
    order = None
    if base.samples is not None and new.samples is not None:
        order = places(base.samples.ids, new.samples.ids)
        if isinstance(order, str):
            why.append(order)
    if why:
        return _Task(replace(unit, status="incomparable", why=tuple(why)))
    if base.samples is None or new.samples is None or order is None or isinstance(order, str):
        lacking = [str(comparand.path) for comparand, number in ((one, base), (other, new)) if number.samples is None]
        return _Task(replace(unit, notes=(f"no samples in {' and '.join(lacking)}",)))
    before, after = base.samples.scores, new.samples.scores[order]
    known = new.samples.shared[order] if new.samples.shared is not None else base.samples.shared
    notes: tuple[str, ...] = ()
    if base.samples.clusters is None and new.samples.clusters is None:
        notes = ("the samples do not name images, so queries that share one count as independent",)
    paired = paired_of(before, after, known, **how)
    return _Task(replace(unit, paired=paired, notes=notes), after - before, known)


def paired_of(
    before: NDArray[np.float64],
    after: NDArray[np.float64],
    clusters: NDArray[np.int64] | None = None,
    *,
    alpha: float = 0.05,
    permutations: int = LEAST_PERMUTATIONS,
    resamples: int = 2000,
    seed: int = 0,
) -> Paired:
    """What the scores of two models on the same n queries say of their difference; shape (n,) each."""
    test = paired_test(before, after, clusters=clusters, permutations=permutations, seed=seed)
    levels, found = (1 - alpha, 1 - 2 * alpha), None
    error = _spread(standard_error(after - before, clusters))
    if test.method == "mcnemar-midp" or error is not None:
        found = paired_intervals(before, after, levels, clusters=clusters, resamples=resamples, seed=seed)
    wide, narrow = found or (None, None)
    return Paired(
        n=len(before),
        won=int((after > before).sum()),
        lost=int((after < before).sum()),
        clusters=None if clusters is None else len(np.unique(clusters)),
        method=test.method,
        interval=wide,
        equivalence_interval=narrow,
        error=error,
        p_value=test.p_value,
    )


def paired_mean(
    tasks: Sequence[tuple[Paired, NDArray[np.float64], NDArray[np.int64] | None]],
    *,
    alpha: float = 0.05,
    permutations: int = LEAST_PERMUTATIONS,
    resamples: int = 2000,
    seed: int = 0,
) -> Paired:
    """What the same says of the unweighted mean over tasks.

    Args:
        tasks: of each what :func:`paired_of` says, its differences (``after`` less ``before``, shape (n,)) and its
            clusters.
        alpha: of the intervals, as :class:`Paired` has them.
        permutations: of the sign flips.
        resamples: of the bootstrap.
        seed: of both.
    """
    known, differences, clusters = zip(*tasks, strict=True)
    # Each task is flipped by its own clusters, and weighs as much as in the mean.
    flipped = np.concatenate(
        [by_cluster(one, groups)[0] / len(one) / len(tasks) for one, groups in zip(differences, clusters, strict=True)]
    )
    # Of a task of one cluster nothing is known. Where no score changed its error is 0, and that of others is left.
    errors = [standard_error(one, groups) for one, groups in zip(differences, clusters, strict=True)]
    error = None
    if None not in errors:
        error = _spread(math.sqrt(math.fsum(one * one for one in errors if one)) / len(tasks))
    means = resampled_means(differences, clusters, resamples=resamples, seed=seed)
    return Paired(
        n=sum(paired.n for paired in known),
        won=sum(paired.won for paired in known),
        lost=sum(paired.lost for paired in known),
        clusters=None,
        method="sign-flip",
        interval=None if error is None else quantile_interval(means, 1 - alpha),
        equivalence_interval=None if error is None else quantile_interval(means, 1 - 2 * alpha),
        error=error,
        p_value=sign_flip(flipped, permutations=permutations, seed=seed),
    )


def _spread(error: float | None) -> float | None:
    """``None`` where all differences are equal but for rounding: a bootstrap sees no spread, and there may be one."""
    return error if error is not None and error > 1e-9 else None


def _groups(tasks: Sequence[_Task]) -> list[tuple[str, Level, int, list[_Task]]]:
    """Suites, then groups of more than one task that are no whole suite, with the tasks that can be compared."""
    members: dict[str, list[_Task]] = {}
    for level in range(3):  # suites, then meta-tasks, then in- and out-of-distribution
        for task in tasks:
            for group in task.unit.groups[level : level + 1]:
                members.setdefault(group, []).append(task)
    promised: dict[str, int] = {}
    for card in all_cards():
        for group in card.groups:
            promised[group] = promised.get(group, 0) + 1
    found: list[tuple[str, Level, int, list[_Task]]] = []
    for group, of_base in members.items():
        suite = "/" not in group
        done = [task for task in of_base if task.unit.status == "compared"]
        whole = not suite and of_base == members[group.split("/")[0]]
        if len(done) > 1 and not whole:
            found.append((group, "suite" if suite else "group", max(promised.get(group, 0), len(of_base)), done))
    return found


def _group(name: str, level: Level, of: int, tasks: Sequence[_Task], how: _How) -> Unit:
    reducer = reducer_of([task.unit.name for task in tasks])
    base, new = (
        reducer.reduce(side) for side in zip(*((t.unit.base or 0.0, t.unit.new or 0.0) for t in tasks), strict=True)
    )
    unit = Unit(name, level, (name,), "compared", base, new, tuple(task.unit.name for task in tasks), of)
    if len(tasks) < of:
        unit = replace(unit, notes=(f"over {len(tasks)} of {of} tasks",))
    known = [
        (task.unit.paired, task.differences, task.clusters)
        for task in tasks
        if task.unit.paired is not None and task.differences is not None
    ]
    if len(known) < len(tasks):
        return unit
    if not reducer.is_mean:
        return replace(unit, why=(f"no test is right for a {reducer.title}",))
    return replace(unit, paired=paired_mean(known, **how))


def _adjusted(units: Sequence[Unit], alpha: float) -> list[Unit]:
    """The units with their p-values adjusted for all that were tested."""
    tested = [unit.paired for unit in units if unit.paired is not None]
    p_values = [paired.p_value for paired in tested]
    adjusted = iter(
        replace(
            paired,
            p_holm=p_holm,
            q_value=q_value,
            smallest_difference=smallest_difference(paired.error, alpha=alpha, tests=len(tested)),
        )
        for paired, p_holm, q_value in zip(tested, holm(p_values), benjamini_hochberg(p_values), strict=True)
    )
    return [unit if unit.paired is None else replace(unit, paired=next(adjusted)) for unit in units]


def _listed(names: Iterable[str]) -> str:
    names = list(names)
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "") if names else "none"

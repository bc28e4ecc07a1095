"""Measured entries against each other on the same queries: who is not told apart from the best, and pairs."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from evalkit.leaderboard.board import Difference
from evalkit.leaderboard.numbers.joined import Joined
from evalkit.regression.compare import paired_mean, paired_of
from evalkit.regression.units import Paired
from evalkit.scoring.paired import holm, paired_test
from evalkit.scoring.stats import by_cluster

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

ALPHA = 0.05
"""Of the tests, after Holm."""


def not_told_apart(joined: Joined, best: str, contenders: frozenset[str]) -> frozenset[str]:
    """Who may be as good as the best entry on one task, as far as these queries say.

    Each contender is tested against the best one on the same queries, with :func:`evalkit.scoring.paired.paired_test`;
    those that Holm's procedure does not reject at 5 %, over all contenders, are not told apart.

    Args:
        joined: with the best entry in it.
        best: its name.
        contenders: names; those that were asked other queries are left out.

    Returns:
        Names, the best one's among them.
    """
    rows = [row for row, name in enumerate(joined.entries) if name in contenders and name != best]
    if not rows:
        return frozenset({best})
    leader = joined.entries.index(best)
    sums, _ = by_cluster(joined.scores, joined.clusters)
    bounds = _bounds(sums, sums[leader], rows)
    # Holm gives no test a smaller share of the level than this. Where even the bound is within it, so is the p-value,
    # and all such are rejected whatever their order: the bound stands for it, and hundreds of tests need not be made.
    sure = ALPHA / len(rows)
    permutations = max(10_000, math.ceil(2 / sure))  # a permutation test's smallest p-value has to be within it
    p_values, known = [], dict[tuple[bytes, float], float]()
    for row, bound in zip(rows, bounds, strict=True):
        if bound <= sure:
            p_values.append(bound)
        else:
            # The p-value is one of the sizes of the differences and of their sum, and few queries give few of these.
            differences = sums[row] - sums[leader]
            key = np.sort(np.abs(differences)).tobytes(), abs(math.fsum(differences.tolist()))
            if key not in known:
                known[key] = _p_value(joined, leader, row, permutations)
            p_values.append(known[key])
    adjusted = holm(p_values)
    return frozenset({best} | {joined.entries[row] for row, p in zip(rows, adjusted, strict=True) if p > ALPHA})


def _p_value(joined: Joined, base: int, new: int, permutations: int) -> float:
    """Of the paired test of two rows; by few permutations where these leave no doubt that it is above the level."""
    scores, clusters = joined.scores, joined.clusters
    few = paired_test(scores[base], scores[new], clusters=clusters, permutations=1000)
    if few.method != "sign-flip" or few.p_value > 4 * ALPHA:
        return few.p_value
    return paired_test(scores[base], scores[new], clusters=clusters, permutations=permutations).p_value


def _bounds(scores: Floats, base: Floats, rows: list[int]) -> list[float]:
    """No p-value of a paired test is above these, one a row.

    If each difference d of a pair might have had the other sign, P(|Σ ±d| ≥ t) ≤ 2 exp(-t² / (2 Σ d²)) (Hoeffding
    1963). McNemar's test is the same for differences of 0 and 1, and its mid-p is below that probability. Where queries
    share an image their sum is what might have had the other sign: scores are such sums.
    """
    totals = scores[rows].sum(axis=1) - base.sum()
    squares = (np.square(scores).sum(axis=1) - 2 * (scores @ base) + np.square(base).sum())[rows]
    # Equal scores have neither; what rounding leaves of them is no evidence.
    exponents = np.where(squares > 1e-6, totals**2 / (2 * np.maximum(squares, 1e-6)), 0.0)
    bounds: list[float] = np.minimum(1.0, 2 * np.exp(-exponents)).tolist()
    return bounds


Member = tuple[Paired, "Floats", "NDArray[np.int64] | None"]
"""What :func:`evalkit.regression.compare.paired_of` says of a task, its differences and its clusters."""


def compared(base: Floats, new: Floats, clusters: NDArray[np.int64] | None) -> Member:
    """Two entries on the queries of one task, as ``evalkit compare`` compares them; shape (n,) each."""
    return paired_of(base, new, clusters), new - base, clusters


def differences(
    tasks: Mapping[str, tuple[float, Member]], groups: Mapping[str, tuple[float, Sequence[str]]]
) -> tuple[tuple[Difference, ...], tuple[Difference, ...]]:
    """Of groups and of tasks, with Holm's procedure over all of them, as ``evalkit compare`` has it.

    Args:
        tasks: by name, the difference as the board has it, and what the samples say.
        groups: by key, the difference of the means, and the tasks that it is over.

    Returns:
        Those of groups and those of tasks, in the order given.
    """
    means = {key: (value, paired_mean([tasks[task][1] for task in names])) for key, (value, names) in groups.items()}
    single = {task: (value, member[0]) for task, (value, member) in tasks.items()}
    found = [_difference(where, *own) for where, own in (*means.items(), *single.items())]
    adjusted = holm([difference.p_value for difference in found])
    every = tuple(replace(difference, adjusted=p) for difference, p in zip(found, adjusted, strict=True))
    return every[: len(means)], every[len(means) :]


def _difference(where: str, value: float, paired: Paired) -> Difference:
    low, high = paired.interval or (None, None)
    return Difference(where, value, low, high, paired.won, paired.lost, paired.p_value)

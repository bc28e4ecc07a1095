"""Intervals. Pure functions on numpy arrays; seeds are arguments."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

Z_95 = 1.959963984540054  # 97.5 % point of the normal distribution


def wilson(mean: float, n: int, z: float = Z_95) -> tuple[float, float]:
    """Wilson score interval of a proportion (Wilson 1927; Brown, Cai and DasGupta 2001).

    For scores in [0, 1] that are not all 0 or 1 (ties) it is conservative: their variance is at most
    that of a proportion with the same mean.

    Args:
        mean: mean score, in [0, 1].
        n: number of scores, at least 1.
        z: normal quantile; 95 % by default.

    Returns:
        Lower and upper end, in [0, 1].
    """
    if n < 1 or not 0 <= mean <= 1:
        raise ValueError(f"no Wilson interval for mean {mean} of {n}")
    centre = (mean + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * math.sqrt(mean * (1 - mean) / n + z * z / (4 * n * n))
    # The ends are exact where rounding would miss them: an interval of a mean of 0 begins at 0.
    return (0.0 if mean == 0 else max(0.0, centre - half), 1.0 if mean == 1 else min(1.0, centre + half))


def bootstrap(
    scores: NDArray[np.float64], *, resamples: int = 1000, seed: int = 0, level: float = 0.95
) -> tuple[float, float]:
    """Percentile bootstrap interval of a mean (Efron 1979).

    Args:
        scores: shape (n,), n at least 1.
        resamples: how many times n scores are drawn with replacement.
        seed: of the draws; equal seeds give equal intervals.
        level: of the interval, in (0, 1).

    Returns:
        Lower and upper end, between the smallest and the largest score.
    """
    n = len(scores)
    if n < 1:
        raise ValueError("no bootstrap interval of no scores")
    draw = np.random.default_rng(seed)
    # How often each distinct score is drawn is multinomial: no n indices per resample are needed.
    values, counts = np.unique(scores, return_counts=True)
    means = draw.multinomial(n, counts / n, size=resamples) @ values / n
    low, high = np.quantile(means, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def mean_over_tasks(scores: Sequence[NDArray[np.float64]]) -> float:
    """The unweighted mean over tasks of their means, as the papers average: a task counts once, however large.

    Args:
        scores: one array a task, shape (n,), n at least 1 and its own for each task; at least one task.
    """
    _require_tasks(scores)
    return math.fsum(math.fsum(task.tolist()) / len(task) for task in scores) / len(scores)


def stratified_bootstrap(
    scores: Sequence[NDArray[np.float64]], *, resamples: int = 2000, seed: int = 0, level: float = 0.95
) -> tuple[float, float]:
    """Percentile bootstrap interval of :func:`mean_over_tasks`, queries drawn within each task.

    The tasks are what they are; what the interval is about is other queries of the same tasks. Of a task of n
    queries n - 1 are drawn, so that the spread of its mean is the unbiased one (McCarthy and Snowden 1985; Rao and
    Wu 1988): with n draws it is too small by the factor (n - 1) / n, and unlike that of a single mean it
    does not go away with more tasks. A task of one query adds no width, as nothing is known of its spread; nor does
    one whose scores are all equal.

    Args:
        scores: as :func:`mean_over_tasks` has them; also differences of scores, below 0.
        resamples: how often all tasks are drawn anew.
        seed: of the draws; equal seeds give equal intervals, in whatever order a task's queries come.
        level: of the interval, in (0, 1).

    Returns:
        Lower and upper end.
    """
    _require_tasks(scores)
    draw = np.random.default_rng(seed)
    means = np.zeros(resamples)
    for task in scores:
        drawn = max(1, len(task) - 1)
        # As in bootstrap: how often each distinct score is drawn, not which queries.
        values, counts = np.unique(task, return_counts=True)
        means += draw.multinomial(drawn, counts / len(task), size=resamples) @ values / drawn
    low, high = np.quantile(means / len(scores), [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def paired_stratified_bootstrap(
    base: Sequence[NDArray[np.float64]],
    new: Sequence[NDArray[np.float64]],
    *,
    resamples: int = 2000,
    seed: int = 0,
    level: float = 0.95,
) -> tuple[float, float]:
    """The same for the difference of two models' means over tasks, ``new`` less ``base``, on the same queries.

    Each resample has the same queries on both sides, which is to draw from the queries' differences: what is hard
    for both cancels out, so the interval is narrower than that of two models asked about other queries.

    Args:
        base: one array a task, shape (n,).
        new: of the same shapes; a query has the same place on both sides.
        resamples: how often all tasks are drawn anew.
        seed: of the draws.
        level: of the interval, in (0, 1).

    Returns:
        Lower and upper end, in [-1, 1] for scores in [0, 1].
    """
    if [task.shape for task in base] != [task.shape for task in new]:
        raise ValueError("no paired bootstrap interval of tasks or queries that are not the same on both sides")
    differences = [one - other for one, other in zip(new, base, strict=True)]
    return stratified_bootstrap(differences, resamples=resamples, seed=seed, level=level)


def _require_tasks(scores: Sequence[NDArray[np.float64]]) -> None:
    if not scores or not all(len(task) for task in scores):
        raise ValueError("no mean over tasks without tasks, or of a task without scores")

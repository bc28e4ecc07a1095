"""How sure one number is: intervals and errors of means, of queries and over tasks.

Pure functions on numpy arrays; seeds are arguments. Differences of two models are in :mod:`evalkit.scoring.paired`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Scores = NDArray[np.float64]
    Clusters = NDArray[Any]

Z_95 = 1.959963984540054  # 97.5 % point of the normal distribution


def wilson(mean: float, n: float, z: float = Z_95) -> tuple[float, float]:
    """Wilson score interval of a proportion (Wilson 1927; Brown, Cai and DasGupta 2001).

    For scores in [0, 1] that are not all 0 or 1 (ties) it is conservative: their variance is at most
    that of a proportion with the same mean.

    Args:
        mean: mean score, in [0, 1].
        n: number of scores, at least 1; of :func:`effective_queries` where several share an image.
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


def effective_queries(scores: Scores, clusters: Clusters | None) -> float:
    """How many queries that stand alone would say as much of the mean: n by the design effect (Kish 1965).

    With it Wilson's interval is one for samples of clusters (Franco, Little, Louis and Slud 2019).

    Args:
        scores: shape (n,), n at least 1.
        clusters: shape (n,), equal for queries that belong together; ``None`` where each stands alone.

    Returns:
        From 1 to n. Where scores are all equal nothing tells how alike those of one cluster are: as many as clusters.
    """
    n = len(scores)
    if clusters is None:
        return n
    sums, sizes = by_cluster(scores, clusters)
    k = len(sums)
    if k == 1 or scores.min() == scores.max():
        return k
    # Squared standard errors, as standard_error has them, but the same to the bit in whatever order queries come.
    mean = math.fsum(scores.tolist()) / n
    together = math.fsum(np.square((sums - sizes * mean).round(12)).tolist()) * k / (k - 1)
    apart = math.fsum(np.square(scores - mean).tolist()) * n / (n - 1)
    return n / min(max(1.0, together / apart), n)


def bootstrap(
    scores: Scores,
    clusters: Clusters | None = None,
    *,
    resamples: int = 1000,
    seed: int = 0,
    level: float = 0.95,
) -> tuple[float, float]:
    """Percentile bootstrap interval of a mean (Efron 1979), whole clusters drawn.

    Args:
        scores: shape (n,), n at least 1.
        clusters: shape (n,), equal for queries that belong together; ``None`` where each stands alone.
        resamples: how many times as many clusters as there are are drawn with replacement.
        seed: of the draws; equal seeds give equal intervals.
        level: of the interval, in (0, 1).

    Returns:
        Lower and upper end, between the smallest and the largest score.
    """
    if len(scores) < 1:
        raise ValueError("no bootstrap interval of no scores")
    return quantile_interval(_resampled(np.random.default_rng(seed), scores, clusters, resamples), level)


def _resampled(
    draw: np.random.Generator, scores: Scores, clusters: Clusters | None, resamples: int, fewer: int = 0
) -> Scores:
    """Means of resamples of as many clusters as there are, or fewer; shape (resamples,)."""
    sums, sizes = by_cluster(scores, clusters)
    # How often each distinct sum is drawn is multinomial: no indices per resample are needed. Sums may be off by a last
    # bit, which would make equal ones distinct.
    known = sums if clusters is None else sums.round(12)
    # Sum and size as one complex number: np.unique of columns turns Ctrl-C into a TypeError.
    kinds, counts = np.unique(known + 1j * sizes, return_counts=True)
    drawn = draw.multinomial(max(1, len(sums) - fewer), counts / len(sums), size=resamples)
    means: Scores = (drawn @ kinds.real) / (drawn @ kinds.imag)
    return means


def mean_over_tasks(scores: Sequence[NDArray[np.float64]]) -> float:
    """The unweighted mean over tasks of their means, as the papers average: a task counts once, however large.

    Args:
        scores: one array a task, shape (n,), n at least 1 and its own for each task; at least one task.
    """
    _require_tasks(scores)
    return math.fsum(math.fsum(task.tolist()) / len(task) for task in scores) / len(scores)


def stratified_bootstrap(
    scores: Sequence[Scores],
    clusters: Sequence[Clusters | None] | None = None,
    *,
    resamples: int = 2000,
    seed: int = 0,
    level: float = 0.95,
) -> tuple[float, float]:
    """Percentile bootstrap interval of :func:`mean_over_tasks`, clusters of queries drawn within each task.

    The tasks are what they are; what the interval is about is other queries of the same tasks.

    Args:
        scores: as :func:`mean_over_tasks` has them; also differences of scores, below 0.
        clusters: as :func:`resampled_means` has them; ``None`` where every query stands alone.
        resamples: how often all tasks are drawn anew.
        seed: of the draws; equal seeds give equal intervals, in whatever order a task's queries come.
        level: of the interval, in (0, 1).

    Returns:
        Lower and upper end.
    """
    means = resampled_means(scores, clusters or [None] * len(scores), resamples=resamples, seed=seed)
    return quantile_interval(means, level)


def _require_tasks(scores: Sequence[NDArray[np.float64]]) -> None:
    if not scores or not all(len(task) for task in scores):
        raise ValueError("no mean over tasks without tasks, or of a task without scores")


def resampled_means(
    differences: Sequence[Scores],
    clusters: Sequence[Clusters | None],
    *,
    resamples: int = 2000,
    seed: int = 0,
) -> Scores:
    """Means over tasks of bootstrap resamples, clusters drawn within each task: what intervals are quantiles of.

    Of a task of k clusters k - 1 are drawn, so that the spread of its mean is the unbiased one (McCarthy and Snowden
    1985; Rao and Wu 1988): with k draws it is too small by the factor (k - 1) / k, and unlike that of a single mean it
    does not go away with more tasks. A task of one cluster adds no width, as nothing is known of its spread; nor does
    one whose scores are all equal.

    Args:
        differences: one array a task, shape (n,), n at least 1; of scores as well.
        clusters: one a task, shape (n,), equal for queries that belong together (they ask about one image); ``None``
            where each stands alone.
        resamples: how often all tasks are drawn anew.
        seed: of the draws; equal seeds give equal means, in whatever order a task's queries come.

    Returns:
        float64, shape (resamples,).
    """
    _require_tasks(differences)
    draw, means = np.random.default_rng(seed), np.zeros(resamples)
    for task, groups in zip(differences, clusters, strict=True):
        means += _resampled(draw, task, groups, resamples, fewer=1)
    return means / len(differences)


def quantile_interval(means: Scores, level: float = 0.95) -> tuple[float, float]:
    """Lower and upper end of the percentile interval of :func:`resampled_means`."""
    low, high = np.quantile(means, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def standard_error(differences: Scores, clusters: Clusters | None = None) -> float | None:
    """Standard error of a mean, robust to clusters (Liang and Zeger 1986, with k / (k - 1)).

    Args:
        differences: shape (n,), n at least 1.
        clusters: shape (n,), or ``None`` where each query stands alone.

    Returns:
        At least 0; ``None``, not 0, where there is one cluster.
    """
    sums, sizes = by_cluster(differences, clusters)
    k = len(sums)
    if k < 2:
        return None
    residuals = sums - sizes * differences.mean()
    return math.sqrt(k / (k - 1) * float(residuals @ residuals)) / len(differences)


def by_cluster(differences: Scores, clusters: Clusters | None) -> tuple[Scores, Scores]:
    """Sums over clusters, and how many queries each has: a cluster a query where none are given.

    Args:
        differences: shape (n,) or (m, n), n at least 1; of scores as well.
        clusters: shape (n,), or ``None``.

    Returns:
        Shape (k,) or (m, k), of the same type, and float64, shape (k,).
    """
    n = differences.shape[-1]
    if n < 1 or (clusters is not None and len(clusters) != n):
        raise ValueError(f"{n} differences in {0 if clusters is None else len(clusters)} clusters")
    if clusters is None:
        return differences, np.ones(n)
    _, places, sizes = np.unique(clusters, return_inverse=True, return_counts=True)
    starts = np.cumsum(sizes) - sizes
    sums: Scores = np.add.reduceat(differences[..., np.argsort(places, kind="stable")], starts, axis=-1)
    return sums, sizes.astype(np.float64)

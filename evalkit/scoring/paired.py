"""Two models on the same queries: tests and intervals of their difference, and many tests at once.

Pure functions on numpy arrays; seeds are arguments.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import NormalDist
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from evalkit.scoring.stats import by_cluster, quantile_interval, resampled_means, stratified_bootstrap, wilson

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Scores = NDArray[np.float64]
    Clusters = NDArray[Any]


@dataclass(frozen=True)
class PairedTest:
    """A two-sided p-value, in (0, 1], and how it was found."""

    p_value: float
    method: Literal["mcnemar-midp", "sign-flip"]


def paired_test(
    base: Scores, new: Scores, *, clusters: Clusters | None = None, permutations: int = 10_000, seed: int = 0
) -> PairedTest:
    """Test that a model's mean is the other's: McNemar's mid-p where all scores are 0 or 1, else sign flips.

    Where several queries share a cluster their differences are flipped together, so McNemar's test, which takes
    queries for independent, is left to tasks without.

    Args:
        base: shape (n,), n at least 1.
        new: of the same queries, in the same order.
        clusters: shape (n,), equal for queries that belong together (they ask about one image); ``None`` for none.
        permutations: of the sign flips.
        seed: of the sign flips.
    """
    if clusters is None and _binary(base) and _binary(new):
        return PairedTest(mcnemar_midp(int((new > base).sum()), int((new < base).sum())), "mcnemar-midp")
    sums, _ = by_cluster(new - base, clusters)
    return PairedTest(sign_flip(sums, permutations=permutations, seed=seed), "sign-flip")


def mcnemar_midp(n01: int, n10: int) -> float:
    """McNemar's test with mid-p, two-sided (McNemar 1947; Fagerland, Lydersen and Laake 2013).

    Given how many queries changed, as many should have been won as lost. The exact binomial test is conservative; with
    half the probability of what was seen it is not, and holds its level nearly always.

    Args:
        n01: queries that the base had wrong and the new one has right.
        n10: the other way round.
    """
    if n01 < 0 or n10 < 0:
        raise ValueError(f"no test of {n01} and {n10} changed queries")
    n, few = n01 + n10, min(n01, n10)
    log_all = math.lgamma(n + 1) - n * math.log(2)
    terms = [math.exp(log_all - math.lgamma(k + 1) - math.lgamma(n - k + 1)) for k in range(few + 1)]
    return 1.0 if n01 == n10 else min(1.0, 2 * math.fsum(terms[:-1]) + terms[-1])


def sign_flip(differences: Scores, *, permutations: int = 10_000, seed: int = 0) -> float:
    """Permutation test that differences are as likely to be negative as positive, two-sided (Fisher 1935).

    Under the null hypothesis the two models are interchangeable, so each difference might have had the other sign. The
    p-value counts what was seen among the permutations (Phipson and Smyth 2010): it is never 0.

    Args:
        differences: shape (n,); of queries, or sums over those that have to be flipped together.
        permutations: random ones that are drawn.
        seed: of the draws; equal seeds give equal p-values, in whatever order the differences come.
    """
    if not (scale := float(np.abs(differences).max(initial=0))):
        return 1.0
    # How often each distinct size is flipped is binomial: no n signs per permutation are needed. Sums over clusters are
    # off by a last bit, which would make equal sizes distinct, and equal sums unequal.
    sizes, counts = np.unique(np.abs(differences / scale).round(9), return_counts=True)
    draw, sums = np.random.default_rng(seed), np.zeros(permutations)
    for size, count in zip(sizes.tolist(), counts.tolist(), strict=True):
        if size:
            sums += size * (2 * draw.binomial(count, 0.5, size=permutations) - count)
    seen = abs(math.fsum(differences.tolist())) / scale
    return float(1 + (np.abs(sums) >= seen - 1e-6).sum()) / (1 + permutations)


def holm(p_values: Sequence[float]) -> list[float]:
    """Adjusted p-values that hold the chance of any false rejection (Holm 1979), in the order given."""
    return _stepped(p_values, lambda place, n: n - place, down=True)


def benjamini_hochberg(p_values: Sequence[float]) -> list[float]:
    """Adjusted p-values that hold the share of false rejections (Benjamini and Hochberg 1995), in the order given."""
    return _stepped(p_values, lambda place, n: n / (place + 1), down=False)


def _stepped(p_values: Sequence[float], factor: Callable[[int, int], float], *, down: bool) -> list[float]:
    if not all(0 <= p <= 1 for p in p_values):
        raise ValueError(f"not all of {list(p_values)} are p-values")
    order = np.argsort(p_values, kind="stable")
    scaled = np.array([p_values[i] * factor(place, len(order)) for place, i in enumerate(order)])
    steps = np.maximum.accumulate(scaled) if down else np.minimum.accumulate(scaled[::-1])[::-1]
    adjusted = np.empty(len(order))
    adjusted[order] = np.minimum(steps, 1)
    found: list[float] = adjusted.tolist()
    return found


def paired_intervals(
    base: Scores,
    new: Scores,
    levels: Sequence[float] = (0.95,),
    *,
    clusters: Clusters | None = None,
    resamples: int = 2000,
    seed: int = 0,
) -> list[tuple[float, float]] | None:
    """Intervals of ``new`` less ``base``: Newcombe's where all scores are 0 or 1, else a bootstrap over clusters.

    Args:
        base: shape (n,), n at least 1.
        new: of the same queries, in the same order.
        levels: of the intervals, in (0, 1).
        clusters: as :func:`paired_test` has them.
        resamples: of the bootstrap.
        seed: of the bootstrap.

    Returns:
        Lower and upper end, one for each level; ``None`` where there is one cluster, of whose spread nothing is known.
    """
    if clusters is None and _binary(base) and _binary(new):
        table = [int(((base == b) & (new == n)).sum()) for b, n in ((1, 1), (0, 1), (1, 0), (0, 0))]
        return [newcombe(*table, level=level) for level in levels]
    return clustered_intervals(new - base, clusters, levels, resamples=resamples, seed=seed)


def newcombe(n11: int, n01: int, n10: int, n00: int, *, level: float = 0.95) -> tuple[float, float]:
    """Interval of a difference of paired proportions (Newcombe 1998, method 10): Wilson's, squared and added.

    Args:
        n11: queries that both have right.
        n01: that only the new one has right.
        n10: that only the base has right.
        n00: that neither has right.
        level: of the interval, in (0, 1).

    Returns:
        Lower and upper end of the new one's proportion less the base's, in [-1, 1].
    """
    n = n11 + n01 + n10 + n00
    z = NormalDist().inv_cdf((1 + level) / 2)
    new, base = (n11 + n01) / n, (n11 + n10) / n
    (new_low, new_high), (base_low, base_high) = wilson(new, n, z), wilson(base, n, z)
    margins = (n11 + n01) * (n10 + n00) * (n11 + n10) * (n01 + n00)
    cross = n11 * n00 - n01 * n10
    # The correlation of the two, corrected for continuity where it is above 0 (Newcombe 1998, section 4).
    phi = (max(cross - n / 2, 0) if cross > 0 else cross) / math.sqrt(margins) if margins else 0.0

    def root(one: float, other: float) -> float:
        return math.sqrt(max(0.0, one * one - 2 * phi * one * other + other * other))

    below, above = root(new - new_low, base_high - base), root(new_high - new, base - base_low)
    return max(-1.0, new - base - below), min(1.0, new - base + above)


def clustered_intervals(
    differences: Scores,
    clusters: Clusters | None = None,
    levels: Sequence[float] = (0.95,),
    *,
    resamples: int = 2000,
    seed: int = 0,
) -> list[tuple[float, float]] | None:
    """Percentile bootstrap intervals of a mean, whole clusters drawn (Davison and Hinkley 1997, section 3.8).

    Args:
        differences: shape (n,), n at least 1.
        clusters: shape (n,), equal for queries that belong together; ``None`` where each stands alone.
        levels: of the intervals, in (0, 1).
        resamples: how often the clusters are drawn.
        seed: of the draws.

    Returns:
        Lower and upper end, one for each level; ``None`` where there is one cluster, of whose spread nothing is known.
    """
    if len(by_cluster(differences, clusters)[0]) < 2:
        return None
    means = resampled_means([differences], [clusters], resamples=resamples, seed=seed)
    return [quantile_interval(means, level) for level in levels]


def paired_stratified_bootstrap(
    base: Sequence[Scores],
    new: Sequence[Scores],
    clusters: Sequence[Clusters | None] | None = None,
    *,
    resamples: int = 2000,
    seed: int = 0,
    level: float = 0.95,
) -> tuple[float, float]:
    """Interval of the difference of two models' means over tasks, ``new`` less ``base``, on the same queries.

    Each resample has the same queries on both sides, which is to draw from the queries' differences: what is hard
    for both cancels out, so the interval is narrower than that of two models asked about other queries.

    Args:
        base: one array a task, shape (n,).
        new: of the same shapes; a query has the same place on both sides.
        clusters: of the queries, as :func:`evalkit.scoring.stats.stratified_bootstrap` has them.
        resamples: how often all tasks are drawn anew.
        seed: of the draws.
        level: of the interval, in (0, 1).

    Returns:
        Lower and upper end, in [-1, 1] for scores in [0, 1].
    """
    if [task.shape for task in base] != [task.shape for task in new]:
        raise ValueError("no paired bootstrap interval of tasks or queries that are not the same on both sides")
    differences = [one - other for one, other in zip(new, base, strict=True)]
    return stratified_bootstrap(differences, clusters, resamples=resamples, seed=seed, level=level)


def equivalent(interval: tuple[float, float] | None, margin: float) -> bool:
    """Whether a difference is shown to be smaller than a margin: two one-sided tests (Schuirmann 1987).

    Args:
        interval: of the difference, of level 1 - 2 alpha: 90 % for tests at 5 %. Without one nothing is shown.
        margin: above 0; either direction.
    """
    return interval is not None and -margin < interval[0] and interval[1] < margin


def smallest_difference(
    error: float | None, *, alpha: float = 0.05, power: float = 0.8, tests: int = 1
) -> float | None:
    """The smallest true difference that a two-sided test would have found with this power, by the normal distribution.

    Args:
        error: :func:`evalkit.scoring.stats.standard_error` of the difference.
        alpha: of the whole family of tests, in (0, 1).
        power: chance of finding it, in (0, 1).
        tests: in the family; each has its share of alpha, as the smallest p-value has in Holm's procedure.

    Returns:
        Above 0; ``None`` where the error is not known, or 0 because nothing changed.
    """
    normal = NormalDist()
    return error * (normal.inv_cdf(1 - alpha / tests / 2) + normal.inv_cdf(power)) if error else None


def _binary(scores: Scores) -> bool:
    return bool(((scores == 0) | (scores == 1)).all())

"""Metrics: pure functions from ranks to one score per query, and from scores to a number.

A query's state is three integers (see :class:`evalkit.scoring.ranking.Ranking`): ``above`` candidates score
higher than the best relevant one, ``tied`` others score exactly as high, ``right`` relevant ones share
that score. Every metric is the expectation over all orders of the tied ones, drawn with equal chance
(McSherry and Najork 2008); optimistic and pessimistic put the relevant ones first and last.

Both official scorers rank with the label in front. Version 1's ``argmax`` lets it win among exactly equal scores, which
is the optimistic value; version 2's ``argsort`` is not stable and leaves open which of equals comes first. By size of
pool and build of numpy a constant embedder gets anything from 0 to 100 % of them (``benchmarks/official_ties.py``,
docs/protocol.md). Here it gets chance.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

from evalkit.scoring.stats import bootstrap, effective_queries, wilson

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from evalkit.scoring.ranking import Ranking

    Counts = NDArray[np.int64]
    Scores = NDArray[np.float64]

IntervalMethod = Literal["wilson", "bootstrap"]


def precision_at_1(above: Counts, tied: Counts, right: Counts) -> Scores:
    """Probability that a relevant candidate comes first.

    0 where a candidate scores higher, else ``right / (right + tied)``.

    Args:
        above, tied, right: int64, shape (n,); ``right`` at least 1.

    Returns:
        float64, shape (n,), in [0, 1].
    """
    return hit_at(1, above, tied, right)


def hit_at(k: int, above: Counts, tied: Counts, right: Counts) -> Scores:
    """Probability that a relevant candidate is among the first ``k``.

    Of the ``right + tied`` candidates at the label's score, ``k - above`` come within the first ``k``;
    none of them is relevant with probability C(tied, k - above) / C(right + tied, k - above).

    Args:
        k: at least 1.
        above, tied, right: int64, shape (n,); ``right`` at least 1.

    Returns:
        float64, shape (n,), in [0, 1].
    """
    hit = np.zeros(len(above), dtype=np.float64)
    for place in range(k):
        # The place goes to one of those at the label's score that are left, if all above have theirs.
        filled = place - above
        left = np.maximum(tied - filled, 0)
        hit += np.where(filled >= 0, (1.0 - hit) * right / (left + right), 0.0)
    return hit


def reciprocal_rank(above: Counts, tied: Counts, right: Counts) -> Scores:
    """Expected reciprocal of the rank of the first relevant candidate.

    Args:
        above, tied, right: int64, shape (n,); ``right`` at least 1.

    Returns:
        float64, shape (n,), in (0, 1].
    """
    states, place = np.unique(np.stack([above, tied, right]), axis=1, return_inverse=True)
    return np.array([_expected_reciprocal(*state) for state in states.T.tolist()])[place]


def _expected_reciprocal(above: int, tied: int, right: int) -> float:
    # P(first relevant one is behind j of the tied ones) = prod_{i<j} (e-i)/(e+r-i) * r/(e+r-j)
    j = np.arange(tied + 1)
    behind = np.concatenate([[1.0], np.cumprod((tied - j[:-1]) / (tied + right - j[:-1]))])
    return float((behind * right / (tied + right - j) / (above + 1 + j)).sum())


@dataclass(frozen=True)
class Metric:
    """A metric as data: its name, how a query is scored, which interval its mean gets.

    Attributes:
        name: as results call it.
        score: from ``above``, ``tied``, ``right`` to scores in [0, 1].
        interval: Wilson where scores are 0 or 1 but for ties, bootstrap otherwise.
    """

    name: str
    score: Callable[[Counts, Counts, Counts], Scores]
    interval: IntervalMethod


METRICS = (
    Metric("precision_at_1", precision_at_1, "wilson"),
    Metric("hit_at_5", lambda a, t, r: hit_at(5, a, t, r), "wilson"),
    Metric("hit_at_10", lambda a, t, r: hit_at(10, a, t, r), "wilson"),
    Metric("mrr", reciprocal_rank, "bootstrap"),
)


@dataclass(frozen=True)
class Value:
    """A metric's number on one task; all fractions in [0, 1], unrounded.

    Attributes:
        metric: the metric's name.
        value: mean over the queries, expectation over ties.
        optimistic: the same with relevant candidates first among equals, the most that any order of them gives.
        pessimistic: the same with relevant candidates last among equals.
        chance: what an embedder that cannot tell any two candidates apart gets.
        n: number of queries.
        n_ties: queries whose label shares its score with another candidate.
        low: lower end of the 95 % interval.
        high: upper end.
        interval: the interval's method.
    """

    metric: str
    value: float
    optimistic: float
    pessimistic: float
    chance: float
    n: int
    n_ties: int
    low: float
    high: float
    interval: IntervalMethod


def measure(metric: Metric, ranking: Ranking, *, images: NDArray[np.int64] | None = None, seed: int = 0) -> Value:
    """A metric's number on one task.

    Args:
        metric: one of :data:`METRICS`, or one of your own.
        ranking: of n queries, n at least 1.
        images: shape (n,), equal for queries that ask about one image, which the interval knows to be no independent
            ones; ``None`` where each has its own, or none.
        seed: of the bootstrap.
    """
    above, tied, right = ranking.above, ranking.tied, ranking.right
    none = np.zeros_like(above)
    scores = metric.score(above, tied, right)
    value = _mean(scores)
    if metric.interval == "wilson":
        low, high = wilson(value, effective_queries(scores, images))
    else:
        low, high = bootstrap(scores, images, seed=seed)
    return Value(
        metric=metric.name,
        value=value,
        optimistic=_mean(metric.score(above, none, right)),
        pessimistic=_mean(metric.score(above + tied, none, right)),
        chance=_mean(metric.score(none, ranking.pool - ranking.relevant, ranking.relevant)),
        n=len(scores),
        n_ties=int((tied > 0).sum()),
        low=min(low, value),  # the mean of equal scores may be off by a bit, and is inside its interval all the same
        high=max(high, value),
        interval=metric.interval,
    )


def _mean(scores: Scores) -> float:
    """Mean of scores in [0, 1], the same to the bit in whatever order the queries come."""
    return min(1.0, math.fsum(scores.tolist()) / len(scores))

"""A metric's number on one task: its mean, what ties leave open, chance, and an interval."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from evalkit.scoring.metrics.metric import IntervalMethod, Metric
from evalkit.scoring.stats import bootstrap, effective_queries, wilson

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from evalkit.scoring.metrics.metric import Scores
    from evalkit.scoring.ranking import Ranking


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
        metric: one of :data:`evalkit.scoring.metrics.METRICS`, or one of your own.
        ranking: of n queries, n at least 1.
        images: shape (n,), equal for queries that ask about one image, which the interval knows to be no independent
            ones; ``None`` where each has its own, or none.
        seed: of the bootstrap.

    Raises:
        ValueError: the metric gives scores outside its range, or not one a query.
    """
    above, tied, right = ranking.above, ranking.tied, ranking.right
    none = np.zeros_like(above)
    scores = metric.score(above, tied, right)
    if scores.shape != above.shape or not ((scores >= metric.range[0]) & (scores <= metric.range[1])).all():
        raise ValueError(f"metric {metric.name} gives no score from {metric.range[0]} to {metric.range[1]} a query")
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

"""Intervals. Pure functions on numpy arrays; seeds are arguments."""

from __future__ import annotations

import math
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

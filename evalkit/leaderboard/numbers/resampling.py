"""Other queries of the same tasks, drawn for all entries of a board at once: intervals of means, and ranks.

**Joint and paired.** Entries that were asked the same queries get the same ones in every resample, so what is hard for
all of them moves none of their ranks. As in :func:`evalkit.scoring.stats.resampled_means`, queries that ask about one
image are drawn together, and k - 1 of a task's k images.

**Exact.** How often a query was drawn is a whole number. Scores of 0 and 1 are, too, and others are rounded to
multiples of a power of two so that all sums are whole numbers of at most 24 bits, which float32 holds. Such sums are
exact in whatever order, so what comes out does not depend on the order of entries, on threads or on the library of
linear algebra, and entries with equal scores are equal in every draw. What rounding moved the mean by is taken back;
what is left of it is a spread that is wrong by less than a thousandth of a tied query's.

**Without per-query scores** there are no queries to draw. Published numbers get the normal distribution around their
value, with the standard error that scores of 0 and 1 would have (:func:`variance_of_mean`). That is the spread of
sampling queries alone, each by itself, whatever images they share. It knows nothing of other seeds or other training
runs, and nothing of the queries being the same as others': such an entry is compared as if it had been asked other
queries, so its range of ranks is rather too wide.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np

from evalkit.leaderboard.board import Range
from evalkit.scoring.stats import by_cluster

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

RESAMPLES = 2000
"""As many as :func:`evalkit.scoring.stats.resampled_means` draws."""

_AT_ONCE = 4_000_000  # weights in memory at a time: 16 MB
_EXACT = 2**24  # float32 holds all whole numbers up to here


def seed_of(*parts: object) -> int:
    """A seed that depends on what is drawn for and on nothing else, such as what else is on a board."""
    return int.from_bytes(hashlib.sha256(repr(parts).encode()).digest()[:16], "little")


def resampled(
    scores: Floats, seed: int, resamples: int = RESAMPLES, *, clusters: NDArray[np.int64] | None = None
) -> Floats:
    """Mean scores of entries in bootstrap resamples of the queries of one task, the same queries for all entries.

    Args:
        scores: shape (m, n): of m entries on n queries, in [0, 1]; n at least 1 and at most 2²⁴.
        seed: of the draws.
        resamples: how often k - 1 of the k clusters are drawn with replacement.
        clusters: shape (n,), equal for queries that ask about one image; ``None`` where each stands alone.

    Returns:
        Shape (m, resamples). Of a task of one cluster all are its mean: nothing is known of its spread.
    """
    sizes = by_cluster(scores, clusters)[1]
    k = len(sizes)
    step = 2.0 ** max(0, math.floor(math.log2(_EXACT / (k * sizes.max()))))
    rounded = np.rint(scores * step)
    sums = by_cluster(rounded, clusters)[0].astype(np.float32)
    means: Floats = np.empty((len(scores), resamples))
    start = 0
    for weights in _weights(k, max(1, k - 1), seed, resamples):
        stop = start + len(weights)
        means[:, start:stop] = sums @ weights.T
        # How many queries were drawn differs where images have more or fewer of them.
        means[:, start:stop] /= step * (weights @ sizes.astype(np.float32))
        start = stop
    off = scores.mean(axis=1) - rounded.mean(axis=1) / step
    means[off != 0] += off[off != 0, None]
    return means


def _weights(n: int, drawn: int, seed: int, resamples: int) -> Iterator[NDArray[np.float32]]:
    """How often each of n clusters is drawn, float32, shape (some, n), until there are as many as resamples."""
    draw = np.random.default_rng(seed)
    size = max(1, _AT_ONCE // n)
    for start in range(0, resamples, size):
        rows = min(size, resamples - start)
        places = draw.integers(n, size=(rows, drawn))
        places += np.arange(0, rows * n, n)[:, None]
        yield np.bincount(places.ravel(), minlength=rows * n).reshape(rows, n).astype(np.float32)


def variance_of_mean(values: Sequence[float], queries: Sequence[int]) -> float:
    """Variance of the unweighted mean over T tasks from scores and numbers of queries alone.

    For scores of 0 and 1 it is exactly that of :func:`resampled`: Σ p (1 - p) / (n - 1) / T². With ties it is more
    than that, as scores in between spread less.

    Args:
        values: p, one a task, in [0, 1].
        queries: n, one a task, at least 1; a task of one query adds nothing, as nothing is known of its spread.
    """
    own = (p * (1 - p) / (n - 1) for p, n in zip(values, queries, strict=True) if n > 1)
    return sum(own) / len(values) ** 2


def largest_variance(mean: float, queries: Sequence[int]) -> float:
    """The most that :func:`variance_of_mean` can be where the mean is known and its tasks' scores are not.

    With N the fewest queries of any task, Σ p (1 - p) / (n - 1) ≤ Σ (p - p²) / (N - 1), and Σ p² ≥ T m² for scores of
    mean m (Cauchy and Schwarz), so the variance is at most T (m - m²) / (N - 1) / T² = m (1 - m) / (T (N - 1)).

    Args:
        mean: m, in [0, 1].
        queries: of the T tasks, at least 1 each.
    """
    fewest = min(queries)
    return mean * (1 - mean) / (len(queries) * (fewest - 1)) if fewest > 1 else 0.0


def normal(seed: int, resamples: int = RESAMPLES) -> Floats:
    """Draws of the standard normal distribution, shape (resamples,)."""
    return np.random.default_rng(seed).standard_normal(resamples)


def interval(draws: Floats, value: float) -> tuple[float, float]:
    """The 95 % percentile interval of draws; it holds the value, whatever rounding did to equal scores."""
    low, high = np.quantile(draws, [0.025, 0.975])
    return min(float(low), value), max(float(high), value)


def rank_ranges(draws: Floats) -> list[Range]:
    """Best and worst place of each entry in 95 % of the draws: the 2.5 and 97.5 percentiles of its ranks.

    In a draw an entry's rank is 1 plus the number of those that are strictly better: equals share the best place.
    Means that differ by less than 10⁻¹² are equal; they are sums in another order.

    Args:
        draws: shape (m, resamples): of m entries.
    """
    if not len(draws):
        return []
    columns = np.ascontiguousarray(np.round(draws, 12).T)
    ranks = np.empty(columns.shape, dtype=np.int64)
    for place, means in enumerate(columns):
        ranks[place] = len(means) + 1 - np.searchsorted(np.sort(means), means, side="right")
    # A rank is one of those that were drawn: nothing is interpolated.
    best, worst = np.quantile(ranks, [0.025, 0.975], axis=0, method="inverted_cdf")
    return [Range(int(low), int(high)) for low, high in zip(best, worst, strict=True)]

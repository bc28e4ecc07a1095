"""Vectors and pools to ranks: FAISS proposes in float32, an exact float64 rescoring decides.

So the order of candidates cannot matter, and any FAISS build (CPU or GPU, any SIMD level) leads to the same ranks:
:mod:`evalkit.scoring.shortlist` says what FAISS leaves undecided, :mod:`evalkit.scoring.ties` decides it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from evalkit.scoring.shortlist import SHORTLIST, TOP, Window, errors_of, shortlists, undecided
from evalkit.scoring.ties import exact_lists, tied_with

if TYPE_CHECKING:
    from numpy.typing import NDArray


@dataclass(frozen=True)
class Ranking:
    """Where each query's label stands in its pool, and who stands at the top.

    All arrays have one entry per query. Candidates that a pool lists twice count once.

    Attributes:
        above: int64, candidates that score higher than the best relevant one; none of them is relevant.
        tied: int64, other candidates with exactly the best relevant one's score.
        right: int64, relevant candidates at that score, at least 1.
        relevant: int64, relevant candidates in the pool.
        pool: int64, distinct candidates in the pool.
        label_score: float64, the best relevant one's score.
        margin: float64, that score minus the best other candidate's; NaN in a pool without others.
        top: candidate numbers, best first, at most ``TOP``; equal scores by candidate number.
        top_scores: their scores.
    """

    above: NDArray[np.int64]
    tied: NDArray[np.int64]
    right: NDArray[np.int64]
    relevant: NDArray[np.int64]
    pool: NDArray[np.int64]
    label_score: NDArray[np.float64]
    margin: NDArray[np.float64]
    top: list[NDArray[np.int64]]
    top_scores: list[NDArray[np.float64]]


def rank(
    queries: NDArray[np.float32],
    candidates: NDArray[np.float32],
    pools: Sequence[NDArray[np.int32]],
    relevant: Sequence[NDArray[np.int32]],
    *,
    shortlist: int = SHORTLIST,
) -> Ranking:
    """Rank every query's pool.

    Args:
        queries: shape (n, d), finite.
        candidates: shape (m, d), finite.
        pools: n arrays of candidate numbers below m; order and repeats do not matter.
        relevant: n arrays of candidate numbers, each a part of its pool and not empty.
        shortlist: how many candidates of a shared pool FAISS proposes, at least 1.

    Raises:
        ValueError: shapes that do not fit, values that are not finite, or a label outside its pool.
    """
    if queries.ndim != 2 or candidates.ndim != 2 or queries.shape[1] != candidates.shape[1]:
        raise ValueError(f"queries {queries.shape} and candidates {candidates.shape} do not fit together")
    if not len(queries) == len(pools) == len(relevant):
        raise ValueError(f"{len(queries)} queries, {len(pools)} pools and {len(relevant)} labels")
    # FAISS answers a NaN query with id -1, which would silently name the last candidate.
    if not (np.isfinite(queries).all() and np.isfinite(candidates).all()):
        raise ValueError("vectors that are not finite cannot be ranked")
    queries = np.ascontiguousarray(queries, dtype=np.float32)
    candidates = np.ascontiguousarray(candidates, dtype=np.float32)

    shared = {id(pool): pool for pool in pools}  # of all queries it is one array, and its numbers are sorted once
    ordered = {place: distinct(pool) for place, pool in shared.items()}
    sets, rights = [ordered[id(pool)] for pool in pools], [distinct(right) for right in relevant]
    for row, (pool, right) in enumerate(zip(sets, rights, strict=True)):
        if not len(right) or not len(pool) or (pool[np.searchsorted(pool[:-1], right)] != right).any():
            raise ValueError(f"query {row}: its label is not in its pool")

    label_scores = [float(values.max()) for values in exact_lists(queries, candidates, rights)]
    errors = errors_of(queries, candidates)
    windows = [
        undecided(scores, found, sets[row], label_scores[row], len(rights[row]), errors[row])
        for row, (scores, found) in enumerate(shortlists(queries, candidates, sets, shortlist))
    ]
    exact = exact_lists(queries, candidates, [window.numbers for window in windows])
    for row, (window, scores) in enumerate(zip(windows, exact, strict=True)):
        # A build that computes below float32 (TF32, say) breaks the bound; then nothing it says counts.
        if window.said is not None and (np.abs(window.said - scores) > errors[row]).any():
            windows[row] = Window(0, sets[row], None)
            exact[row] = exact_lists(queries[row : row + 1], candidates, [sets[row]])[0]
    stands = [
        tied_with(label_score, window.numbers, scores, right)
        for label_score, window, scores, right in zip(label_scores, windows, exact, rights, strict=True)
    ]
    best = [np.lexsort((window.numbers, -scores))[:TOP] for window, scores in zip(windows, exact, strict=True)]
    above, tied, right_at_top, margin = zip(*stands, strict=True)
    return Ranking(
        above=np.array(above, dtype=np.int64) + np.array([window.certain for window in windows], dtype=np.int64),
        tied=np.array(tied, dtype=np.int64),
        right=np.array(right_at_top, dtype=np.int64),
        relevant=np.array([len(right) for right in rights], dtype=np.int64),
        pool=np.array([len(pool) for pool in sets], dtype=np.int64),
        label_score=np.array(label_scores, dtype=np.float64),
        margin=np.array(margin, dtype=np.float64),
        top=[window.numbers[order] for window, order in zip(windows, best, strict=True)],
        top_scores=[scores[order] for scores, order in zip(exact, best, strict=True)],
    )


def distinct(numbers: NDArray[np.int32]) -> NDArray[np.int64]:
    """Sorted, without repeats; several times faster than numpy.unique on arrays as short as a pool."""
    ordered = np.sort(numbers).astype(np.int64)
    return ordered[np.concatenate([[True], ordered[1:] != ordered[:-1]])] if len(ordered) else ordered

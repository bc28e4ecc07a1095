"""Vectors and pools to ranks: FAISS proposes in float32, an exact float64 rescoring decides.

A score is the inner product, in float64, of the two float32 vectors: each product is exact, and the sum
runs over the dimensions in a fixed order that does not depend on which other candidates are there. So
equal vectors get equal scores, the order of candidates cannot matter, and any FAISS build (CPU or GPU,
any SIMD level) leads to the same ranks.

FAISS's float32 scores are off by at most :func:`float32_error`. Whatever that leaves undecided about the
label, and the few best candidates, is rescored exactly; where its shortlist is not provably complete, the
whole pool is.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

SHORTLIST = 2048  # of a shared pool; FAISS on a GPU finds no more, and no MMEB or SCaR pool is larger
TOP = 5  # candidates listed per query
_AT_ONCE = 4_000_000  # scores of own pools computed at once: 64 MB with their numbers
_CHUNK = 2048  # pairs rescored at once: 2048 x 2 x 8 bytes x dimension


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

    sets, rights = [distinct(pool) for pool in pools], [distinct(right) for right in relevant]
    for row, (pool, right) in enumerate(zip(sets, rights, strict=True)):
        if not len(right) or not len(pool) or (pool[np.searchsorted(pool[:-1], right)] != right).any():
            raise ValueError(f"query {row}: its label is not in its pool")

    label_scores = [float(values.max()) for values in _pairs(queries, candidates, rights)]
    errors = _errors(queries, candidates)
    windows = [
        _undecided(scores, found, sets[row], label_scores[row], len(rights[row]), errors[row])
        for row, (scores, found) in enumerate(_shortlists(queries, candidates, sets, shortlist))
    ]
    exact = _pairs(queries, candidates, [window.numbers for window in windows])
    for row, (window, scores) in enumerate(zip(windows, exact, strict=True)):
        # A build that computes below float32 (TF32, say) breaks the bound; then nothing it says counts.
        if window.said is not None and (np.abs(window.said - scores) > errors[row]).any():
            windows[row] = _Window(0, sets[row], None)
            exact[row] = _pairs(queries[row : row + 1], candidates, [sets[row]])[0]
    results = [
        _decide(window, scores, rights[row], label_scores[row])
        for row, (window, scores) in enumerate(zip(windows, exact, strict=True))
    ]
    above, tied, right_at_top, margin, top, top_scores = zip(*results, strict=True)
    return Ranking(
        above=np.array(above, dtype=np.int64),
        tied=np.array(tied, dtype=np.int64),
        right=np.array(right_at_top, dtype=np.int64),
        relevant=np.array([len(right) for right in rights], dtype=np.int64),
        pool=np.array([len(pool) for pool in sets], dtype=np.int64),
        label_score=np.array(label_scores, dtype=np.float64),
        margin=np.array(margin, dtype=np.float64),
        top=list(top),
        top_scores=list(top_scores),
    )


def exact_scores(a: NDArray[np.float32], b: NDArray[np.float32]) -> NDArray[np.float64]:
    """Inner products of rows, shape (p, d) each, to shape (p,).

    The products of float32 numbers are exact in float64. numpy's pairwise sum over the last, contiguous
    axis adds in an order that depends on d alone, unlike a matrix product's, which changes with the
    row's place in a block.
    """
    return np.asarray(np.multiply(a, b, dtype=np.float64).sum(axis=1))


def float32_error(dimension: int) -> float:
    """Bound of a float32 inner product's error, relative to the product of the two lengths.

    ``d u / (1 - d u)`` with ``u = 2**-24`` holds for any order of summation (Higham, Accuracy and
    Stability of Numerical Algorithms, 3.1).
    """
    du = dimension * 2.0**-24
    return du / (1 - du)


def distinct(numbers: NDArray[np.int32]) -> NDArray[np.int64]:
    """Sorted, without repeats; several times faster than numpy.unique on arrays as short as a pool."""
    ordered = np.sort(numbers).astype(np.int64)
    return ordered[np.concatenate([[True], ordered[1:] != ordered[:-1]])] if len(ordered) else ordered


def _errors(queries: NDArray[np.float32], candidates: NDArray[np.float32]) -> NDArray[np.float64]:
    """Bound of FAISS's error per query.

    The lengths come from float32 sums, whose own error the factor covers; the addend covers products
    that underflow.
    """
    d = queries.shape[1]
    longest, lengths = (
        np.sqrt(np.einsum("ij,ij->i", rows, rows).astype(np.float64) * (1 + 2 * float32_error(d)))
        for rows in (candidates, queries)
    )
    return np.asarray(float32_error(d) * lengths * longest.max() + d * float(np.finfo(np.float32).tiny))


def _pairs(
    queries: NDArray[np.float32], candidates: NDArray[np.float32], numbers: list[NDArray[np.int64]]
) -> list[NDArray[np.float64]]:
    """Exact scores of each query with its own list of candidates."""
    lengths = np.array([len(part) for part in numbers])
    rows, columns = np.repeat(np.arange(len(numbers)), lengths), np.concatenate(numbers)
    flat = np.empty(len(rows), dtype=np.float64)
    for start in range(0, len(rows), _CHUNK):
        part = slice(start, start + _CHUNK)
        flat[part] = exact_scores(queries[rows[part]], candidates[columns[part]])
    return np.split(flat, np.cumsum(lengths)[:-1])


def _shortlists(
    queries: NDArray[np.float32],
    candidates: NDArray[np.float32],
    sets: list[NDArray[np.int64]],
    shortlist: int,
) -> list[tuple[NDArray[np.float64], NDArray[np.int64]]]:
    """FAISS's proposals per query: scores, best first, and candidate numbers."""
    shared = [row for row, pool in enumerate(sets) if len(pool) == len(candidates)]
    own: dict[int, list[int]] = {}
    for row, pool in enumerate(sets):
        if len(pool) != len(candidates):
            own.setdefault(len(pool), []).append(row)
    proposals: dict[int, tuple[NDArray[np.float64], NDArray[np.int64]]] = {}
    if shared:
        scores, found = _search_all(queries[shared], candidates, shortlist)
        proposals |= zip(shared, zip(scores.astype(np.float64), found, strict=True), strict=True)
    for length, rows in own.items():
        at_once = max(1, _AT_ONCE // length)
        for part in (rows[start : start + at_once] for start in range(0, len(rows), at_once)):
            scores, found = _score_pools(queries[part], candidates, np.stack([sets[row] for row in part]))
            proposals |= zip(part, zip(scores.astype(np.float64), found, strict=True), strict=True)
    return [proposals[row] for row in range(len(sets))]


def _search_all(
    queries: NDArray[np.float32], candidates: NDArray[np.float32], shortlist: int
) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """The best of all candidates, on the first GPU where the installed FAISS and the machine have one."""
    import faiss

    index = faiss.IndexFlatIP(candidates.shape[1])
    index.add(candidates)
    k = min(len(candidates), shortlist)
    if hasattr(faiss, "StandardGpuResources") and faiss.get_num_gpus() > 0:
        resources = faiss.StandardGpuResources()  # has to outlive the index that uses it
        scores, found = faiss.index_cpu_to_gpu(resources, 0, index).search(queries, k)
    else:
        scores, found = index.search(queries, k)
    if (found < 0).any():
        raise ValueError("FAISS found fewer candidates than there are")
    return scores, found


def _score_pools(
    queries: NDArray[np.float32], candidates: NDArray[np.float32], pools: NDArray[np.int64]
) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Each query's own pool, all of it: the inner products behind IndexFlatIP, by candidate number.

    An index would copy the candidates, and search them with a selector for each query: twice the time.

    Args:
        queries: shape (n, d).
        candidates: shape (m, d).
        pools: shape (n, p), candidate numbers.
    """
    import faiss

    scores = np.empty(pools.shape, dtype=np.float32)
    arrays = [faiss.swig_ptr(array) for array in (scores, queries, candidates, pools)]
    faiss.fvec_inner_products_by_idx(*arrays, queries.shape[1], *pools.shape)
    order = np.argsort(-scores, axis=1)
    return np.take_along_axis(scores, order, axis=1), np.take_along_axis(pools, order, axis=1)


@dataclass(frozen=True)
class _Window:
    """What is left to decide of one query.

    Attributes:
        certain: candidates that certainly score higher than the label, beside ``numbers``.
        numbers: candidates to rescore.
        said: FAISS's scores of them; none where the whole pool is rescored.
    """

    certain: int
    numbers: NDArray[np.int64]
    said: NDArray[np.float64] | None


def _undecided(
    scores: NDArray[np.float64],
    found: NDArray[np.int64],
    pool: NDArray[np.int64],
    label_score: float,
    relevant: int,
    error: float,
) -> _Window:
    """The candidates that may be among the listed top or level with the label."""
    descending = -scores
    wanted = min(TOP + relevant, len(scores))  # holds the best other candidate, too
    reach = int(np.searchsorted(descending, -(scores[wanted - 1] - 2 * error), side="right"))
    below = int(np.searchsorted(descending, -(label_score - error), side="right"))
    if len(scores) < len(pool) and (reach == len(scores) or below == len(scores)):
        return _Window(0, pool, None)  # the shortlist may lack some that matter
    first = max(reach, int(np.searchsorted(descending, -(label_score + error), side="left")))
    window = np.r_[0:reach, first : max(first, below)]
    return _Window(first - reach, found[window], scores[window])


def _decide(
    window: _Window, scores: NDArray[np.float64], right: NDArray[np.int64], label_score: float
) -> tuple[int, int, int, float, NDArray[np.int64], NDArray[np.float64]]:
    others = ~np.isin(window.numbers, right)
    above = window.certain + int((scores[others] > label_score).sum())
    tied = int((scores[others] == label_score).sum())
    at_top = int((scores[~others] == label_score).sum())
    margin = label_score - float(scores[others].max()) if others.any() else float("nan")
    order = np.lexsort((window.numbers, -scores))[:TOP]
    return above, tied, at_top, margin, window.numbers[order], scores[order]

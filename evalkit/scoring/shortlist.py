"""FAISS's shortlist of each pool in float32, and what it leaves undecided.

FAISS's scores are off by at most :func:`float32_error`. Whatever that leaves undecided about the label, and the few
best candidates, is rescored exactly; where the shortlist is not provably complete, the whole pool is.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

SHORTLIST = 2048  # of a shared pool; FAISS on a GPU finds no more, and no MMEB or SCaR pool is larger
TOP = 5  # candidates listed per query
_AT_ONCE = 4_000_000  # scores of own pools computed at once: 64 MB with their numbers


def float32_error(dimension: int) -> float:
    """Bound of a float32 inner product's error, relative to the product of the two lengths.

    ``d u / (1 - d u)`` with ``u = 2**-24`` holds for any order of summation (Higham, Accuracy and
    Stability of Numerical Algorithms, 3.1).
    """
    du = dimension * 2.0**-24
    return du / (1 - du)


def errors_of(queries: NDArray[np.float32], candidates: NDArray[np.float32]) -> NDArray[np.float64]:
    """Bound of FAISS's error per query.

    The lengths come from float32 sums, whose own error the factor covers; the addend covers products
    that underflow.

    Args:
        queries: shape (n, d), finite.
        candidates: shape (m, d), finite.

    Returns:
        float64, shape (n,), at least 0.
    """
    d = queries.shape[1]
    longest, lengths = (
        np.sqrt(np.einsum("ij,ij->i", rows, rows).astype(np.float64) * (1 + 2 * float32_error(d)))
        for rows in (candidates, queries)
    )
    return np.asarray(float32_error(d) * lengths * longest.max() + d * float(np.finfo(np.float32).tiny))


def shortlists(
    queries: NDArray[np.float32],
    candidates: NDArray[np.float32],
    sets: list[NDArray[np.int64]],
    shortlist: int,
) -> list[tuple[NDArray[np.float64], NDArray[np.int64]]]:
    """FAISS's proposals per query.

    Args:
        queries: shape (n, d), float32, contiguous.
        candidates: shape (m, d), likewise.
        sets: n arrays, the distinct candidate numbers of each pool.
        shortlist: how many of a pool of all candidates are proposed, at least 1; of another pool all are.

    Returns:
        For each query float32 scores as float64, best first, and the candidate numbers.

    Raises:
        ValueError: FAISS finds fewer candidates than there are.
    """
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
class Window:
    """What is left to decide of one query.

    Attributes:
        certain: candidates that certainly score higher than the label, beside ``numbers``.
        numbers: candidates to rescore.
        said: FAISS's scores of them; none where the whole pool is rescored.
    """

    certain: int
    numbers: NDArray[np.int64]
    said: NDArray[np.float64] | None


def undecided(
    scores: NDArray[np.float64],
    found: NDArray[np.int64],
    pool: NDArray[np.int64],
    label_score: float,
    relevant: int,
    error: float,
) -> Window:
    """The candidates of one query that may be among the listed top or level with the label.

    Args:
        scores: shape (k,), FAISS's, best first.
        found: shape (k,), their candidate numbers.
        pool: all distinct candidate numbers.
        label_score: exact score of the best right candidate.
        relevant: how many candidates are right.
        error: by how much a score of FAISS's may be off.
    """
    descending = -scores
    wanted = min(TOP + relevant, len(scores))  # holds the best other candidate, too
    reach = int(np.searchsorted(descending, -(scores[wanted - 1] - 2 * error), side="right"))
    below = int(np.searchsorted(descending, -(label_score - error), side="right"))
    if len(scores) < len(pool) and (reach == len(scores) or below == len(scores)):
        return Window(0, pool, None)  # the shortlist may lack some that matter
    first = max(reach, int(np.searchsorted(descending, -(label_score + error), side="left")))
    window = np.r_[0:reach, first : max(first, below)]
    return Window(first - reach, found[window], scores[window])

"""Exact scores, and what ties: two candidates do where these are equal, to the last bit.

A score is the inner product, in float64, of the two float32 vectors: each product is exact, and the sum
runs over the dimensions in a fixed order that does not depend on which other candidates are there. So
equal vectors get equal scores, and the order of candidates cannot matter.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

_CHUNK = 2048  # pairs rescored at once: 2048 x 2 x 8 bytes x dimension


def exact_scores(a: NDArray[np.float32], b: NDArray[np.float32]) -> NDArray[np.float64]:
    """Inner products of rows, shape (p, d) each, to shape (p,).

    The products of float32 numbers are exact in float64. numpy's pairwise sum over the last, contiguous
    axis adds in an order that depends on d alone, unlike a matrix product's, which changes with the
    row's place in a block.
    """
    return np.asarray(np.multiply(a, b, dtype=np.float64).sum(axis=1))


def exact_lists(
    queries: NDArray[np.float32], candidates: NDArray[np.float32], numbers: list[NDArray[np.int64]]
) -> list[NDArray[np.float64]]:
    """Exact scores of each query with its own list of candidates.

    Args:
        queries: shape (n, d).
        candidates: shape (m, d).
        numbers: n arrays of candidate numbers below m.

    Returns:
        n arrays, float64, each as long as its list.
    """
    lengths = np.array([len(part) for part in numbers])
    rows, columns = np.repeat(np.arange(len(numbers)), lengths), np.concatenate(numbers)
    flat = np.empty(len(rows), dtype=np.float64)
    for start in range(0, len(rows), _CHUNK):
        part = slice(start, start + _CHUNK)
        flat[part] = exact_scores(queries[rows[part]], candidates[columns[part]])
    return np.split(flat, np.cumsum(lengths)[:-1])


def tied_with(
    label_score: float, numbers: NDArray[np.int64], scores: NDArray[np.float64], right: NDArray[np.int64]
) -> tuple[int, int, int, float]:
    """How many of some candidates stand above a query's label, tie with it, and are right ones that share its score.

    Args:
        label_score: exact score of the best right candidate.
        numbers: shape (c,), of the candidates, each once.
        scores: shape (c,), their exact scores.
        right: numbers of the right ones.

    Returns:
        Above, tied (both without right ones), right ones at the label's score; and by how much it is ahead of the best
        other one, NaN where there is none.
    """
    others = ~np.isin(numbers, right)
    above = int((scores[others] > label_score).sum())
    tied = int((scores[others] == label_score).sum())
    at_top = int((scores[~others] == label_score).sum())
    margin = label_score - float(scores[others].max()) if others.any() else float("nan")
    return above, tied, at_top, margin

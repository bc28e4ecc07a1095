"""The reciprocal rank, whose mean over queries is MRR. The whole pool counts: nothing is cut off at a rank."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from evalkit.scoring.metrics.metric import Metric

if TYPE_CHECKING:
    from evalkit.scoring.metrics.metric import Counts, Scores


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


MRR = Metric(
    name="mrr",
    title="MRR",
    definition="The expected reciprocal of the first right candidate's rank in the whole pool.",
    citation="""\
@inproceedings{voorhees1999trec8,
  title = {The TREC-8 Question Answering Track Report},
  author = {Voorhees, Ellen M.},
  booktitle = {Text REtrieval Conference (TREC)},
  year = {1999},
}
""",
    score=reciprocal_rank,
    interval="bootstrap",
)

"""hit@k, also called success@k: whether any right candidate is among the first k."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from evalkit.scoring.metrics.metric import Metric

if TYPE_CHECKING:
    from evalkit.scoring.metrics.metric import Counts, Scores


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


def _metric(k: int) -> Metric:
    return Metric(
        name=f"hit_at_{k}",
        title=f"hit@{k}",
        definition=f"The chance that a right candidate is among the first {k}.",
        citation="""\
@inproceedings{craswell2004overview,
  title = {Overview of the TREC-2004 Web Track},
  author = {Craswell, Nick and Hawking, David},
  booktitle = {Text REtrieval Conference (TREC)},
  year = {2004},
}
""",
        score=partial(hit_at, k),
        interval="wilson",
        parameters={"k": k},
    )


HIT_AT_5, HIT_AT_10 = _metric(5), _metric(10)

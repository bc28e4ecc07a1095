"""What a metric is: from where each query's label stands to a score for each query, with what people ask about it.

A query's state is three integers (see :class:`evalkit.scoring.ranking.Ranking`): ``above`` candidates score
higher than the best relevant one, ``tied`` others score exactly as high, ``right`` relevant ones share
that score. Every metric is the expectation over all orders of the tied ones, drawn with equal chance (McSherry and
Najork 2008, Computing Information Retrieval Performance Measures Efficiently in the Presence of Tied Scores).
Of other states it makes its optimistic and pessimistic value and chance (:mod:`evalkit.scoring.metrics.value`).

Both official scorers rank with the label in front. Version 1's ``argmax`` lets it win among exactly equal scores, which
is the optimistic value; version 2's ``argsort`` is not stable and leaves open which of equals comes first. By size of
pool and build of numpy a constant embedder gets anything from 0 to 100 % of them (``benchmarks/official_ties.py``,
docs/protocol.md). Here it gets chance.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Counts = NDArray[np.int64]
    Scores = NDArray[np.float64]

IntervalMethod = Literal["wilson", "bootstrap"]


@dataclass(frozen=True)
class Metric:
    """A metric as data.

    Attributes:
        name: as cards and results call it.
        title: as people call it.
        definition: one sentence: what it is of one query.
        citation: BibTeX of its source.
        score: from ``above``, ``tied`` and ``right`` (int64, shape (n,), ``right`` at least 1) to float64, shape (n,).
            More relevant candidates at the label's score, or fewer others above or beside them, never lower it.
        interval: of its mean: Wilson where scores are 0 or 1 but for ties, bootstrap otherwise.
        range: the least and the most that a score can be, within [0, 1].
        parameters: by name, those that tell it from others of its kind, such as the cutoff ``k``.
    """

    name: str
    title: str
    definition: str
    citation: str
    score: Callable[[Counts, Counts, Counts], Scores]
    interval: IntervalMethod
    range: tuple[float, float] = (0.0, 1.0)
    parameters: Mapping[str, int] = field(default_factory=dict)

"""What a run's per-query file says, as pages of samples show it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from evalkit.errors import ResultsError
from evalkit.runs.runfiles import queries_of, samples_path

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa
    from numpy.typing import NDArray

    from evalkit.runs.manifest import TaskResult

_COLUMNS = ["id", "label", "score", "label_score", "rank", "ties", "relevant", "pool", "margin", "top", "top_scores"]


@dataclass(frozen=True, slots=True)
class Answer:
    """One row of a per-query file; the columns are those of :func:`evalkit.runs.samples.samples_table`.

    Attributes:
        id: of the query's content; letters, digits and hyphens in evalkit's own suites, any characters in others.
        label: what the task calls the right candidate, the best of them where there are several.
        score: Precision@1 of this query, in [0, 1].
        label_score: the label's inner product with the query.
        rank: the label's best place among equals, from 1.
        ties: other candidates with exactly the label's score.
        relevant: right candidates in the pool.
        pool: distinct candidates it was ranked against.
        margin: the label's score less the best other candidate's; ``None`` in a pool without others.
        top: names of the best candidates, best first, at most five.
        top_scores: theirs.
    """

    id: str
    label: str
    score: float
    label_score: float
    rank: int
    ties: int
    relevant: int
    pool: int
    margin: float | None
    top: tuple[str, ...]
    top_scores: tuple[float, ...]

    @property
    def state(self) -> Literal["right", "wrong", "tied"]:
        """``right`` (score 1), ``wrong`` (score 0), or ``tied``: level at the top with a wrong one."""
        return "right" if self.score == 1 else "wrong" if self.score == 0 else "tied"


@dataclass(frozen=True)
class Answers:
    """A per-query file: all ids and scores, and the first rows.

    Attributes:
        ids: n ids, distinct, string.
        scores: n values of Precision@1 in [0, 1], float64.
        low_margin: the margin that the lowest tenth of the right answers does not exceed: of r margins the
            ceil(r / 10)-th smallest. ``None`` where no right answer has a margin.
        rows: the first ones.
        texts: n texts of the queries, string; ``None`` where the file has none.
    """

    ids: pa.Array
    scores: NDArray[np.float64]
    low_margin: float | None
    rows: tuple[Answer, ...]
    texts: pa.Array | None = None

    @property
    def right(self) -> int:
        """Queries with all of the score."""
        return int((self.scores == 1).sum())

    @property
    def wrong(self) -> int:
        """Queries with none of it."""
        return int((self.scores == 0).sum())

    def is_low(self, margin: float | None) -> bool:
        """Whether a right answer's margin is among the lowest."""
        return margin is not None and self.low_margin is not None and margin <= self.low_margin

    def has_right(self, other: Answers) -> NDArray[np.bool_] | None:
        """Which queries of another file's ``rows`` this file has right, shape (len(other.rows),).

        Returns:
            ``None`` where the two files are not of the same queries.
        """
        import numpy as np
        import pyarrow.compute as pc

        if self.ids.equals(other.ids):
            return np.asarray(self.scores[: len(other.rows)] == 1)
        if len(self.ids) != len(other.ids):
            return None
        places = pc.index_in(other.ids, value_set=self.ids)
        return None if places.null_count else np.asarray(self.scores[places.to_numpy()[: len(other.rows)]] == 1)


def read_answers(folder: Path, result: TaskResult, limit: int) -> Answers:
    """Read the per-query file of a result.

    Args:
        folder: of the run.
        result: of one of its tasks.
        limit: rows to keep, the first of the file.

    Raises:
        ResultsError: the file is missing, or outside of the run's folder; or as
            :func:`evalkit.runs.runfiles.queries_of`.
    """
    import numpy as np

    path = samples_path(folder, result)
    if path is None:
        raise ResultsError(
            f"{folder / (result.samples or 'samples')} is missing or not a file: run {result.task} again"
        )
    found = queries_of(path, result, _COLUMNS, ("text",))
    scores = found.scores
    margins = np.sort(found.numbers("margin")[scores == 1])
    margins = margins[~np.isnan(margins)]
    low = float(margins[math.ceil(len(margins) / 10) - 1]) if len(margins) else None
    first = found.table.select(_COLUMNS).slice(0, limit).to_pylist()
    rows = tuple(Answer(**row | {name: tuple(row[name]) for name in ("top", "top_scores")}) for row in first)
    texts = found.table["text"] if "text" in found.table.column_names else None
    return Answers(found.ids, scores, low, rows, texts)

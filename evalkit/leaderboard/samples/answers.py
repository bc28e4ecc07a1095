"""What a run's per-query file says, read with doubt: runs come from other versions, other people, broken disks."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from evalkit.errors import ResultsError
from evalkit.runfiles import samples_path

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa
    from numpy.typing import NDArray

    from evalkit.results import TaskResult

_NUMBERS = ("score", "label_score")
_COUNTS = {"rank": 1, "ties": 0, "relevant": 1, "pool": 1}  # and the least that each can be
_COLUMNS = ("id", "label", *_NUMBERS, *_COUNTS, "margin", "top", "top_scores")


@dataclass(frozen=True, slots=True)
class Answer:
    """One row of a per-query file; the columns are those of :func:`evalkit.samples.samples_table`."""

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


@dataclass(frozen=True)
class Answers:
    """A per-query file: all ids and scores, and the first rows.

    Attributes:
        ids: n ids, distinct, string.
        scores: n values of Precision@1 in [0, 1], float64.
        low_margin: the margin that the lowest tenth of the right answers does not exceed: of r margins the
            ceil(r / 10)-th smallest. ``None`` where no right answer has a margin.
        rows: the first ones.
    """

    ids: pa.Array
    scores: NDArray[np.float64]
    low_margin: float | None
    rows: tuple[Answer, ...]

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
        ResultsError: the file is missing or broken, outside of the run's folder, of another result, lacks a column, or
            holds what such a file never holds; names the file and the query.
    """
    import numpy as np
    import pyarrow as pa
    import pyarrow.compute as pc
    import pyarrow.parquet as pq

    path = _place(folder, result)
    try:
        with path.open("rb") as file, pq.ParquetFile(file) as parquet:
            names = parquet.schema_arrow.names
            if missing := [name for name in _COLUMNS if names.count(name) != 1]:
                raise ResultsError(f"{path} lacks the column {', '.join(missing)}, or has it twice: run the task again")
            signature = (parquet.schema_arrow.metadata or {}).get(b"evalkit.signature", b"").decode(errors="replace")
            table = parquet.read(list(_COLUMNS), use_threads=False).select(_COLUMNS).cast(_schema()).combine_chunks()
        table.validate(full=True)  # parquet is not checked for UTF-8 when it is read
    except OSError as error:
        raise ResultsError(f"{path} cannot be read: {error.strerror or error}") from error
    except (pa.ArrowException, UnicodeDecodeError) as error:
        what = " ".join(str(error).split())
        raise ResultsError(f"{path} cannot be read as a run's samples: {what}") from error
    if signature and result.signature and signature != result.signature:
        raise ResultsError(f"{path} is of another result than run.json has: run {result.task} again")
    ids = table["id"].combine_chunks()
    if not len(ids) or result.n_queries not in (None, len(ids)):
        promised = "" if result.n_queries is None else f", but run.json says {result.n_queries}"
        raise ResultsError(f"{path} has {len(ids)} queries{promised}: run {result.task} again")
    if len(pc.unique(ids)) != len(ids):
        twice = next(value["values"] for value in pc.value_counts(ids).to_pylist() if value["counts"] > 1)
        raise ResultsError(f"{path} has the id {twice!r} twice: run {result.task} again")
    _check(table, path)
    scores = np.asarray(table["score"])
    metric = (result.metrics or {}).get("precision_at_1")
    if metric is not None and abs(float(scores.mean()) - metric.value) > 1e-9:
        raise ResultsError(
            f"{path} has a mean score of {scores.mean()}, but run.json says {metric.value}: run {result.task} again"
        )
    margins = np.sort(table["margin"].filter(pa.array(scores == 1)).drop_null().to_numpy())
    low = float(margins[math.ceil(len(margins) / 10) - 1]) if len(margins) else None
    first = table.slice(0, limit).to_pylist()
    rows = tuple(Answer(**row | {name: tuple(row[name]) for name in ("top", "top_scores")}) for row in first)
    return Answers(ids, scores, low, rows)


def _place(folder: Path, result: TaskResult) -> Path:
    """Where the file is; it is shown, so that no link may lead to another."""
    path = samples_path(folder, result)
    if path is None:
        raise ResultsError(
            f"{folder / (result.samples or 'samples')} is missing or not a file: run {result.task} again"
        )
    try:
        if not path.resolve().is_relative_to(folder.resolve()):
            raise ResultsError(f"{path} is a link that leads out of the run's folder: put the file there")
        if not path.is_file():  # a pipe would be waited for without end
            raise ResultsError(f"{path} is missing or not a file: run {result.task} again")
    except OSError as error:
        raise ResultsError(f"{path} cannot be read: {error.strerror or error}") from error
    return path


def _schema() -> pa.Schema:
    import pyarrow as pa

    kinds = {name: pa.string() for name in ("id", "label")} | {name: pa.float64() for name in _NUMBERS}
    kinds |= {name: pa.int32() for name in _COUNTS} | {"margin": pa.float64()}
    kinds |= {"top": pa.list_(pa.string()), "top_scores": pa.list_(pa.float64())}
    return pa.schema(kinds)


def _check(table: pa.Table, path: Path) -> None:
    """Raise ResultsError where a value is none that evalkit writes."""
    import numpy as np
    import pyarrow.compute as pc

    def refuse(wrong: NDArray[np.bool_], column: str) -> None:
        if wrong.any():
            row = int(np.flatnonzero(wrong)[0])
            value = table[column][row].as_py()
            raise ResultsError(f"{path}: {column} of query {table['id'][row].as_py()!r} is {value!r}: run it again")

    for column in _COLUMNS:
        if column != "margin":
            refuse(np.asarray(pc.is_null(table[column])), column)
    score = np.asarray(table["score"])
    refuse(~((score >= 0) & (score <= 1)), "score")
    refuse(~np.isfinite(np.asarray(table["label_score"])), "label_score")
    refuse(~np.isfinite(np.asarray(pc.fill_null(table["margin"], 0.0))), "margin")
    for column, least in _COUNTS.items():
        refuse(np.asarray(table[column]) < least, column)
    lengths = [np.asarray(pc.list_value_length(table[column])) for column in ("top", "top_scores")]
    refuse((lengths[0] != lengths[1]) | (lengths[0] == 0), "top")
    for column in ("top", "top_scores"):
        flat = pc.list_flatten(table[column])
        bad = np.asarray(pc.is_null(flat))
        if column == "top_scores":
            bad |= ~np.isfinite(np.asarray(pc.fill_null(flat, 0.0)))
        rows = np.asarray(pc.list_parent_indices(table[column]))[bad]
        refuse(np.isin(np.arange(table.num_rows), rows), column)

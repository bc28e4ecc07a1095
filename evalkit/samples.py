"""The per-query file of a task: what happened to each query, without the images."""

from __future__ import annotations

import io
import math
import os.path
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from evalkit.errors import ResultsError
from evalkit.files import write_atomically
from evalkit.metrics import precision_at_1

if TYPE_CHECKING:
    import pyarrow as pa
    from numpy.typing import NDArray

    from evalkit.items import Item
    from evalkit.ranking import Ranking
    from evalkit.task import Task


def samples_table(task: Task, ranking: Ranking, line: str) -> pa.Table:
    """One row per query, in the order on disk.

    ``score`` is Precision@1 of the query, ``rank`` counts from 1 and is the label's best place among
    equals, ``ties`` counts others at its score, ``margin`` is null in a pool without others. ``image`` is null
    where the query has none; queries with the same image are no independent ones.
    """
    import pyarrow as pa

    margins = [None if margin != margin else margin for margin in ranking.margin.tolist()]
    table = pa.table(
        {
            "id": pa.array(task.ids, pa.string()),
            "score": pa.array(precision_at_1(ranking.above, ranking.tied, ranking.right), pa.float64()),
            "rank": pa.array(ranking.above + 1, pa.int32()),
            "ties": pa.array(ranking.tied, pa.int32()),
            "right": pa.array(ranking.right, pa.int32()),
            "relevant": pa.array(ranking.relevant, pa.int32()),
            "pool": pa.array(ranking.pool, pa.int32()),
            "label": pa.array(task.labels, pa.string()),
            "label_score": pa.array(ranking.label_score, pa.float64()),
            "margin": pa.array(margins, pa.float64()),
            "top": pa.array([[task.names[c] for c in row] for row in ranking.top], pa.list_(pa.string())),
            "top_scores": pa.array([row.tolist() for row in ranking.top_scores], pa.list_(pa.float64())),
            "image": pa.array([item.image.path if item.image else None for item in task.queries], pa.string()),
            "text": pa.array([item.text or item.prompt for item in task.queries], pa.string()),
        }
    )
    return table.replace_schema_metadata({"evalkit.signature": line})


def write_samples(path: Path, table: pa.Table) -> None:
    """Write a per-query table as parquet, atomically.

    Raises:
        ResultsError: the folder cannot be written.
    """
    import pyarrow.parquet as pq

    buffer = io.BytesIO()
    pq.write_table(table, buffer, compression="zstd")
    write_atomically(path, buffer.getvalue())


@dataclass(frozen=True)
class Samples:
    """What happened to each of n queries, as far as a comparison asks.

    Attributes:
        ids: n distinct texts.
        scores: Precision@1 of each query, float64, shape (n,), in [0, 1].
        clusters: int64, shape (n,), equal for queries that ask about one image; ``None`` where the file does not
            say, as those of early versions do not.
        signature: of the number that they belong to, where the file has one.
    """

    ids: Sequence[str]
    scores: NDArray[np.float64]
    clusters: NDArray[np.int64] | None = None
    signature: str | None = None

    @property
    def shared(self) -> NDArray[np.int64] | None:
        """:attr:`clusters` where any two queries share one, else ``None``."""
        return None if self.clusters is None else where_shared(self.clusters)


def read_samples(path: Path) -> Samples:
    """The ids, scores and images of a per-query file, in the order of the file.

    Raises:
        ResultsError: as :func:`read_columns`; or an id twice, or a score that is not in [0, 1]; names the file and the
            id.
    """
    found, signature = read_columns(path, ("id", "score"), ("image",))
    ids, scores = checked(path, found["id"], found["score"])
    return Samples(ids, scores, clusters_of(found["image"]) if "image" in found else None, signature)


def read_columns(
    path: Path, needed: Sequence[str], wanted: Sequence[str] = ()
) -> tuple[dict[str, list[Any]], str | None]:
    """Columns of a per-query file as lists, and the signature of the number that they belong to.

    Args:
        path: of the file.
        needed: columns that it has to have.
        wanted: columns to read where it has them, as those of early versions do not.

    Raises:
        ResultsError: the file is missing or no parquet, lacks a column or has it twice or of another kind, or has no
            rows; names the file and the column.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    if os.path.exists(path) and not os.path.isfile(path):  # to open a pipe waits for ever
        raise ResultsError(f"{path} cannot be read as a run's samples: it is no file")
    try:
        with pq.ParquetFile(path) as file:
            names = file.schema_arrow.names
            columns = [name for name in (*needed, *wanted) if name in names]
            if lacking := [name for name in needed if name not in names]:
                raise ResultsError(
                    f"{path} cannot be read as a run's samples: it has no column {' and '.join(lacking)}"
                )
            if twice := [name for name in columns if names.count(name) > 1]:
                raise ResultsError(f"{path} cannot be read as a run's samples: it has column {twice[0]} twice")
            for name in columns:
                kind = file.schema_arrow.field(name).type
                if not _fits(name, kind):
                    what = f"column {name} is no {_KINDS.get(name, 'text')} but {kind}"
                    raise ResultsError(f"{path} cannot be read as a run's samples: {what}")
            table = file.read(columns)
        table.validate(full=True)  # text that is no UTF-8 among others
        found = {name: table[name].to_pylist() for name in columns}
    except (OSError, pa.ArrowException) as error:
        raise ResultsError(f"{path} cannot be read as a run's samples: {reason(error)}") from error
    if not table.num_rows:
        raise ResultsError(f"{path} has no rows with {' and '.join(needed)}, so it is no run's samples")
    line = (table.schema.metadata or {}).get(b"evalkit.signature", b"").decode(errors="replace")
    return found, line or None


def reason(error: Exception) -> str:
    """What is wrong with a file, without its path, which the message has already."""
    said = (isinstance(error, OSError) and error.strerror) or str(error)
    return re.sub(r"^\[errno \d+\] ", "", said.rpartition("Detail: ")[2])  # as Arrow has it


_KINDS = {"score": "number", "top": "list of text"}
"""What the columns are that are no text."""


def _fits(name: str, kind: pa.DataType) -> bool:
    """Whether a column's type is what its values have to be; values of others may not even be Python's."""
    from pyarrow import types

    if name == "score":
        return bool(types.is_floating(kind))
    if name == "top":
        return bool(types.is_list(kind) or types.is_large_list(kind)) and _fits("text", kind.value_type)
    if types.is_dictionary(kind):
        kind = kind.value_type
    return bool(types.is_string(kind) or types.is_large_string(kind) or types.is_null(kind))


def checked(path: Path, ids: Sequence[object], scores: Sequence[object]) -> tuple[list[str], NDArray[np.float64]]:
    """Ids and scores that a file has, as what they have to be.

    Raises:
        ResultsError: an id twice, or a score that is not in [0, 1]; names the file and the id.
    """
    seen: set[str] = set()
    for query in ids:
        if not isinstance(query, str) or query in seen:
            raise ResultsError(f"{path} has the id {query!r} twice, or it is no text")
        seen.add(query)
    for query, score in zip(ids, scores, strict=True):
        if not isinstance(score, float) or not 0 <= score <= 1:
            raise ResultsError(f"{path} has score {score!r} for query {query}, which is not in [0, 1]")
    return [str(query) for query in ids], np.array(scores, dtype=np.float64)


def clusters_of(images: Sequence[object]) -> NDArray[np.int64]:
    """For each query the place of the first one with its image, its own where it has no image; shape (n,)."""
    first: dict[object, int] = {}
    places = [place if image is None else first.setdefault(image, place) for place, image in enumerate(images)]
    return np.array(places, dtype=np.int64)


def where_shared(clusters: NDArray[np.int64]) -> NDArray[np.int64] | None:
    """Clusters where any two queries share one, else ``None``: then each stands alone."""
    return None if len(np.unique(clusters)) == len(clusters) else clusters


def images_of(queries: Sequence[Item]) -> NDArray[np.int64] | None:
    """Which of the queries ask about one image, as :func:`where_shared` has it; shape (n,)."""
    return where_shared(clusters_of([item.image.path if item.image else None for item in queries]))


def agreed(path: Path, task: str, samples: Samples, n_queries: int | None, value: float | None) -> Samples:
    """The samples of a task, if they give the number that the manifest has.

    Args:
        path: where they are from, for the error.
        task: whose they are, for the error.
        samples: of the task.
        n_queries: how many queries the manifest has.
        value: the Precision@1 that it has.

    Raises:
        ResultsError: they are of other queries, or give another mean.
    """
    mean = math.fsum(samples.scores.tolist()) / len(samples.scores)
    if n_queries != len(samples.ids) or value is None or abs(mean - value) > 1e-9:
        raise ResultsError(
            f"{path}: {len(samples.ids)} queries of {task} with mean score {mean:.6f} are not what the manifest has "
            f"(n_queries {n_queries}, precision_at_1 {value}): run the task again"
        )
    return samples


def places(base: Sequence[str], new: Sequence[str]) -> NDArray[np.int64] | str:
    """Where each query of the base is among those of the new one, by their ids; or, in words, why that cannot be said.

    Returns:
        int64, shape (n,), or what is wrong.
    """
    if base == new:
        return np.arange(len(base))
    known = {query: place for place, query in enumerate(new)}
    if lone := sorted(known.keys() ^ set(base)):
        return f"samples differ: {len(lone)} queries are on one side alone, such as {lone[0]}"
    return np.array([known[query] for query in base])

"""The per-query file of a task: what happened to each query, without the images."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from evalkit.files import write_atomically
from evalkit.runs.perquery import PerQuery, read_per_query
from evalkit.scoring.metrics.precision_at_1 import precision_at_1

if TYPE_CHECKING:
    import pyarrow as pa
    from numpy.typing import NDArray

    from evalkit.items import Item
    from evalkit.scoring.ranking import Ranking
    from evalkit.suites.task import Task


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
    write_atomically(path, samples_file(table))


def samples_file(table: pa.Table) -> bytes:
    """The per-query file of a table."""
    import pyarrow.parquet as pq

    buffer = io.BytesIO()
    pq.write_table(table, buffer, compression="zstd")
    return buffer.getvalue()


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

    @classmethod
    def of(cls, found: PerQuery) -> Samples:
        """Those of a per-query file that was read with its images."""
        return cls(found.values("id"), found.scores, found.clusters, found.signature)

    @property
    def shared(self) -> NDArray[np.int64] | None:
        """:attr:`clusters` where any two queries share one, else ``None``."""
        return None if self.clusters is None else where_shared(self.clusters)


def read_samples(path: Path) -> Samples:
    """The ids, scores and images of a per-query file, in the order of the file.

    Raises:
        ResultsError: as :func:`evalkit.runs.perquery.read_per_query`.
    """
    return Samples.of(read_per_query(path, wanted=("image",)))


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

"""The per-query file of a task: what happened to each query, without the images."""

from __future__ import annotations

import io
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from evalkit.errors import ResultsError
from evalkit.files import write_atomically
from evalkit.metrics import precision_at_1

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa
    from numpy.typing import NDArray

    from evalkit.ranking import Ranking
    from evalkit.task import Task


def samples_table(task: Task, ranking: Ranking, line: str) -> pa.Table:
    """One row per query, in the order on disk.

    ``score`` is Precision@1 of the query, ``rank`` counts from 1 and is the label's best place among
    equals, ``ties`` counts others at its score, ``margin`` is null in a pool without others.
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


def read_scores(path: Path) -> dict[str, float]:
    """Precision@1 of each query of a per-query file, by the query's id, in the order of the file.

    Raises:
        ResultsError: the file is missing or no parquet, lacks ``id`` or ``score``, has no rows or an id twice, or a
            score that is not in [0, 1]; names the file and the id.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        table = pq.read_table(path, columns=["id", "score"])
    except (OSError, pa.ArrowException) as error:
        raise ResultsError(f"{path} cannot be read as a run's samples: {error}") from error
    if table.column_names != ["id", "score"] or not table.num_rows:
        raise ResultsError(f"{path} has no rows with id and score, so it is no run's samples")
    scores: dict[str, float] = {}
    for query, score in zip(table["id"].to_pylist(), table["score"].to_pylist(), strict=True):
        if not isinstance(query, str) or query in scores:
            raise ResultsError(f"{path} has the id {query!r} twice, or it is no text")
        if not isinstance(score, float) or not 0 <= score <= 1:
            raise ResultsError(f"{path} has score {score!r} for query {query}, which is not in [0, 1]")
        scores[query] = score
    return scores


def joined(
    base: Mapping[str, float], new: Mapping[str, float], where: str
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The scores of two models on the same queries, query by query.

    Args:
        base: from :func:`read_scores`.
        new: from :func:`read_scores`.
        where: what the scores are of, for the error.

    Returns:
        Those of ``base`` and of ``new``, float64, shape (n,), both in the order of ``base``.

    Raises:
        ResultsError: a query of one side is not on the other.
    """
    import numpy as np

    if lone := sorted(base.keys() ^ new.keys()):
        raise ResultsError(
            f"{where}: the two sides were not asked the same queries: {len(lone)} are on one side alone, such as "
            f"{lone[0]}; run both on the same data"
        )
    return np.array(list(base.values())), np.array([new[query] for query in base])

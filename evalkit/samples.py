"""The per-query file of a task: what happened to each query, without the images."""

from __future__ import annotations

import io
from pathlib import Path
from typing import TYPE_CHECKING

from evalkit.files import write_atomically
from evalkit.metrics import precision_at_1

if TYPE_CHECKING:
    import pyarrow as pa

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

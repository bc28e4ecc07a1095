"""The file of a baseline's samples: all tasks in one parquet file that is small enough for a repository."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import TYPE_CHECKING

from evalkit.errors import ResultsError
from evalkit.runs.manifest import Manifest
from evalkit.runs.perquery import MOST, reason
from evalkit.runs.runfiles import queries_of, samples_path

if TYPE_CHECKING:
    import pyarrow as pa

_SIGNATURES = b"evalkit.signatures"


def written(run: Path, manifest: Manifest) -> bytes:
    """The samples of a run as a baseline keeps them: one row per query of all tasks, in their order.

    Raises:
        ResultsError: as :func:`evalkit.runs.runfiles.queries_of`; or samples that say nothing of whose they are.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    parts, signatures = [], {}
    for result in manifest.tasks:
        path = samples_path(run, result)
        if path is None:
            continue
        found = queries_of(path, result, ("label", "top"))
        choices = [
            None if not top or top[0] == label else top[0]
            for top, label in zip(found.values("top"), found.values("label"), strict=True)
        ]
        images = found.clusters
        parts.append(
            pa.table(
                {
                    "task": pa.array([result.task] * len(found), pa.string()),
                    "id": found.ids,
                    "score": pa.array(found.scores, pa.float64()),
                    "cluster": pa.array([None] * len(found) if images is None else images, pa.int32()),
                    "choice": pa.array(choices, pa.string()),
                }
            )
        )
        signatures[result.task] = result.signature
    table = pa.concat_tables(parts).replace_schema_metadata({_SIGNATURES: json.dumps(signatures).encode()})
    buffer = io.BytesIO()
    # Distinct ids gain nothing from a dictionary, clusters count up, and a repository keeps every version of this.
    pq.write_table(
        table,
        buffer,
        compression="zstd",
        compression_level=19,
        use_dictionary=["task", "score", "choice"],
        column_encoding={"id": "PLAIN", "cluster": "DELTA_BINARY_PACKED"},
        write_statistics=False,
    )
    return buffer.getvalue()


def parsed(path: Path, data: bytes) -> pa.Table:
    """A baseline's samples, of any number of tasks.

    Args:
        path: where they were read, for the error.
        data: the file.

    Raises:
        ResultsError: it is no parquet, or has other columns.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    wanted = {
        "task": pa.string(),
        "id": pa.string(),
        "score": pa.float64(),
        "cluster": pa.int32(),
        "choice": pa.string(),
    }
    try:
        with pq.ParquetFile(pa.BufferReader(data)) as file:
            if file.metadata.num_rows > MOST:
                raise ResultsError(f"{path} is no baseline's samples: it has more than {MOST} rows")
            table = file.read()
        table.validate(full=True)  # text that is no UTF-8 among others
    except (OSError, pa.ArrowException) as error:
        raise ResultsError(f"{path} cannot be read as a baseline's samples: {reason(error)}") from error
    if sorted(zip(table.schema.names, map(str, table.schema.types), strict=True)) != sorted(
        (name, str(kind)) for name, kind in wanted.items()
    ):
        raise ResultsError(f"{path} is no baseline's samples: it needs the columns {', '.join(wanted)}")
    if not table.num_rows:
        raise ResultsError(f"{path} is no baseline's samples: it needs rows with {', '.join(wanted)}")
    return table


def require_signatures(path: Path, table: pa.Table, record: Path, manifest: Manifest) -> None:
    """Hold what the file says of whose samples it has against the results; those of early versions say nothing.

    Raises:
        ResultsError: a task's are of another number.
    """
    try:
        said = json.loads((table.schema.metadata or {}).get(_SIGNATURES, b"{}"))
        said = dict(said)
    except (ValueError, TypeError, RecursionError):
        raise ResultsError(f"{path} has signatures that cannot be read: accept the run again") from None
    for result in manifest.tasks:
        if said.get(result.task, result.signature) != result.signature:
            raise ResultsError(
                f"{path} belongs to another number of {result.task} than {record} has (signature): accept the run again"
            )

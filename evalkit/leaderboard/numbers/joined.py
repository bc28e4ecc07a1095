"""The scores of many entries on the queries of one task, joined by the queries' ids.

A board of 500 models has some 20,000 per-query files, so nothing here goes through the rows of a file one by one:
files with the same ids in the same order, which is nearly all of them, are told by one comparison of two columns.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from evalkit.errors import ResultsError
from evalkit.samples import clusters_of, where_shared

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa
    from numpy.typing import NDArray

    from evalkit.results import TaskResult


@dataclass(frozen=True)
class Joined:
    """What some entries got on the same n queries.

    Attributes:
        entries: names of m entries.
        scores: Precision@1 of each query, float64, shape (m, n), in [0, 1]; queries by their ids, sorted.
        digest: of the ids, SHA-256: equal for the same queries in whatever order.
        clusters: shape (n,), equal for queries that ask about one image; ``None`` where none share one, or no file
            says.
    """

    entries: tuple[str, ...]
    scores: NDArray[np.float64]
    digest: bytes
    clusters: NDArray[np.int64] | None = None


@dataclass(frozen=True)
class _Queries:
    """Ids as a file has them, the places of the sorted ids among them, and a digest that does not know the order."""

    ids: pa.Array
    order: NDArray[np.int64]
    digest: bytes


def join(files: Mapping[str, tuple[Path, TaskResult]]) -> tuple[Joined, ...]:
    """Read the files of one task and put together those that were asked the same queries.

    Args:
        files: by the entry's name, its per-query file and the result that it belongs to.

    Returns:
        One for each set of queries, each with its entries sorted by name, the one with the most entries first.

    Raises:
        ResultsError: a file that cannot be read, is of another result than ``run.json`` has, or holds what such a
            file never holds; names the file.
    """
    import numpy as np

    known: list[_Queries] = []
    members: dict[bytes, list[tuple[str, NDArray[np.float64]]]] = {}
    clusters: dict[bytes, NDArray[np.int64] | None] = {}
    for name in sorted(files):
        path, result = files[name]
        ids, scores = _read(path, result)
        queries = next((queries for queries in known if queries.ids.equals(ids)), None)
        if queries is None:
            queries = _sorted(ids, path)
            known.append(queries)
        members.setdefault(queries.digest, []).append((name, scores[queries.order]))
        if queries.digest not in clusters and (images := _images(path)) is not None:
            clusters[queries.digest] = where_shared(clusters_of(images)[queries.order])
    found = []
    for digest, own in members.items():
        table = np.stack([scores for _, scores in own])
        found.append(Joined(tuple(name for name, _ in own), table, digest, clusters.get(digest)))
    return tuple(sorted(found, key=lambda joined: (-len(joined.entries), joined.entries)))


def _read(path: Path, result: TaskResult) -> tuple[pa.Array, NDArray[np.float64]]:
    """Ids and scores in the order of the file."""
    import numpy as np
    import pyarrow as pa
    import pyarrow.parquet as pq

    again = f"run {result.task} again, or take the file away"
    if not path.is_file():  # a pipe would be waited for without end
        raise ResultsError(f"{path} is no file, or a link to none; {again}")
    try:
        # Read at once: pyarrow would fetch the parts of a small file by threads, which takes longer.
        with pq.ParquetFile(pa.BufferReader(path.read_bytes())) as file:
            table = file.read(["id", "score"], use_threads=False)
    except (OSError, pa.ArrowException) as error:
        raise ResultsError(
            f"{path} cannot be read as a run's samples: {' '.join(str(error).split())}; {again}"
        ) from error
    if sorted(table.column_names) != ["id", "score"] or not table.num_rows:
        raise ResultsError(f"{path} has no rows with id and score, so it is no run's samples; {again}")
    signature = (table.schema.metadata or {}).get(b"evalkit.signature", b"").decode(errors="replace")
    if signature and result.signature and signature != result.signature:
        raise ResultsError(f"{path} is of another result than run.json has; {again}")
    ids, column = table["id"].combine_chunks(), table["score"]
    if ids.type != pa.string() or ids.null_count or column.type != pa.float64() or column.null_count:
        raise ResultsError(f"{path}: an id or a score is missing, or not of its type; {again}")
    scores = np.asarray(column)
    if not ((scores >= 0) & (scores <= 1)).all():
        row = int(np.flatnonzero(~((scores >= 0) & (scores <= 1)))[0])
        raise ResultsError(f"{path} has score {scores[row]} for query {ids[row].as_py()!r}, not in [0, 1]; {again}")
    value = result.metrics["precision_at_1"].value if result.metrics else None
    if len(scores) != result.n_queries or value is None or abs(scores.mean() - value) > 1e-9:
        says = f"{result.n_queries} queries with mean {value}"
        raise ResultsError(f"{path} has {len(scores)} with mean {scores.mean()}, and run.json says {says}; {again}")
    return ids, scores


def _images(path: Path) -> list[str | None] | None:
    """Of the queries, in the order of the file; ``None`` where it does not say, as those of early versions do not."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(path) as file:
            if "image" not in file.schema_arrow.names:
                return None
            images: list[str | None] = file.read(["image"])["image"].cast(pa.string()).to_pylist()
            return images
    except (OSError, pa.ArrowException, UnicodeDecodeError) as error:
        raise ResultsError(f"{path} has images that cannot be read: {' '.join(str(error).split())}") from error


def _sorted(ids: pa.Array, path: Path) -> _Queries:
    import numpy as np

    try:
        texts = ids.to_pylist()
    except UnicodeDecodeError as error:  # parquet is not checked for it when it is read
        raise ResultsError(f"{path} has an id that is no UTF-8: {error}") from error
    order = sorted(range(len(texts)), key=texts.__getitem__)
    digest = hashlib.sha256()
    for place, row in enumerate(order):
        if place and texts[row] == texts[order[place - 1]]:
            raise ResultsError(f"{path} has the id {texts[row]!r} twice")
        text = texts[row].encode()
        digest.update(len(text).to_bytes(8, "little") + text)
    return _Queries(ids, np.array(order, dtype=np.int64), digest.digest())

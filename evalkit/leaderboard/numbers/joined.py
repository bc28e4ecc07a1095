"""The scores of many entries on the queries of one task, joined by the queries' ids.

A board of 500 models has some 20,000 per-query files, so nothing here goes through the rows of a file one by one:
files with the same ids in the same order, which is nearly all of them, are told by one comparison of two columns. They
are read and held against their results by :func:`evalkit.runs.runfiles.queries_of`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from evalkit.runs.runfiles import queries_of
from evalkit.runs.samples import where_shared

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa
    from numpy.typing import NDArray

    from evalkit.runs.manifest import TaskResult


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
        ResultsError: as :func:`evalkit.runs.runfiles.queries_of`.
    """
    import numpy as np

    known: list[_Queries] = []
    members: dict[bytes, list[tuple[str, NDArray[np.float64]]]] = {}
    clusters: dict[bytes, NDArray[np.int64] | None] = {}
    for name in sorted(files):
        found_in = queries_of(*files[name])
        ids = found_in.ids
        queries = next((queries for queries in known if queries.ids.equals(ids)), None)
        if queries is None:
            queries = _sorted(ids)
            known.append(queries)
        members.setdefault(queries.digest, []).append((name, found_in.scores[queries.order]))
        if queries.digest not in clusters and (images := found_in.clusters) is not None:
            clusters[queries.digest] = where_shared(images[queries.order])
    found = []
    for digest, own in members.items():
        table = np.stack([scores for _, scores in own])
        found.append(Joined(tuple(name for name, _ in own), table, digest, clusters.get(digest)))
    return tuple(sorted(found, key=lambda joined: (-len(joined.entries), joined.entries)))


def _sorted(ids: pa.Array) -> _Queries:
    import numpy as np

    texts = ids.to_pylist()
    order = sorted(range(len(texts)), key=texts.__getitem__)
    digest = hashlib.sha256()
    for row in order:
        text = texts[row].encode()
        digest.update(len(text).to_bytes(8, "little") + text)
    return _Queries(ids, np.array(order, dtype=np.int64), digest.digest())

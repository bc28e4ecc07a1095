"""The same rows in two of a task's files: each of their queries would count twice."""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from evalkit.errors import DataError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from evalkit.suites.rows import Places

# As the hub's tools name them: split, shard, shards, and with the older ones a suffix of each file's own.
_SHARD = re.compile(r"^(.+)-(\d{5})-of-(\d{5})(-[0-9A-Za-z]+)?\.parquet$")


def check_shards(files: Sequence[Path]) -> None:
    """By their names: one set of shards, and each of its shards once.

    Raises:
        DataError: files that belong to two sets.
    """
    sets: dict[str, dict[str, tuple[str, Path]]] = {}  # by split and shard: of how many, and the file
    for file in files:
        if (match := _SHARD.match(file.name)) is None:
            continue
        split, shard, shards = match.group(1, 2, 3)
        seen = sets.setdefault(split, {})
        other = next((path for number, (of, path) in seen.items() if of != shards or number == shard), None)
        if other is not None:
            raise DataError(
                f"{file} and {other.name} beside it are of two sets of files, and each query would count twice: "
                "keep one set and move the other away"
            )
        seen[shard] = (shards, file)


def check_rows(places: Places, rows: Iterable[tuple[str, str, str, NDArray[np.int32]]]) -> list[str]:
    """By their rows: none is in two of the files, its pool in whatever order.

    A row that comes again in one and the same file is what its publisher made of it.

    Args:
        places: where the rows are.
        rows: image, text, label and pool of each.

    Returns:
        A warning where the files are one set of shards all the same: they are what their publisher made.

    Raises:
        DataError: files that are no set of shards.
    """
    if len(places.files) == 1:
        return []
    counts = [Counter[bytes]() for _ in places.files]
    for row, (*parts, pool) in enumerate(rows):
        text = "\0".join(parts).encode("utf-8", "surrogatepass")
        counts[places.file_of(row)][hashlib.sha256(text + np.sort(pool).tobytes()).digest()] += 1
    found = []
    for number, later in enumerate(counts):
        for other, earlier in enumerate(counts[:number]):
            if shared := sum((earlier & later).values()):
                found.append(_said(places.files, counts, other, number, shared))
    if not found:
        return []
    named = {match and match.group(1, 3) for match in (_SHARD.match(file.name) for file in places.files)}
    if len(named) > 1 or None in named:
        raise DataError(f"{found[0]}, and each would count twice: keep every row in one of the files alone")
    more = f" (and so for {len(found) - 1} more pairs of files)" if len(found) > 1 else ""
    return [f"{found[0]}: each counts twice{more}"]


def _said(files: Sequence[Path], counts: Sequence[Counter[bytes]], one: int, other: int, shared: int) -> str:
    """How many rows two files share, told of the one that has all of them in the other if there is one."""
    if shared == counts[one].total() < counts[other].total():
        one, other = other, one
    rows = counts[other].total()
    much = f"all {rows}" if shared == rows else f"{shared} of the {rows}"
    return f"{much} rows of {files[other]} are in {files[one].name}, too"

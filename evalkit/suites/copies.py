"""Two copies of the same rows among a task's files: each of their queries would count twice."""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from evalkit.errors import DataError

if TYPE_CHECKING:
    import numpy as np
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
    """By their rows: no file has all of its rows in another one.

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
        counts[places.file_of(row)][hashlib.sha256(text + pool.tobytes()).digest()] += 1
    for number, few in enumerate(counts):
        for other, many in enumerate(counts):
            if number == other or not few or not few <= many or (few == many and number < other):
                continue
            said = f"all {few.total()} rows of {places.files[number]} are in {places.files[other].name}, too"
            named = {match and match.group(1, 3) for match in (_SHARD.match(file.name) for file in places.files)}
            if len(named) == 1 and None not in named:
                return [f"{said}: each counts twice"]
            raise DataError(f"{said}, and each would count twice: keep one of the files and move the other away")
    return []

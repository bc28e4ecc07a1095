"""The one reader of per-query files: what a task's file says of each query, checked once for all who ask.

Runs come from other versions, other people, broken disks. Of columns that a file has, those that hang together are read
and held against each other, whoever asks for what; a file that contradicts itself is refused by name. Files of early
versions lack some columns, and are checked as far as they go.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from evalkit.errors import ResultsError
from evalkit.files import LARGEST, read_file
from evalkit.scoring.metrics.precision_at_1 import precision_at_1

if TYPE_CHECKING:
    import pyarrow as pa
    from numpy.typing import NDArray

COUNTS = {"rank": 1, "ties": 0, "right": 1, "relevant": 1, "pool": 1}
"""Columns of whole numbers, and the least that each can be."""
NUMBERS = ("score", "label_score", "margin")
TEXTS = ("id", "label", "image", "text")
LISTS = ("top", "top_scores")
CHECKED = ("score", *COUNTS, "label_score", "margin", "top_scores")
"""Columns that are read of every file that has them."""
NULLABLE = ("margin", "image", "text")
CLOSE = 1e-9
"""How far apart two numbers are that are equal but for their last bits."""
MOST = 20_000_000
"""Queries of a task; a small file may say that it has more than fit into memory."""


@dataclass(frozen=True)
class PerQuery:
    """A per-query file of n queries, checked.

    Attributes:
        path: of the file.
        table: columns that were asked for and are there, and those that were checked, each in one chunk: text as
            ``string``, counts as ``int32``, numbers as ``float64``.
        signature: of the number that they belong to, where the file has one.
    """

    path: Path
    table: pa.Table
    signature: str | None

    def __len__(self) -> int:
        return int(self.table.num_rows)

    def has(self, *columns: str) -> bool:
        """Whether the file has all of these columns, of those that were read."""
        return set(columns) <= set(self.table.column_names)

    @property
    def ids(self) -> pa.Array:
        """n distinct texts."""
        return self.table["id"].chunk(0)

    @property
    def scores(self) -> NDArray[np.float64]:
        """Precision@1 of each query, float64, shape (n,), in [0, 1]."""
        return self.numbers("score")

    @cached_property
    def clusters(self) -> NDArray[np.int64] | None:
        """Which queries ask about one image, as :func:`evalkit.runs.samples.clusters_of`; ``None`` where none is."""
        import pyarrow.compute as pc

        if not self.has("image"):
            return None
        codes = self.table["image"].chunk(0).dictionary_encode().indices
        places, known = np.arange(len(self), dtype=np.int64), np.asarray(pc.is_valid(codes))
        images = np.asarray(pc.fill_null(codes, 0))[known]
        first = np.zeros(len(self), dtype=np.int64)
        first[images[::-1]] = places[known][::-1]  # of several the last that is written stays: the first place
        places[known] = first[images]
        return places

    def numbers(self, column: str) -> NDArray[Any]:
        """A column of counts or numbers, shape (n,); NaN where it is null."""
        found: NDArray[Any] = self.table[column].chunk(0).to_numpy(zero_copy_only=False)
        return found

    def values(self, column: str) -> list[Any]:
        """A column as Python's values."""
        found: list[Any] = self.table[column].to_pylist()
        return found


def read_per_query(
    path: Path, needed: Sequence[str] = (), wanted: Sequence[str] = (), content: bytes | None = None
) -> PerQuery:
    """Read a per-query file: ids and scores, what is checked, and the columns that are asked for.

    Args:
        path: of the file.
        needed: columns that it has to have, beside id and score.
        wanted: columns to read where it has them: those of early versions have no image and no text.
        content: of the file, where it is in memory; ``path`` is then what errors call it.

    Raises:
        ResultsError: the file is missing, none or no parquet; lacks a column or has it twice or of another kind; has no
            rows, an id twice, a value that no such file has, or values that contradict each other. Names the file, the
            column and the query.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    needed = tuple(dict.fromkeys(("id", "score", *needed)))
    try:
        # Read at once: pyarrow would fetch the parts of a small file by threads, which takes longer.
        data = pa.BufferReader(read_file(path, LARGEST) if content is None else content)
        with pq.ParquetFile(data) as file:
            kinds, rows = file.schema_arrow, file.metadata.num_rows
            names = kinds.names
            if lacking := [name for name in needed if name not in names]:
                raise _refused(path, f"it has no column {' and '.join(lacking)}")
            columns = [name for name in dict.fromkeys((*needed, *CHECKED, *wanted)) if name in names]
            if twice := [name for name in columns if names.count(name) > 1]:
                raise _refused(path, f"it has column {twice[0]} twice")
            for name in columns:
                if not _fits(name, kinds.field(name).type):
                    raise _refused(path, f"column {name} is no {_words(name)} but {kinds.field(name).type}")
            if not 0 < rows <= MOST:
                what = "it has no rows" if not rows else f"it has {rows} rows, more than {MOST}"
                raise _refused(path, f"{what} with {' and '.join(needed)}, so it is no run's samples")
            coded = [name for name in columns if name in TEXTS]
            with pq.ParquetFile(data, read_dictionary=coded) as dictionaries:
                table = dictionaries.read(columns, use_threads=False).select(columns)
        for name in coded:
            if (size := _text_size(table[name])) > LARGEST:  # one long text may stand for a million rows
                raise _refused(path, f"column {name} has {size >> 20:,} MiB of text")
        table = table.cast(pa.schema([(name, _kind(name)) for name in columns])).combine_chunks()
        table.validate(full=True)  # text that is no UTF-8 among others
    except (OSError, pa.ArrowException, UnicodeDecodeError, OverflowError) as error:
        raise _refused(path, reason(error)) from error
    line = (kinds.metadata or {}).get(b"evalkit.signature", b"").decode(errors="replace")
    found = PerQuery(path, table, line or None)
    check(found)
    return found


def check(found: PerQuery) -> None:
    """Look at all columns that were read.

    Raises:
        ResultsError: a value that no such file has, or values that contradict each other; names the file, the column
            and the query.
    """
    _check_values(found)
    _check_agreement(found)


def reason(error: Exception) -> str:
    """What is wrong with a file, without its path, which the message has already."""
    said = (isinstance(error, OSError) and error.strerror) or " ".join(str(error).split())
    return re.sub(r"^\[errno \d+\] ", "", said.rpartition("Detail: ")[2])  # as Arrow has it


def _text_size(column: pa.ChunkedArray) -> int:
    """Bytes of all texts of a column, which may be held as a dictionary of them."""
    import pyarrow as pa
    import pyarrow.compute as pc

    total = 0
    for chunk in column.chunks:
        lengths = pc.binary_length(chunk.dictionary if pa.types.is_dictionary(chunk.type) else chunk)
        rows = lengths.take(chunk.indices) if pa.types.is_dictionary(chunk.type) else lengths
        total += pc.sum(rows).as_py() or 0
    return total


def _refused(path: Path, what: str) -> ResultsError:
    return ResultsError(f"{path} cannot be read as a run's samples: {what}; run the task again")


def _words(column: str) -> str:
    words = {"score": "number", "label_score": "number", "margin": "number", "top": "list of text"}
    return words.get(column) or ("list of numbers" if column == "top_scores" else _count_or_text(column))


def _count_or_text(column: str) -> str:
    return "whole number" if column in COUNTS else "text"


def _fits(column: str, kind: pa.DataType) -> bool:
    """Whether a column's type is what its values have to be; values of others may not even be Python's."""
    from pyarrow import types

    if column in LISTS:
        inner = "text" if column == "top" else "score"
        return bool(types.is_list(kind) or types.is_large_list(kind)) and _fits(inner, kind.value_type)
    if column in NUMBERS:
        return bool(types.is_floating(kind)) or (column == "margin" and bool(types.is_null(kind)))
    if column in COUNTS:
        return bool(types.is_integer(kind))
    if types.is_dictionary(kind):
        kind = kind.value_type
    return bool(types.is_string(kind) or types.is_large_string(kind) or types.is_null(kind))


def _kind(column: str) -> pa.DataType:
    import pyarrow as pa

    if column in LISTS:
        return pa.list_(pa.string() if column == "top" else pa.float64())
    return pa.int32() if column in COUNTS else pa.float64() if column in NUMBERS else pa.string()


def _check_values(found: PerQuery) -> None:
    """Raise ResultsError where a value is none that evalkit writes, whatever the others are."""
    import pyarrow.compute as pc

    table = found.table
    for column in table.column_names:
        if column not in NULLABLE and table[column].null_count:
            _refuse(found, column, np.asarray(pc.is_null(table[column])))
    if len(pc.unique(found.ids)) != len(found):
        twice = next(value["values"] for value in pc.value_counts(found.ids).to_pylist() if value["counts"] > 1)
        raise ResultsError(f"{found.path} has the id {twice!r} twice: run the task again")
    scores = found.scores
    _refuse(found, "score", ~((scores >= 0) & (scores <= 1)), "not in [0, 1]")
    if found.has("label_score"):
        _refuse(found, "label_score", ~np.isfinite(found.numbers("label_score")))
    if found.has("margin"):
        known = np.asarray(pc.fill_null(table["margin"], 0.0))
        _refuse(found, "margin", ~np.isfinite(known))
    for column, least in COUNTS.items():
        if found.has(column):
            _refuse(found, column, found.numbers(column) < least, f"below {least}")
    for column in LISTS:
        if not found.has(column):
            continue
        lists = table[column].chunk(0)
        _refuse(found, column, np.asarray(pc.list_value_length(lists)) == 0)
        flat = pc.list_flatten(lists)
        wrong = np.asarray(pc.is_null(flat))
        if column == "top_scores":
            wrong |= ~np.isfinite(np.asarray(pc.fill_null(flat, 0.0)))
        if wrong.any():
            rows = np.asarray(pc.list_parent_indices(lists))[wrong]
            _refuse(found, column, np.isin(np.arange(len(found)), rows))


def _check_agreement(found: PerQuery) -> None:
    """Raise ResultsError where the columns contradict each other; see :class:`evalkit.scoring.ranking.Ranking`."""
    import pyarrow.compute as pc

    counts = {name: found.numbers(name).astype(np.int64) for name in COUNTS if found.has(name)}
    if found.has("right", "relevant"):
        wrong = counts["right"] > counts["relevant"]
        _refuse(found, "right", wrong, "more than the pool has right candidates (relevant)")
    if found.has("rank", "ties", "relevant", "pool"):
        others = counts["pool"] - counts["relevant"]
        _refuse(found, "relevant", others < 0, "more than the pool has candidates (pool)")
        _refuse(found, "rank", counts["rank"] - 1 + counts["ties"] > others, "with its ties beyond the end of the pool")
    if found.has("rank", "ties", "right"):
        scores = precision_at_1(counts["rank"] - 1, counts["ties"], counts["right"])
        wrong = np.abs(scores - found.scores) > CLOSE
        _refuse(found, "score", wrong, "by its rank, ties and right it is {}", scores)
    if found.has("margin", "rank", "ties"):
        _check_margin(found, counts)
    if not found.has("top_scores"):
        return
    lists = found.table["top_scores"].chunk(0)
    flat, starts = np.asarray(pc.list_flatten(lists)), np.asarray(lists.offsets)[:-1] - lists.offsets[0].as_py()
    lengths = np.asarray(pc.list_value_length(lists))
    rising = np.zeros(len(flat), dtype=bool)
    rising[1:] = flat[1:] > flat[:-1]
    rising[starts] = False
    _refuse(found, "top_scores", np.logical_or.reduceat(rising, starts), "not from the best down")
    if found.has("pool"):
        _refuse(found, "top_scores", lengths > counts["pool"], "more than the pool has candidates")
    if found.has("top"):
        _refuse(found, "top", np.asarray(pc.list_value_length(found.table["top"].chunk(0))) != lengths)
    if found.has("label_score", "rank"):
        label, rank = found.numbers("label_score"), counts["rank"]
        listed = flat[starts + np.minimum(rank, lengths) - 1]
        wrong = np.where(rank <= lengths, np.abs(listed - label) > CLOSE, listed < label - CLOSE)
        _refuse(found, "label_score", wrong, "at its rank top_scores has {}", listed)
        best = flat[starts]
        _refuse(found, "label_score", (rank > 1) & (best < label - CLOSE), "not below the best of top_scores, {}", best)
        if found.has("margin"):
            margin = found.numbers("margin")
            wrong = (rank > 1) & (np.abs(label - best - margin) > CLOSE)
            _refuse(found, "margin", wrong, "label_score less the best of top_scores is {}", label - best)
    if found.has("top", "label", "rank", "ties", "relevant"):
        alone = (counts["rank"] == 1) & (counts["ties"] == 0) & (counts["relevant"] == 1)
        first = pc.list_element(found.table["top"].chunk(0), 0)
        wrong = alone & np.asarray(pc.not_equal(first, found.table["label"].chunk(0)))
        _refuse(found, "label", wrong, "by its rank it is the first of top")


def _check_margin(found: PerQuery, counts: dict[str, NDArray[np.int64]]) -> None:
    margin = found.numbers("margin").astype(np.float64)
    known = ~np.isnan(margin)
    if found.has("relevant", "pool"):
        alone = counts["pool"] == counts["relevant"]
        _refuse(found, "margin", known == alone, "null is for pools without other candidates")
    margin = np.where(known, margin, 0.0)
    above, tied = counts["rank"] > 1, counts["ties"] > 0
    wrong = np.where(above, margin >= 0, np.where(tied, margin != 0, margin <= 0)) & known
    _refuse(found, "margin", wrong, "its sign is not that of its rank and ties")


def _refuse(
    found: PerQuery, column: str, wrong: NDArray[np.bool_], why: str = "", should: NDArray[Any] | None = None
) -> None:
    if not wrong.any():
        return
    row = int(np.flatnonzero(wrong)[0])
    if should is not None:
        why = why.format(should[row].item())
    value, query = found.table[column][row].as_py(), found.table["id"][row].as_py()
    said = f"{column} of query {query!r} is {value!r}" + (f", {why}" if why else "")
    raise ResultsError(f"{found.path}: {said}: run the task again")

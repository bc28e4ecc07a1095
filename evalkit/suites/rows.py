"""Parquet files to columns: found, memory-mapped, checked, and with every distinct string held once."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from evalkit.errors import DataError
from evalkit.files import open_file

if TYPE_CHECKING:
    from numpy.typing import NDArray


@dataclass(frozen=True)
class StringLists:
    """A column of lists of strings, without a Python object for each element.

    Attributes:
        codes: int64, all elements one after the other, as numbers of ``values``.
        lengths: int64, one per row.
        values: the distinct strings.
    """

    codes: NDArray[np.int64]
    lengths: NDArray[np.int64]
    values: list[str]


@dataclass(frozen=True)
class Places:
    """Where the rows of a task's parquet files are; without the rows, so that it may outlive them.

    Attributes:
        files: the files, and below ``starts`` the number of the first row of each.
    """

    files: tuple[Path, ...]
    starts: tuple[int, ...]

    def where(self, row: int) -> str:
        """File and row, for an error."""
        number = max(i for i, start in enumerate(self.starts) if start <= row)
        return f"{self.files[number]}, row {row - self.starts[number]}"


@dataclass(frozen=True)
class Rows(Places):
    """The rows of a task's parquet files, in order.

    Attributes:
        columns: names of all columns of the files, those that were not read included.
        table: the columns that were read.
    """

    columns: tuple[str, ...]
    table: pa.Table

    def __len__(self) -> int:
        return int(self.table.num_rows)

    def has(self, *columns: str) -> bool:
        """Whether all these columns are there."""
        return all(column in self.table.column_names for column in columns)

    @property
    def places(self) -> Places:
        """Where the rows are, alone."""
        return Places(self.files, self.starts)

    def require(self, *columns: str) -> None:
        """Raise DataError where a column is missing, naming those that are there."""
        missing = [column for column in columns if column not in self.table.column_names]
        if missing:
            raise DataError(
                f"{self.files[0]}: column {', '.join(missing)} is missing; "
                f"there are {', '.join(self.columns) or 'none'}"
            )

    def strings(self, column: str) -> list[str]:
        """A column of strings; null reads as the empty string."""
        self.require(column)
        return [value or "" for value in self._cast(column, pa.string()).to_pylist()]

    def lists(self, column: str, *, null_is_blank: bool = False) -> StringLists:
        """A column of lists of strings.

        Raises:
            DataError: a null list, or a null element unless ``null_is_blank``; with file and row.
        """
        self.require(column)
        array = self._cast(column, pa.list_(pa.string())).combine_chunks()
        if array.null_count:
            raise DataError(f"{self.where(pc.is_null(array).index(True).as_py())}: {column} is null, not a list")
        lengths = np.asarray(pc.list_value_length(array), dtype=np.int64)
        flat = pc.list_flatten(array)
        if flat.null_count:
            if not null_is_blank:
                position = pc.is_null(flat).index(True).as_py()
                row = int(np.searchsorted(np.cumsum(lengths), position, side="right"))
                raise DataError(f"{self.where(row)}: {column} holds a null among its {lengths[row]} entries")
            flat = pc.fill_null(flat, "")
        encoded = flat.dictionary_encode()
        return StringLists(np.asarray(encoded.indices, dtype=np.int64), lengths, encoded.dictionary.to_pylist())

    def numbers(self, column: str, length: int) -> list[list[float]]:
        """A column of lists of ``length`` numbers each; integers stay Python integers.

        Raises:
            DataError: another length, a null or something that is no number; with file and row.
        """
        self.require(column)
        values: list[list[float]] = self.table.column(column).to_pylist()
        for row, value in enumerate(values):
            if (
                not isinstance(value, list)
                or len(value) != length
                or not all(isinstance(v, int | float) and not isinstance(v, bool) for v in value)
            ):
                raise DataError(f"{self.where(row)}: {column} is {value!r}, not {length} numbers")
        return values

    def _cast(self, column: str, kind: pa.DataType) -> pa.ChunkedArray:
        data = self.table.column(column)
        try:
            # A number would be cast to its digits in silence.
            if not (_is_text_list if pa.types.is_list(kind) else _is_text)(data.type):
                raise pa.ArrowTypeError
            text = data.cast(kind)
        except (pa.ArrowInvalid, pa.ArrowNotImplementedError, pa.ArrowTypeError):
            raise DataError(f"{self.files[0]}: column {column} is of type {data.type}, not {kind}") from None
        try:
            text.validate(full=True)  # parquet files are not checked for UTF-8 when they are read
        except pa.ArrowInvalid as error:
            row = next((row for row in range(len(self)) if not _is_utf8(text.slice(row, 1))), 0)
            raise DataError(f"{self.where(row)}: {column} is not UTF-8 text: {error}") from None
        return text


def find(root: Path, patterns: Iterable[str]) -> tuple[Path, ...]:
    """The files that the first matching pattern finds, sorted.

    Args:
        root: the data folder.
        patterns: globs below it, the preferred one first.

    Raises:
        DataError: none finds a file; names all that was looked for.
    """
    patterns = tuple(patterns)
    for pattern in patterns:
        files = tuple(sorted(root.glob(pattern)))
        if files:
            return files
    places = " or ".join(str(root / pattern) for pattern in patterns)
    raise DataError(f"no file {places} (put the rows there, or name another folder with --data)")


def read(files: Sequence[Path], columns: Iterable[str], limit: int | None) -> Rows:
    """Read those of the columns that the files have, memory-mapped.

    Raises:
        DataError: a file that is not whole parquet, or files whose columns differ.
    """
    tables: list[pa.Table] = []
    present: tuple[str, ...] = ()
    starts = [0]
    wanted = set(columns)
    for file in files:
        try:
            open_file(file).close()  # a pipe would be waited for without end
            with pq.ParquetFile(file, memory_map=True) as parquet:
                present = tuple(parquet.schema_arrow.names)
                if twice := sorted({name for name in present if present.count(name) > 1} & wanted):
                    raise DataError(f"{file} has two columns called {twice[0]}: leave one of them out")
                tables.append(parquet.read([name for name in present if name in wanted]))
        except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
            if isinstance(error, OSError) and error.errno:  # Arrow raises OSError for a broken file, too
                raise DataError(f"{file} cannot be read: {error.strerror}") from None
            what = " ".join(str(error).split())
            raise DataError(f"{file} is not a whole parquet file: {what} (fetch it again)") from None
        names, first = tables[-1].column_names, tables[0].column_names
        if set(names) != set(first):
            raise DataError(f"{file} has the columns {', '.join(names)}, but {files[0]} has {', '.join(first)}")
        starts.append(starts[-1] + tables[-1].num_rows)
    try:
        table = pa.concat_tables(tables, promote_options="permissive")
    except (pa.ArrowInvalid, pa.ArrowTypeError) as error:
        raise DataError(f"{files[0]} and {len(files) - 1} more have columns of different types: {error}") from None
    if limit is not None:
        table = table.slice(0, limit)
    if table.num_rows == 0:
        raise DataError(f"{files[0]} has no rows")
    return Rows(tuple(files), tuple(starts[:-1]), present, table)


def sample_ids(contents: Iterable[Sequence[object]], pool: Callable[[int], Iterable[str]]) -> list[str]:
    """Identifiers of rows by their content: 16 hexadecimal digits, repeats numbered ``-2``, ``-3``, …

    They hold still when rows move, when other rows come, and when the prompt is built another way.

    Args:
        contents: of each row, what tells it apart.
        pool: the candidates of a row, by its number. Repeats are numbered in the order of their pools, so
            that they, too, hold still when rows move.
    """
    ids = [hashlib.sha256("\0".join(map(str, content)).encode()).hexdigest()[:16] for content in contents]
    rows: dict[str, list[int]] = {}
    for row, id_ in enumerate(ids):
        rows.setdefault(id_, []).append(row)
    for id_, repeats in rows.items():
        if len(repeats) > 1:
            repeats.sort(key=lambda row: sorted(set(pool(row))))
            for number, row in enumerate(repeats[1:], start=2):
                ids[row] = f"{id_}-{number}"
    return ids


def split_rows(flat: NDArray[np.int32], lengths: NDArray[np.int64]) -> list[NDArray[np.int32]]:
    """One view per row into a flat array."""
    return np.split(flat, np.cumsum(lengths)[:-1])


def relevant_rows(
    flat: NDArray[np.int32], lengths: NDArray[np.int64], identity: NDArray[np.int64]
) -> list[NDArray[np.int32]]:
    """Per row, the candidates whose identity is that of the row's first candidate.

    Args:
        flat: candidate numbers of all pools, one after the other.
        lengths: length of each pool; none is 0.
        identity: of each candidate, a number that equal candidates share.
    """
    starts = np.cumsum(lengths) - lengths
    same = np.flatnonzero(identity[flat] == np.repeat(identity[flat[starts]], lengths))
    rows = np.searchsorted(starts, same, side="right") - 1
    bounds = np.searchsorted(rows, np.arange(1, len(lengths)))
    return [np.unique(part).astype(np.int32) for part in np.split(flat[same], bounds)]


def _is_text(kind: pa.DataType) -> bool:
    if pa.types.is_dictionary(kind):
        kind = kind.value_type
    return str(kind) in ("string", "large_string", "string_view", "null")


def _is_text_list(kind: pa.DataType) -> bool:
    listed = pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind)
    return listed and _is_text(kind.value_type)


def _is_utf8(data: pa.ChunkedArray) -> bool:
    try:
        data.to_pylist()
    except UnicodeDecodeError:
        return False
    return True

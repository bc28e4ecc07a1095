"""Rows of parquet files by column: checked, and with every distinct string held once."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from evalkit.errors import DataError
from evalkit.items.folders import posix
from evalkit.suites.embedded import ImageCell
from evalkit.suites.parquet import Columns, read_columns
from evalkit.suites.parquet import find as find

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

    def file_of(self, row: int) -> int:
        """The number of the file that a row is in."""
        return max(i for i, start in enumerate(self.starts) if start <= row)

    def where(self, row: int) -> str:
        """File and row, for an error."""
        number = self.file_of(row)
        return f"{self.files[number]}, row {row - self.starts[number]}"


@dataclass(frozen=True)
class Rows(Places):
    """The rows of a task's parquet files, in order.

    Attributes:
        read: the columns that were read.
        wanted: names of the columns that a task is made of, for an error.
    """

    read: Columns
    wanted: tuple[str, ...]

    def __len__(self) -> int:
        return self.read.count

    def has(self, *columns: str) -> bool:
        """Whether all these columns are there."""
        return all(column in self.read.chunks for column in columns)

    @property
    def places(self) -> Places:
        """Where the rows are, alone."""
        return Places(self.files, self.starts)

    def require(self, *columns: str) -> None:
        """Raise DataError where a column is missing, naming those that are there."""
        missing = [column for column in columns if not self.has(column)]
        if missing:
            wanted = f"; wanted are {', '.join(self.wanted)}" if not self.read.chunks else ""
            raise DataError(
                f"{self.files[0]}: column {', '.join(missing)} is missing; "
                f"there are {', '.join(self.read.present) or 'none'}{wanted}"
            )

    def strings(self, column: str) -> list[str]:
        """A column of strings; null reads as the empty string."""
        self.require(column)
        found: list[str] = []
        for start, chunk in self._chunks(column):
            self._check_kind(column, chunk.type, pa.string())
            self._check_text(column, start, chunk)
            found += [value or "" for value in chunk.to_pylist()]
        return found

    def lists(self, column: str, *, null_is_blank: bool = False) -> StringLists:
        """A column of lists of strings.

        Raises:
            DataError: a null list, or a null element unless ``null_is_blank``; with file and row.
        """
        self.require(column)
        numbers: dict[str, int] = {}
        codes: list[NDArray[np.int64]] = []
        lengths: list[NDArray[np.int64]] = []
        for start, chunk in self._chunks(column):
            self._check_kind(column, chunk.type, pa.list_(pa.string()))
            self._check_text(column, start, chunk)
            if chunk.null_count:
                row = start + pc.is_null(chunk).index(True).as_py()
                raise DataError(f"{self.where(row)}: {column} is null, not a list")
            lengths.append(np.asarray(pc.list_value_length(chunk), dtype=np.int64))
            flat = _coded(pc.list_flatten(chunk))
            if flat.null_count and not null_is_blank:
                position = pc.is_null(flat).index(True).as_py()
                row = int(np.searchsorted(np.cumsum(lengths[-1]), position, side="right"))
                raise DataError(
                    f"{self.where(start + row)}: {column} holds a null among its {lengths[-1][row]} entries"
                )
            codes.append(_numbered(flat, numbers))
        return _by_first_appearance(np.concatenate(codes), np.concatenate(lengths), list(numbers))

    def image_cells(self, column: str) -> list[ImageCell]:
        """A column that names images, or holds them: paths with ``/``; blank where there is none."""
        return [self._cell(value) for value in self.strings(column)]

    def image_cell_lists(self, column: str) -> tuple[StringLists, list[ImageCell]]:
        """A column of lists that name images, or hold them, and what each of its values says.

        Raises:
            DataError: a null list, with file and row.
        """
        found = self.lists(column, null_is_blank=True)
        return found, [self._cell(value) for value in found.values]

    def numbers(self, column: str, length: int) -> list[list[float]]:
        """A column of lists of ``length`` numbers each; integers stay Python integers.

        Raises:
            DataError: another length, a null or something that is no number; with file and row.
        """
        self.require(column)
        values: list[list[float]] = [value for _, chunk in self._chunks(column) for value in chunk.to_pylist()]
        for row, value in enumerate(values):
            if (
                not isinstance(value, list)
                or len(value) != length
                or not all(isinstance(v, int | float) and not isinstance(v, bool) for v in value)
            ):
                raise DataError(f"{self.where(row)}: {column} is {value!r}, not {length} numbers")
        return values

    def _chunks(self, column: str) -> Iterator[tuple[int, pa.Array]]:
        start = 0
        for chunk in self.read.chunks[column]:
            yield start, chunk
            start += len(chunk)

    def _cell(self, value: str) -> ImageCell:
        return self.read.image_cells.get(value) or ImageCell(posix(value))

    def _check_kind(self, column: str, found: pa.DataType, kind: pa.DataType) -> None:
        # A number would be cast to its digits in silence.
        if not (_is_text_list if pa.types.is_list(kind) else _is_text)(found):
            raise DataError(f"{self.files[0]}: column {column} is of type {found}, not {kind}")

    def _check_text(self, column: str, start: int, chunk: pa.Array) -> None:
        try:
            chunk.validate(full=True)  # parquet files are not checked for UTF-8 when they are read
        except pa.ArrowInvalid as error:
            row = next((row for row in range(len(chunk)) if not _is_utf8(chunk.slice(row, 1))), 0)
            what = "is not UTF-8 text" if "UTF8" in str(error) else "is damaged (fetch the file again)"
            raise DataError(f"{self.where(start + row)}: {column} {what}: {error}") from None


def read(files: Sequence[Path], columns: Sequence[str], limit: int | None, image_columns: Sequence[str] = ()) -> Rows:
    """Read those of the columns that the files have.

    Args:
        files: read one after the other.
        columns: what is wanted.
        limit: rows; nothing is read beyond it.
        image_columns: of the columns, those that name images, or hold them.

    Raises:
        DataError: a file that is not whole parquet, or files whose columns differ.
    """
    found = read_columns(files, columns, image_columns, limit)
    return Rows(found.files, found.starts, found, tuple(columns))


def _coded(flat: pa.Array) -> pa.DictionaryArray:
    """Strings as a dictionary of them."""
    if pa.types.is_dictionary(flat.type):
        return flat
    if not (pa.types.is_string(flat.type) or pa.types.is_large_string(flat.type)):  # a view, or nothing but nulls
        flat = flat.cast(pa.large_string())
    return flat.dictionary_encode()


def _numbered(flat: pa.DictionaryArray, numbers: dict[str, int]) -> NDArray[np.int64]:
    """The strings as numbers, which those that are new among ``numbers`` get; null is the empty string."""
    indices = np.asarray(flat.indices.fill_null(-1), dtype=np.int64)
    used, places = np.unique(indices, return_inverse=True)  # a dictionary may hold what no row has
    words = [""] * int((used < 0).sum()) + flat.dictionary.take(pa.array(used[used >= 0])).to_pylist()
    return np.array([numbers.setdefault(word or "", len(numbers)) for word in words], dtype=np.int64)[places]


def _by_first_appearance(codes: NDArray[np.int64], lengths: NDArray[np.int64], values: list[str]) -> StringLists:
    """Numbers in the order in which the strings come, however the files keep them."""
    used, first, places = np.unique(codes, return_index=True, return_inverse=True)
    order = np.argsort(first)
    return StringLists(np.argsort(order)[places], lengths, [values[number] for number in used[order].tolist()])


def surplus(rows: int, promised: int) -> tuple[str, ...]:
    """The warning where there are more rows than a card promises."""
    if rows <= promised:
        return ()
    return (f"{rows} rows, the card has {promised}: more than the task's own queries are counted",)


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


def _is_utf8(data: pa.Array) -> bool:
    try:
        data.to_pylist()
    except (UnicodeDecodeError, pa.ArrowException):
        return False
    return True

"""Parquet files to columns in bounded memory: found, memory-mapped, read row group by row group."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from evalkit.errors import DataError
from evalkit.files import open_file
from evalkit.suites.embedded import EmbeddedImages, ImageCell, holds_images
from evalkit.suites.textlists import TextLists, holds_text_lists

_AT_ONCE = 16  # rows, where a row group is too much


@dataclass(frozen=True)
class Columns:
    """What was read.

    Attributes:
        files: where from.
        starts: the number of the first row of each file.
        present: names of all columns of the files, those that were not read included.
        chunks: the columns that were read, each a row of arrays one after the other; of lists of texts one, with the
            distinct texts as its dictionary.
        count: number of rows.
        image_cells: what the marks in ``chunks`` stand for that were put in place of images.
    """

    files: tuple[Path, ...]
    starts: tuple[int, ...]
    present: tuple[str, ...]
    chunks: Mapping[str, tuple[pa.Array, ...]]
    count: int
    image_cells: Mapping[str, ImageCell] = field(default_factory=dict)


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


def read_columns(
    files: Sequence[Path], columns: Iterable[str], image_columns: Iterable[str], limit: int | None
) -> Columns:
    """Read those of the columns that the files have.

    Args:
        files: read one after the other.
        columns: what is wanted.
        image_columns: of them, those whose cells name images, or hold them.
        limit: rows, of all files together; nothing is read beyond it.

    Raises:
        DataError: a file that is not whole parquet, files whose columns differ, or no row at all.
    """
    wanted, images = set(columns), EmbeddedImages()
    chunks: dict[str, list[pa.Array]] = {}
    lists: dict[str, TextLists] = {}
    starts, schemas, present = [0], list[pa.Schema](), tuple[str, ...]()
    for file in files:
        try:
            open_file(file).close()  # a pipe would be waited for without end
            with pq.ParquetFile(file, memory_map=True) as parquet:
                schema = parquet.schema_arrow
                present = tuple(schema.names)
                if twice := sorted({name for name in present if present.count(name) > 1} & wanted):
                    raise DataError(f"{file} has two columns called {twice[0]}: leave one of them out")
                schemas.append(pa.schema([schema.field(name) for name in present if name in wanted]))
                rows = parquet.metadata.num_rows
            names, first = schemas[-1].names, schemas[0].names
            if set(names) != set(first):
                raise DataError(f"{file} has the columns {', '.join(names)}, but {files[0]} has {', '.join(first)}")
            if names:
                embedded = {
                    name for name in image_columns if name in names and holds_images(schemas[-1].field(name).type)
                }
                left = None if limit is None else max(0, limit - starts[-1])
                rows = rows if left == 0 else 0
                for table in _tables(file, schemas[-1], embedded, left):
                    rows += table.num_rows
                    for name in names:
                        parts = table.column(name).chunks
                        if name in embedded:
                            parts = [images.marked(part) for part in parts]
                        for part in parts:
                            if holds_text_lists(part.type):
                                lists.setdefault(name, TextLists()).add(part)
                            else:
                                chunks.setdefault(name, []).append(part)
        except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
            if isinstance(error, OSError) and error.errno:  # Arrow raises OSError for a broken file, too
                raise DataError(f"{file} cannot be read: {error.strerror}") from None
            what = " ".join(str(error).split())
            raise DataError(f"{file} is not a whole parquet file: {what} (fetch it again)") from None
        starts.append(starts[-1] + rows)
    try:
        pa.unify_schemas(schemas, promote_options="permissive")
    except (pa.ArrowInvalid, pa.ArrowTypeError) as error:
        raise DataError(f"{files[0]} and {len(files) - 1} more have columns of different types: {error}") from None
    for name, collected in lists.items():
        chunks.setdefault(name, []).append(collected.whole())
    count = starts[-1] if limit is None else min(starts[-1], limit)
    if count <= 0:
        raise DataError(f"{files[0]} has no rows")
    return Columns(
        files=tuple(files),
        starts=tuple(starts[:-1]),
        present=present,
        chunks={name: tuple(parts) for name, parts in chunks.items()},
        count=count,
        image_cells=images.image_cells(),
    )


def _tables(file: Path, schema: pa.Schema, embedded: set[str], limit: int | None) -> Generator[pa.Table, None, None]:
    """The rows of one file, a row group or less at a time, at most ``limit`` rows.

    Arrow holds at most 2 GiB of text in an array, and the candidates of a row group may have more. They repeat from
    row to row, so they are read as the dictionary that parquet keeps them in; where that cannot be, a few rows at a
    time. Rows that hold images are read a few at a time, too: rows of lists one by one.
    """
    left = limit
    with pq.ParquetFile(file, memory_map=True) as plain:
        coded = [path for path in _string_lists(plain, schema) if path.split(".")[0] not in embedded]
        with pq.ParquetFile(file, memory_map=True, read_dictionary=coded or None) as parquet:
            for group in range(plain.num_row_groups):
                if left is not None and left <= 0:
                    return
                for table in _group(plain, parquet, group, schema.names, _rows_at_once(schema, embedded)):
                    part = table if left is None else table.slice(0, left)
                    left = None if left is None else left - part.num_rows
                    yield part
                    if left is not None and left <= 0:
                        return


def _group(
    plain: Any, coded: Any, group: int, names: Sequence[str], at_once: int | None
) -> Generator[pa.Table, None, None]:
    if at_once is None:
        with suppress(pa.ArrowNotImplementedError):  # its lists are too much for one array
            yield coded.read_row_group(group, columns=names)
            return
    for batch in plain.iter_batches(batch_size=at_once or _AT_ONCE, row_groups=[group], columns=names):
        yield pa.Table.from_batches([batch])


def _rows_at_once(schema: pa.Schema, embedded: set[str]) -> int | None:
    """How many rows are read at once; ``None`` for a row group."""
    if not embedded:
        return None
    return 1 if any(not pa.types.is_struct(schema.field(name).type) for name in embedded) else _AT_ONCE


def _string_lists(parquet: Any, schema: pa.Schema) -> list[str]:
    """Paths of the columns that hold the strings of lists, as parquet counts them."""
    listed = {field.name for field in schema if holds_text_lists(field.type)}
    paths = (parquet.schema.column(number).path for number in range(len(parquet.schema)))
    return [path for path in paths if path.split(".")[0] in listed]

"""The rows of an own task's folder: JSON lines or parquet to what they say, each with the place where it says it."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeVar

from pydantic import Field, ValidationError, WithJsonSchema

from evalkit.errors import DataError
from evalkit.files import LARGEST_TEXT, as_text, open_file, read_file
from evalkit.items.jsonl import TOO_LARGE, ItemFields, explained, given_twice
from evalkit.suites.embedded import EmbeddedImages, holds_images

if TYPE_CHECKING:
    import pyarrow as pa

_AT_ONCE = 1024  # rows of a parquet file
_HELD_AT_ONCE = 16  # those that hold images
_INDEX = re.compile(r"__index_level_\d+__")  # a column that pandas adds to what is no part of the table
_CANDIDATE = {"anyOf": [{"type": "string", "minLength": 1}, {"type": "object"}]}
_ONE = {"type": ["string", "integer"]}
_LABEL = {"anyOf": [_ONE, {"type": "array", "items": _ONE, "minItems": 1}]}


class CandidateFields(ItemFields):
    """A candidate as it is written."""

    id: Annotated[str, Field(min_length=1)] | None = None
    side: Literal["candidate"] = "candidate"


class QueryFields(ItemFields):
    """A query as it is written.

    Its candidates are ids or texts and items, which are looked at one by one; its label is the pool's affair.
    """

    id: Annotated[str, Field(min_length=1)]
    side: Literal["query"] = "query"
    candidates: list[Annotated[Any, WithJsonSchema(_CANDIDATE)]] | None = None
    label: Annotated[Any, WithJsonSchema(_LABEL)]


Fields = TypeVar("Fields", QueryFields, CandidateFields)
_FIRST = ("id", "side")  # in the order of the documentation


def checked(fields: type[Fields], given: Mapping[str, Any], where: str) -> Fields:
    """What an object says, if it says it of an item.

    Args:
        fields: what it may say.
        given: the object.
        where: it stands, for an error.

    Raises:
        DataError: a key that is not known, one that is missing, a value that is none, or an item of nothing.
    """
    try:
        found = fields.model_validate(given)
    except ValidationError as error:
        known: type[ItemFields] = fields
        keys = tuple(dict.fromkeys((*_FIRST, *known.model_fields)))
        raise DataError(f"{where}: {explained(error, keys)}") from None
    except OverflowError:
        raise DataError(f"{where}: a coordinate is {TOO_LARGE}") from None
    if found.prompt is None and not found.text and found.image is None:
        raise DataError(f"{where}: there is nothing to embed: give it a text, an image or a prompt")
    return found


def read_rows(file: Path, images: EmbeddedImages) -> Iterator[tuple[str, dict[str, Any]]]:
    """The objects of a file, one after the other, each with its place for an error.

    What is null is as if it were not there. Whole numbers of regions are integers, as ``1.0`` and ``1`` are one pixel
    and would be two texts in a prompt.

    Args:
        file: ``.jsonl`` or ``.parquet``.
        images: gets those that a parquet file holds; the row has the mark of each in its place.

    Raises:
        DataError: the file cannot be read as what its name says, with the line.
    """
    rows = _parquet(file, images) if file.suffix == ".parquet" else _json_lines(file)
    empty = True
    for where, row in rows:
        empty = False
        yield where, _cleaned(row, images)
    if empty:
        raise DataError(f"{file} has no rows: " + _WAY_OUT[file.suffix])


_WAY_OUT = {".jsonl": "write one JSON object a line", ".parquet": "write a row for each"}


def _json_lines(file: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    for number, line in enumerate(_lines(file), start=1):
        if line.strip():
            where = f"{file}, line {number}"
            yield where, _object(line, where)


def _lines(file: Path) -> list[str]:
    try:
        data = read_file(file, LARGEST_TEXT)
        return as_text(data).split("\n")
    except UnicodeDecodeError as error:
        line = error.object.count(b"\n", 0, error.start) + 1
        byte = error.object[error.start]
        raise DataError(
            f"{file}, line {line}: byte 0x{byte:02x} is no UTF-8 text: save the file as UTF-8 (here stood "
            f"{error.reason})"
        ) from None
    except OSError as error:
        more = " (parquet may be larger, and lists of ids are smaller)" if "MiB" in str(error.strerror) else ""
        raise DataError(f"{file} cannot be read: {error.strerror or error}{more}") from None


def _object(line: str, where: str) -> dict[str, Any]:
    twice: list[str] = []

    def paired(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        twice.extend(given_twice(key for key, _ in pairs))
        return dict(pairs)

    try:
        found = json.loads(line, object_pairs_hook=paired)
    except RecursionError:
        raise DataError(f"{where}: lists in lists without end: write one JSON object a line") from None
    except ValueError as error:
        what = re.sub(r": line 1 column (\d+) \(char \d+\)$", r" at column \1", str(error))
        raise DataError(f"{where}: no JSON ({what}): write one JSON object a line") from None
    if not isinstance(found, dict):
        raise DataError(f"{where}: {line.strip()[:80]!r} is no JSON object: write one a line, in braces")
    if twice:
        raise DataError(f"{where}: key {twice[0]!r} is there twice: keep one of them")
    if "\\u" in line:
        try:
            json.dumps(found, ensure_ascii=False).encode()
        except UnicodeEncodeError as error:
            half = error.object[error.start]
            raise DataError(f"{where}: {half!r} is half a letter, and no text has such: write whole ones") from None
    return found


def _parquet(file: Path, images: EmbeddedImages) -> Iterator[tuple[str, dict[str, Any]]]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    number = 0
    try:
        open_file(file).close()  # a pipe would be waited for without end
        with pq.ParquetFile(file, memory_map=True) as parquet:
            schema = parquet.schema_arrow
            if twice := given_twice(schema.names):
                raise DataError(f"{file} has two columns called {twice[0]}: leave one of them out")
            names = [name for name in schema.names if not _INDEX.fullmatch(name)]
            size = _HELD_AT_ONCE if any(_holds_images(field.type) for field in schema) else _AT_ONCE
            for batch in parquet.iter_batches(batch_size=size, columns=names):
                for row in batch.to_pylist():
                    yield f"{file}, row {number}", row
                    number += 1
    except UnicodeDecodeError as error:
        raise DataError(f"{file}, row {number} or one soon after it: text that is not UTF-8: {error.reason}") from None
    except (pa.ArrowException, OSError) as error:
        if isinstance(error, OSError) and error.errno:  # Arrow raises OSError for a broken file, too
            raise DataError(f"{file} cannot be read: {error.strerror}") from None
        what = " ".join(str(error).split())
        raise DataError(f"{file} is not a whole parquet file: {what} (write it again)") from None


def _holds_images(kind: pa.DataType) -> bool:
    """Whether a column has images, or candidates that have."""
    import pyarrow as pa

    if pa.types.is_list(kind) or pa.types.is_large_list(kind):
        kind = kind.value_type
    return holds_images(kind) or (pa.types.is_struct(kind) and any(_holds_images(field.type) for field in kind))


_IMAGES = ("image", "mask")
_REGIONS = ("box", "point", "points", "negative_points")


def _cleaned(row: Mapping[str, Any], images: EmbeddedImages) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in row.items():
        if key in _IMAGES and isinstance(value, dict) and value.keys() <= {"bytes", "path"}:
            value = images.mark(value)
        elif key in _REGIONS:
            value = _whole(value)
        elif key == "candidates" and isinstance(value, list):
            value = [_cleaned(one, images) if isinstance(one, dict) else one for one in value]
        if value is not None:
            found[key] = value
    return found


def _whole(value: Any) -> Any:
    if isinstance(value, list):
        return [_whole(one) for one in value]
    return int(value) if isinstance(value, float) and math.isfinite(value) and value.is_integer() else value

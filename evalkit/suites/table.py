"""Rows that people hold in Python, to what a task is made of: mappings, a DataFrame, a ``datasets.Dataset``."""

from __future__ import annotations

import itertools
import os
import sys
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from evalkit.errors import DataError, ItemError
from evalkit.items import Box, Item, Mask, Point, Points, Region, region_kind
from evalkit.items.folders import ImageFolders
from evalkit.items.images import ImageFile
from evalkit.suites.embedded import EmbeddedImages
from evalkit.suites.own import OwnCandidate, OwnRow

if TYPE_CHECKING:
    import datasets
    import pandas as pd

KEYS = ("prompt", "text", "instruction", "image", "box", "point", "points", "negative_points", "mask")
"""What an item is made of, by the names that item files have for it."""
_NAMED = ("prompt", "text", "image", "box", "point", "mask")  # those of them that an argument names a column of
CANDIDATES, LABEL = "candidates", "label"
_ENDINGS = (".jpg", ".jpeg", ".png", ".gif", ".webp", ".bmp", ".tif", ".tiff", ".ppm")
_AT_ONCE = 100  # rows, whose images are in memory at once


@dataclass(frozen=True)
class TaskColumns:
    """Which columns of a table hold what; where no ``query_…`` is given, a query's are called as :data:`KEYS`, and its
    id ``id``.

    Attributes:
        query_text: its text.
        query_image: its image, as :meth:`evalkit.items.images.ImageFile.of` has it.
        query_box: a box of its image: x0, y0, x1, y1 in pixels of the stored image, half open.
        query_point: a point of it: x, y.
        query_mask: a mask of it: an image of the same size.
        query_prompt: the exact text for models that follow instructions; made of the others where it is left out.
        candidates: the column with the lists of candidates, or the one list that is the pool of all rows; names of
            the label's classes where a ``datasets.ClassLabel`` is the label and nothing is said.
        label: the column with what is right: a number in the pool, from 0, a candidate's text or id, or a list.
        id: the column with the queries' ids; made of their content where it is left out.
        images: the folder that paths of images are relative to; then none may leave it. The current folder, and
            absolute paths, where it is left out.

    Raises:
        DataError: what should name a column is no text.
    """

    query_text: str | None = None
    query_image: str | None = None
    query_box: str | None = None
    query_point: str | None = None
    query_mask: str | None = None
    query_prompt: str | None = None
    candidates: str | Sequence[Any] | None = None
    label: str = LABEL
    id: str | None = None
    images: str | os.PathLike[str] | None = None

    def __post_init__(self) -> None:
        for key in (*(f"query_{key}" for key in _NAMED), "label", "id"):
            if not isinstance(said := getattr(self, key), str) and (said is not None or key == "label"):
                raise DataError(f"{key} is {said!r:.80}: give the name of a column")

    def of_query(self, present: Sequence[str]) -> dict[str, str]:
        """By the key of an item, the column that has it."""
        return self._named or {key: key for key in KEYS if key in present}

    def of_id(self, present: Sequence[str]) -> str | None:
        """The column with the queries' ids, if there is one."""
        return self.id or ("id" if not self._named and "id" in present else None)

    @property
    def _named(self) -> dict[str, str]:
        found = {key: getattr(self, f"query_{key}") for key in _NAMED}
        return {key: column for key, column in found.items() if column is not None}


@dataclass(frozen=True)
class OwnTable:
    """Rows of a table.

    Attributes:
        rows: each with its columns by name; read once.
        present: the columns that there are.
        called: what an error calls the table.
        classes: names of the label's classes, where they are known.
    """

    rows: Iterable[Mapping[str, Any]]
    present: Sequence[str]
    called: str
    classes: Sequence[str] | None = None


def table_of(data: Any, columns: TaskColumns) -> OwnTable:
    """What people hold as a table.

    Args:
        data: mappings of columns to values, a ``pandas.DataFrame``, or a ``datasets.Dataset`` (also a stream).
        columns: which of its columns are asked for.

    Raises:
        DataError: something else, such as all splits of a data set together, or two columns of one name.
    """
    # What is one of them has imported its library.
    if (pandas := sys.modules.get("pandas")) is not None and isinstance(data, pandas.DataFrame):
        return _of_frame(data)
    if (datasets := sys.modules.get("datasets")) is not None:
        if isinstance(data, datasets.DatasetDict | datasets.IterableDatasetDict):
            first = next(iter(data), "train")
            raise DataError(f"these are the splits {_listed(data)}: choose one, such as dataset[{first!r}]")
        if isinstance(data, datasets.Dataset | datasets.IterableDataset):
            return _of_dataset(data, columns)
    if isinstance(data, str | bytes | Mapping) or not isinstance(data, Iterable):
        raise DataError(f"{type(data).__name__} is no table: give mappings, a pandas.DataFrame or a datasets.Dataset")
    listed = list(data)
    for number, row in enumerate(listed):
        if not isinstance(row, Mapping):
            raise DataError(f"row {number}: {row!r:.80} is no mapping of columns to values")
    return OwnTable(listed, list(dict.fromkeys(str(key) for row in listed for key in row)), "the rows")


def _of_frame(frame: pd.DataFrame) -> OwnTable:
    """In its order, whatever its index is."""
    names = [str(column) for column in frame.columns]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise DataError(f"the DataFrame has column {twice[0]!r} twice: rename one of them")
    values = [frame.iloc[:, place].tolist() for place in range(len(names))]
    return OwnTable([dict(zip(names, row, strict=True)) for row in zip(*values, strict=True)], names, "the DataFrame")


def _of_dataset(dataset: datasets.Dataset | datasets.IterableDataset, columns: TaskColumns) -> OwnTable:
    """Its images are read as they are stored, not as somebody would decode them.

    Raises:
        DataError: a transform would make something else of it.
    """
    import datasets

    if isinstance(dataset, datasets.IterableDataset) and dataset.features is None:
        rows = iter(dataset.with_format(None))  # what somebody's code gives, of whatever types
        first = next(rows, None)
        return OwnTable([] if first is None else itertools.chain([first], rows), list(first or ()), "the data set")
    if isinstance(dataset, datasets.Dataset) and dataset.format["type"] == "custom":
        raise DataError(
            "the data set has a transform (set_transform), and rows are read as they are stored: make it part of them "
            "(dataset.map), or take it off (dataset.with_format(None))"
        )
    features = dataset.features
    wanted = {*columns.of_query(list(features)).values(), columns.label, columns.of_id(list(features))}
    wanted.add(columns.candidates if isinstance(columns.candidates, str) else CANDIDATES)
    stored = dataset.select_columns([name for name in features if name in wanted]).with_format("arrow")
    rows = (row for part in stored.iter(_AT_ONCE) for row in part.to_pylist())
    label = features.get(columns.label)
    label = label.feature if isinstance(label, datasets.List | datasets.LargeList) else label
    classes = label.names if isinstance(label, datasets.ClassLabel) else None
    return OwnTable(rows, list(features), "the data set", classes)


def own_rows(
    table: OwnTable, columns: TaskColumns, *, instruction: str = "", candidate_instruction: str = ""
) -> tuple[list[OwnRow], list[OwnCandidate]]:
    """Its queries, and the candidates of all of them where those are the same.

    Args:
        table: the rows.
        columns: which hold what.
        instruction: of the queries that have none.
        candidate_instruction: likewise.

    Raises:
        DataError: a column that is not there (names those that are), or a value that cannot be what it should be;
            names row, column and value.
    """
    asked, ids = columns.of_query(table.present), columns.of_id(table.present)
    pool = columns.candidates
    if pool is None and CANDIDATES in table.present:
        pool = CANDIDATES
    elif pool is None:
        pool = table.classes
    for column in (*asked.values(), columns.label, ids, pool if isinstance(pool, str) else None):
        if column is not None and column not in table.present:
            raise DataError(f"{table.called}: there is no column {column!r}; there are {_listed(table.present)}")
    if pool is None:
        raise DataError(
            f"{table.called}: nothing says what the candidates are: name their column, or give the list that is the "
            "pool of all rows (candidates=…)"
        )
    if not asked:
        raise DataError(
            f"{table.called}: nothing says what the queries are: name columns (query_text=…, query_image=…); there are "
            f"{_listed(table.present)}"
        )
    reader = _Reader(instruction, candidate_instruction, columns.images)
    shared = [] if isinstance(pool, str) else reader.pool(pool, "candidates")
    texts = [candidate.item.text for candidate in shared]
    found, named = [], {*texts}
    for number, row in enumerate(table.rows):
        where = f"row {number}"
        query = reader.query({key: row.get(column) for key, column in asked.items()}, asked, where)
        own = reader.pool(row.get(pool), f"{where}, column {pool!r}") if isinstance(pool, str) else None
        label = row.get(columns.label)
        if is_missing(label):
            raise DataError(f"{where}: label is missing (column {columns.label!r})")
        id_ = None if ids is None else row.get(ids)
        if table.classes is not None and pool is not table.classes:
            listed = texts if own is None else [candidate.item.text for candidate in own]
            _require_no_class_elsewhere(label, table.classes, listed, named if own is None else {*listed}, where)
        found.append(OwnRow(query, label, where, own, None if is_missing(id_) else str(id_)))
    return found, shared


def _require_no_class_elsewhere(
    label: Any, classes: Sequence[str], texts: Sequence[str], named: Collection[str], where: str
) -> None:
    """A class is a number and a name. Where the pool has the name, it has to have it at the number.

    Args:
        label: of the row.
        classes: names, by number.
        texts: of the pool.
        named: the same, to look up.
        where: the row is.

    Raises:
        DataError: it has it elsewhere, so that one cannot say which of both is meant.
    """
    for number in label if isinstance(label, list) else [label]:
        if not (isinstance(number, int) and 0 <= number < min(len(classes), len(texts))):
            continue
        name, there = classes[number], texts[number]
        if there != name and name in named:
            raise DataError(
                f"{where}: label {number} is the class {name!r}, and candidate {number} is {there!r:.80}: give the "
                "candidates in the order of the classes, or leave them out, or make the label a text"
            )


def is_missing(value: Any) -> bool:
    """Whether a cell has no value: ``None``, NaN, pandas' NA and NaT."""
    if value is None or type(value).__name__ in ("NAType", "NaTType"):
        return True
    return isinstance(value, float | np.floating) and bool(np.isnan(value))


@dataclass
class _Reader:
    """Values of cells to items."""

    instruction: str
    candidate_instruction: str
    images: str | os.PathLike[str] | None
    _texts: dict[str, OwnCandidate] = field(default_factory=dict)  # as in lists that repeat from row to row
    _held: EmbeddedImages = field(default_factory=EmbeddedImages)

    def query(self, cells: Mapping[str, Any], columns: Mapping[str, str], where: str) -> Item:
        def named(key: str) -> str:
            return f"{where}, column {columns[key]!r}"

        item = self._item(cells, self.instruction, named)
        if item.image is None and not item.text and not _said(cells.get("prompt")):  # an instruction asks nothing
            raise DataError(f"{where}: the query has neither text nor image ({', '.join(map(repr, columns.values()))})")
        return item

    def pool(self, value: Any, where: str) -> list[OwnCandidate]:
        if getattr(value, "ndim", None) == 1:  # of numpy, or a column of pandas
            value = value.tolist()
        if isinstance(value, str | Mapping) or not isinstance(value, Sequence):
            raise DataError(f"{where}: {value!r:.80} is no list of candidates")
        found = [self._candidate(one, f"{where}, candidate {number}") for number, one in enumerate(value)]
        for number, candidate in enumerate(found):
            item = candidate.item
            if not item.text and item.image is None and item.prompt in ("", item.instruction):
                raise DataError(f"{where}, candidate {number}: there is nothing to embed: give it a text or an image")
        first: dict[str, Item] = {}
        for candidate in found:
            if candidate.id is not None and first.setdefault(candidate.id, candidate.item) != candidate.item:
                raise DataError(f"{where}: two candidates have the id {candidate.id!r}: give each its own")
        return found

    def _candidate(self, value: Any, where: str) -> OwnCandidate:
        if isinstance(value, str):
            if value not in self._texts:
                _require_text(value, where)
                self._require_no_image(value, where)
                self._texts[value] = OwnCandidate(Item(text=value, instruction=self.candidate_instruction))
            return self._texts[value]
        if isinstance(value, Item):
            return OwnCandidate(value)
        if isinstance(value, Mapping) and not {"bytes", "path"} >= value.keys():
            id_ = value.get("id")
            unknown = [key for key in value if key not in (*KEYS, "id", "side")]
            if unknown:
                raise DataError(f"{where}: {unknown[0]!r} is no key of an item: they are id, {', '.join(KEYS)}")
            cells = {key: value[key] for key in KEYS if key in value}
            item = self._item(cells, self.candidate_instruction, lambda key: f"{where}, key {key!r}")
            return OwnCandidate(item, None if is_missing(id_) else str(id_))
        if is_missing(value) or isinstance(value, int | float):
            raise DataError(f"{where}: {value!r} is no candidate: they are texts, images or Items (a number as text)")
        return OwnCandidate(Item(instruction=self.candidate_instruction, image=self._image(value, True, where)))

    def _require_no_image(self, text: str, where: str) -> None:
        """A text that names an image which is there is nearly always meant as the image.

        Raises:
            DataError: it does.
        """
        if text.lower().endswith(_ENDINGS) and os.path.isfile(os.path.join(self.images or "", text)):
            raise DataError(
                f"{where}: {text!r:.200} is a text, and an image of that name is there: give pathlib.Path(…) for the "
                'image, or {"text": …} for the text'
            )

    def _item(self, cells: Mapping[str, Any], instruction: str, named: Callable[[str], str]) -> Item:
        cells = {key: value for key, value in cells.items() if not is_missing(value)}
        for key in ("prompt", "text", "instruction"):
            if key in cells:
                _require_text(cells[key], named(key))
        region = self._region(cells, named)
        image = None
        if "image" in cells:
            image = self._image(cells["image"], region is None, named("image"))
        elif region is not None:
            kind = next(key for key in ("box", "point", "points", "mask") if key in cells)
            raise DataError(f"{named(kind)}: {kind} is given without an image")
        said = cells.get("instruction", instruction)
        if "prompt" in cells:
            return Item(cells["prompt"], cells.get("text", ""), said, image, region)
        return Item(text=cells.get("text", ""), instruction=said, image=image, region=region)

    def _image(self, value: Any, upright: bool, where: str) -> ImageFile:
        try:
            if isinstance(value, Mapping) and isinstance(value.get("bytes"), bytes):
                return ImageFile.in_memory(self._held.keep(value["bytes"]), str(value.get("path") or ""), upright)
            if isinstance(value, Mapping):
                value = value.get("path")
            if self.images is not None and isinstance(value, str | os.PathLike):
                return ImageFile.below(ImageFolders((Path(self.images),)), os.fspath(value), upright=upright)
            return ImageFile.of(value, upright=upright)
        except ItemError as error:
            raise DataError(f"{where}: {error}") from None

    def _region(self, cells: Mapping[str, Any], named: Callable[[str], str]) -> Region | None:
        kinds = [key for key in ("box", "point", "points", "mask") if key in cells]
        if len(kinds) > 1:
            raise DataError(f"{named(kinds[1])}: {' and '.join(kinds)} are given: an item has at most one region")
        if "negative_points" in cells and kinds not in (["point"], ["points"]):
            raise DataError(f"{named('negative_points')}: they are given without points, to which they belong")
        if not kinds:
            return None
        kind, value = kinds[0], cells[kinds[0]]
        if isinstance(value, Region) and region_kind(value) == kind and "negative_points" not in cells:
            return value
        if kind == "mask":
            return Mask(self._image(cells["mask"], False, named("mask")))
        try:
            if kind == "box":
                return Box(*_numbers(cells["box"], 4))
            if kind == "point" and "negative_points" not in cells:
                return Point(*_numbers(cells["point"], 2))
            positive = [cells["point"]] if kind == "point" else cells["points"]
            negative = cells.get("negative_points", ())
            return Points(*(tuple(Point(*_numbers(one, 2)) for one in points) for points in (positive, negative)))
        except (TypeError, ValueError) as error:
            raise DataError(f"{named(kind)}: {cells[kind]!r:.80}: {error}") from None


def _said(value: Any) -> bool:
    return not is_missing(value) and bool(value)


def _require_text(value: Any, where: str) -> None:
    """A text, of which every letter is one: half of a pair of surrogates cannot be written.

    Raises:
        DataError: it is none.
    """
    if not isinstance(value, str):
        raise DataError(f"{where}: {value!r:.80} ({type(value).__name__}) is no text")
    try:
        value.encode()
    except UnicodeEncodeError as error:
        raise DataError(f"{where}: {value!r:.80} is no Unicode text: {error.reason}") from None


def _numbers(value: Any, count: int) -> list[float]:
    """So many numbers; integers stay integers.

    Raises:
        ValueError: something else.
    """
    listed = value.tolist() if hasattr(value, "tolist") else value  # of numpy, torch
    numbers = isinstance(listed, list | tuple) and all(
        isinstance(one, int | float | np.number) and not isinstance(one, bool) for one in listed
    )
    if not numbers or len(listed) != count:
        raise ValueError(f"{count} numbers are wanted")
    return [one.item() if isinstance(one, np.number) else one for one in listed]


def _listed(names: Iterable[str]) -> str:
    return ", ".join(map(repr, names)) or "none"

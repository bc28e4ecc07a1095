"""Items as JSON lines: what ``evalkit embed`` reads, ``evalkit inspect`` writes and ``precomputed:`` matches.

One JSON object a line, UTF-8. Keys: ``id``, ``side`` (``query`` where it is absent), ``prompt``, ``text``,
``instruction``, ``image``, and at most one of ``box`` ``[x0, y0, x1, y1]``, ``point`` ``[x, y]``, ``points``
``[[x, y], …]`` and ``mask`` (path of an image). Beside ``point`` or ``points``, ``negative_points``
``[[x, y], …]`` says where the region is not. Paths are relative to the file, or to the images folder where one
is given. Coordinates are pixels of the stored image.
"""

from __future__ import annotations

import difflib
import json
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Self, cast

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from evalkit.errors import UsageError
from evalkit.files import as_text, read_given
from evalkit.items.folders import ImageFolders
from evalkit.items.images import ImageFile
from evalkit.items.item import Box, Item, Mask, Point, Points, Region, Side

Number = Annotated[int | float, Field(allow_inf_nan=False)]
Place = Annotated[tuple[Number, Number], Field(strict=False)]
Places = Annotated[tuple[Place, ...], Field(strict=False)]
TOO_LARGE = "larger than any image"
ImageOf = Callable[[str, bool], ImageFile]


@dataclass(frozen=True)
class ItemRow:
    """One line of an item file.

    Attributes:
        id: links the row to its vector; unique in the file.
        side: query or candidate.
        item: the item.
        line: the line's number, counted from 1.
        image_sha256: SHA-256 of the image file's bytes, hexadecimal, where the row gives it.
    """

    id: str
    side: Side
    item: Item
    line: int
    image_sha256: str | None = None


class ItemFields(BaseModel):
    """What the object of a line says of an item. Lists may be Python's or JSON's; everything else is as it is said."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    prompt: str | None = None
    text: str = ""
    instruction: str = ""
    image: Annotated[str, Field(min_length=1)] | None = None
    box: Annotated[tuple[Number, Number, Number, Number], Field(strict=False)] | None = None
    point: Place | None = None
    points: Places | None = None
    negative_points: Places | None = None
    mask: Annotated[str, Field(min_length=1)] | None = None

    @model_validator(mode="after")
    def _one_region_of_an_image(self) -> Self:
        regions = [name for name in ("box", "point", "points", "mask") if getattr(self, name) is not None]
        if len(regions) > 1:
            raise ValueError(f"{' and '.join(regions)} are given: a row has at most one region")
        if self.negative_points is not None and regions not in (["point"], ["points"]):
            raise ValueError("negative_points are given without point or points")
        if regions and not self.has_image:
            raise ValueError(f"{regions[0]} is given without an image")
        return self

    @property
    def has_image(self) -> bool:
        """Whether it says of an image."""
        return self.image is not None

    def item(self, image_of: ImageOf) -> Item:
        """The item.

        Args:
            image_of: from a path, and whether the camera's orientation is applied, to the image.

        Raises:
            ValueError: a box that ends before it begins, or points without a point.
        """
        region = self._region(image_of)
        # A region counts pixels of the stored image; an image alone is turned as its camera recorded.
        image = image_of(self.image, region is None) if self.image is not None else None
        # Without a prompt the item makes one of the rest.
        return Item(cast(str, self.prompt), self.text, self.instruction, image, region)

    def _region(self, image_of: ImageOf) -> Region | None:
        if self.box is not None:
            return Box(*self.box)
        if self.point is not None and self.negative_points is None:
            return Point(*self.point)
        positive = self.points if self.point is None else (self.point,)
        if positive is not None:
            return Points(
                tuple(Point(*place) for place in positive),
                tuple(Point(*place) for place in self.negative_points or ()),
            )
        # The pixels of a mask are those of the stored image, so no orientation is applied.
        return Mask(image_of(self.mask, False)) if self.mask is not None else None


class _Row(ItemFields):
    """A line as it is written."""

    id: str = Field(min_length=1)
    side: Side = "query"
    prompt: str
    image_sha256: Annotated[str, Field(pattern="^[0-9a-f]{64}$")] | None = None

    @property
    def has_image(self) -> bool:
        return self.image is not None or self.image_sha256 is not None


def read_items(
    path: Path, images: Path | Sequence[Path] | None = None, *, digests: bool = False, follow_links: bool = False
) -> list[ItemRow]:
    """Read an item file.

    Blank lines and a byte-order mark are skipped. An id may come again only with the very same item. Image files
    are not opened.

    Args:
        path: the file.
        images: folder that image paths are relative to, or several, of which the first counts that has the path; the
            file's own folder where it is ``None``.
        digests: accept rows that have ``image_sha256`` in place of ``image``. Their items have no image, so
            only what looks vectors up, and encodes nothing, may ask for them.
        follow_links: links of images may lead anywhere; otherwise into the images folders.

    Returns:
        Rows in the file's order.

    Raises:
        UsageError: the file is missing or empty, or a line is not an item; with the line's number.
    """
    try:
        lines = as_text(read_given(path)).split("\n")
    except FileNotFoundError:
        raise UsageError(f"item file {path} is missing") from None
    except OSError as error:
        raise UsageError(f"item file {path} cannot be read: {error.strerror or error}") from error
    except UnicodeDecodeError as error:
        raise UsageError(f"item file {path} cannot be read as UTF-8 text: {error}") from error
    named = (path.parent,) if images is None else (images,) if isinstance(images, Path) else tuple(images)
    folders = ImageFolders.of(named, follow_links=follow_links)
    rows: dict[str, ItemRow] = {}
    result = []
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        row = _row(path, number, line, folders, digests)
        first = rows.setdefault(row.id, row)
        if (first.side, first.item, first.image_sha256) != (row.side, row.item, row.image_sha256):
            raise UsageError(
                f"{path}, line {number}: id {row.id!r} is that of line {first.line} too, which is another "
                "item: give each item an id of its own"
            )
        result.append(row)
    if not result:
        raise UsageError(f"item file {path} has no items: write one JSON object a line")
    return result


def _row(path: Path, number: int, line: str, folders: ImageFolders, digests: bool) -> ItemRow:
    if (key := _key_given_twice(line)) is not None:
        raise UsageError(f"{path}, line {number}: key {key!r} is there twice: keep one of them")
    try:
        row = _Row.model_validate_json(line)
        item = row.item(lambda path, upright: ImageFile.below(folders, path, upright=upright))
    except ValidationError as error:
        raise UsageError(f"{path}, line {number}: {explained(error, _KEYS)}") from None
    except ValueError as error:
        raise UsageError(f"{path}, line {number}: {error}") from None
    except OverflowError:  # of pydantic, too
        raise UsageError(f"{path}, line {number}: a coordinate is {TOO_LARGE}") from None
    if row.image is None and row.image_sha256 is not None and not digests:
        raise UsageError(
            f"{path}, line {number}: id {row.id!r} has an image_sha256 but no image: give the image's path "
            "(a digest alone is for the items of precomputed:, which finds vectors by it)"
        )
    return ItemRow(row.id, row.side, item, number, row.image_sha256)


_KEYS = tuple(dict.fromkeys(("id", "side", *_Row.model_fields)))


def _key_given_twice(line: str) -> str | None:
    """A key that an object of a line has twice, of which parsers keep the last; none where it is no object."""
    twice: list[str] = []
    with suppress(ValueError, RecursionError):  # no JSON: said later, in other words
        json.loads(line, object_pairs_hook=lambda pairs: twice.extend(given_twice(key for key, _ in pairs)))
    return twice[0] if twice else None


def given_twice(keys: Iterable[str]) -> list[str]:
    """The keys of an object that it has more than once."""
    return [key for key, times in Counter(keys).items() if times > 1]


def explained(error: ValidationError, keys: Sequence[str]) -> str:
    """The first complaint about a line, with key, value and what is allowed.

    Args:
        error: as pydantic has it.
        keys: those that are known.
    """
    complaint = error.errors(include_url=False)[0]
    message = str(complaint["msg"]).removeprefix("Value error, ")
    name, *rest = complaint["loc"] or ("",)
    key = f"{name}{''.join(f'[{part}]' for part in rest if isinstance(part, int))}"
    if complaint["type"] == "json_invalid":
        return f"{message.replace(' at line 1 ', ' at ')}: write one JSON object a line"
    if complaint["type"] == "extra_forbidden":
        near = difflib.get_close_matches(key, keys, n=1, cutoff=0.5)
        return f"key {key!r:.200} is not known: the keys are {', '.join(keys)}{f'; near: {near[0]}' if near else ''}"
    if complaint["type"] == "missing":
        return f"key {key!r} is missing"
    value = repr(complaint["input"])
    return f"{key} is {value if len(value) <= 200 else f'{value[:200]}…'}: {message}" if key else message


def item_json(item: Item, id: str, side: Side, image_path: str | None = None) -> dict[str, Any]:
    """An item as the object that one line holds; what :func:`read_items` reads back.

    ``id``, ``side``, ``prompt``, ``text`` and ``instruction`` are always there; ``image`` and the region only
    where the item has them. Whole-number coordinates stay whole. An image that the rows hold
    themselves is ``image_sha256``.

    Args:
        item: the item.
        id: links it to its vector.
        side: query or candidate.
        image_path: path of the image to write; the image's own path below its folder where it is ``None``.
    """
    row: dict[str, Any] = {
        "id": id,
        "side": side,
        "prompt": item.prompt,
        "text": item.text,
        "instruction": item.instruction,
    }
    if item.image is not None and item.image.held is not None:
        row["image_sha256"] = item.image.held.digest  # there is no file to name
    elif item.image is not None:
        row["image"] = item.image.path if image_path is None else image_path
    if isinstance(item.region, Box):
        row["box"] = list(item.region.corners)
    elif isinstance(item.region, Point):
        row["point"] = [item.region.x, item.region.y]
    elif isinstance(item.region, Points):
        row["points"] = [[point.x, point.y] for point in item.region.positive]
        if item.region.negative:
            row["negative_points"] = [[point.x, point.y] for point in item.region.negative]
    elif isinstance(item.region, Mask):
        row["mask"] = item.region.image.path
    return row

"""What has to be embedded of tasks: each distinct item once, as the lines that ``evalkit embed`` and others read."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from evalkit.encoding.given import prompted_task, rows_named
from evalkit.encoding.imageindex import ImageIndex
from evalkit.errors import ImageError, UsageError
from evalkit.files import inside, write_atomically
from evalkit.items import Item, Mask, Side
from evalkit.items.decoding import opened
from evalkit.items.folders import ImageFolders, refusal
from evalkit.items.images import ImageFile
from evalkit.items.jsonl import ItemRow, item_json
from evalkit.suites.task import Task

_SUFFIXES = {"JPEG": "jpg", "MPO": "jpg", "TIFF": "tif"}  # of formats whose files are not called as they are

# Of images that are files, or have become some: the folder and the path in it.
_Places = Mapping[ImageFile, tuple[Path, str]]


@dataclass(frozen=True)
class ItemLines:
    """Distinct items of tasks, in the order in which they come first.

    Attributes:
        rows: one object a line, as :func:`evalkit.items.jsonl.read_items` reads them.
        folders: what the paths of images are relative to, in the order in which they are to be looked into; none where
            that is the file's own folder, or where there are no paths.
        held: how many lines have an ``image_sha256`` alone, because the rows of the task hold their images.
        unread: how many images could not be read, so that their lines have no ``image_sha256``.
    """

    rows: list[dict[str, Any]]
    folders: tuple[Path, ...]
    held: int
    unread: int


@dataclass(frozen=True)
class _Line:
    """An item that comes for the first time.

    Attributes:
        digest: of its image; blank where it has none, or one that cannot be read.
    """

    id: str
    side: Side
    item: Item
    digest: str


def item_lines(
    tasks: Iterable[Task],
    index: ImageIndex,
    *,
    prompting: str | None = None,
    file: Path | None = None,
    copies: Path | None = None,
) -> ItemLines:
    """The distinct items of tasks.

    Two items are one where side, prompt, text, instruction, region and the bytes of the image are equal, in whichever
    task. An id is made of just that: it stays when rows move, with another limit and beside other tasks; what has
    changed gets another one, so that no old vector is taken for it. Beside the path of an image that can be read
    stands the SHA-256 of its bytes. Paths are relative to the file's folder where all images lie below it, otherwise
    to their images folders; none is absolute.

    Args:
        tasks: loaded; each may go when the next one comes, but for its items.
        index: reads images.
        prompting: one of :data:`evalkit.items.prompting.MODES` that leaves images as they are; as the tasks have them,
            with their regions, where it is ``None``.
        file: where the lines are to be written.
        copies: a folder that all images are copied into, those that rows hold as well, each once, called by its
            SHA-256; where it is ``None`` they stay where they are.

    Raises:
        ItemError: a region that cannot be prompted so; a path that leaves its folder; an image that cannot be copied.
        UsageError: a mode that cuts or draws on images, images of two folders under one path, a mask that rows hold.
        WriteError: the folder of copies cannot be written.
    """
    lines = list(_distinct(tasks, index, prompting, copies is None))
    images = dict.fromkeys(image for line in lines for image in line.item.images)
    unread = sum(not index.knows(image) for image in images)
    places: _Places = {image: (image.root, image.path) for image in images if image.held is None}
    folders = _looked_into(places)
    if copies is not None:
        places, folders = {image: (copies, _copied(image, copies)) for image in images}, (copies,)
    if file is not None and all(_is_below(root, file.parent) for root, _ in places.values()):
        places, folders = {image: _from(file.parent, *place) for image, place in places.items()}, ()
    _require_distinct(places, folders)
    rows = [_row(line, places) for line in lines]
    held = sum("image_sha256" in row and "image" not in row for row in rows)
    return ItemLines(rows, folders if places else (), held, unread)


def require_listed(rows: Sequence[ItemRow], index: ImageIndex) -> None:
    """Require that images are those of which lines say the SHA-256: vectors are found by it, whatever they are of.

    Args:
        rows: of an item file.
        index: reads images; what cannot be read is passed over.

    Raises:
        ImageError: an image whose bytes have another SHA-256 than its line says.
    """
    said = [(row.item.image, row) for row in rows if row.item.image is not None and row.image_sha256 is not None]
    index.gather([row.item for _, row in said], unread_allowed=True)
    for image, row in said:
        if index.knows(image) and (digest := index.facts(image).digest) != row.image_sha256:
            raise ImageError(
                f"image {image.path!r} is another one than was listed: image_sha256 says {row.image_sha256!s:.12}…, "
                f"and that of the file is {digest:.12}…: name the folders that it was listed from, or list anew",
                row.item,
            )


def _distinct(tasks: Iterable[Task], index: ImageIndex, prompting: str | None, unread_allowed: bool) -> Iterator[_Line]:
    seen = set[tuple[str, Path | None]]()
    for task in tasks:
        given = task if prompting is None else prompted_task(task, prompting, index)
        sides: tuple[tuple[Side, Iterable[Item]], ...] = (("query", given.queries), ("candidate", given.candidates))
        with rows_named(given):
            for _, items in sides:
                for image in dict.fromkeys(image for item in items for image in item.images):
                    _require_path(image)
                index.gather(items, unread_allowed=unread_allowed)
        for side, items in sides:
            for item in items:
                line, unread = _line(item, side, index)
                if (line.id, unread) not in seen:
                    seen.add((line.id, unread))
                    yield line


def _require_path(image: ImageFile) -> None:
    if image.changed:
        raise UsageError(
            "lines of items name images as they are stored, and cannot say how one is cut or what is drawn on it: "
            "use --prompting native, text or none"
        )
    if image.held is None and (reason := refusal(image.path)) is not None:
        raise ImageError(f"image path {image.path!r} {reason} the images folder {image.root}: refused", image)


def _line(item: Item, side: Side, index: ImageIndex) -> tuple[_Line, Path | None]:
    """An item with its id; and the folder of its image where that cannot be read, so that its path is all there is."""
    digests = [index.facts(image).digest if index.knows(image) else "" for image in item.images]
    unread = next((image for image, digest in zip(item.images, digests, strict=True) if not digest), None)
    content = item_json(item, "", side, "")
    content["image"] = [digest or image.path for image, digest in zip(item.images, digests, strict=True)]
    content.pop("image_sha256", None)
    content.pop("mask", None)
    text = json.dumps(content, sort_keys=True)
    line_id = f"{side[0]}{hashlib.sha256(text.encode()).hexdigest()[:20]}"
    digest = digests[0] if item.image is not None else ""
    return _Line(line_id, side, item, digest), None if unread is None else unread.root


def _row(line: _Line, places: _Places) -> dict[str, Any]:
    image, region = line.item.image, line.item.region
    row: dict[str, Any] = {}
    for key, value in item_json(line.item, line.id, line.side).items():
        if key in ("image", "image_sha256"):
            if image is not None and image in places:
                row["image"] = places[image][1]
            if line.digest:
                row["image_sha256"] = line.digest
        elif key == "mask" and isinstance(region, Mask):
            if region.image not in places:
                raise UsageError(
                    f"mask {region.image.path} is held in the rows, and a line names the file of a mask: "
                    "--copy-images DIR writes one"
                )
            row["mask"] = places[region.image][1]
        else:
            row[key] = value
    return row


def _copied(image: ImageFile, folder: Path) -> str:
    """The name of an image's copy, which is written if it is not there."""
    data = image.read()
    with opened(data, image.path) as seen:
        kind = str(seen.format)
    name = f"{image.sha256()}.{_SUFFIXES.get(kind, kind.lower())}"
    place = inside(folder, name)
    if not place.is_file() or place.stat().st_size != len(data):
        write_atomically(place, data, durable=False)
    return name


def _looked_into(places: _Places) -> tuple[Path, ...]:
    """The images folders of all of them, each once, in their order."""
    folders: dict[Path, None] = {}
    for lists in dict.fromkeys((image.folders, root) for image, (root, _) in places.items()):
        known, root = lists
        folders |= dict.fromkeys(known.folders if known is not None and root in known.folders else (root,))
    return tuple(folders)


def _require_distinct(places: _Places, folders: tuple[Path, ...]) -> None:
    """Several folders are looked into one after the other, so that one may hide what another holds."""
    lookup = ImageFolders(folders)
    for root, path in dict.fromkeys(places.values()) if len(folders) > 1 else ():
        if (first := lookup.holding(path)) != root:
            raise UsageError(
                f"image {path!r} is there twice, below {first} and below {root}: --copy-images DIR copies all images "
                "into one folder, under names of their own"
            )


def _is_below(folder: Path, parent: Path) -> bool:
    return Path(os.path.realpath(folder)).is_relative_to(os.path.realpath(parent))


def _from(parent: Path, root: Path, path: str) -> tuple[Path, str]:
    """The place of an image from a folder above its own, without links on the way."""
    between = Path(os.path.realpath(root)).relative_to(os.path.realpath(parent))
    return parent, (between / path).as_posix()

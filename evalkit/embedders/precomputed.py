"""Vectors that were computed before: item files with their vectors, found again by what an item holds.

This is how a model that evalkit cannot run is scored: ``evalkit inspect --items`` writes what has to be embedded,
anything at all makes vectors of it, and ``precomputed:DIR`` looks them up.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from evalkit.embedders.base import OURS, EmbedderInfo
from evalkit.embedders.vectorfiles import find_pairs, read_vectors, same
from evalkit.errors import EmbedderError, ImageError, UsageError
from evalkit.files import open_file
from evalkit.items import Item, Mask, Region, Side, region_kind

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from evalkit.items.images import ImageFile
    from evalkit.items.jsonl import ItemRow

# Side, prompt, digest of the image, region: what makes two items the same.
_Key = tuple[str, str, str, Region | str | None]


@dataclass(frozen=True)
class _Vectors:
    """The vectors of all pairs, counted through. Those of an ``.npy`` stay on the disk.

    Attributes:
        arrays: one a pair, floating-point numbers, shape ``(n, dimension)``.
        starts: the number of the first row of each.
    """

    arrays: tuple[NDArray[Any], ...]
    starts: tuple[int, ...]

    def take(self, rows: Sequence[int]) -> NDArray[np.float32]:
        """Rows by their numbers; float32, shape ``(len(rows), dimension)``."""
        import numpy as np

        taken = np.empty((len(rows), self.arrays[0].shape[1]), dtype=np.float32)
        wanted = np.asarray(rows, dtype=np.int64)
        of = np.searchsorted(self.starts, wanted, side="right") - 1  # an empty array's start is the next one's, too
        for number in np.unique(of).tolist():
            here = of == number
            taken[here] = self.arrays[number][wanted[here] - self.starts[number]]
        return taken

    def same(self, one: int, other: int) -> bool:
        """Whether two rows may be of one item."""
        return same(*self.take([one, other]))


@dataclass(frozen=True)
class _VectorTable:
    """Where each item's vector lies.

    Attributes:
        vectors: of all pairs.
        rows: of items as they are written.
        told: of items whose region the model did not take but was told in words, without that region; ``None``
            where it alone tells several vectors apart.
        digest: of the files.
    """

    vectors: _Vectors
    rows: dict[_Key, int]
    told: dict[_Key, int | None]
    digest: str

    def find(self, key: _Key) -> int | None:
        return self.rows[key] if key in self.rows else self.told.get(key)


class Precomputed:
    """Vectors from a folder, or of one pair in it: ``precomputed:DIR[?images=DIR][&regions=box]``.

    DIR holds pairs: ``NAME.jsonl`` (items, see :mod:`evalkit.items.jsonl`) and their vectors, linked by id:
    ``NAME.npz`` (``ids`` and ``vectors``, as ``evalkit embed`` writes them), or ``NAME.npy`` with ``NAME.ids.txt``
    (:mod:`evalkit.embedders.vectorfiles`). ``precomputed:DIR/NAME.npy`` is that pair alone. An item to embed
    is found by its content: its side, prompt, region, and the SHA-256 of its image file's bytes, which a line
    may give as ``image_sha256`` so that the image need not be there. A line's region may be lacking in the item
    where the model behind the vectors did not take it. An item whose image is cut or drawn on (``--prompting
    crop``, ``overlay``, ...) is never found: a line cannot say how.

    Args:
        path: the folder DIR, or the ``.npz`` or ``.npy`` of one pair.
        images: folder that image paths are relative to, or several with ``:`` between (as in ``PATH``), of which the
            first counts that has the path; that of the item file where it is ``None``.
        regions: kinds of region, of ``box``, ``point``, ``points``, ``mask``, with commas between, that the
            model behind the vectors took as an input of its own. Only its maker knows; results say ``native``
            for these.

    Raises:
        UsageError: there is no such folder, it holds no pairs, or there is no such kind of region.
    """

    computing: ClassVar[Mapping[str, str]] = {}

    def __init__(self, path: str, *, images: str | None = None, regions: str = "") -> None:
        self._regions = frozenset(kind for kind in regions.split(",") if kind)
        if unknown := self._regions - {"box", "point", "points", "mask"}:
            raise UsageError(
                f"precomputed option regions={regions!r}: {min(unknown)!r} is none of box, point, mask, points"
            )
        place = Path(path).expanduser()
        self._place, only = place, None
        if place.is_file():
            if place.suffix not in (".npz", ".npy"):
                raise UsageError(f"precomputed:{path} is a file, and no .npz or .npy: name its folder, or the vectors")
            only = place.stem
        elif not place.is_dir():
            raise UsageError(f"precomputed folder {path} does not exist")
        self._images = [Path(folder).expanduser() for folder in images.split(os.pathsep) if folder] if images else None
        for folder in self._images or ():
            if not folder.is_dir():
                raise UsageError(f"images folder {folder} does not exist")
        self._name = only or place.resolve().name or "precomputed"
        self._pairs = find_pairs(place if only is None else place.parent, only)
        if not self._pairs:
            raise UsageError(
                f"precomputed folder {path} holds no pair NAME.jsonl and NAME.npz (or NAME.npy with NAME.ids.txt): "
                "write items with evalkit inspect --items, vectors with evalkit embed or with numpy"
            )

    @cached_property
    def info(self) -> EmbedderInfo:
        """Read from the files.

        Raises:
            UsageError: a file is not what it should be; named with its line and value.
        """
        table, kinds = self._table, ",".join(sorted(self._regions))
        return EmbedderInfo(
            name=self._name,
            dimension=int(table.vectors.arrays[0].shape[1]),
            revision=table.digest,
            regions=self._regions,
            options={"regions": kinds} if kinds else {},
            fingerprint=OURS + hashlib.sha256(f"precomputed-2 {table.digest} {kinds}".encode()).hexdigest(),
        )

    def encode(self, items: Sequence[Item], side: Side) -> NDArray[np.float32]:
        """Look vectors up.

        Args:
            items: the batch.
            side: query or candidate; an item may have another vector on either side.

        Returns:
            float32, shape ``(len(items), info.dimension)``, rows of length 1.

        Raises:
            EmbedderError: an item has no vector here.
            ImageError: an item's image is missing.
        """
        table, seen = self._table, dict[tuple[Path, str], str]()
        found = []
        for item in items:
            if item.image is not None and item.image.changed:
                raise EmbedderError(
                    f"{self._place} has no vectors of images that are cut or drawn on, as that of the {side} "
                    f"{_described(item)}: use --prompting native, text or none"
                )
            digest = _image_digest(item.image, seen) if item.image is not None else ""
            row = table.find((side, item.prompt, digest, _region_key(item.region, seen)))
            if row is None:
                raise EmbedderError(
                    f"{self._place} has no vector for the {side} {_described(item)}: write the task's items "
                    "with evalkit inspect --items, and vectors for all of them"
                )
            found.append(row)
        return table.vectors.take(found)

    @cached_property
    def _table(self) -> _VectorTable:
        import numpy as np

        from evalkit.items.jsonl import read_items

        pairs = self._pairs
        ids, arrays = zip(*map(read_vectors, pairs), strict=True)
        for pair, array in zip(pairs, arrays, strict=True):
            if array.shape[1] != arrays[0].shape[1]:
                raise UsageError(
                    f"{pair.vectors} has vectors of length {array.shape[1]}, {pairs[0].vectors.name} of length "
                    f"{arrays[0].shape[1]}: all pairs of a folder come from one model"
                )
        starts = np.cumsum([0, *(len(array) for array in arrays[:-1])]).tolist()
        vectors = _Vectors(arrays, tuple(starts))
        rows: dict[_Key, int] = {}
        told: dict[_Key, int | None] = {}
        places: dict[_Key, str] = {}
        seen: dict[tuple[Path, str], str] = {}
        for pair, known, start in zip(pairs, ids, starts, strict=True):
            for row in read_items(pair.items, self._images, digests=True):
                place = f"{pair.items}, line {row.line}, id {row.id!r}"
                if row.id not in known:
                    whose = pair.vectors if pair.ids is None else pair.ids
                    raise UsageError(f"{place}: {whose.name} has no vector of this id; embed the file again")
                key, at = _key(row, place, seen), start + known[row.id]
                places.setdefault(key, place)
                first = rows.setdefault(key, at)
                if first != at and not vectors.same(first, at):
                    raise UsageError(
                        f"{place}: it is the same item as {places[key]}, but has another vector: leave one of them out"
                    )
                region = row.item.region
                if region is not None and region_kind(region) not in self._regions:
                    other = told.setdefault((*key[:3], None), at)
                    if other is not None and other != at and not vectors.same(other, at):
                        told[*key[:3], None] = None
        return _VectorTable(vectors, rows, told, digest=_digest(file for pair in pairs for file in pair.files))


def _described(item: Item) -> str:
    parts = [repr(item.prompt if len(item.prompt) <= 80 else item.prompt[:80] + "…")]
    parts += [f"with image {item.image.path}"] if item.image is not None else []
    return " ".join([*parts, *([f"and {item.region}"] if item.region is not None else [])])


def _digest(files: Iterable[Path]) -> str:
    total = hashlib.sha256()
    for file in files:
        with open_file(file) as stream:
            digest = hashlib.file_digest(stream, "sha256").hexdigest()
        total.update(f"{digest}  {file.name}\n".encode())
    return total.hexdigest()


def _key(row: ItemRow, place: str, seen: dict[tuple[Path, str], str]) -> _Key:
    item, image = row.item, row.image_sha256 or ""
    try:
        if item.image is not None and not image:
            image = _image_digest(item.image, seen)
        return (row.side, item.prompt, image, _region_key(item.region, seen))
    except ImageError as error:
        raise UsageError(
            f"{place}: {error}; paths are relative to the item file, or to ?images=DIR; image_sha256 in the "
            "line makes the image needless"
        ) from error


def _image_digest(image: ImageFile, seen: dict[tuple[Path, str], str]) -> str:
    """SHA-256 of the file's bytes; ``seen`` spares reading one file twice."""
    if image.held is not None:  # its path is what it is called, which others may be, too
        return image.sha256()
    place = (image.root, image.path)
    if place not in seen:
        seen[place] = image.sha256()
    return seen[place]


def _region_key(region: Region | None, seen: dict[tuple[Path, str], str]) -> Region | str | None:
    """The region itself, whose numbers are equal by value; of a mask its file's digest."""
    return _image_digest(region.image, seen) if isinstance(region, Mask) else region

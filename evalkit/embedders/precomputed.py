"""Vectors that were computed before: item files with their vectors, found again by what an item holds.

This is how a model that evalkit cannot run is scored: ``evalkit inspect`` writes a task's items, anything at
all makes vectors of them, and ``precomputed:DIR`` looks them up.
"""

from __future__ import annotations

import hashlib
import zipfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from evalkit.embedders.base import OURS, EmbedderInfo
from evalkit.errors import EmbedderError, ImageError, UsageError
from evalkit.files import open_file
from evalkit.items import Item, Mask, Region, Side, region_kind

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from evalkit.items.images import ImageFile
    from evalkit.items.jsonl import ItemRow

TOLERANCE = 1e-3  # by how much a length may differ from 1, and two vectors of one item from each other

# Side, prompt, digest of the image, region: what makes two items the same.
_Key = tuple[str, str, str, Region | str | None]


@dataclass(frozen=True)
class _VectorTable:
    """Where each item's vector lies.

    Attributes:
        vectors: float32, shape ``(n, dimension)``.
        rows: of items as they are written.
        told: of items whose region the model did not take but was told in words, without that region; ``None``
            where it alone tells several vectors apart.
        digest: of the files.
    """

    vectors: NDArray[np.float32]
    rows: dict[_Key, int]
    told: dict[_Key, int | None]
    digest: str

    def find(self, key: _Key) -> int | None:
        return self.rows[key] if key in self.rows else self.told.get(key)


class Precomputed:
    """Vectors from a folder: ``precomputed:DIR[?images=DIR][&regions=box]``.

    DIR holds pairs ``NAME.jsonl`` (items, see :mod:`evalkit.items.jsonl`) and ``NAME.npz`` (``ids`` and
    ``vectors``, as ``evalkit embed`` writes them). The two files of a pair are linked by id. An item to embed
    is found by its content: its side, prompt, region, and the SHA-256 of its image file's bytes, which a line
    may give as ``image_sha256`` so that the image need not be there. A line's region may be lacking in the item
    where the model behind the vectors did not take it. An item whose image is cut (``--prompting crop``) is never
    found: a line cannot say how.

    Args:
        path: the folder DIR.
        images: folder that image paths are relative to; that of the item file where it is ``None``.
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
        self._folder = Path(path).expanduser()
        self._images = Path(images).expanduser() if images else None
        if not self._folder.is_dir():
            raise UsageError(f"precomputed folder {path} does not exist")
        if self._images is not None and not self._images.is_dir():
            raise UsageError(f"images folder {images} does not exist")
        stems = {
            kind: {file.stem for file in self._folder.glob(f"*.{kind}") if file.is_file()} for kind in ("jsonl", "npz")
        }
        alone = sorted(stems["jsonl"] ^ stems["npz"])
        if alone:
            has, lacks = ("jsonl", "npz") if alone[0] in stems["jsonl"] else ("npz", "jsonl")
            raise UsageError(
                f"{self._folder / alone[0]}.{has} has no {alone[0]}.{lacks} beside it: items and vectors "
                "come in pairs of one name (evalkit embed --input NAME.jsonl --output NAME.npz)"
            )
        self._names = sorted(stems["npz"])
        if not self._names:
            raise UsageError(
                f"precomputed folder {path} holds no pair NAME.jsonl and NAME.npz: write items with evalkit "
                "inspect, vectors with evalkit embed"
            )

    @cached_property
    def info(self) -> EmbedderInfo:
        """Read from the files.

        Raises:
            UsageError: a file is not what it should be; named with its line and value.
        """
        table, kinds = self._table, ",".join(sorted(self._regions))
        return EmbedderInfo(
            name=self._folder.resolve().name or "precomputed",
            dimension=int(table.vectors.shape[1]),
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
            if item.image is not None and item.image.crop is not None:
                raise EmbedderError(
                    f"{self._folder} has no vectors of images that are cut, as that of the {side} {_described(item)}: "
                    "use another --prompting than crop"
                )
            digest = _image_digest(item.image, seen) if item.image is not None else ""
            row = table.find((side, item.prompt, digest, _region_key(item.region, seen)))
            if row is None:
                raise EmbedderError(
                    f"{self._folder} has no vector for the {side} {_described(item)}: write the task's items "
                    "with evalkit inspect, and vectors for all of them"
                )
            found.append(row)
        return table.vectors[found]

    @cached_property
    def _table(self) -> _VectorTable:
        import numpy as np

        from evalkit.items.jsonl import read_items

        pairs = [(self._folder / f"{name}.jsonl", self._folder / f"{name}.npz") for name in self._names]
        ids, blocks = zip(*(_read_vectors(file) for _, file in pairs), strict=True)
        for (_, file), block in zip(pairs, blocks, strict=True):
            if block.shape[1] != blocks[0].shape[1]:
                raise UsageError(
                    f"{file} has vectors of length {block.shape[1]}, {pairs[0][1].name} of length "
                    f"{blocks[0].shape[1]}: all pairs of a folder come from one model"
                )
        vectors: NDArray[np.float32] = np.concatenate(blocks)
        starts = np.cumsum([0, *(len(block) for block in blocks)]).tolist()
        rows: dict[_Key, int] = {}
        told: dict[_Key, int | None] = {}
        places: dict[_Key, str] = {}
        seen: dict[tuple[Path, str], str] = {}
        for (file, npz), known, start in zip(pairs, ids, starts, strict=False):
            for row in read_items(file, self._images, digests=True):
                place = f"{file}, line {row.line}, id {row.id!r}"
                if row.id not in known:
                    raise UsageError(f"{place}: {npz.name} has no vector of this id; embed the file again")
                key, at = _key(row, place, seen), start + known[row.id]
                places.setdefault(key, place)
                first = rows.setdefault(key, at)
                if first != at and not _same(vectors[first], vectors[at]):
                    raise UsageError(
                        f"{place}: it is the same item as {places[key]}, but has another vector: leave one of them out"
                    )
                region = row.item.region
                if region is not None and region_kind(region) not in self._regions:
                    other = told.setdefault((*key[:3], None), at)
                    if other is not None and other != at and not _same(vectors[other], vectors[at]):
                        told[*key[:3], None] = None
        return _VectorTable(
            vectors,
            rows,
            told,
            digest=_digest(file for pair in pairs for file in pair),
        )


def _same(one: NDArray[np.float32], other: NDArray[np.float32]) -> bool:
    """Whether two vectors may be of one item: a model's own arithmetic depends on the batch a little."""
    return bool(abs(one - other).max() <= TOLERANCE)


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


def _read_vectors(file: Path) -> tuple[dict[str, int], NDArray[np.float32]]:
    """Row of each id, and the vectors, float32, shape ``(n, dimension)``."""
    import numpy as np

    written = "as evalkit embed writes them"
    try:
        # Opened here, because numpy leaves a file open that is none of its own.
        with open_file(file) as stream:
            arrays = np.load(stream, allow_pickle=False)
            if not isinstance(arrays, np.lib.npyio.NpzFile):
                raise ValueError("one array, not an archive of arrays")
            lacking = [name for name in ("ids", "vectors") if name not in arrays]
            if lacking:
                raise UsageError(f"{file} has no array {lacking[0]!r}: it needs ids and vectors, {written}")
            ids, vectors = arrays["ids"], arrays["vectors"]
    except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
        raise UsageError(f"{file} cannot be read ({error}): it needs ids and vectors, {written}") from error
    if ids.ndim != 1 or ids.dtype.kind != "U":
        raise UsageError(f"{file} has ids of shape {ids.shape} and type {ids.dtype}: they are strings")
    if vectors.ndim != 2 or vectors.dtype.kind != "f" or not vectors.shape[1]:
        raise UsageError(
            f"{file} has vectors of shape {vectors.shape} and type {vectors.dtype}: they are floating-point "
            "numbers of shape (items, dimension)"
        )
    if len(ids) != len(vectors):
        raise UsageError(f"{file} has {len(ids)} ids but {len(vectors)} vectors: each vector has one id")
    lengths = np.sqrt(np.einsum("ij,ij->i", vectors, vectors, dtype=np.float64))
    # Not a number compares as false, so it lands here too.
    wrong = np.flatnonzero(~(np.abs(lengths - 1) <= TOLERANCE))
    if len(wrong):
        row = int(wrong[0])
        fault = f"is of length {lengths[row]:.6g}, not 1" if np.isfinite(lengths[row]) else "is not finite"
        raise UsageError(
            f"{file}, row {row}: the vector of id {str(ids[row])!r} {fault}: write finite vectors of length 1"
        )
    rows: dict[str, int] = {}
    for row, id in enumerate(ids.tolist()):
        first = rows.setdefault(id, row)
        if first != row and not _same(vectors[first], vectors[row]):
            raise UsageError(f"{file}: id {id!r} has two vectors, in rows {first} and {row}: give each item its own id")
    return rows, vectors.astype(np.float32, copy=False)

"""Images that a parquet file holds itself, as the hub's Image feature has them: ``{"bytes": …, "path": …}``.

Their bytes are moved, each distinct image once, into a file that has no name and goes with the last of them: one
process's memory would not hold a data set's, and a parquet file is no place to look single cells up in.
"""

from __future__ import annotations

import hashlib
import os
import tempfile
import weakref
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from typing import IO

import pyarrow as pa

from evalkit.errors import DataError, ImageError
from evalkit.items.folders import posix
from evalkit.items.images import MAX_BYTES, held_name
from evalkit.items.inmemory import BytesInMemory

_MARK = "\0"  # no path has one


class _Kept:
    """Bytes one after the other, in a file without a name that goes with this object."""

    @cached_property
    def _file(self) -> IO[bytes]:
        try:
            file = tempfile.TemporaryFile(prefix="evalkit-")  # noqa: SIM115  (closed below)
        except OSError as error:
            raise DataError(
                f"no temporary file can be made: {error.strerror or error} (TMPDIR names a folder)"
            ) from error
        weakref.finalize(self, file.close)
        return file

    def append(self, data: bytes) -> int:
        """Where the bytes begin.

        Raises:
            DataError: the temporary folder is full, or there is none.
        """
        try:
            start = self._file.seek(0, os.SEEK_END)
            self._file.write(data)
            self._file.flush()
        except OSError as error:
            raise DataError(
                f"the images of the rows cannot be kept in {tempfile.gettempdir()}: {error.strerror or error} "
                "(name a folder with room in TMPDIR)"
            ) from error
        return start

    def read(self, size: int, start: int) -> bytes:
        """So many bytes from there on. Threads share the file, not its place."""
        return os.pread(self._file.fileno(), size, start)


@dataclass(frozen=True, slots=True)
class HeldImage:
    """The bytes of one image, in a file of evalkit's own.

    Attributes:
        digest: SHA-256, hexadecimal.
        size: bytes.
    """

    digest: str
    size: int
    _kept: _Kept = field(compare=False, repr=False)
    _start: int = field(compare=False, repr=False)

    def __reduce__(self) -> tuple[Callable[[bytes], BytesInMemory], tuple[bytes]]:
        """A copy, or what another process gets, is its bytes: the file is this one's."""
        return BytesInMemory.of, (self.read(),)

    def read(self) -> bytes:
        """The bytes.

        Raises:
            ImageError: they are more than an image may have, or the disk gives them back no more.
        """
        if self.size > MAX_BYTES:
            raise ImageError(
                f"an image in the rows has {self.size:,} bytes, more than the limit of {MAX_BYTES:,}: leave its row out"
            )
        try:
            data = self._kept.read(self.size, self._start)
        except OSError as error:
            raise ImageError(f"an image of the rows cannot be read back: {error.strerror or error}") from error
        if len(data) != self.size:
            raise ImageError("an image of the rows cannot be read back: the temporary file was cut")
        return data


@dataclass(frozen=True, slots=True)
class ImageCell:
    """What one cell says of its image.

    Attributes:
        name: path of the image; of a held one what it is called, which another image may be, too. Blank where the
            cell has no image.
        held: its bytes, where the cell has them; else the path is looked up.
    """

    name: str
    held: HeldImage | None = None

    @property
    def identity(self) -> str:
        """Tells it apart from others, those of its name included."""
        return self.name if self.held is None else f"{self.name}{_MARK}{self.held.digest}"


def holds_images(kind: pa.DataType) -> bool:
    """Whether cells of this type hold images: structs of ``bytes`` (and ``path``), or lists of them."""
    if pa.types.is_list(kind) or pa.types.is_large_list(kind):
        kind = kind.value_type
    if not pa.types.is_struct(kind) or kind.get_field_index("bytes") < 0:
        return False
    held = kind.field("bytes").type
    return bool(pa.types.is_binary(held) or pa.types.is_large_binary(held) or pa.types.is_null(held))


class EmbeddedImages:
    """Collects the images of a task's files."""

    def __init__(self) -> None:
        self._images: dict[str, HeldImage] = {}
        self._cells: dict[str, ImageCell] = {}  # by mark
        self._kept = _Kept()

    def marked(self, chunk: pa.Array) -> pa.Array:
        """The cells as strings: a path where there are no bytes, else a mark that :meth:`image_cells` knows.

        Args:
            chunk: as :func:`holds_images` has them.

        Returns:
            Strings, or lists of strings, null where the cell is.

        Raises:
            DataError: the temporary folder is full.
        """
        values = chunk.to_pylist()
        if pa.types.is_struct(chunk.type):
            return pa.array([self.mark(value) for value in values], pa.string())
        lists = [None if cell is None else [self.mark(value) for value in cell] for cell in values]
        return pa.array(lists, pa.list_(pa.string()))

    def image_cells(self) -> dict[str, ImageCell]:
        """What each mark stands for."""
        return dict(self._cells)

    def cell(self, mark: str) -> ImageCell:
        """What a mark stands for, or a path."""
        return self._cells.get(mark) or ImageCell(posix(mark))

    def mark(self, value: dict[str, object] | None) -> str | None:
        """A cell as a string: a path where it has no bytes, else a mark; ``None`` where it is null.

        Raises:
            DataError: the temporary folder is full.
        """
        if value is None:
            return None
        data, path = value.get("bytes"), value.get("path")
        path = posix(path) if isinstance(path, str) else ""
        if not isinstance(data, bytes):
            return path or None
        held = self.keep(data)
        mark = f"{_MARK}{held.digest}{_MARK}{path}"
        self._cells.setdefault(mark, ImageCell(held_name(path, held.digest), held))
        return mark

    def keep(self, data: bytes) -> HeldImage:
        """The bytes of an image, kept once however often they come.

        Raises:
            DataError: the temporary folder is full, or there is none.
        """
        digest = hashlib.sha256(data).hexdigest()
        if digest not in self._images:
            self._images[digest] = HeldImage(digest, len(data), self._kept, self._kept.append(data))
        return self._images[digest]

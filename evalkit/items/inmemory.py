"""Images that are in memory: encoded, as a data set's cells hold them, or as pixels, as PIL does."""

from __future__ import annotations

import hashlib
import io
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from evalkit.errors import ImageError
from evalkit.items.decoding import of_pixels, recorded_orientation

if TYPE_CHECKING:
    from PIL.Image import Image


@dataclass(frozen=True, slots=True)
class BytesInMemory:
    """The bytes of an image file.

    Attributes:
        digest: SHA-256 of the bytes, hexadecimal.
        data: the bytes.
    """

    digest: str
    data: bytes = field(compare=False, repr=False)

    @classmethod
    def of(cls, data: bytes) -> BytesInMemory:
        """Of the bytes of a file."""
        return cls(hashlib.sha256(data).hexdigest(), data)

    def read(self) -> bytes:
        """The bytes."""
        return self.data


@dataclass(frozen=True, slots=True)
class PixelsInMemory:
    """An image that somebody has decoded. It stays theirs: it is neither copied nor written to.

    Attributes:
        digest: SHA-256 of size, orientation and pixels as RGB, hexadecimal.
        size: width and height of the stored pixels.
        image: the image; any mode.
    """

    digest: str
    size: tuple[int, int]
    image: Image = field(compare=False, repr=False)

    @classmethod
    def of(cls, image: Image) -> PixelsInMemory:
        """Of an image of PIL.

        Raises:
            ImageError: as :func:`evalkit.items.decoding.of_pixels`.
        """
        stored = of_pixels(image, name="in memory", upright=False)
        return cls(_digest(stored, image), stored.size, image)

    def rgb(self, *, upright: bool) -> Image:
        """The pixels, mode RGB.

        Args:
            upright: apply the orientation that the image carries.

        Raises:
            ImageError: somebody wrote to the image since it was handed over.
        """
        stored = of_pixels(self.image, name="in memory", upright=False)
        if _digest(stored, self.image) != self.digest:
            raise ImageError("an image in memory has changed since it was handed over: hand over a copy of it")
        return of_pixels(self.image, name="in memory", upright=True) if upright else stored

    def read(self) -> bytes:
        """The pixels as a PNG file, without orientation."""
        buffer = io.BytesIO()
        self.rgb(upright=False).save(buffer, "PNG")
        return buffer.getvalue()


def _digest(stored: Image, image: Image) -> str:
    head = f"pixels {stored.width}x{stored.height} orientation {recorded_orientation(image)}\n"
    return hashlib.sha256(head.encode() + stored.tobytes()).hexdigest()

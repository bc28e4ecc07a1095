"""Image files: where they may lie, what they hold, and their pixels as 8-bit RGB.

The policy, in one place:

* a path is relative to an images folder and cannot leave it, neither by ``..`` nor by a link;
* only raster formats that Pillow decodes by itself are opened (no EPS, whose decoder runs a program);
* images of more than ``MAX_PIXELS`` pixels are refused before they are decoded;
* 16-bit grey is scaled to 8 bits (Pillow's own ``convert`` would clip it to white), CMYK, palette and
  grey become RGB, transparency is dropped as the official loaders do with ``convert("RGB")``; samples
  whose white is not known (floating point, 32-bit TIFF) are refused;
* the camera's orientation (EXIF) is applied where ``upright`` is set. An item with a region leaves it
  unset, because the region counts pixels of the stored image. (A TIFF is always upright: Pillow turns it
  while it decodes.)
* an image may be cut; then the cut is the image to all that look at it, for its pixels and for its size;
* what comes out is pixels and nothing else, so that no later step applies an orientation a second time.
"""

from __future__ import annotations

import hashlib
import io
import os
import stat
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from evalkit.errors import ImageError

if TYPE_CHECKING:
    from PIL.Image import Image, Transpose

MAX_PIXELS = 89_478_485  # Pillow's own warning level; Pillow holds RGB in 4 bytes a pixel: 341 MiB
MAX_BYTES = 1 << 30  # no image within the pixel limit is as large
FORMATS = ("JPEG", "PNG", "GIF", "WEBP", "BMP", "TIFF", "PPM")  # JPEG includes the MPO of cameras

Crop = tuple[int, int, int, int]  # left, top, right, bottom in stored pixels, half open
Identity = tuple[str, bool, tuple[int, ...]]  # digest of the file, whether it is turned upright, how it is cut


@dataclass(frozen=True, slots=True)
class ImageFacts:
    """What an image file is, without its pixels.

    Attributes:
        digest: SHA-256 of the file's bytes, hexadecimal; of all of them, also where the image is cut.
        width: stored width in pixels, before any orientation; of a cut image the cut's.
        height: stored height in pixels, likewise.
    """

    digest: str
    width: int
    height: int


@dataclass(frozen=True, slots=True)
class ImageFile:
    """An image by reference: a path below a folder, and which part of it.

    Attributes:
        root: the images folder.
        path: POSIX path below ``root``, as the data set has it.
        upright: apply the orientation that the camera recorded (EXIF).
        crop: the part that is the image, or none where all of it is. It counts stored pixels, so an image is
            either cut or turned upright.
        pixels: decoded pixels where they are at hand already; not part of the identity.
        digest: SHA-256 of the file where it is known already; not part of the identity.
    """

    root: Path
    path: str
    upright: bool = True
    crop: Crop | None = None
    pixels: Image | None = field(default=None, compare=False, repr=False)
    digest: str | None = field(default=None, compare=False, repr=False)

    def __post_init__(self) -> None:
        if self.crop is None:
            return
        left, top, right, bottom = self.crop
        if not (0 <= left < right and 0 <= top < bottom):
            raise ValueError(f"crop {self.crop} of {self.path} holds no pixel; it is left, top, right, bottom")
        if self.upright:
            raise ValueError(f"crop {self.crop} of {self.path} counts stored pixels: set upright=False")

    @property
    def whole(self) -> ImageFile:
        """The image that this one is cut out of; itself where it is not cut."""
        return self if self.crop is None else replace(self, crop=None, pixels=None)

    def identity(self) -> Identity:
        """Which pixels it has, wherever it lies: images of one identity have the same pixels.

        Raises:
            ImageError: as :meth:`read`, where the digest is not known.
        """
        return (self.sha256(), self.upright, self.crop or ())

    def location(self) -> Path:
        """The file's place on disk.

        Raises:
            ImageError: the path is absolute, climbs out of ``root`` or is a link that leads out of it.
        """
        pure = PurePosixPath(self.path)
        if pure.is_absolute() or ".." in pure.parts or "\\" in self.path or "\0" in self.path or not pure.parts:
            raise ImageError(
                f"image path {self.path!r} leaves the images folder {self.root}: refused "
                "(image paths are relative to it, with / and without ..)"
            )
        place = self.root / self.path
        try:
            real, root = os.path.realpath(place), os.path.realpath(self.root)
        except (OSError, ValueError) as error:  # characters that no path has
            raise ImageError(f"image {self.path!r} cannot be looked up in {self.root}: {error}") from error
        if os.path.commonpath((real, root)) != root:
            raise ImageError(
                f"image {self.path!r} is a link that leads out of the images folder {self.root}: refused "
                "(pass the folder that it leads to with --images)"
            )
        return place

    def read(self) -> bytes:
        """The file's bytes.

        Raises:
            ImageError: the file is missing or cannot be read, or its path is refused.
        """
        place = self.location()
        try:
            status = place.stat()
            if not stat.S_ISREG(status.st_mode):  # a pipe would be waited for without end
                raise ImageError(f"image {place} is not a file: put the image there or leave its row out")
            if status.st_size > MAX_BYTES:
                raise ImageError(
                    f"image {place} has {status.st_size:,} bytes, more than the limit of {MAX_BYTES:,}: "
                    "make it smaller or leave its row out"
                )
            return place.read_bytes()
        except FileNotFoundError:
            raise ImageError(f"image {place} is missing (images are looked for below --images)") from None
        except OSError as error:
            raise ImageError(
                f"image {place} cannot be read: {error.strerror or error}: mend it or leave its row out"
            ) from error

    def facts(self) -> ImageFacts:
        """Digest and size; reads the file, decodes only its header.

        Raises:
            ImageError: as :meth:`read`, or the file is no image of a known format, or it is too large, or it
                is smaller than what is to be cut out of it.
        """
        data = self.read()
        with _opened(data, self.path) as image:
            width, height = image.size
        return self.cut_facts(ImageFacts(hashlib.sha256(data).hexdigest(), width, height))

    def cut_facts(self, whole: ImageFacts) -> ImageFacts:
        """Its facts, from those of the :attr:`whole` image.

        Raises:
            ImageError: the whole is smaller than what is to be cut out of it.
        """
        if self.crop is None:
            return whole
        left, top, right, bottom = self.crop
        self._check_holds_crop(whole.width, whole.height)
        return ImageFacts(whole.digest, right - left, bottom - top)

    def sha256(self) -> str:
        """Digest of the file's bytes, hexadecimal.

        Raises:
            ImageError: as :meth:`read`.
        """
        return self.digest or hashlib.sha256(self.read()).hexdigest()

    def rgb(self) -> Image:
        """The pixels, mode RGB, 8 bits; of a cut image those of the cut.

        Raises:
            ImageError: as :meth:`facts`, or the pixels cannot be decoded rightly, or the file is not the one
                whose digest is known: its vector would be kept under the wrong key.
        """
        if self.pixels is not None:
            return self.pixels
        data = self.read()
        if self.digest is not None and hashlib.sha256(data).hexdigest() != self.digest:
            raise ImageError(f"image {self.path} has changed since it was first read: run again")
        whole = decode(data, name=self.path, upright=self.upright)
        if self.crop is None:
            return whole
        self._check_holds_crop(*whole.size)
        return whole.crop(self.crop)

    def _check_holds_crop(self, width: int, height: int) -> None:
        # Pillow would make up black pixels.
        if self.crop is not None and (self.crop[2] > width or self.crop[3] > height):
            raise ImageError(
                f"image {self.path} of {width} x {height} pixels does not hold its crop {list(self.crop)} "
                "(left, top, right, bottom)",
                self,
            )


def decode(data: bytes, *, name: str, upright: bool) -> Image:
    """Decode an image file to 8-bit RGB.

    Args:
        data: the file's bytes.
        name: what to call the image in an error.
        upright: apply the EXIF orientation.

    Raises:
        ImageError: unknown format, truncated, too large, or sample values of unknown range.
    """
    with _opened(data, name) as image:
        if reason := _not_to_be_had(image):
            raise ImageError(f"image {name} has {reason}: convert it to RGB of 8 bits")
        try:
            image.load()
            turn = _turn(image) if upright else None
            image.info = {}  # the old name of transparency, and the orientation that was just looked up
            plain = _eight_bits(image, name) if image.mode.startswith("I") else image
            rgb = plain.convert("RGB")
            return rgb if turn is None else rgb.transpose(turn)
        except ImageError:
            raise
        except Exception as error:
            raise _broken(name, error) from error


def _opened(data: bytes, name: str) -> Image:
    import PIL.Image

    try:
        image = PIL.Image.open(io.BytesIO(data), formats=FORMATS)
    except PIL.UnidentifiedImageError:
        raise ImageError(
            f"image {name} ({len(data)} bytes) is not one of {', '.join(FORMATS)}, or is broken: "
            "convert it or fetch it again"
        ) from None
    except Exception as error:
        raise _broken(name, error) from error
    if image.width * image.height > MAX_PIXELS:
        raise ImageError(
            f"image {name} has {image.width} x {image.height} pixels, more than the limit of {MAX_PIXELS:,}: "
            "scale it down or leave its row out"
        )
    return image


def _broken(name: str, error: Exception) -> ImageError:
    """What Pillow raised (its decoders raise all sorts of things) in the user's words."""
    import PIL.Image

    if isinstance(error, PIL.Image.DecompressionBombError | PIL.Image.DecompressionBombWarning):
        return ImageError(f"image {name} is too large: {error} Scale it down or leave its row out")
    if isinstance(error, MemoryError):
        return ImageError(f"image {name} does not fit into memory: scale it down or leave its row out")
    return ImageError(f"image {name} is truncated or broken: {error}. Fetch it again or leave its row out")


def _not_to_be_had(image: Image) -> str | None:
    """What keeps Pillow from turning the image into RGB rightly, if anything does."""
    from PIL.TiffImagePlugin import BITSPERSAMPLE, PHOTOMETRIC_INTERPRETATION, TiffImageFile

    if image.mode == "F":
        return "floating-point samples of unknown range"
    if not isinstance(image, TiffImageFile):
        return None
    if image.mode == "I":
        return "signed or 32-bit samples of unknown range"
    if image.mode == "LAB":
        return "colours in Lab"
    bits, photometric = image.tag_v2.get(BITSPERSAMPLE), image.tag_v2.get(PHOTOMETRIC_INTERPRETATION)
    if image.mode.startswith("I;16") and (bits, photometric) != ((16,), 1):
        return "grey of 12 bits or with white as 0"  # which Pillow hands out as if it were neither
    return None


def _turn(image: Image) -> Transpose | None:
    """What makes the image upright, by the orientation that the camera recorded.

    ``ImageOps.exif_transpose`` writes the remaining EXIF block anew, and fails where a camera wrote values
    into it that Pillow can read but not write.
    """
    from PIL.ExifTags import Base
    from PIL.Image import Transpose

    turns = {
        2: Transpose.FLIP_LEFT_RIGHT,
        3: Transpose.ROTATE_180,
        4: Transpose.FLIP_TOP_BOTTOM,
        5: Transpose.TRANSPOSE,
        6: Transpose.ROTATE_270,
        7: Transpose.TRANSVERSE,
        8: Transpose.ROTATE_90,
    }
    return turns.get(image.getexif().get(Base.Orientation, 1))


def _eight_bits(image: Image, name: str) -> Image:
    """Grey of 16 bits to 8 bits, by the ratio of the two white points."""
    import numpy as np
    import PIL.Image

    grey = np.asarray(image).astype(np.int64)
    if grey.min() < 0 or grey.max() > 65535:
        raise ImageError(
            f"image {name} has samples outside 16 bits ({grey.min()} to {grey.max()}): convert it to 8 bits"
        )
    return PIL.Image.fromarray(((grey + 128) // 257).astype(np.uint8), mode=None)

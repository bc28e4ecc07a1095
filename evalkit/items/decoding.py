"""Image files to pixels: 8-bit RGB, in bounded work and memory.

* only raster formats that Pillow decodes by itself are opened (no EPS, whose decoder runs a program);
* images of more than ``MAX_PIXELS`` pixels are refused before they are decoded, and so are those whose decoding is
  more work than their size says (JPEGs of hundreds of scans, PPM in plain text);
* few large images are decoded at once, whatever the number of threads;
* 16-bit grey is scaled to 8 bits (Pillow's own ``convert`` would clip it to white), CMYK, palette and
  grey become RGB, transparency is dropped as the official loaders do with ``convert("RGB")``; samples
  whose white is not known (floating point, 32-bit TIFF) are refused;
* the camera's orientation (EXIF) is applied where it is asked for and can be read, and nowhere else. (Pillow alone
  would turn every TIFF while it decodes it.)
* what comes out is pixels and nothing else, so that no later step applies an orientation a second time.
"""

from __future__ import annotations

import io
import re
import zlib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from threading import Condition
from typing import TYPE_CHECKING, Any

from evalkit.errors import ImageError

if TYPE_CHECKING:
    from PIL.Image import Image, Transpose

MAX_PIXELS = 89_478_485  # Pillow's own warning level; Pillow holds RGB in 4 bytes a pixel: 341 MiB
SCANNED = 20 * MAX_PIXELS
"""Pixels that a JPEG's scans may go over together: each scan of a progressive one goes over the whole image again."""
WRITTEN_OUT = 32 << 20
"""Bytes of a PPM in plain text, which Pillow reads in Python, a second for 8 MB."""
_PNG = b"\x89PNG\r\n\x1a\n"
_MARKER = re.compile(rb"\xff([^\x00\x01\xff\xd0-\xd8])", re.DOTALL)
"""Of a segment with a length, or the end. In what a scan holds a 0 or a restart follows each 255."""
_FLOATING = "floating-point samples of unknown range"
FORMATS = ("JPEG", "PNG", "GIF", "WEBP", "BMP", "TIFF", "PPM")  # JPEG includes the MPO of cameras


def decode(data: bytes, *, name: str, upright: bool) -> Image:
    """Decode an image file to 8-bit RGB.

    Args:
        data: the file's bytes.
        name: what to call the image in an error.
        upright: apply the EXIF orientation.

    Raises:
        ImageError: unknown format, truncated, too large, or sample values of unknown range.
    """
    try:
        return _decoded(data, name, upright)
    except ImageError:
        if (bare := _without_metadata(data)) is not None:
            with suppress(ImageError):
                return _decoded(bare, name, upright)
        raise


def _decoded(data: bytes, name: str, upright: bool) -> Image:
    with opened(data, name) as image:
        if reason := _not_to_be_had(image):
            raise ImageError(f"image {name} has {reason}: convert it to RGB of 8 bits")
        try:
            with _turns_of_large_ones(image.width * image.height):
                turn = _turn(image) if upright and image.format == "TIFF" else None  # its file is closed below
                _load(image)
                if upright and turn is None:
                    turn = _turn(image)  # a PNG may have its EXIF behind the pixels
                rgb = _as_rgb(image, name)
                return rgb if turn is None else rgb.transpose(turn)
        except ImageError:
            raise
        except Exception as error:
            raise _broken(name, error) from error


def of_pixels(image: Image, *, name: str, upright: bool) -> Image:
    """An image that somebody has decoded to 8-bit RGB, by the rules for files; theirs is not written to.

    Args:
        image: of PIL; opened alone, or decoded.
        name: what to call it in an error.
        upright: apply the orientation that it carries.

    Raises:
        ImageError: as :func:`decode`.
    """
    if image.width * image.height > MAX_PIXELS:
        raise _too_large(image, name)
    try:
        image.load()
        if image.mode == "F":
            raise ImageError(f"image {name} has {_FLOATING}: convert it to RGB of 8 bits")
        turn = _turn(image) if upright else None
        rgb = _as_rgb(image, name)
        rgb.readonly = 1  # whoever draws on it draws on a copy
        return rgb if turn is None else rgb.transpose(turn)
    except ImageError:
        raise
    except Exception as error:
        raise _broken(name, error) from error


def recorded_orientation(image: Image) -> int:
    """The orientation that an image carries, 1 to 8; 1, upright, where it carries none that can be read."""
    found = _orientation(image)
    return found if isinstance(found, int) and 1 <= found <= 8 else 1


def _as_rgb(image: Image, name: str) -> Image:
    """The pixels of a decoded image and nothing else, mode RGB, 8 bits; without a copy where they are so already."""
    plain = image._new(image.im)  # of the stored size; convert would copy what is RGB already
    plain.info = {}  # the old name of transparency, and the orientation
    plain = _eight_bits(plain, name) if plain.mode.startswith("I") else plain
    return plain if plain.mode == "RGB" else plain.convert("RGB")


def orientation_unread(image: Image) -> bool:
    """Whether an image that was opened says how it was held, but not in a way that can be read.

    Looks at what stands before the pixels alone; a PNG may have its EXIF behind them.
    """
    from PIL.ExifTags import Base

    if image.format != "TIFF" and "exif" not in image.info and "xmp" not in image.info:
        return False
    try:
        return image.getexif().get(Base.Orientation, 1) not in range(1, 9)
    except Exception:  # noqa: BLE001  (parsers of damaged blocks raise all sorts of things)
        return _orientation(image) not in range(1, 9)


def stored_size(image: Image) -> tuple[int, int]:
    """Width and height of the stored pixels; Pillow's size of a TIFF is that of the turned ones."""
    from PIL.TiffImagePlugin import IMAGELENGTH, IMAGEWIDTH, TiffImageFile

    if not isinstance(image, TiffImageFile):
        return image.size
    return int(image.tag_v2[IMAGEWIDTH]), int(image.tag_v2[IMAGELENGTH])


def _load(image: Image) -> None:
    """Decode the pixels as they are stored."""
    from PIL.TiffImagePlugin import TiffImageFile

    if isinstance(image, TiffImageFile):
        image.load_end = _nothing_more  # type: ignore[method-assign]  # it turns the image
    image.load()


def _nothing_more() -> None:
    pass


def opened(data: bytes, name: str) -> Image:
    """Open an image file, and look at its header alone; at a PNG without its metadata where they are broken.

    Raises:
        ImageError: unknown format, broken, too large, or too much work.
    """
    try:
        return _opened(data, name)
    except ImageError:
        if (bare := _without_metadata(data)) is not None:
            with suppress(ImageError):
                return _opened(bare, name)
        raise


def _without_metadata(data: bytes) -> bytes | None:
    """A whole PNG's pixels and orientation alone; ``None`` of anything else.

    Pillow refuses a PNG for what stands beside its pixels: a text of more than 1 MiB, a resolution cut short.
    """
    if not data.startswith(_PNG):
        return None
    kept, place = [_PNG], len(_PNG)
    while place + 12 <= len(data):
        end = place + 12 + int.from_bytes(data[place : place + 4], "big")
        kind = data[place + 4 : place + 8]
        if end > len(data):
            return None
        sound = int.from_bytes(data[end - 4 : end], "big") == zlib.crc32(data[place + 4 : end - 4])
        if kind in (b"IHDR", b"PLTE", b"IDAT", b"IEND") or (kind == b"eXIf" and sound):
            kept.append(data[place:end])
        if kind == b"IEND":
            return b"".join(kept)
        place = end
    return None


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
        raise _too_large(image, name)
    if work := _work(image, data):
        raise ImageError(f"image {name} {work}")
    return image


def _work(image: Image, data: bytes) -> str | None:
    """What makes the image more work than its size says, and the way out; ``None`` where nothing does."""
    if image.format in ("JPEG", "MPO"):
        scans = _scans(data)
        if scans > 3 and scans * image.width * image.height > SCANNED:
            return (
                f"has {scans} scans over {image.width} x {image.height} pixels, more work than the limit of "
                f"{SCANNED:,} pixels: save it anew or leave its row out"
            )
    if image.format == "PPM" and data[:2] in (b"P1", b"P2", b"P3") and len(data) > WRITTEN_OUT:
        return f"is PPM of {len(data):,} bytes in plain text, more than the limit of {WRITTEN_OUT:,}: save it as PNG"
    return None


def _scans(data: bytes) -> int:
    """The scans of a JPEG, up to its end: a camera may put a film behind it."""
    scans, place = 0, 2
    while (marker := _MARKER.search(data, place)) is not None and marker[1] != b"\xd9":
        place = marker.end()
        scans += marker[1] == b"\xda"
        place += max(2, int.from_bytes(data[place : place + 2], "big"))
    return scans


@contextmanager
def _turns_of_large_ones(pixels: int) -> Iterator[None]:
    """Wait until all the pixels that are decoded at once stay below a limit, or this image is alone."""
    global _decoding
    with _fewer:
        _fewer.wait_for(lambda: not _decoding or _decoding + pixels <= MAX_PIXELS)
        _decoding += pixels
    try:
        yield
    finally:
        with _fewer:
            _decoding -= pixels
            _fewer.notify_all()


_fewer, _decoding = Condition(), 0


def _too_large(image: Image, name: str) -> ImageError:
    return ImageError(
        f"image {name} has {image.width} x {image.height} pixels, more than the limit of {MAX_PIXELS:,}: "
        "scale it down or leave its row out"
    )


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
        return _FLOATING
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
    """What makes the image upright, by the orientation that the camera recorded, if it is one that can be read.

    ``ImageOps.exif_transpose`` writes the remaining EXIF block anew, and fails where a camera wrote values
    into it that Pillow can read but not write.
    """
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
    recorded = _orientation(image)
    try:
        return turns.get(recorded)
    except (TypeError, ValueError, ArithmeticError):  # a value that has no hash
        return None


def _orientation(image: Image) -> Any:
    """What EXIF says, or XMP where EXIF says nothing; ``None`` where neither can be read. The pixels are whole."""
    import PIL.Image
    from PIL.ExifTags import Base

    # Parsers of damaged blocks raise all sorts of things.
    with suppress(Exception):
        return image.getexif().get(Base.Orientation)
    with suppress(Exception):  # broken XMP fails the reading of EXIF, which may be whole
        exif = PIL.Image.Exif()
        exif.load(image.info["exif"])
        return exif.get(Base.Orientation)
    with suppress(Exception):
        return image.tag_v2.get(Base.Orientation)  # type: ignore[attr-defined]  # of a TIFF
    return None


def _eight_bits(image: Image, name: str) -> Image:
    """Grey of 16 bits to 8 bits, by the ratio of the two white points."""
    import numpy as np
    import PIL.Image

    grey = np.asarray(image)
    if grey.min() < 0 or grey.max() > 65535:
        raise ImageError(
            f"image {name} has samples outside 16 bits ({grey.min()} to {grey.max()}): convert it to 8 bits"
        )
    eighth = ((np.arange(65536) + 128) // 257).astype(np.uint8)
    return PIL.Image.fromarray(eighth[grey], mode=None)

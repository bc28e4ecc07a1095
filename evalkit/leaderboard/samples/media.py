"""The images of sample pages: which may be embedded, as what, and where regions lie on them.

Benchmark images are other people's, so a page embeds none of them unless it is asked to. Nothing is copied: every
image is decoded under the limits of :mod:`evalkit.items.images` and encoded anew, so what a camera wrote beside the
pixels (place, owner, orientation) is not in the site.
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Literal

from evalkit.errors import ImageError, ResultsError
from evalkit.items import Box, Item, Mask, Point, Region
from evalkit.items.images import ImageFacts, ImageFile
from evalkit.items.regions import fault
from evalkit.runs.environment import without_places

if TYPE_CHECKING:
    from PIL.Image import Image

    from evalkit.suites.task import DataFolder

MediaMode = Literal["none", "thumbnails", "full"]
THUMBNAIL = 256
"""Longer side of a thumbnail, in pixels."""
_NOT_EMBEDDED = "not embedded (--media none)"
_LARGEST_WEBP = 16_383  # pixels a side: WebP has 14 bits for it


@dataclass(frozen=True)
class ShownImage:
    """An image as a page shows it.

    Attributes:
        path: of the file, as the data set has it: any characters.
        href: of the embedded image, relative to the page (``media/<digest>.webp``); ``None`` where none is embedded.
        width: in pixels of the image that regions count in: the stored one, or where there is no region the one
            that the camera's orientation has turned upright. An embedded thumbnail has fewer: draw it over the
            whole of ``viewBox="0 0 width height"`` with ``preserveAspectRatio="none"``. ``None`` where it is not
            known. It is known wherever ``href`` is there; of an image that is not embedded it is known where it has a
            region, so that the region can be drawn in an empty frame.
        height: likewise.
        missing: why it is not embedded, in a few words; ``None`` where it is.
    """

    path: str
    href: str | None
    width: int | None
    height: int | None
    missing: str | None = None


@dataclass(frozen=True)
class Mark:
    """A region of a picture, in its pixels: origin top left, x right, y down. One of the four is there.

    Attributes:
        box: x0, y0, x1, y1, half open: ``<rect x=x0 y=y0 width=x1-x0 height=y1-y0>`` covers its pixels exactly. May
            reach over the picture's edge.
        points: x, y and whether the point lies in the region (else it lies outside of what is meant).
        mask: href of a PNG of the picture's width and height, white where the region is and transparent elsewhere:
            for an SVG ``<mask>``, or to lay over the picture.
        missing: why the region cannot be drawn, in a few words.
    """

    box: tuple[float, float, float, float] | None = None
    points: tuple[tuple[float, float, bool], ...] = ()
    mask: str | None = None
    missing: str | None = None


class Gallery:
    """The embedded images of a board's pages, each of them once however many pages show it.

    An image is decoded when it is first asked for, to find out what it is called and whether it can be shown, and
    again when its file is written: the pixels are not kept.

    Args:
        mode: what is embedded.
        folder: of the data, whose place no page names; own tasks have none.
    """

    def __init__(self, mode: MediaMode, folder: DataFolder | None) -> None:
        self.mode = mode
        self.files: dict[str, Callable[[], bytes]] = {}
        """By href, what makes the content of the file."""
        self._folder = folder
        self._known: dict[tuple[ImageFile, bool], ShownImage] = {}
        self._masks: dict[ImageFile, Mark] = {}

    def shown(self, item: Item) -> tuple[ShownImage | None, tuple[Mark, ...]]:
        """An item's image, and its region on it: none or one.

        An image with a region is shown as it is stored, whatever the camera's orientation says.
        """
        if item.image is None:
            return None, ()
        if item.region is None:
            return self._picture(item.image, False), ()
        picture = self._picture(_as_stored(item.image), True)
        return picture, (self._mark(item.region, picture),)

    def _picture(self, image: ImageFile, measured: bool) -> ShownImage:
        """The picture of an image; where it is not embedded, its size is looked up if it is to be ``measured``."""
        key = (image, measured)
        if key not in self._known:
            try:
                self._known[key] = self._embedded(image) if self.mode != "none" else self._left_out(image, measured)
            except ImageError as error:
                self._known[key] = ShownImage(image.path, None, None, None, without_places(str(error), self._folder))
        return self._known[key]

    def _embedded(self, image: ImageFile) -> ShownImage:
        pixels = image.rgb()
        digest, encode = _digest(pixels), thumbnail if self.mode == "thumbnails" else lossless
        large = self.mode == "full" and max(pixels.size) > _LARGEST_WEBP
        href = f"media/{digest}.{'png' if large else 'webp'}"
        self.files.setdefault(href, partial(_file, image, digest, png if large else encode))
        return ShownImage(image.path, href, *pixels.size)

    def _left_out(self, image: ImageFile, measured: bool) -> ShownImage:
        if not measured:
            return ShownImage(image.path, None, None, None, _NOT_EMBEDDED)
        facts = image.facts()
        return ShownImage(image.path, None, facts.width, facts.height, _NOT_EMBEDDED)

    def _mark(self, region: Region, picture: ShownImage) -> Mark:
        if isinstance(region, Box):
            return Mark(box=region.corners)
        if isinstance(region, Mask):
            return self._mask(region, picture)
        if isinstance(region, Point):
            return Mark(points=((region.x, region.y, True),))
        points = [(point.x, point.y, True) for point in region.positive]
        return Mark(points=(*points, *((point.x, point.y, False) for point in region.negative)))

    def _mask(self, region: Mask, picture: ShownImage) -> Mark:
        if self.mode == "none":
            return Mark(missing=f"mask {_NOT_EMBEDDED}")
        if picture.width is None or picture.height is None:
            return Mark(missing="the image that the mask belongs to is not there")
        image = _as_stored(region.image)
        if image not in self._masks:
            try:
                pixels = image.rgb()
            except ImageError as error:
                self._masks[image] = Mark(missing=without_places(str(error), self._folder))
            else:
                size = ImageFacts("", *pixels.size)
                if wrong := fault(region, ImageFacts("", picture.width, picture.height), size):
                    return Mark(missing=wrong)
                digest = _digest(pixels)
                href = f"media/{digest}-mask.png"
                self.files.setdefault(href, partial(_file, image, digest, overlay))
                self._masks[image] = Mark(mask=href)
        return self._masks[image]


def _as_stored(image: ImageFile) -> ImageFile:
    return replace(image, upright=False, pixels=None) if image.upright else image


def thumbnail(image: Image) -> bytes:
    """WebP of at most :data:`THUMBNAIL` pixels a side, never larger than the image; the same bytes for the same one."""
    from PIL.Image import Resampling

    small = image.copy()
    small.thumbnail((THUMBNAIL, THUMBNAIL), Resampling.LANCZOS)
    return _encoded(small, "WEBP", quality=80, method=4)


def lossless(image: Image) -> bytes:
    """WebP with all the pixels of an RGB image as they are."""
    return _encoded(image, "WEBP", lossless=True, quality=50, method=2)


def png(image: Image) -> bytes:
    """The same as PNG, for what is too large for WebP."""
    return _encoded(image, "PNG")


def overlay(mask: Image) -> bytes:
    """A mask as PNG with one bit a pixel: white where it is not black, else transparent."""
    import numpy as np
    import PIL.Image

    return _encoded(PIL.Image.fromarray(np.asarray(mask).any(axis=2)), "PNG", transparency=0)


def _encoded(image: Image, kind: str, **options: int) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, format=kind, **options)
    return buffer.getvalue()


def _digest(pixels: Image) -> str:
    return hashlib.sha256(f"{pixels.width} x {pixels.height}\n".encode() + pixels.tobytes()).hexdigest()


def _file(image: ImageFile, digest: str, encode: Callable[[Image], bytes]) -> bytes:
    pixels = image.rgb()
    if _digest(pixels) != digest:
        raise ResultsError(f"image {image.location()} has changed while the pages were made: make them again")
    return encode(pixels)

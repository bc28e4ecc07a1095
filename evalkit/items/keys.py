"""What a vector depends on, as a digest: the key that it is kept under."""

from __future__ import annotations

import hashlib

from evalkit.items.images import ImageFile
from evalkit.items.item import Box, Item, Point, Points, Region, Side

KEY_VERSION = 2  # 1: images of TIFF were turned upright whatever was asked for


def content_digest(item: Item) -> str:
    """SHA-256 of all that an embedder sees of an item, hexadecimal.

    Prompt, text, instruction, the image file's bytes, its orientation policy, how it is cut, what is drawn on
    it, the region. Not the path: the same image elsewhere is the same content.

    Raises:
        ImageError: an image that cannot be read.
    """
    image = "" if item.image is None else _image(item.image)
    return _digest(item.prompt, item.text, item.instruction, image, _region(item.region)).hex()


def vector_key(fingerprint: str, dtype: str, side: Side, content: str) -> bytes:
    """32 bytes that a vector is kept under.

    Args:
        fingerprint: of the embedder: weights, revision, options, code.
        dtype: what the vector is kept as, ``float32`` or ``float16``.
        side: of the item.
        content: :func:`content_digest` of the item.
    """
    return _digest(str(KEY_VERSION), fingerprint, dtype, side, content)


def _image(image: ImageFile) -> str:
    digest, upright, crop, drawn = image.identity()
    changed = ["crop", *map(str, crop)] if crop else ["drawn", drawn] if drawn else []
    return " ".join([digest, str(upright), *changed])


def _region(region: Region | None) -> str:
    if region is None:
        return ""
    if isinstance(region, Box):
        return f"box {' '.join(map(_number, region.corners))}"
    if isinstance(region, Point):
        return f"point {_place(region)}"
    if isinstance(region, Points):
        return " ".join(["points", *map(_place, region.positive), "negative", *map(_place, region.negative)])
    return f"mask {_image(region.image)}"


def _place(point: Point) -> str:
    return f"{_number(point.x)} {_number(point.y)}"


def _number(value: float) -> str:
    # 1 and 1.0 apart: a model that writes the region into its text shows them differently.
    return repr(int(value)) if isinstance(value, int) else repr(float(value))


def _digest(a: str, b: str, c: str, d: str, e: str) -> bytes:
    # Each part with its length before it, so that no two lists of parts read the same.
    parts = f"{len(a)}:{a}{len(b)}:{b}{len(c)}:{c}{len(d)}:{d}{len(e)}:{e}"
    return hashlib.sha256(parts.encode("utf-8", "surrogatepass")).digest()

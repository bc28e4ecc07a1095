"""What a vector depends on, as a digest: the key that it is kept under."""

from __future__ import annotations

import hashlib
import json

from evalkit.items import Box, Item, Point, Region, Side

KEY_VERSION = 1


def content_digest(item: Item) -> str:
    """SHA-256 of all that an embedder sees of an item, hexadecimal.

    Prompt, text, instruction, the image file's bytes, its orientation policy, the region. Not the path:
    the same image elsewhere is the same content.

    Raises:
        ImageError: an image that cannot be read.
    """
    content = [
        item.prompt,
        item.text,
        item.instruction,
        None if item.image is None else [item.image.sha256(), item.image.upright],
        _region(item.region),
    ]
    return hashlib.sha256(json.dumps(content, ensure_ascii=True).encode()).hexdigest()


def vector_key(fingerprint: str, dtype: str, side: Side, content: str) -> bytes:
    """32 bytes that a vector is kept under.

    Args:
        fingerprint: of the embedder: weights, revision, options, code.
        dtype: what the vector is kept as, ``float32`` or ``float16``.
        side: of the item.
        content: :func:`content_digest` of the item.
    """
    return hashlib.sha256(json.dumps([KEY_VERSION, fingerprint, dtype, side, content]).encode()).digest()


def _region(region: Region | None) -> list[object] | None:
    if region is None:
        return None
    if isinstance(region, Box):
        return ["box", *map(float, region.corners)]
    if isinstance(region, Point):
        return ["point", float(region.x), float(region.y)]
    return ["mask", region.image.sha256()]

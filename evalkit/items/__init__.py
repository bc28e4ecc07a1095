"""What an embedder is given; an item itself is in ``item.py``, whose names stand here.

In: texts, regions in pixels, paths of images. Out: items, their pixels and keys, and what a mode of prompting makes
of them. Must not know: ``suites``, ``embedders``.
"""

from evalkit.items.item import (
    IMAGE_MARK,
    Box,
    Item,
    Mask,
    Point,
    Points,
    Region,
    Side,
    box_sentence,
    concerns,
    region_kind,
)

__all__ = [
    "IMAGE_MARK",
    "Box",
    "Item",
    "Mask",
    "Point",
    "Points",
    "Region",
    "Side",
    "box_sentence",
    "concerns",
    "region_kind",
]

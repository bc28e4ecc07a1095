"""What an embedder is given: items with their regions; the rest of the room has their images and how to write them."""

from evalkit.items.item import (
    IMAGE_MARK,
    Box,
    Item,
    Mask,
    Point,
    Points,
    Region,
    Side,
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
    "concerns",
    "region_kind",
]

"""What modes that change pixels ask of an item first: an image as it is stored, and a region that lies on it."""

from __future__ import annotations

import math

from evalkit.errors import RegionError
from evalkit.items.images import Crop, ImageFacts, ImageFile
from evalkit.items.item import Box, Item, Mask, region_kind
from evalkit.items.prompting.mode import Facts
from evalkit.items.regions import fault


def placed(item: Item, facts: Facts, purpose: str) -> tuple[ImageFile, ImageFacts]:
    """The item's image and its size, where its region lies on it.

    Args:
        item: with a region.
        facts: tells the image's size, and a mask's.
        purpose: what the image is there for, after "there is no image to".

    Raises:
        RegionError: the item has no image, or one that is not as it is stored, or the region is not on it.
        ImageError: the image or the mask cannot be read.
    """
    region, image = item.region, item.image
    if image is None or region is None:
        lacking = "image" if image is None else "region"
        raise RegionError(f"there is no {lacking} to {purpose}: mend it or leave its row out", item)
    if image.upright or image.changed:
        raise RegionError(
            f"image {image.path} is not as it is stored, but its region counts stored pixels: "
            "its suite has to set upright=False",
            item,
        )
    size = facts(image)
    if said := fault(region, size, facts(region.image) if isinstance(region, Mask) else None):
        raise RegionError(f"{said}; mend it or leave its row out", item)
    return image, size


def require_extent(item: Item, purpose: str) -> None:
    """A mode that needs an area has nothing to do with points.

    Args:
        item: with a region.
        purpose: what the area is there for, after "has no extent to".

    Raises:
        RegionError: the region is neither a box nor a mask.
    """
    if item.region is not None and not isinstance(item.region, Box | Mask):
        raise RegionError(
            f"a region of {region_kind(item.region)} has no extent to {purpose}: "
            "use --prompting native, text, overlay, overlay_box or none",
            item,
        )


def bounds_of(item: Item, size: ImageFacts) -> Crop:
    """The whole pixels that a box covers, also in part, or the smallest box around what a mask marks.

    Args:
        item: with a box or a mask that lies on its image.
        size: of the image.

    Raises:
        RegionError: the mask is black all over.
        ImageError: the mask cannot be read.
    """
    region = item.region
    assert isinstance(region, Box | Mask)
    bounds = box_bounds(region, size.width, size.height) if isinstance(region, Box) else mask_bounds(region)
    if bounds is None:
        raise RegionError("the mask is black all over, so nothing is left: mend it or leave its row out", item)
    return bounds


def box_bounds(box: Box, width: int, height: int) -> Crop:
    """The whole pixels of an image that a box covers, also in part: at least one, if the box is on the image.

    Args:
        box: on the image, as :func:`evalkit.items.regions.fault` has it.
        width: of the image.
        height: of the image.
    """
    left, top = max(0, math.floor(box.x0)), max(0, math.floor(box.y0))
    return (left, top, min(width, math.ceil(box.x1)), min(height, math.ceil(box.y1)))


def mask_bounds(mask: Mask) -> Crop | None:
    """The smallest box around what is not black; ``None`` where all is black.

    Raises:
        ImageError: the mask cannot be read.
    """
    return mask.image.rgb().getbbox()

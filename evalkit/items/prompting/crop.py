"""By the image cut to the region: what surrounds it is gone, and the words that name it stay.

Which pixels are kept is worked out here; they are cut when the image is decoded (:mod:`evalkit.items.images`).
"""

from __future__ import annotations

import math
from dataclasses import replace

from evalkit.errors import RegionError
from evalkit.items.images import Crop, ImageFile
from evalkit.items.item import Box, Item, Mask, region_kind
from evalkit.items.prompting.mode import Facts, Mode
from evalkit.items.regions import fault


def cut_to_region(item: Item, facts: Facts = ImageFile.facts) -> Item:
    """With the image cut to the region's bounding box instead of the region; the words stay, and so do their numbers.

    Args:
        item: has an image, and a box or a mask.
        facts: tells the image's size, and the mask's.

    Raises:
        RegionError: the item has no image, the region has no extent, is not on the image, or is black all over.
        ImageError: the image or the mask cannot be read.
    """
    region, image = item.region, item.image
    if image is None:
        raise RegionError("there is no image to cut to the region: mend it or leave its row out", item)
    if image.upright or image.crop is not None:
        raise RegionError(
            f"image {image.path} is not as it is stored, but its region counts stored pixels: "
            "its suite has to set upright=False",
            item,
        )
    if not isinstance(region, Box | Mask):
        kind = "the region" if region is None else f"a region of {region_kind(region)}"
        raise RegionError(f"{kind} has no extent to cut its image to: use --prompting native, text or none", item)
    size = facts(image)
    if said := fault(region, size, facts(region.image) if isinstance(region, Mask) else None):
        raise RegionError(f"{said}; mend it or leave its row out", item)
    bounds = box_bounds(region, size.width, size.height) if isinstance(region, Box) else mask_bounds(region)
    if bounds is None:
        raise RegionError("the mask is black all over, so nothing is left: mend it or leave its row out", item)
    return replace(item, image=replace(image, crop=bounds, pixels=None), region=None)


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


CROP = Mode("crop", by="the image cut to them", given=cut_to_region)

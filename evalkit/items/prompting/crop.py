"""By the image cut to the region: what surrounds it is gone, and the words that name it stay.

Which pixels are kept is worked out here; they are cut when the image is decoded (:mod:`evalkit.items.images`).
"""

from __future__ import annotations

from dataclasses import replace

from evalkit.items.images import ImageFile
from evalkit.items.item import Item
from evalkit.items.prompting.mode import Facts, Mode
from evalkit.items.prompting.placed import bounds_of, placed, require_extent


def cut_to_region(item: Item, facts: Facts = ImageFile.facts) -> Item:
    """With the image cut to the region's bounding box instead of the region; the words stay, and so do their numbers.

    Args:
        item: has an image, and a box or a mask.
        facts: tells the image's size, and the mask's.

    Raises:
        RegionError: the item has no image, the region has no extent, is not on the image, or is black all over.
        ImageError: the image or the mask cannot be read.
    """
    require_extent(item, "cut its image to")
    image, size = placed(item, facts, "cut to the region")
    return replace(item, image=replace(image, crop=bounds_of(item, size), pixels=None), region=None)


CROP = Mode("crop", by="the image cut to them", given=cut_to_region)

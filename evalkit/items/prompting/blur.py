"""By an image that is sharp in the region alone: all else is blurred, and the words that name the region stay.

The blur is the one that ReCLIP isolates its boxes with (Subramanian et al., ACL 2022; ``allenai/reclip``): Gaussian,
with a standard deviation of 100 pixels of the stored image, whatever its size. A box is the whole pixels that it
covers, as ``crop`` has it; ReCLIP's ends one pixel further right and down. Of a mask all that it marks stays sharp, not
its bounding box. Points have no extent.
"""

from __future__ import annotations

from dataclasses import replace

from evalkit.items.drawing import Blur
from evalkit.items.images import ImageFile
from evalkit.items.item import Item, Mask
from evalkit.items.prompting.mode import Facts, Mode
from evalkit.items.prompting.placed import bounds_of, placed, require_extent

DEVIATION = 100
"""Standard deviation of the blur in pixels."""


def blurred_around(item: Item, facts: Facts = ImageFile.facts) -> Item:
    """With all blurred but the region instead of the region.

    Args:
        item: has an image, and a box or a mask.
        facts: tells the image's size, and the mask's.

    Raises:
        RegionError: the item has no image, the region has no extent, is not on the image, or is black all over.
        ImageError: the image or the mask cannot be read.
    """
    require_extent(item, "blur its image around")
    image, size = placed(item, facts, "blur around the region")
    part, region = bounds_of(item, size), item.region
    if isinstance(region, Mask):
        drawing = Blur(DEVIATION, mask=replace(region.image, digest=facts(region.image).digest, pixels=None))
    else:
        drawing = Blur(DEVIATION, part)
    return replace(item, image=replace(image, drawing=drawing, pixels=None), region=None)


BLUR = Mode("blur", by="the image blurred but for them", given=blurred_around)

"""Whether a region lies on its image: what is wrong would otherwise become a vector all the same."""

from __future__ import annotations

from evalkit.images import ImageFacts
from evalkit.items import Box, Mask, Point, Region


def fault(region: Region, image: ImageFacts, mask: ImageFacts | None = None) -> str | None:
    """What is wrong with a region, in words, or ``None``.

    A box has to hold a pixel and to reach the image; it may reach over the image's edge, as some of Visual
    Genome's do. Each point has to lie on the image: 0 <= x < width, 0 <= y < height. A mask has to be of the
    image's size. Whether it marks anything only its pixels tell: who decodes it looks at that.

    Args:
        region: in pixels of the stored image.
        image: facts of that image.
        mask: facts of the mask's image, where the region is a mask.

    Raises:
        ValueError: the region is a mask and its facts are not given.
    """
    size = f"{image.width} x {image.height} pixels"
    if isinstance(region, Box):
        box = f"box {list(region.corners)}"
        if region.x1 <= region.x0 or region.y1 <= region.y0:
            return f"{box} holds no pixel of its image ({size}): boxes are x0, y0, x1, y1, half open"
        if region.x1 <= 0 or region.y1 <= 0 or region.x0 >= image.width or region.y0 >= image.height:
            return f"{box} lies outside its image of {size}"
        return None
    if isinstance(region, Mask):
        if mask is None:
            raise ValueError(f"mask {region.image.path}: its size is not given")
        if (mask.width, mask.height) != (image.width, image.height):
            return f"mask {region.image.path} has {mask.width} x {mask.height} pixels, but its image has {size}"
        return None
    points = (region,) if isinstance(region, Point) else (*region.positive, *region.negative)
    for point in points:
        if not (0 <= point.x < image.width and 0 <= point.y < image.height):
            return f"point [{point.x}, {point.y}] lies outside its image of {size}"
    return None

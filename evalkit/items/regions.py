"""Whether a region lies on its image: what is wrong would otherwise become a vector all the same."""

from __future__ import annotations

import math
from collections.abc import Iterable

from evalkit.items.images import ImageFacts
from evalkit.items.item import Box, Mask, Point, Points, Region


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


def kept(region: Region, image: ImageFacts) -> Region:
    """What a region with a :func:`fault` is taken for where its row is to be scored all the same.

    A box without area that touches its image is the pixel (or the line of them) that it touches; one outside its
    image says nothing of where to look, and is the whole image. A point outside is the nearest pixel. A mask of
    another size is left as it is: nothing says which pixels it means.

    Args:
        region: in pixels of the stored image.
        image: facts of that image.
    """
    if isinstance(region, Box):
        across, down = _touched(region.x0, region.x1, image.width), _touched(region.y0, region.y1, image.height)
        if across is None or down is None:
            return Box(0, 0, image.width, image.height)
        return Box(across[0], down[0], across[1], down[1])
    if isinstance(region, Point):
        return Point(_on(region.x, image.width), _on(region.y, image.height))
    if isinstance(region, Points):
        return Points(
            tuple(Point(_on(point.x, image.width), _on(point.y, image.height)) for point in region.positive),
            tuple(Point(_on(point.x, image.width), _on(point.y, image.height)) for point in region.negative),
        )
    return region


def look_normalised(regions: Iterable[Region]) -> bool:
    """Whether all coordinates lie from 0 to 1, as those do that count fractions of an image in place of its pixels."""
    places = [place for region in regions for place in _coordinates(region)]
    return bool(places) and all(0 <= place <= 1 for place in places)


def _touched(start: float, end: float, size: int) -> tuple[float, float] | None:
    """The extent of a box along one side of its image: at least a pixel, or ``None`` where it is off the image."""
    if end > start:
        return (start, end) if end > 0 and start < size else None
    pixel = math.floor(start)
    return (pixel, pixel + 1) if 0 <= pixel < size else None


def _on(place: float, size: int) -> float:
    return place if 0 <= place < size else 0 if place < 0 else size - 1


def _coordinates(region: Region) -> tuple[float, ...]:
    if isinstance(region, Box):
        return region.corners
    if isinstance(region, Point):
        return (region.x, region.y)
    if isinstance(region, Points):
        return tuple(place for point in (*region.positive, *region.negative) for place in (point.x, point.y))
    return ()

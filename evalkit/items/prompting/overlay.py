"""By a red mark on the image: ``overlay`` draws a circle around the region, ``overlay_box`` a box.

The circle is that of "What does CLIP know about a red circle?" (Shtedritski, Rupprecht and Vedaldi, ICCV 2023). Its
authors' code is not published, so the drawing is declared here: red is (255, 0, 0); the ellipse touches the four sides
of the region's bounding box, cut off at the image's edge, on the stored image before any resize; the line is one
hundredth of the image's shorter side wide, rounded, and at least one pixel. A point has no extent: its circle has a
radius of six hundredths of the shorter side. The words stay.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

from evalkit.items.drawing import Marks, Shape, round_half_up
from evalkit.items.images import Crop, ImageFacts, ImageFile
from evalkit.items.item import Item, Point, Points
from evalkit.items.prompting.mode import Facts, Mode
from evalkit.items.prompting.placed import bounds_of, placed

LINE = 0.01
"""Width of a line as a share of the image's shorter side."""
RADIUS = 0.06
"""Of the circle around a point, as a share of the image's shorter side."""


def marked(shape: Shape) -> Callable[[Item, Facts], Item]:
    """A mode's way from an item with a region to one with a mark on its image.

    Args:
        shape: of the mark.

    Returns:
        A function of the item and of what tells the size of its images. Of a mask the bounding box is marked; of
        several points each that lies in the region, and those that do not lie in it are left out. It raises a
        RegionError where the item has no image, the region is not on it or a mask is black all over, and an
        ImageError where one cannot be read.
    """

    def given(item: Item, facts: Facts = ImageFile.facts) -> Item:
        image, size = placed(item, facts, "mark the region on")
        shorter = min(size.width, size.height)
        marks = Marks(shape, _parts(item, size), max(1, round_half_up(LINE * shorter)))
        return replace(item, image=replace(image, drawing=marks, pixels=None), region=None)

    return given


def _parts(item: Item, size: ImageFacts) -> tuple[Crop, ...]:
    region = item.region
    if not isinstance(region, Point | Points):
        return (bounds_of(item, size),)
    radius = max(1, round_half_up(RADIUS * min(size.width, size.height)))
    points = (region,) if isinstance(region, Point) else region.positive
    return tuple(_around(math.floor(point.x), math.floor(point.y), radius) for point in points)


def _around(x: int, y: int, radius: int) -> Crop:
    return (x - radius, y - radius, x + radius + 1, y + radius + 1)


OVERLAY = Mode("overlay", by="a red circle drawn around them", given=marked("circle"))
OVERLAY_BOX = Mode("overlay_box", by="a red box drawn around them", given=marked("box"))

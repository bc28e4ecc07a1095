"""What an embedder is given: an item, its region, its side.

Pixels count from the top left of the stored image, x to the right, y down.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, cast

from evalkit.errors import ItemError
from evalkit.items.images import ImageFile

Side = Literal["query", "candidate"]
IMAGE_MARK = "<image>"


@dataclass(frozen=True, slots=True)
class Box:
    """A box in pixels, half open: x0 <= x < x1, y0 <= y < y1. Integers stay integers.

    Pixels count from the top left of the stored image, x to the right, y down.

    Raises:
        ValueError: a corner that is not finite, or a box that ends before it begins.

    Example:
        >>> import evalkit
        >>> evalkit.Box(10, 20, 30, 60).corners
        (10, 20, 30, 60)
    """

    x0: float
    y0: float
    x1: float
    y1: float

    def __post_init__(self) -> None:
        if not all(math.isfinite(v) for v in self.corners):
            raise ValueError(f"box {list(self.corners)} has a corner that is not finite")
        if self.x1 < self.x0 or self.y1 < self.y0:
            raise ValueError(f"box {list(self.corners)} ends before it begins; boxes are x0, y0, x1, y1")

    @property
    def corners(self) -> tuple[float, float, float, float]:
        """x0, y0, x1, y1."""
        return (self.x0, self.y0, self.x1, self.y1)


@dataclass(frozen=True, slots=True)
class Point:
    """A point in pixels, from the top left of the stored image: x to the right, y down.

    Raises:
        ValueError: a coordinate that is not finite.

    Example:
        >>> import evalkit
        >>> evalkit.Point(3, 4.5).y
        4.5
    """

    x: float
    y: float

    def __post_init__(self) -> None:
        if not (math.isfinite(self.x) and math.isfinite(self.y)):
            raise ValueError(f"point [{self.x}, {self.y}] is not finite")


@dataclass(frozen=True, slots=True)
class Points:
    """Several points in pixels, such as clicks on an object: those that lie in the region, and those that do not.

    Raises:
        ValueError: no positive point, or what is no :class:`Point`.

    Example:
        >>> import evalkit
        >>> clicks = evalkit.Points((evalkit.Point(3, 4),), negative=(evalkit.Point(9, 9),))
        >>> len(clicks.positive), len(clicks.negative)
        (1, 1)
    """

    positive: tuple[Point, ...]
    negative: tuple[Point, ...] = ()

    def __post_init__(self) -> None:
        for key in ("positive", "negative"):
            points = tuple(getattr(self, key))
            object.__setattr__(self, key, points)  # lists are no part of what can be a key
            if wrong := [point for point in points if not isinstance(point, Point)]:
                raise ValueError(f"{key} has {wrong[0]!r:.80}, which is no Point")
        if not self.positive:
            raise ValueError("points need at least one positive point, one that lies in the region")


@dataclass(frozen=True, slots=True)
class Mask:
    """A mask as an image of the stored image's size; what is not black belongs to the region.

    Attributes:
        image: the mask; may be given as anything that :meth:`ImageFile.of` takes, such as an array of bool.

    Raises:
        ImageError: what is no image.

    Example:
        >>> import evalkit, numpy as np
        >>> marked = np.zeros((6, 8), dtype=bool)
        >>> marked[2:4, 3:5] = True
        >>> evalkit.Mask(marked).image.rgb().getbbox()
        (3, 2, 5, 4)
    """

    image: ImageFile

    def __post_init__(self) -> None:
        given: object = self.image
        if not isinstance(given, ImageFile):  # its pixels are those of the stored image
            object.__setattr__(self, "image", ImageFile.of(given, upright=False))


Region = Box | Point | Points | Mask


def region_kind(region: Region) -> str:
    """``box``, ``point``, ``points`` or ``mask``: what :attr:`EmbedderInfo.regions` calls the region."""
    return type(region).__name__.lower()


@dataclass(frozen=True, slots=True)
class Item:
    """One thing to embed.

    Attributes:
        prompt: the exact text that an instruction-following model gets; ``<image>`` marks the image. Where it is left
            out it is made of the others: the mark, the instruction and the text with a space between, and on a line of
            its own the sentence by which SCaR names a box.
        text: the content alone, without instruction and image mark (what CLIP reads).
        instruction: the instruction alone.
        image: the image, or none; may be given as anything that :meth:`ImageFile.of` takes, such as a PIL image or a
            path.
        region: the part of the image that is meant, or none.
        region_text: the run of characters in :attr:`prompt` that names the region, with the line break before
            it; blank where no words do. It is there to take them out again (:mod:`evalkit.items.prompting`), and no
            part of what an embedder reads.

    Raises:
        ImageError: an image that is none.
        ValueError: a ``region_text`` that the prompt does not have; a text or a region that is none.

    Example:
        >>> import evalkit, PIL.Image
        >>> photo = PIL.Image.new("RGB", (64, 48), "red")
        >>> item = evalkit.Item(text="What is this?", image=photo, region=evalkit.Box(0, 0, 10, 10))
        >>> print(item.prompt)
        <image> What is this?
        Referring object bbox: [0, 0, 10, 10]
    """

    prompt: str = cast(str, None)  # after __post_init__ a text
    text: str = ""
    instruction: str = ""
    image: ImageFile | None = None
    region: Region | None = None
    region_text: str = ""

    def __post_init__(self) -> None:
        image: object = self.image
        if image is not None and not isinstance(image, ImageFile):
            object.__setattr__(self, "image", ImageFile.of(image, upright=self.region is None))
        for key in ("text", "instruction"):
            if not isinstance(getattr(self, key), str):
                raise ValueError(f"{key} {getattr(self, key)!r:.80} of an item is no text")
        if self.region is not None and not isinstance(self.region, Region):
            raise ValueError(f"region {self.region!r:.80} of an item is no Box, Point, Points or Mask")
        prompt: object = self.prompt
        if prompt is None:
            self._make_prompt()
        if self.region_text not in self.prompt:
            raise ValueError(f"region_text {self.region_text!r} is no part of the prompt {self.prompt!r}")

    def _make_prompt(self) -> None:
        mark = IMAGE_MARK if self.image is not None else ""
        prompt = " ".join(filter(None, (mark, self.instruction, self.text)))
        if isinstance(self.region, Box) and not self.region_text:
            object.__setattr__(self, "region_text", f"\n{box_sentence(self.region)}")
            prompt += self.region_text
        object.__setattr__(self, "prompt", prompt)

    @property
    def modality(self) -> str:
        """``text``, ``image`` or ``image+text``: by the image and by :attr:`text`, not by the instruction."""
        if self.image is None:
            return "text"
        return "image+text" if self.text else "image"

    @property
    def images(self) -> tuple[ImageFile, ...]:
        """The image files that it is made of: its image, its mask."""
        mask = self.region.image if isinstance(self.region, Mask) else None
        return tuple(image for image in (self.image, mask) if image is not None)


def box_sentence(box: Box) -> str:
    """The sentence by which SCaR's queries name a box: its corners as Python prints a list."""
    return f"Referring object bbox: {list(box.corners)}"


def concerns(error: ItemError, item: Item) -> bool:
    """Whether an error is about this item, decoded or not, or about its image or mask."""
    return error.about == item or error.about in item.images

"""What is drawn on an image to say which region is meant: marks around it, or a blur of all else.

A drawing is numbers, worked out when an item is prompted (:mod:`evalkit.items.prompting`), and pixels only when the
image is decoded. It counts stored pixels, and it is part of what the image is (:meth:`ImageFile.identity`).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from evalkit.errors import ImageError
from evalkit.items.images import Crop, ImageFile

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from PIL.Image import Image

RED = (255, 0, 0)
Shape = Literal["circle", "box"]


@dataclass(frozen=True, slots=True)
class Marks:
    """Red lines around parts of an image.

    The middle of a line lies on the edge of its part, or on the ellipse that touches the part's four sides: half of
    the line's width is outside, the larger half of an odd one inside, but never more than a quarter of the part's
    shorter side, so that what is meant is still seen where it is small. A pixel is red, and not in part, where its
    centre lies between the two edges of the line.

    Attributes:
        shape: ``circle``, an ellipse, or ``box``.
        parts: left, top, right, bottom in pixels, half open; may reach over the image's edge.
        line: width of the line in pixels, at least 1.
    """

    shape: Shape
    parts: tuple[Crop, ...]
    line: int

    @property
    def said(self) -> str:
        """All that it depends on, as text."""
        return f"{self.shape} line {self.line} rgb {_numbers(RED)} at {', '.join(map(_numbers, self.parts))}"

    def on(self, image: Image, name: str) -> Image:
        """A copy of the image with the marks on it.

        Args:
            image: mode RGB.
            name: what to call the image in an error.
        """
        import numpy as np
        import PIL.Image

        pixels = np.array(image)
        for part in self.parts:
            self._mark(pixels, part)
        return PIL.Image.fromarray(pixels)

    def _mark(self, pixels: NDArray[np.uint8], part: Crop) -> None:
        height, width = pixels.shape[:2]
        left, top, right, bottom = part
        outside = self.line // 2
        inside = min(self.line - outside, min(right - left, bottom - top) // 4)
        inner = dict(self._spans((left + inside, top + inside, right - inside, bottom - inside)))
        for row, (start, end) in self._spans((left - outside, top - outside, right + outside, bottom + outside)):
            if not 0 <= row < height:
                continue
            hole_start, hole_end = inner.get(row, (end, end))
            for first, last in ((start, hole_start), (hole_end, end)):
                pixels[row, min(max(first, 0), width) : min(max(last, 0), width)] = RED

    def _spans(self, bounds: Crop) -> Iterator[tuple[int, tuple[int, int]]]:
        """The rows of a filled shape, each with the half-open run of its columns.

        The centre of a pixel never lies just on the ellipse of whole pixels, so rounding cannot move a pixel over it.
        """
        left, top, right, bottom = bounds
        width, height = right - left, bottom - top
        for row in range(height):
            empty = 0
            if self.shape == "circle":
                away = (2 * row + 1 - height) / height  # from the middle, in half heights
                empty = round_half_up(width * (1 - (1 - away * away) ** 0.5) / 2)
            if 2 * empty < width:
                yield top + row, (left + empty, right - empty)


@dataclass(frozen=True, slots=True)
class Blur:
    """A Gaussian blur of all that is not a part of the image, or not white in a mask.

    The blur is that of the whole image, its parts included, as Pillow makes it; then the part is put back sharp.

    Attributes:
        deviation: standard deviation of the blur, in pixels of the stored image.
        part: what stays: left, top, right, bottom in pixels, half open.
        mask: what stays, in place of a part: all that is not black, of the image's size, with its digest.
    """

    deviation: int
    part: Crop | None = None
    mask: ImageFile | None = None

    def __post_init__(self) -> None:
        if (self.part is None) == (self.mask is None):
            raise ValueError("a blur leaves a part or what a mask marks: give one of them")

    @property
    def said(self) -> str:
        """All that it depends on, as text."""
        stays = _numbers(self.part) if self.part is not None else f"mask {' '.join(map(str, self._mask.identity()))}"
        return f"blur {self.deviation} but {stays.strip()}"

    @property
    def _mask(self) -> ImageFile:
        assert self.mask is not None  # as __post_init__ has it
        return self.mask

    def on(self, image: Image, name: str) -> Image:
        """A blurred copy of the image with the part as it was.

        Args:
            image: mode RGB.
            name: what to call the image in an error.

        Raises:
            ImageError: the mask cannot be read, or is of another size.
        """
        import numpy as np
        import PIL.Image
        from PIL.ImageFilter import GaussianBlur

        blurred = image.filter(GaussianBlur(self.deviation))
        if self.part is not None:
            blurred.paste(image.crop(self.part), self.part)
            return blurred
        marks = self._mask.rgb()
        if marks.size != image.size:
            raise ImageError(
                f"mask {self._mask.path} has {marks.width} x {marks.height} pixels, but its image {name} has "
                f"{image.width} x {image.height}: mend it or leave its row out"
            )
        stays = np.asarray(marks).any(axis=2)  # as grey, dark blue would be black
        blurred.paste(image, mask=PIL.Image.fromarray(stays.astype(np.uint8) * 255))
        return blurred


def round_half_up(value: float) -> int:
    """The nearest whole number, the greater of two; ``round`` takes the even one."""
    return int(value + 0.5)


def _numbers(numbers: tuple[int, ...]) -> str:
    return " ".join(map(str, numbers))

"""An image as Qwen2-VL and its successors read it: resized to whole patches, normalised, and cut into them.

Most families' code resizes an image twice: first by itself, and then in the model's processor. How is what a
:class:`Sizing` says; the limits are the family's, whatever the checkpoint's own file names.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from evalkit.embedders.loading import said
from evalkit.errors import EmbedderError, ImageError, UsageError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from evalkit.items.images import ImageFile

TOKEN = 28 * 28
"""Pixels of a token of Qwen2-VL."""
MOST_ASPECT = 200  # of smart_resize, theirs and transformers'

First = Callable[[int, int], tuple[int, int] | None]
"""From an image's width and height to those that it is given before the processor; ``None`` leaves them."""


@dataclass(frozen=True)
class Limits:
    """How many pixels an image may have.

    Attributes:
        least: one that has fewer is enlarged.
        most: one that has more is made smaller.
    """

    least: int
    most: int


@dataclass(frozen=True)
class Sizing:
    """How large images are made.

    Attributes:
        limits: of the processor; its own file's where it is ``None``.
        first: what comes before it.
        crops: most tiles of an image, of a backbone that cuts images into tiles and has no grid for them.
    """

    limits: Limits | None = None
    first: First = lambda width, height: None
    crops: int | None = None


FETCHED = Limits(4 * TOKEN, 16384 * TOKEN)
"""The limits of ``fetch_image`` where none are given."""


def fetched(limits: Limits = FETCHED, factor: int = 28, narrow: Literal["refuse", "cut"] = "refuse") -> First:
    """The first resize of ``qwen_vl_utils`` (``fetch_image``): whole multiples of a factor, within limits.

    It differs from the processor's own in that no side is rounded to 0 before the limits are looked at.

    Args:
        limits: of pixels.
        factor: both sides become multiples of it.
        narrow: what becomes of an image of which, resized, a side is more than 200 times as long as the other (of one
            to be refused: before it is resized). Some families' copy of that code cuts the longer side down.

    Returns:
        A function that raises ValueError for an image that is refused.
    """

    def first(width: int, height: int) -> tuple[int, int]:
        if narrow == "refuse" and max(width, height) > MOST_ASPECT * min(width, height):
            raise ValueError(f"it is more than {MOST_ASPECT} times as long as wide")
        width, height = within(width, height, limits, factor)
        return min(width, height * MOST_ASPECT), min(height, width * MOST_ASPECT)

    return first


def within(width: int, height: int, limits: Limits, factor: int) -> tuple[int, int]:
    """Width and height as multiples of a factor, within limits, of about the same ratio.

    Args:
        width: in pixels.
        height: in pixels.
        limits: of pixels.
        factor: both sides become multiples of it, one time at least.
    """
    sides = [max(factor, round(side / factor) * factor) for side in (width, height)]
    area = sides[0] * sides[1]
    if area > limits.most:
        shrink = math.sqrt(width * height / limits.most)
        sides = [math.floor(side / shrink / factor) * factor for side in (width, height)]
    elif area < limits.least:
        grow = math.sqrt(limits.least / (width * height))
        sides = [math.ceil(side * grow / factor) * factor for side in (width, height)]
    return sides[0], sides[1]


@dataclass(frozen=True)
class PatchedImage:
    """One image, ready for the vision tower.

    Attributes:
        patches: float32, shape ``(rows * columns, channels * frames * side * side)``, in the tower's order.
        rows: patches from top to bottom.
        columns: patches from left to right.
        merge: patches that become a token, along each side.
        side: of a patch, in pixels.
    """

    patches: NDArray[np.float32]
    rows: int
    columns: int
    merge: int
    side: int

    @property
    def tokens(self) -> int:
        """Tokens that the language model reads of it."""
        return self.rows * self.columns // self.merge**2

    @property
    def pixels(self) -> NDArray[np.float32]:
        """The patches put together again, shape ``(3, rows * side, columns * side)``."""
        rows, columns, side, merge = self.rows, self.columns, self.side, self.merge
        # They run through squares of ``merge`` by ``merge`` patches.
        cut = self.patches.reshape(rows // merge, columns // merge, merge, merge, 3, -1, side, side)[..., 0, :, :]
        together: NDArray[np.float32] = cut.transpose(4, 0, 2, 5, 1, 3, 6).reshape(3, rows * side, columns * side)
        return together


class Patching:
    """Prepares images; threads may share one.

    Args:
        folder: of the checkpoint's ``preprocessor_config.json``, or ``processor_config.json``.
        sizing: how large images are made.
        way_out: what to do about a broken file.

    Raises:
        UsageError: the file is missing.
        EmbedderError: it does not describe Qwen2-VL's image processor.
    """

    def __init__(self, folder: Path, sizing: Sizing, way_out: str) -> None:
        from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import Qwen2VLImageProcessorPil

        file = folder / "preprocessor_config.json"
        if not file.is_file() and not (folder / "processor_config.json").is_file():
            raise UsageError(f"{file} is missing: {way_out}")
        limits, given = sizing.limits, {}
        if limits is not None:
            size = {"shortest_edge": limits.least, "longest_edge": limits.most}
            given = {"size": size, "min_pixels": None, "max_pixels": None}
        try:
            # Pillow's resize is what the released code uses; torchvision's differs and is not needed.
            self._processor: Any = Qwen2VLImageProcessorPil.from_pretrained(folder, local_files_only=True, **given)
            self._side, self._merge = int(self._processor.patch_size), int(self._processor.merge_size)
            self._limits = limits or Limits(self._processor.size.shortest_edge, self._processor.size.longest_edge)
        except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
            raise EmbedderError(f"{file} is no Qwen2-VL image processor ({said(error)}): {way_out}") from error
        self._sizing = sizing

    def prepare(self, image: ImageFile) -> PatchedImage:
        """Decode, resize and normalise one image.

        Raises:
            ImageError: it cannot be decoded, or is too narrow.
        """
        decoded = image.rgb()
        try:
            size = self._sizing.first(*decoded.size)
            if size is not None:
                decoded = decoded.resize(size)  # Pillow's default for RGB, bicubic, as released
            made = self._processor(images=[decoded], return_tensors="np")
        except ValueError as error:
            raise ImageError(
                f"image {image.path} of {decoded.width} x {decoded.height} pixels cannot be resized ({said(error)}): "
                "leave its row out",
                image,
            ) from error
        rows, columns = (int(count) for count in made["image_grid_thw"][0][1:])
        return PatchedImage(made["pixel_values"], rows, columns, self._merge, self._side)

    def tokens(self, width: int, height: int) -> int:
        """Tokens of an image of this stored size, for batching; 1 of one that cannot be resized."""
        from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import smart_resize

        limits, factor = self._limits, self._side * self._merge
        try:
            width, height = self._sizing.first(width, height) or (width, height)
            down, across = smart_resize(height, width, factor=factor, min_pixels=limits.least, max_pixels=limits.most)
        except ValueError:
            return 1
        return int(down) * int(across) // factor**2

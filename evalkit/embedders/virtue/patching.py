"""An image as Qwen2-VL reads it, and the same pixels as VIRTUE hands them to SAM 2.

As the released code has it (``processor.py``, ``Qwen2_VL_process_fn``; ``eval_collator.py``; and
``image_processing_qwen2_vl.py``): at ``high`` resolution the image is first squeezed into a square of 1344
pixels; one with a side under 28 pixels becomes 56 x 56, one more than 200 times as long as wide a square; then
Qwen2-VL's own resize, to multiples of 28 and between the limits below, whatever limits the checkpoint's file
names. SAM gets what comes out, normalised and all.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

from evalkit.embedders.loading import said
from evalkit.errors import EmbedderError, UsageError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from evalkit.items.images import ImageFile

Resolution = Literal["native", "high"]
RESOLUTIONS: tuple[Resolution, ...] = get_args(Resolution)
MIN_PIXELS, MAX_PIXELS = 56 * 56, 28 * 28 * 1280  # resize_min_pixels and resize_max_pixels of arguments.py
_SMALLEST, _ENLARGED, _HIGH = 28, (56, 56), (1344, 1344)
_MOST_ASPECT = 200  # of smart_resize, theirs and transformers'


@dataclass(frozen=True)
class PatchedImage:
    """One image, ready for the vision tower.

    Attributes:
        patches: float32, shape ``(rows * columns, channels * frames * side * side)``, in the tower's order.
        rows: patches from top to bottom.
        columns: patches from left to right.
        pixels: float32, shape ``(3, rows * side, columns * side)``: the patches put together again.
    """

    patches: NDArray[np.float32]
    rows: int
    columns: int
    pixels: NDArray[np.float32]


class Patching:
    """Prepares images; threads may share one.

    Args:
        folder: of the checkpoint's ``preprocessor_config.json``.
        resolution: ``native`` or ``high``.
        way_out: what to do about a broken file.

    Raises:
        UsageError: the file is missing.
        EmbedderError: it does not describe Qwen2-VL's image processor.
    """

    def __init__(self, folder: Path, resolution: Resolution, way_out: str) -> None:
        from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import Qwen2VLImageProcessorPil

        file = folder / "preprocessor_config.json"
        if not file.is_file():
            raise UsageError(f"{file} is missing: {way_out}")
        limits = {"shortest_edge": MIN_PIXELS, "longest_edge": MAX_PIXELS}
        try:
            # Pillow's resize is what the released code uses; torchvision's differs and is not needed.
            self._processor: Any = Qwen2VLImageProcessorPil.from_pretrained(
                folder, local_files_only=True, size=limits, min_pixels=None, max_pixels=None
            )
            self._side, self._merge = int(self._processor.patch_size), int(self._processor.merge_size)
        except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
            raise EmbedderError(f"{file} is no Qwen2-VL image processor ({said(error)}): {way_out}") from error
        self._resolution = resolution

    def prepare(self, image: ImageFile) -> PatchedImage:
        """Decode, resize and normalise one image.

        Raises:
            ImageError: it cannot be decoded.
        """
        decoded = image.rgb()
        size = self._before(*decoded.size)
        if size is not None:
            decoded = decoded.resize(size)  # Pillow's default for RGB, bicubic, as released
        made = self._processor(images=[decoded], return_tensors="np")
        rows, columns = (int(count) for count in made["image_grid_thw"][0][1:])
        return PatchedImage(made["pixel_values"], rows, columns, self._together(made["pixel_values"], rows, columns))

    def tokens(self, width: int, height: int) -> int:
        """Tokens of an image of this stored size, for batching."""
        width, height = self._before(width, height) or (width, height)
        down, across = self._resized(height, width)
        return down * across // (self._side * self._merge) ** 2

    def _before(self, width: int, height: int) -> tuple[int, int] | None:
        """The width and height that come before Qwen2-VL's own resize, if any do."""
        if self._resolution == "high":
            return _HIGH
        if min(width, height) < _SMALLEST:
            return _ENLARGED
        long = max(width, height)
        # transformers' own resize refuses these; the released one makes a square of the longer side.
        return self._resized(long, long) if long > _MOST_ASPECT * min(width, height) else None

    def _resized(self, height: int, width: int) -> tuple[int, int]:
        """Height and width after Qwen2-VL's own resize."""
        from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import smart_resize

        factor = self._side * self._merge
        down, across = smart_resize(height, width, factor=factor, min_pixels=MIN_PIXELS, max_pixels=MAX_PIXELS)
        return int(down), int(across)

    def _together(self, patches: NDArray[np.float32], rows: int, columns: int) -> NDArray[np.float32]:
        """Undo the cut into patches, which run through squares of ``merge`` by ``merge`` patches."""
        side, merge = self._side, self._merge
        cut = patches.reshape(rows // merge, columns // merge, merge, merge, 3, -1, side, side)[..., 0, :, :]
        together: NDArray[np.float32] = cut.transpose(4, 0, 2, 5, 1, 3, 6).reshape(3, rows * side, columns * side)
        return together

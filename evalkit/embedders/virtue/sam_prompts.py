"""Regions as prompts for SAM 2: points with labels in its square frame, and masks.

The released code (``src/model/model.py``, ``SAM2VLM.forward``) knows a box, one positive point, and the grid
where there is no region. Several points, negative ones and masks are SAM 2's own and go beyond it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, get_args

from evalkit.errors import ImageError
from evalkit.items import Box, Mask, Points, Region

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

Frame = Literal["raw_pixels", "sam"]
FRAMES: tuple[Frame, ...] = get_args(Frame)

# SAM's labels of points; the embedding of NO_POINT does not depend on its place.
NO_POINT, NEGATIVE, POSITIVE, BOX_START, BOX_END = -1, 0, 1, 2, 3
_FOREGROUND = 10.0  # a mask goes in as logits; SAM 2 turns a given mask into -10 and 10 (sam2_base.py)


@dataclass(frozen=True)
class SamPrompt:
    """What SAM's prompt encoder gets for one item.

    Attributes:
        points: x and y in pixels of SAM's square frame, before the shift to the pixel's centre.
        labels: one a point.
        mask: float32 logits, a quarter of the frame's side, or none.
    """

    points: tuple[tuple[float, float], ...]
    labels: tuple[int, ...]
    mask: NDArray[np.float32] | None = None


def grid(points_per_side: int, frame_size: int) -> SamPrompt:
    """The prompt without a region: positive points in the middle of equal squares.

    Args:
        points_per_side: at least 1; VIRTUE has 3.
        frame_size: side of SAM's frame in pixels.
    """
    places = [(step + 0.5) / points_per_side * frame_size for step in range(points_per_side)]
    points = tuple((x, y) for y in places for x in places)
    return SamPrompt(points, (POSITIVE,) * len(points))


def prompt_of(region: Region, size: tuple[int, int], frame: Frame, frame_size: int) -> SamPrompt:
    """A region as a prompt.

    Args:
        region: in pixels of the stored image.
        size: width and height of the stored image.
        frame: ``sam`` scales coordinates to SAM's square; ``raw_pixels`` hands them over as they are, as the
            released SCaR checkpoints were trained and scored (``eval_collator.py`` and ``model.py``, where the
            image's size is asked for after its resize). A mask covers the image in either.
        frame_size: side of SAM's frame in pixels.

    Raises:
        ImageError: a mask that cannot be read or marks nothing.
    """
    if isinstance(region, Mask):
        # SAM 2 itself puts one empty point beside a mask that comes without points (sam2_base.py).
        return SamPrompt(((0.0, 0.0),), (NO_POINT,), _logits(region, frame_size // 4))
    labels: tuple[int, ...] = (BOX_START, BOX_END)
    if isinstance(region, Box):
        corners: Sequence[tuple[float, float]] = [(region.x0, region.y0), (region.x1, region.y1)]
    else:
        points = region if isinstance(region, Points) else Points((region,))
        corners = [(point.x, point.y) for point in (*points.positive, *points.negative)]
        labels = (POSITIVE,) * len(points.positive) + (NEGATIVE,) * len(points.negative)
    across, down = (frame_size / size[0], frame_size / size[1]) if frame == "sam" else (1.0, 1.0)
    return SamPrompt(tuple((x * across, y * down) for x, y in corners), labels)


def _logits(region: Mask, side: int) -> NDArray[np.float32]:
    import numpy as np
    import PIL.Image

    marked = np.asarray(region.image.rgb()).any(axis=-1)
    if not marked.any():
        raise ImageError(
            f"mask {region.image.path} is black all over, so it marks nothing: mend it or leave its row out",
            region.image,
        )
    plain = PIL.Image.fromarray(marked.astype(np.float32))
    # Averages over what falls into a pixel, so that a thin part of the mask does not get lost.
    small = np.asarray(plain.resize((side, side), PIL.Image.Resampling.BILINEAR), dtype=np.float32)
    return (2 * small - 1) * np.float32(_FOREGROUND)

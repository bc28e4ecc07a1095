"""An image as Phi-3.5-V reads it: tiles of 336 pixels over the resized and padded image, and the whole of it.

As released (``image_processing_phi3_v.py`` of microsoft/Phi-3.5-vision-instruct, and of TIGER-AI-Lab/VLM2Vec v1): the
image is laid on its longer side, made as many tiles wide as the number of crops allows, padded with white above and
below to whole tiles, and normalised only then; the whole is a bicubic reduction of what came out.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from evalkit.errors import ImageError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from PIL.Image import Image

    from evalkit.items.images import ImageFile

TILE = 336
_MEAN, _STD = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)


@dataclass(frozen=True)
class CroppedImage:
    """One image, ready for the vision tower.

    Attributes:
        crops: float32, shape ``(1 + rows * columns, 3, 336, 336)``: the whole image, then its tiles row by row.
        rows: tiles from top to bottom.
        columns: tiles from left to right.
        per_side: tokens along a side of a tile.
    """

    crops: NDArray[np.float32]
    rows: int
    columns: int
    per_side: int

    @property
    def tokens(self) -> int:
        """Tokens that the language model reads of it."""
        return token_count(self.rows, self.columns, self.per_side)


def token_count(rows: int, columns: int, per_side: int) -> int:
    """Tokens of an image: of its tiles with a separator a line, one between, and of the whole likewise."""
    return (rows * columns + 1) * per_side**2 + 1 + (rows + 1) * per_side


class HdTransform:
    """Prepares images; threads may share one.

    Args:
        crops: most tiles of an image.
        per_side: tokens along a side of a tile.
    """

    def __init__(self, crops: int, per_side: int) -> None:
        self._crops, self._per_side = crops, per_side

    def prepare(self, image: ImageFile) -> CroppedImage:
        """Decode, resize, pad, normalise and cut one image.

        Raises:
            ImageError: it cannot be decoded, or is too narrow.
        """
        import numpy as np
        import torch

        decoded = image.rgb()
        padded = self._padded(decoded)
        if padded is None:
            raise ImageError(
                f"image {image.path} of {decoded.width} x {decoded.height} pixels is too narrow: nothing is left of "
                f"its short side with {self._crops} tiles of {TILE} pixels at most; leave its row out",
                image,
            )
        mean, std = (np.array(values, dtype=np.float32).reshape(3, 1, 1) for values in (_MEAN, _STD))
        pixels = (np.asarray(padded, dtype=np.float32).transpose(2, 0, 1) / 255 - mean) / std
        whole = torch.nn.functional.interpolate(torch.from_numpy(pixels)[None], size=(TILE, TILE), mode="bicubic")
        rows, columns = padded.height // TILE, padded.width // TILE
        tiles = pixels.reshape(3, rows, TILE, columns, TILE).transpose(1, 3, 0, 2, 4).reshape(-1, 3, TILE, TILE)
        return CroppedImage(np.concatenate([whole.numpy(), tiles]), rows, columns, self._per_side)

    def tokens(self, width: int, height: int) -> int:
        """Tokens of an image of this stored size, for batching."""
        across, down = self._resized(max(width, height), min(width, height))
        columns, rows = across // TILE, math.ceil(down / TILE)
        return token_count(*((columns, rows) if width < height else (rows, columns)), self._per_side)

    def _padded(self, picture: Image) -> Image | None:
        """Resized and padded with white; ``None`` where nothing is left of its short side."""
        import PIL.Image

        upright = picture.width < picture.height
        laid = picture.transpose(PIL.Image.Transpose.TRANSPOSE) if upright else picture
        width, height = self._resized(*laid.size)
        if not height:
            return None
        resized = laid.resize((width, height), PIL.Image.Resampling.BILINEAR)
        whole = math.ceil(height / TILE) * TILE
        padded = PIL.Image.new("RGB", (width, whole), "white")
        padded.paste(resized, (0, int((whole - height) / 2)))
        return padded.transpose(PIL.Image.Transpose.TRANSPOSE) if upright else padded

    def _resized(self, width: int, height: int) -> tuple[int, int]:
        """Width and height of an image that lies on its longer side."""
        ratio, scale = width / height, 1
        while scale * math.ceil(scale / ratio) <= self._crops:
            scale += 1
        across = (scale - 1) * TILE
        return across, int(across / ratio)

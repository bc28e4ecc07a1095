"""What MagicLens's image tower gets: pixels as its own evaluation makes them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from evalkit.embedders.openaiclip import normalised

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from PIL.Image import Image


def pixels(picture: Image, side: int) -> NDArray[np.float32]:
    """A picture as the image tower gets it (google-deepmind/magiclens, ``data_utils.py``, ``model.py``).

    All of it is squeezed into a square, whatever its proportions, by linear interpolation with antialiasing, and its
    brightest number becomes 1: a dark picture is brightened. The square crop that follows there takes nothing away.

    Args:
        picture: mode RGB.
        side: of the square.

    Returns:
        float32, shape ``(3, side, side)``, with CLIP's mean and standard deviation.
    """
    import PIL.Image

    brightest = max(high for _, high in picture.getextrema())  # type: ignore[misc] # RGB has one pair for each band
    bilinear = PIL.Image.Resampling.BILINEAR
    # Bands of floating-point numbers: as bytes Pillow would round, which jax.image.resize does not.
    bands = [np.asarray(band.convert("F").resize((side, side), bilinear)) for band in picture.split()]
    scaled: NDArray[np.float32] = np.stack(bands, axis=-1).astype(np.float32) / np.float32(brightest or 1)
    return normalised(scaled)

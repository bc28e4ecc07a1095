"""An embedder without weights: it sees eight colours, reads their names, and knows nothing else.

It is honest and it is no good: a red circle and a red square get the same vector, bit for bit. So on
``example/Shapes`` all four shapes of the right colour tie for the first place, Precision@1 is exactly
1/4, and the optimistic value beside it, which an ``argmax`` with the label first would report, is 1.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from typing import TYPE_CHECKING

from evalkit.embedders.base import OURS, EmbedderInfo
from evalkit.errors import DataError, EmbedderError
from evalkit.example.palette import PALETTE
from evalkit.items import Box, Item, Side

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_VECTORS = "83c38eea40ec4d1a7b56f03e9d702d3407b5c883c533b272eea86ef5477f303e"
"""Names the vectors that this module gives. Take another digest when they change, in whatever way: tests hold the
vectors of the example to it."""


class Colours:
    """Image: how many pixels have each colour of :data:`PALETTE`. Text: how often it names each.

    Vectors have nine dimensions: the eight colours, and one that is 1 where no colour was found. The
    counts of the image and of the text are brought to length 1 each, added, and brought to length 1
    again. The text is ``item.text``, or the prompt where that is empty. A box is cut out of the stored
    pixels before they are counted.

    A photograph has next to no pixel of exactly these values: this embedder is for the example only.
    """

    def __init__(self) -> None:
        self.info = EmbedderInfo(
            name="example-colours",
            dimension=len(PALETTE) + 1,
            regions=frozenset({"box"}),
            fingerprint=OURS + _VECTORS,
        )

    def encode(self, items: Sequence[Item], side: Side) -> NDArray[np.float32]:
        """Embed one batch.

        Args:
            items: any number of items, with or without image.
            side: makes no difference.

        Returns:
            float32, shape ``(len(items), 9)``, rows of length 1, no number below 0. Items that show or
            name one colour only give exactly 0 and 1, however often they do.

        Raises:
            ImageError: an image is missing or broken.
            DataError: a box holds no pixel of its image.
            EmbedderError: the region is a point or a mask.
        """
        import numpy as np

        vectors = np.zeros((len(items), self.info.dimension), dtype=np.float64)
        for vector, item in zip(vectors, items, strict=True):
            vector[:-1] = _unit(_named(item.text or item.prompt))
            if item.image is not None:
                vector[:-1] += _unit(_shown(item))
            if not vector.any():
                vector[-1] = 1
            vector[:] = _unit(vector)
        return vectors.astype(np.float32)


def _named(text: str) -> NDArray[np.float64]:
    """How often each colour is named as a word of its own, shape ``(8,)``."""
    import numpy as np

    words = re.findall(r"[a-z]+", text.lower())
    return np.array([words.count(name) for name in PALETTE], dtype=np.float64)


def _shown(item: Item) -> NDArray[np.float64]:
    """How many pixels of the image, or of its box, have each colour, shape ``(8,)``."""
    import numpy as np

    if item.image is None:
        raise ValueError("the item has no image")
    pixels = np.asarray(item.image.rgb(), dtype=np.int64)
    if isinstance(item.region, Box):
        # A pixel that the box covers in part belongs to it; below 0 a slice would count from the far end.
        x0, y0 = (max(0, math.floor(v)) for v in (item.region.x0, item.region.y0))
        x1, y1 = (max(0, math.ceil(v)) for v in (item.region.x1, item.region.y1))
        pixels = pixels[y0:y1, x0:x1]
        if pixels.size == 0:
            raise DataError(f"image {item.image.path}: box {list(item.region.corners)} holds no pixel of it")
    elif item.region is not None:
        kind = type(item.region).__name__.lower()
        raise EmbedderError(f"example-colours takes a box, not a {kind} (image {item.image.path})")
    values = pixels @ [1 << 16, 1 << 8, 1]
    codes = [(red << 16) + (green << 8) + blue for red, green, blue in PALETTE.values()]
    return np.array([np.count_nonzero(values == code) for code in codes], dtype=np.float64)


def _unit(vector: NDArray[np.float64]) -> NDArray[np.float64]:
    """The vector at length 1; zeros stay. Exact for a vector with one non-zero integer."""
    import numpy as np

    length = np.sqrt(vector @ vector)
    return vector / length if length else vector

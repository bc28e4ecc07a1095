"""Embedders that know nothing: what any number has to be compared with."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, ClassVar

from evalkit.embedders.base import OURS, EmbedderInfo
from evalkit.errors import UsageError
from evalkit.items import Item, Side
from evalkit.items.keys import content_digest

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


class Constant:
    """The same vector for everything. Scores chance; official scorers give it anything from 0 to 100 %."""

    info = EmbedderInfo(name="constant", dimension=8, fingerprint=f"{OURS}constant-1")
    computing: ClassVar[Mapping[str, str]] = {}

    def encode(self, items: Sequence[Item], side: Side) -> NDArray[np.float32]:
        """float32, shape (len(items), 8), all rows equal and of length 1."""
        import numpy as np

        return np.full((len(items), 8), 8**-0.5, dtype=np.float32)


class Random:
    """A vector drawn by the content of the item: equal items get equal vectors, on either side.

    Args:
        seed: other seeds give other vectors.
        dimension: of the vectors.

    Raises:
        UsageError: an option that is no number, or no dimension.
    """

    computing: ClassVar[Mapping[str, str]] = {}

    def __init__(self, seed: int | str = 0, dimension: int | str = 64) -> None:
        self._seed, dimension = _whole("seed", seed), _whole("dimension", dimension)
        if dimension < 1:
            raise UsageError(f"random: dimension={dimension} is less than 1")
        options = {"seed": str(self._seed), "dimension": str(dimension)}
        self.info = EmbedderInfo(
            name="random",
            dimension=dimension,
            fingerprint=f"{OURS}random-1-{self._seed}-{dimension}",
            options=options,
        )

    def encode(self, items: Sequence[Item], side: Side) -> NDArray[np.float32]:
        """float32, shape (len(items), dimension), rows of length 1."""
        import numpy as np

        rows = []
        for item in items:
            seed = f"{self._seed}\0{content_digest(item)}".encode()
            # SHAKE rather than a numpy generator, whose streams may change from version to version.
            drawn = np.frombuffer(hashlib.shake_256(seed).digest(2 * self.info.dimension), dtype="<u2")
            rows.append(drawn.astype(np.float64) - 32767.5)
        vectors = np.stack(rows)
        unit: NDArray[np.float32] = (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)
        return unit


def _whole(name: str, value: int | str) -> int:
    try:
        return int(value)
    except ValueError:
        raise UsageError(f"random: {name}={value} is no whole number") from None

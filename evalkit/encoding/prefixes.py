"""Vectors cut to their first components, as a Matryoshka model is scored at a smaller dimension."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from evalkit.encoding.contract import describe
from evalkit.errors import EmbedderError, UsageError
from evalkit.items import Item, Side

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from evalkit.embedders.registry import LoadedEmbedder


def cut(vectors: NDArray[np.float32], dimension: int, items: Sequence[Item], side: Side) -> NDArray[np.float32]:
    """The first components of vectors, made of length 1 again (Kusupati et al. 2022, arXiv:2205.13147).

    Args:
        vectors: float32, shape (n, d), rows of length 1.
        dimension: how many are kept, from 1 to d; of all d the vectors are what they were, bit for bit.
        items: n items, whose vectors they are.
        side: of them.

    Returns:
        float32, shape (n, dimension), rows of length 1; lengths are worked out in float64.

    Raises:
        EmbedderError: components that are all 0 and have no direction; names the first item with such.
    """
    import numpy as np

    if dimension == vectors.shape[1]:
        return vectors
    kept = vectors[:, :dimension]
    lengths = np.sqrt(np.einsum("ij,ij->i", kept, kept, dtype=np.float64))
    zero = np.flatnonzero(lengths == 0)
    if zero.size:
        raise EmbedderError(
            f"the first {dimension} of {vectors.shape[1]} components are 0 for {side} item "
            f"{describe(items[int(zero[0])])}, so that nothing of it is left: score the model at a larger dimension"
        )
    made: NDArray[np.float32] = np.empty(kept.shape, dtype=np.float32)
    np.divide(kept, lengths[:, np.newaxis], out=made, casting="same_kind")
    return made


def only_dimension(loaded: LoadedEmbedder, instead: str) -> int:
    """The one dimension that vectors are wanted at.

    Args:
        loaded: the embedder, with what its MODEL asks for.
        instead: what is to be done where several are wanted, for the error.

    Raises:
        UsageError: its MODEL asks for several.
    """
    if len(loaded.dimensions) > 1:
        several = ", ".join(map(str, loaded.dimensions))
        raise UsageError(f"{loaded.info.name} is to be scored at {several} dimensions, and here it is one: {instead}")
    return loaded.dimensions[0] if loaded.dimensions else loaded.info.dimension


def require_whole(loaded: LoadedEmbedder) -> None:
    """Refuse dimensions where it is whole vectors that are looked at.

    Raises:
        UsageError: its MODEL asks for dimensions.
    """
    if loaded.dimensions:
        raise UsageError(f"{loaded.info.name} is checked by its whole vectors: leave ?dimensions= out")

"""What an embedder has to give back: looked at when it comes, and again when it is read from the store."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from evalkit.embedders.base import LENGTH_TOLERANCE
from evalkit.embedders.registry import LoadedEmbedder
from evalkit.errors import EmbedderError, StaleVectorsError
from evalkit.items import Item, Side

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_ROUNDED = 2 * LENGTH_TOLERANCE  # with what rounding to float16 may add


def checked(raw: Any, items: Sequence[Item], side: Side, loaded: LoadedEmbedder) -> NDArray[np.float32]:
    """What an embedder returned, as float32, or an error that names the first item it got wrong.

    Args:
        raw: should be a numpy array of shape (len(items), dimension), of float32 (or float16 or float64),
            finite, rows of length 1.
    """
    import numpy as np

    name, dimension = loaded.info.name, loaded.info.dimension
    if not is_array(raw) or raw.dtype.kind != "f":
        kind = f"an array of {raw.dtype}" if is_array(raw) else f"a {type(raw).__name__}"
        raise EmbedderError(
            f"{name} returned {kind}, not a numpy array of float32 (of a tensor: tensor.float().cpu().numpy()), "
            f"for {len(items)} {side} items, the first {describe(items[0])}"
        )
    with np.errstate(over="ignore"):
        vectors: NDArray[np.float32] = raw.astype(np.float32, copy=False)
    if vectors.shape != (len(items), dimension):
        raise EmbedderError(
            f"{name} returned shape {vectors.shape} for {len(items)} {side} items of dimension {dimension}; "
            f"the first is {describe(items[0])}"
        )
    wrong = np.flatnonzero(~np.isfinite(vectors).all(axis=1))
    if wrong.size:
        raise EmbedderError(f"{name} returned a vector that is not finite for {side} item {describe(items[wrong[0]])}")
    lengths = np.sqrt((vectors.astype(np.float64) ** 2).sum(axis=1))
    wrong = np.flatnonzero(np.abs(lengths - 1) > LENGTH_TOLERANCE)
    if wrong.size:
        length = lengths[wrong[0]]
        way = "a zero vector" if length == 0 else f"a vector of length {length:.6g} (divide by its length, in float32)"
        raise EmbedderError(f"{name} returned {way} for {side} item {describe(items[wrong[0]])}")
    return vectors


def is_array(raw: Any) -> bool:
    """Whether it is a numpy array as such: a matrix stays one when it is indexed, a masked array hides rows."""
    import numpy as np

    return type(raw) in (np.ndarray, np.memmap)


def faults(vectors: NDArray[np.float32]) -> NDArray[np.bool_]:
    """Which of the rows are not finite or, rounding apart, not of length 1; shape (n,)."""
    import numpy as np

    with np.errstate(over="ignore", invalid="ignore"):
        squares = np.einsum("ij,ij->i", vectors, vectors)
    # Written so that what is not a number is a fault. A length within t of 1 has a square within 2 t + t^2 of it.
    return np.asarray(~(np.abs(squares - 1) <= 2 * _ROUNDED + _ROUNDED**2))


def of_another_length(place: Path | None, dimension: int) -> StaleVectorsError:
    """What to say of kept vectors that have another length than those of the model.

    Args:
        place: of the store, if it has one.
        dimension: of the model.
    """
    return StaleVectorsError(
        f"vectors in {place or 'the store'} have another length than the {dimension} of now, so they are not what was "
        "written by this model: what made them has changed, and its fingerprint has not. Give it another fingerprint; "
        "--rebuild-store makes its vectors anew"
    )


def describe(item: Item) -> str:
    """An item in a few words, for an error."""
    prompt = item.prompt if len(item.prompt) <= 80 else item.prompt[:77] + "..."
    image = f" with image {item.image.path}" if item.image is not None else ""
    return f"{prompt!r}{image}"

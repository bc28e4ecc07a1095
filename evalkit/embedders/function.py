"""A plain function as an embedder: texts and images in, an array out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from evalkit.embedders.base import EmbedderInfo
from evalkit.errors import EmbedderError, EvalkitError
from evalkit.items import IMAGE_MARK, Item, Side

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from PIL.Image import Image

    Function = Callable[[list[str], list[Image | None]], Any]


class FunctionEmbedder:
    """A function ``encode(texts, images)`` that gets two lists of one length and returns an array (n, d).

    A text is what a model that follows instructions gets (:attr:`evalkit.items.Item.prompt`), without the mark of the
    image; of an item of your own that is its text. An image is of PIL, mode RGB, 8 bits, or ``None``; of a batch all
    have one or none has. The array may be of numpy or torch; its rows are made of length 1.

    Args:
        function: the function.
        name: how the model is called.
        first: items that it is called with at once, to see how long its vectors are.

    Raises:
        EmbedderError: the function raises, or returns something else than an array (n, d).
    """

    def __init__(self, function: Function, name: str, first: Sequence[Item]) -> None:
        self._function = function
        self._name = name
        try:
            found = self._called(first)
        except EvalkitError:
            raise
        except (Exception, SystemExit) as error:
            said = f"{text_of(first[0])[:80]!r}{' with an image' if first[0].image is not None else ''}"
            raise EmbedderError(
                f"function {name} raised {type(error).__name__}: {error} (it got {len(first)} items, the first of them "
                f"{said})"
            ) from error
        self.info = EmbedderInfo(name=name, dimension=int(found.shape[1]))

    def encode(self, items: Sequence[Item], side: Side) -> NDArray[np.float32]:
        """float32, shape ``(len(items), info.dimension)``, rows of length 1; a row of zeros stays one.

        What the function raises goes to the caller as it is, who may try a smaller batch where memory ran out.

        Raises:
            EmbedderError: it returns something else than an array (n, d), or rows of another length than before.
        """
        found = self._called(items)
        if found.shape[1] != self.info.dimension:
            raise EmbedderError(
                f"function {self._name} returned vectors of length {found.shape[1]}, and of length "
                f"{self.info.dimension} before: all of its vectors have one length"
            )
        return unit_rows(found)

    def _called(self, items: Sequence[Item]) -> NDArray[np.floating]:
        returned = self._function([text_of(item) for item in items], _images_of(items))
        return array_of(returned, len(items), f"function {self._name}")


def _images_of(items: Sequence[Item]) -> list[Image | None]:
    """Each item's own: who writes to one writes to no other's, though items of one image come with the same pixels."""
    images: list[Image | None] = []
    seen: set[int] = set()
    for item in items:
        image = None if item.image is None else item.image.rgb()
        images.append(image.copy() if image is not None and id(image) in seen else image)
        seen.add(id(image))
    return images


def text_of(item: Item) -> str:
    """What a model that follows instructions is told, without the mark of the image and the blanks around it."""
    before, mark, after = item.prompt.partition(IMAGE_MARK)
    return (before + after).strip() if mark else item.prompt


def array_of(returned: Any, count: int, who: str) -> NDArray[np.floating]:
    """What somebody's code returned as vectors, floating-point, shape ``(count, d)``.

    Args:
        returned: an array of numpy or torch, or a list of rows: arrays, or lists of numbers.
        count: of items.
        who: returned it, for the error.

    Raises:
        EmbedderError: it is no such array.
    """
    import numpy as np

    try:
        listed = isinstance(returned, list | tuple)
        found = np.asarray([_off_torch(row) for row in returned] if listed else _off_torch(returned))
    except (RuntimeError, TypeError, ValueError) as error:
        raise EmbedderError(f"{who} returned {type(returned).__name__}, which is no array: {error}") from error
    if found.ndim != 2 or found.shape[0] != count or found.shape[1] < 1:
        raise EmbedderError(
            f"{who} returned shape {found.shape} for {count} items: an array of shape ({count}, dimension) is wanted, "
            "a row for each item in their order"
        )
    if found.dtype.kind not in "fiu":
        raise EmbedderError(f"{who} returned an array of {found.dtype}: numbers are wanted")
    return found.astype(np.float64)


def _off_torch(returned: Any) -> Any:
    """What numpy reads: a tensor without its graph, from whatever device, in whatever precision."""
    if not hasattr(returned, "detach"):
        return returned
    found = returned.detach().cpu()
    return found.float() if found.is_floating_point() else found


def unit_rows(vectors: NDArray[np.floating]) -> NDArray[np.float32]:
    """The rows at length 1, float32; one of zeros, or that is not finite, stays what it is."""
    import numpy as np

    with np.errstate(over="ignore", invalid="ignore"):
        lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
        divisor = np.where(np.isfinite(lengths) & (lengths > 0), lengths, 1)
        return (vectors / divisor).astype(np.float32)

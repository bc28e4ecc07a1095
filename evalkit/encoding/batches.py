"""Items to batches: ordered by cost, filled up to a budget, the same for the same items."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from evalkit.embedders.base import Costed, Embedder, default_cost
from evalkit.errors import EmbedderError, EvalkitError
from evalkit.images import ImageFacts
from evalkit.items import Item

BATCH_TOKENS = 16_384
BATCH_PIXELS = 64_000_000  # decoded images of one batch: 192 MB as 24-bit RGB
_BATCH_ITEMS = 512  # what costs next to nothing still has to be interruptible


@dataclass(frozen=True)
class Entry:
    """An item on its way to the embedder.

    Attributes:
        key: of its vector.
        item: the item.
        image: its image's facts, where it has one.
        cost: in tokens, as the embedder estimates it.
    """

    key: bytes
    item: Item
    image: ImageFacts | None
    cost: int


def estimator(embedder: Embedder) -> Callable[[Item, ImageFacts | None], int]:
    """Tokens of an item by its embedder's own estimate, or by the default; at least 1.

    The function raises EmbedderError where the embedder fails to say a number.
    """
    if not isinstance(embedder, Costed):
        return default_cost

    def estimate(item: Item, image: ImageFacts | None) -> int:
        try:
            return max(1, int(embedder.cost(item, image)))
        except EvalkitError:
            raise
        except (Exception, SystemExit) as error:
            raise EmbedderError(
                f"{embedder.info.name} cannot say what an item costs ({item.prompt!r}): {type(error).__name__}: {error}"
            ) from error

    return estimate


def plan(entries: Sequence[Entry], batch_tokens: int, batch_pixels: int = BATCH_PIXELS) -> list[list[Entry]]:
    """Cut entries into batches.

    Items without an image come before those with one and never share a batch with them; the dearest come
    first, so that a batch that does not fit into memory shows at once and the padding of a batch is
    small. The order of equal costs follows the key, so that the plan depends on what is to be embedded
    and on nothing else.

    Args:
        entries: distinct by key.
        batch_tokens: a batch's dearest cost times its size stays at or below it, unless it is one item.
        batch_pixels: so does the sum of its images' pixels.
    """
    batches: list[list[Entry]] = []
    dearest = pixels = 0
    for entry in sorted(entries, key=lambda e: (e.image is not None, -e.cost, e.key)):
        size = entry.image.width * entry.image.height if entry.image else 0
        fits = (
            batches
            and (batches[-1][0].image is None) == (entry.image is None)
            and dearest * (len(batches[-1]) + 1) <= batch_tokens
            and pixels + size <= batch_pixels
            and len(batches[-1]) < _BATCH_ITEMS
        )
        if fits:
            batches[-1].append(entry)
            pixels += size
        else:
            batches.append([entry])
            dearest, pixels = entry.cost, size
    return batches

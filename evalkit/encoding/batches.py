"""Items to batches: ordered by cost, those of an image together, filled to a budget, the same for the same items."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from evalkit.embedders.base import Costed, Embedder, default_cost
from evalkit.errors import EmbedderError, EvalkitError
from evalkit.items import Item
from evalkit.items.images import Identity, ImageFacts

BATCH_TOKENS = 16_384
BATCH_PIXELS = 64_000_000  # decoded images of one batch: 192 MB as 24-bit RGB
_BATCH_ITEMS = 512  # what costs next to nothing still has to be interruptible
PADDING = 0.04
"""Share of a batch's padded cost that no item has, from which on the batch ends."""
_SMALL = 16  # parts of a budget: a batch with images that is smaller does not end for its padding
_FEW_TOKENS = 256  # nor does a batch of texts that has no more: a call costs more than what it pads

_NO_PICTURE: Identity = ("", False, (), "")


@dataclass(frozen=True)
class Pending:
    """An item on its way to the embedder.

    Attributes:
        key: of its vector.
        item: the item; its image's digest is known.
        image: its image's facts, where it has one.
        cost: in tokens, as the embedder estimates it.
        image_cost: of the dearest item of its image, the same for all items of the image; 0 where it has none.
    """

    key: bytes
    item: Item
    image: ImageFacts | None
    cost: int
    image_cost: int = 0

    @property
    def picture(self) -> Identity:
        """Which pixels its image has; all texts have the same."""
        return _NO_PICTURE if self.item.image is None else self.item.image.identity()


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


def plan(entries: Sequence[Pending], batch_tokens: int, batch_pixels: int = BATCH_PIXELS) -> list[list[Pending]]:
    """Cut entries into batches.

    Items without an image come before those with one and never share a batch with them; the dearest come
    first, so that a batch that does not fit into memory shows at once and the padding of a batch is
    small. Items of one image stand together, so that it is decoded once, and an embedder may look at it once;
    so images are ordered by their dearest items, and then the items of each. What is still equal follows
    digest and key, so that the plan depends on what is to be embedded and on nothing else.

    A batch ends where more than :data:`PADDING` of its cost would be padding, as far as costs tell it. Texts follow
    their costs, so that there are few such ends however long they are: about as many as lengths differ by a tenth. The
    items of an image may differ by more. A batch goes on while it is small.

    The place of an entry depends on that entry alone, and a batch on what comes after its beginning: the
    batches after any one are the plan of their entries.

    Args:
        entries: distinct by key.
        batch_tokens: a batch's dearest cost times its size stays at or below it, unless it is one item.
        batch_pixels: so does the sum of its images' pixels, each image counted once.
    """
    batches: list[list[Pending]] = []
    dearest = total = pixels = 0
    for entry in sorted(entries, key=_place):
        batch = batches[-1] if batches else []
        size = entry.image.width * entry.image.height if entry.image else 0
        more = 0 if batch and batch[-1].picture == entry.picture else size
        padded = max(dearest, entry.cost) * (len(batch) + 1)
        small = batch_tokens // _SMALL
        small = min(_FEW_TOKENS, small) if entry.image is None else small
        fits = (
            batch
            and (batch[0].image is None) == (entry.image is None)
            and padded <= batch_tokens
            and (not more or pixels + more <= batch_pixels)
            and len(batch) < _BATCH_ITEMS
            and (padded <= small or padded - total - entry.cost <= PADDING * padded)
        )
        if fits:
            batch.append(entry)
            dearest, total, pixels = max(dearest, entry.cost), total + entry.cost, pixels + more
        else:
            batches.append([entry])
            dearest, total, pixels = entry.cost, entry.cost, size
    return batches


def _place(entry: Pending) -> tuple[bool, int, Identity, int, bytes]:
    return (entry.image is not None, -entry.image_cost, entry.picture, -entry.cost, entry.key)

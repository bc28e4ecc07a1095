"""The protocol that an embedder keeps, and what evalkit assumes where it says nothing.

A class with ``info`` and ``encode`` is an embedder; nothing has to be inherited.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol, runtime_checkable

from evalkit.items import Item, Side

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from evalkit.items.images import ImageFacts

OURS = "evalkit "
"""What the fingerprints of evalkit's own embedders begin with; somebody else's class that gives one has borrowed it."""
LENGTH_TOLERANCE = 1e-3
"""By how much a vector's length may differ from 1."""
BATCH_TOLERANCE = 1e-3
"""Greatest 1 - cosine between two vectors of one item, made in other batches or at other times; bfloat16 models stay
some times below it."""


@dataclass(frozen=True)
class EmbedderInfo:
    """What an embedder says of itself.

    Attributes:
        name: how the model is called in results, ``[A-Za-z0-9._-]+`` once spaces and slashes are replaced.
        dimension: length of its vectors.
        revision: the checkpoint's revision (full git hash, or a digest of its files), where there is one.
        modalities: what it can embed, of ``text``, ``image``, ``image+text``.
        regions: which regions it takes as an input of its own, of ``box``, ``point``, ``points``, ``mask``.
            Those it gets lie on their image (:mod:`evalkit.items.regions`); whether a mask marks anything is its own
            to see, and to raise :class:`evalkit.errors.RegionError` for.
        fingerprint: digest of all that its vectors depend on (weights, revision, options, code version).
            Vectors are kept under it: two embedders that may differ must not share one. Empty means
            that evalkit digests the class's sources and its options instead (:mod:`evalkit.embedders.sources`).
        options: options that change its vectors, as text; recorded in results.
        dimensions: the lengths that its vectors may be cut to, the whole ``dimension`` included, where it was trained
            for that (Matryoshka): what ``?dimensions=all`` scores it at. ``encode`` gives whole vectors in any case.
    """

    name: str
    dimension: int
    revision: str | None = None
    modalities: frozenset[str] = frozenset({"text", "image", "image+text"})
    regions: frozenset[str] = frozenset()
    fingerprint: str = ""
    options: dict[str, str] = field(default_factory=dict)
    dimensions: tuple[int, ...] = ()


class Embedder(Protocol):
    """Turns items into vectors."""

    @property
    def info(self) -> EmbedderInfo:
        """Name, revision, dimension, modalities, native regions, fingerprint."""
        ...

    def encode(self, items: Sequence[Item], side: Side) -> NDArray[np.float32]:
        """Embed one batch.

        Args:
            items: the batch; never empty. Either all items have an image or none has.
            side: whether they are queries or candidates.

        Returns:
            float32, shape ``(len(items), info.dimension)``, rows of Euclidean length 1, in order.
        """
        ...


@runtime_checkable
class Costed(Protocol):
    """An embedder that knows what an item costs, for batching under ``--batch-tokens``."""

    def cost(self, item: Item, image: ImageFacts | None) -> int:
        """Estimated tokens (or anything proportional to time and memory), at least 1."""
        ...


@runtime_checkable
class CountsImages(Protocol):
    """An embedder that may use what it made of an image for several items, and counts how often it made it.

    Items of one image come one after the other, in the same call or in calls that follow each other. They share
    ``item.image.identity()``: digest of the file, orientation, how it is cut, and what is drawn on it.
    """

    @property
    def images_encoded(self) -> int:
        """Images that its image encoders ran on since it was made; never goes down."""
        ...


@runtime_checkable
class Computing(Protocol):
    """An embedder that says how it computes, for the record that is kept with its vectors.

    Of any other that imports torch the record has torch's state (:func:`evalkit.device.torch_facts`).
    """

    @property
    def computing(self) -> Mapping[str, str]:
        """What may move its vectors and is no part of its fingerprint, by name; asked after ``encode``."""
        ...


def default_cost(item: Item, image: ImageFacts | None) -> int:
    """Tokens of an item where its embedder does not say: 4 characters or 28 x 28 pixels a token.

    Images count at most 1280 tokens, the limit that the official MMEB configuration sets.
    """
    text = len(item.prompt) // 4 + 1
    if image is None:
        return text
    return text + min(1280, image.width * image.height // (28 * 28) + 1)

"""Embedders with one fault each, made of one that has none."""

from __future__ import annotations

import dataclasses
import functools
import hashlib
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from evalkit.embedders.base import EmbedderInfo
from evalkit.items import Item, Side
from evalkit.items.keys import content_digest

DIMENSION = 32


@functools.lru_cache(maxsize=10_000)
def drawn(*parts: object) -> np.ndarray:
    """A unit vector drawn by some parts, shape (DIMENSION,)."""
    seed = int.from_bytes(hashlib.sha256(repr(parts).encode()).digest()[:8], "big")
    vector = np.random.default_rng(seed).normal(size=DIMENSION)
    vector /= np.linalg.norm(vector)
    vector.flags.writeable = False
    return vector


def unit(vectors: np.ndarray) -> np.ndarray:
    """Rows of length 1, float32."""
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


class Honest:
    """The sum of what an item's text, instruction, pixels and region say; alike on both sides."""

    def __init__(self, **said: Any) -> None:
        self.info = dataclasses.replace(
            EmbedderInfo("planted", DIMENSION, regions=frozenset({"box", "point", "points", "mask"})), **said
        )
        self.calls = 0
        self.kept: dict[Any, Any] = {}

    def encode(self, items: Sequence[Item], side: Side) -> Any:
        """float32, shape (len(items), DIMENSION), rows of length 1."""
        self.calls += 1
        assert len({item.image is None for item in items}) == 1, "a batch mixes items with and without image"
        return self.vectors(items, side)

    def vectors(self, items: Sequence[Item], side: Side) -> Any:
        """What a fault changes."""
        return unit(np.stack([self.one(item) for item in items]))

    def one(self, item: Item) -> np.ndarray:
        """Not of length 1, shape (DIMENSION,)."""
        return self.said(item) + self.shown(item)

    def said(self, item: Item) -> np.ndarray:
        """Of text and instruction."""
        return drawn("text", item.text) + (0.5 * drawn("instruction", item.instruction) if item.instruction else 0)

    def shown(self, item: Item) -> np.ndarray:
        """Of image and region."""
        if item.image is None:
            return np.zeros(DIMENSION)
        pixels = item.image.rgb()
        shown = drawn("image", pixels.size, pixels.tobytes())
        if item.region is not None:
            shown = shown + drawn("region", content_digest(Item("", image=item.image, region=item.region)))
        return shown


Change = Callable[[Honest, Sequence[Item], Side], Any]


class Planted(Honest):
    """One thing of an honest embedder changed."""

    def __init__(self, change: Change, **said: Any) -> None:
        super().__init__(**said)
        self.change = change

    def vectors(self, items: Sequence[Item], side: Side) -> Any:
        """What the change makes."""
        return self.change(self, items, side)


def right(self: Honest, items: Sequence[Item], side: Side) -> Any:
    """An honest embedder's own vectors."""
    return Honest.vectors(self, items, side)


def on(side_of_fault: Side, change: Change) -> Change:
    """A fault of one side alone."""
    return lambda self, items, side: (change if side == side_of_fault else right)(self, items, side)


def beyond(size: int, change: Change) -> Change:
    """A fault of batches that are larger than some size."""
    return lambda self, items, side: (change if len(items) > size else right)(self, items, side)


def of_items(see: Callable[[Item], Item]) -> Change:
    """Items that are seen as other ones."""
    return lambda self, items, side: right(self, [see(item) for item in items], side)


def backwards(self: Honest, items: Sequence[Item], side: Side) -> Any:
    """The wrong order."""
    return right(self, items, side)[::-1]


def by_length(self: Honest, items: Sequence[Item], side: Side) -> Any:
    """Sorted by length for the sake of padding, and left so."""
    return right(self, sorted(items, key=lambda item: len(item.prompt)), side)


def last_two(self: Honest, items: Sequence[Item], side: Side) -> Any:
    """The last two exchanged."""
    vectors = right(self, items, side)
    vectors[[-1, -2]] = vectors[[-2, -1]]
    return vectors


def mean(weight: float) -> Change:
    """Every vector with some of its batch's mean."""

    def change(self: Honest, items: Sequence[Item], side: Side) -> Any:
        vectors = right(self, items, side)
        return unit(vectors + weight * vectors.mean(axis=0))

    return change


def normalised(self: Honest, items: Sequence[Item], side: Side) -> Any:
    """A batch norm that was left in training."""
    if len(items) == 1:
        return right(self, items, side)
    vectors = right(self, items, side)
    return unit((vectors - vectors.mean(axis=0)) / (vectors.std(axis=0) + 0.1))


def chunks(size: int) -> Change:
    """Chunks of some size, and the last one, where it is not whole, gets what is left of the one before it."""

    def change(self: Honest, items: Sequence[Item], side: Side) -> Any:
        vectors = right(self, items, side)
        rest = len(items) % size
        if len(items) > size and rest:
            vectors[-rest:] = vectors[-rest - size : -size]
        return vectors

    return change


def padding(self: Honest, items: Sequence[Item], side: Side) -> Any:
    """Some of the longest text of the batch."""
    vectors = right(self, items, side)
    vectors[:, 0] += max(len(item.text) for item in items) / 2000
    return unit(vectors)


def place(self: Honest, items: Sequence[Item], side: Side) -> Any:
    """Some of the place in the batch."""
    return unit(right(self, items, side) + 0.05 * np.arange(len(items))[:, None])


def dropout(self: Honest, items: Sequence[Item], side: Side) -> Any:
    """Left on."""
    kept = np.random.default_rng(self.calls).random((len(items), DIMENSION)) > 0.1
    return unit(right(self, items, side) * kept)


def noisy(size: float) -> Change:
    """Noise that the neighbours decide, as that of a lower precision; the same call gives the same."""

    def change(self: Honest, items: Sequence[Item], side: Side) -> Any:
        vectors = right(self, items, side)
        seed = int.from_bytes(hashlib.sha256(repr([item.prompt for item in items]).encode()).digest()[:8], "big")
        return unit(vectors * (1 + size * np.random.default_rng(seed).normal(size=vectors.shape)))

    return change


def call_before(self: Honest, items: Sequence[Item], side: Side) -> Any:
    """Some of the last vector of the call before."""
    vectors = unit(right(self, items, side) + 0.1 * self.kept.get("last", 0))
    self.kept["last"] = vectors[-1].copy()
    return vectors


def drift(self: Honest, items: Sequence[Item], side: Side) -> Any:
    """Others from the hundredth call on."""
    return unit(right(self, items, side) + (0.1 if self.calls >= 100 else 0))


def after_images(self: Honest, items: Sequence[Item], side: Side) -> Any:
    """Texts get other vectors once there was an image."""
    self.kept["seen"] = self.kept.get("seen", False) or items[0].image is not None
    if items[0].image is None and self.kept["seen"]:
        return unit(right(self, items, side) + 0.1)
    return right(self, items, side)


def buffer(self: Honest, items: Sequence[Item], side: Side) -> Any:
    """One array for all calls."""
    whole = self.kept.setdefault("whole", np.empty((1024, DIMENSION), dtype=np.float32))
    whole[: len(items)] = right(self, items, side)
    return whole[: len(items)]


def sorts_its_argument(self: Honest, items: Any, side: Side) -> Any:
    """The caller's list."""
    vectors = right(self, items, side)
    items.sort(key=lambda item: item.prompt)
    return vectors


def empties_its_argument(self: Honest, items: Any, side: Side) -> Any:
    """The caller's list."""
    vectors = right(self, items, side)
    items.clear()
    return vectors


def draws_on_images(self: Honest, items: Sequence[Item], side: Side) -> Any:
    """The caller's pixels."""
    for item in items:
        if item.image is not None:
            item.image.rgb().paste((1, 2, 3), (0, 0, 2, 2))
    return right(self, items, side)


def cached(key: Callable[[Item], Any], *, within: bool = False) -> Change:
    """What an item shows is kept under too little; ``within`` one call alone."""

    def change(self: Honest, items: Sequence[Item], side: Side) -> Any:
        kept = {} if within else self.kept
        rows = []
        for item in items:
            shown = kept.setdefault(key(item), self.shown(item)) if item.image is not None else 0
            rows.append(self.said(item) + shown)
        return unit(np.stack(rows))

    return change


def cached_whole(key: Callable[[Item], Any]) -> Change:
    """The whole vector is kept under too little."""

    def change(self: Honest, items: Sequence[Item], side: Side) -> Any:
        return unit(np.stack([self.kept.setdefault(key(item), self.one(item)) for item in items]))

    return change


def reads_the_file(self: Honest, items: Sequence[Item], side: Side) -> Any:
    """Past crop, drawing and orientation."""
    whole = [
        item
        if item.image is None
        else dataclasses.replace(
            item, image=dataclasses.replace(item.image, crop=None, drawing=None, upright=True, pixels=None, digest=None)
        )
        for item in items
    ]
    return right(self, whole, side)


def without_image(item: Item) -> Item:
    """Forgotten where there is a text."""
    return dataclasses.replace(item, image=None, region=None) if item.image is not None and item.text else item


def without_text(item: Item) -> Item:
    """Forgotten where there is an image."""
    return dataclasses.replace(item, text="") if item.image is not None else item


def instruction_for_text(item: Item) -> Item:
    """The one in place of the other."""
    return dataclasses.replace(item, text=item.instruction, instruction="") if item.instruction else item


def raises_if(wrong: Callable[[Sequence[Item]], bool], error: BaseException) -> Change:
    """Raises for some batches."""

    def change(self: Honest, items: Sequence[Item], side: Side) -> Any:
        if wrong(items):
            raise error
        return right(self, items, side)

    return change


def prompts_kept_by_text(self: Honest, items: Sequence[Item], side: Side) -> Any:
    """Reads the prompt, and keeps what it made of it under the text alone."""
    rows = []
    for item in items:
        said = self.kept.setdefault(item.text, drawn("prompt", *item.prompt.split()))
        rows.append(said + self.shown(item))
    return unit(np.stack(rows))


def first_instruction(self: Honest, items: Sequence[Item], side: Side) -> Any:
    """The first item's instruction for all that have one."""
    first = items[0].instruction
    return right(self, [dataclasses.replace(i, instruction=first if i.instruction else "") for i in items], side)


def first_region(self: Honest, items: Sequence[Item], side: Side) -> Any:
    """The first item's region for all that have one, on their own images."""
    return unit(
        np.stack(
            [
                self.one(item if item.region is None else dataclasses.replace(item, region=items[0].region))
                for item in items
            ]
        )
    )


def first_text_of_an_image(self: Honest, items: Sequence[Item], side: Side) -> Any:
    """Of the items of a batch that share an image, the first text wins."""
    texts: dict[Any, str] = {}
    seen = [
        item
        if item.image is None
        else dataclasses.replace(item, text=texts.setdefault(item.image.identity(), item.text))
        for item in items
    ]
    return right(self, seen, side)


def instructed_backwards(self: Honest, items: Sequence[Item], side: Side) -> Any:
    """The wrong order among those that have an instruction."""
    vectors = right(self, items, side)
    rows = [row for row, item in enumerate(items) if item.instruction]
    vectors[rows] = vectors[rows[::-1]]
    return vectors


def without_instruction(item: Item) -> Item:
    """Forgotten."""
    return dataclasses.replace(item, instruction="")


def without_text_beside_an_instruction(item: Item) -> Item:
    """Forgotten where there is one."""
    return dataclasses.replace(item, text="") if item.instruction else item


def without_region(item: Item) -> Item:
    """Forgotten."""
    return dataclasses.replace(item, region=None)


def without_region_beside_an_instruction(item: Item) -> Item:
    """Forgotten where there is one."""
    return dataclasses.replace(item, region=None) if item.instruction else item


def images_alone_kept_by_image(self: Honest, items: Sequence[Item], side: Side) -> Any:
    """Reads the prompt, but keeps what it made of an image without a text under the image alone."""
    rows = []
    for item in items:
        whole = drawn("prompt", *item.prompt.split()) + self.shown(item)
        alone = item.image is not None and not item.text
        rows.append(self.kept.setdefault((item.image.identity(), item.region), whole) if alone else whole)  # type: ignore[union-attr]
    return unit(np.stack(rows))


def large_buffer(self: Honest, items: Sequence[Item], side: Side) -> Any:
    """One array for all calls of a hundred items and more."""
    return (buffer if len(items) >= 100 else right)(self, items, side)


def later(calls: int) -> Change:
    """Vectors of another space from some call on."""

    def change(self: Honest, items: Sequence[Item], side: Side) -> Any:
        vectors = right(self, items, side)
        return np.roll(vectors, 1, axis=1) if self.calls > calls else vectors

    return change


def scaled_where(wrong: Callable[[Item], bool], factor: float) -> Change:
    """Vectors of another length, or of none, for some items alone."""

    def change(self: Honest, items: Sequence[Item], side: Side) -> Any:
        return right(self, items, side) * np.float32([[factor if wrong(item) else 1] for item in items])

    return change

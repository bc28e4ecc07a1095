"""Through the embedder: batches decoded ahead, made smaller where memory runs out, and checked as they come back."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Collection, Generator, Mapping, Sequence
from concurrent.futures import Future
from contextlib import closing
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from evalkit.embedders.base import CountsImages
from evalkit.embedders.registry import LoadedEmbedder
from evalkit.encoding.batches import BATCH_PIXELS, Pending, estimator
from evalkit.encoding.contract import checked, describe
from evalkit.encoding.imageindex import ImageIndex
from evalkit.encoding.memory import Room, free_memory, out_of_memory
from evalkit.errors import EmbedderError, EvalkitError
from evalkit.items import Item, Side
from evalkit.items.images import Identity

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from PIL.Image import Image

_AHEAD = 2  # batches that are decoded while one is embedded


@dataclass
class EncodingStats:
    """What encoding did: what ``timing.json`` has of each task.

    Attributes:
        items: given.
        distinct: of them, by content.
        reused: vectors that were in the store.
        embedded: vectors that were computed.
        images: images that were decoded for them; the items of one image share it within a batch.
        images_encoded: images that the embedder's image encoders ran on, where it counts them
            (:class:`evalkit.embedders.base.CountsImages`), or else the items with an image that it was given.
        halved: times that memory ran out and the budget of a batch was halved.
        spot_checked: vectors of the reused ones that were made again and compared.
        spot_check_seconds: spent on that, with loading the model where nothing else did.
        seconds: spent in all.
        embedder_seconds: of these, inside the embedder.
    """

    items: int = 0
    distinct: int = 0
    reused: int = 0
    embedded: int = 0
    images: int = 0
    images_encoded: int = 0
    halved: int = 0
    spot_checked: int = 0
    spot_check_seconds: float = 0.0
    seconds: float = 0.0
    embedder_seconds: float = 0.0


@dataclass
class Forward:
    """An embedder at work; lives for a run.

    Attributes:
        loaded: the embedder.
        images: facts of image files.
        room: what memory is known to hold.
        most: padded cost that the last batch could have had at most; ``None`` where memory held all.
        stats: what was done since they were taken.
    """

    loaded: LoadedEmbedder
    images: ImageIndex
    room: Room = field(default_factory=Room)
    most: int | None = None
    stats: EncodingStats = field(default_factory=EncodingStats)

    def __post_init__(self) -> None:
        self._estimate = estimator(self.loaded.embedder)

    def entry(self, key: bytes, item: Item) -> Pending:
        """An item with what it costs, the only one of its image."""
        facts = None if item.image is None else self.images.facts(item.image)
        cost = self._estimate(item, facts)
        return Pending(key, item, facts, cost, 0 if facts is None else cost)

    def entries(self, items: Mapping[bytes, Item], missing: Collection[bytes]) -> list[Pending]:
        """Those of a side's items that are missing, with what they cost.

        What an image's dearest item costs is of all its items, also of those that are there already: where the rest
        of them come in the plan, and so in which batches, depends on the items alone.
        """
        shown = {image.identity() for key in missing if (image := items[key].image) is not None}
        known = [
            self.entry(key, item)
            for key, item in items.items()
            if key in missing or (item.image is not None and item.image.identity() in shown)
        ]
        dearest: dict[Identity, int] = {}
        for entry in known:
            dearest[entry.picture] = max(dearest.get(entry.picture, 0), entry.image_cost)
        return [replace(entry, image_cost=dearest[entry.picture]) for entry in known if entry.key in missing]

    def embedded(
        self, batches: Sequence[Sequence[Pending]], side: Side
    ) -> Generator[tuple[Sequence[Pending], NDArray[np.float32]], None, None]:
        """Entries with their vectors, batch by batch; in smaller ones where memory runs out."""
        with closing(self._decoded(batches)) as stream:
            for entries, items in stream:
                self.stats.images += len({entry.picture for entry in entries if entry.image is not None})
                start = 0
                while start < len(entries):
                    vectors = self._embed(entries[start:], items[start:], side)
                    yield entries[start : start + len(vectors)], vectors
                    start += len(vectors)
                del items  # before the next batch is read ahead

    def _decoded(
        self, batches: Sequence[Sequence[Pending]]
    ) -> Generator[tuple[Sequence[Pending], list[Item]], None, None]:
        """Batches with their images decoded, a few ahead of the embedder.

        A batch's images are held by what is yielded alone, so that they go when the caller lets them go.
        """
        ahead: deque[dict[Identity, Future[Image]]] = deque()
        try:
            for place, batch in enumerate(batches):
                for number in range(place + len(ahead), min(place + _AHEAD + 1, len(batches))):
                    # One at least, and no more than a batch may hold: few images may be a great deal.
                    if ahead and sum(map(_pixels_of, batches[place : number + 1])) > BATCH_PIXELS:
                        break
                    ahead.append(self.images.decode_all(batches[number]))
                yield batch, _with_pixels(batch, ahead.popleft())
        finally:
            for futures in ahead:
                for future in futures.values():
                    future.cancel()

    def _embed(self, entries: Sequence[Pending], items: Sequence[Item], side: Side) -> NDArray[np.float32]:
        """The vectors of as many of the items, from the first on, as memory holds."""
        count = self.room.fitting(entries)
        while True:
            try:
                raw = self._called(items[:count], side)
                break
            except EvalkitError:
                raise
            except BaseException as error:  # a script may end itself, and code in Rust panics with one of its own
                if isinstance(error, KeyboardInterrupt):
                    raise
                if count == 1 or not out_of_memory(error):
                    raise EmbedderError(
                        f"{self.loaded.info.name} failed on {count} {side} items, the first {describe(items[0])}: "
                        f"{type(error).__name__}: {error}"
                    ) from error
            # Only here, where the error is gone, and with it the arrays that its traceback held.
            self.room.shrink(entries[:count])
            count = self.room.fitting(entries)
            self.stats.halved += 1
            free_memory()
        self.most = self.room.most  # that this batch was made under; the next one may be tried with more
        self.room.fitted(entries[:count])
        return checked(raw, items[:count], side, self.loaded)

    def _called(self, items: Sequence[Item], side: Side) -> Any:
        """What the embedder returns, with the time and the images that it took counted."""
        embedder = self.loaded.embedder
        counting = embedder if isinstance(embedder, CountsImages) else None
        before = int(counting.images_encoded) if counting is not None else 0
        began = time.monotonic()
        try:
            return embedder.encode(items, side)
        finally:
            self.stats.embedder_seconds += time.monotonic() - began
            given = sum(item.image is not None for item in items)
            self.stats.images_encoded += given if counting is None else int(counting.images_encoded) - before


def _pixels_of(entries: Sequence[Pending]) -> int:
    images = {entry.picture: entry.image for entry in entries if entry.image is not None}
    return sum(image.width * image.height for image in images.values())


def _with_pixels(entries: Sequence[Pending], decoded: dict[Identity, Future[Image]]) -> list[Item]:
    """The entries' items with their images' pixels, once these are there."""
    pixels = {picture: future.result() for picture, future in decoded.items()}
    return [
        entry.item
        if entry.item.image is None
        else replace(entry.item, image=replace(entry.item.image, pixels=pixels[entry.picture]))
        for entry in entries
    ]

"""Items to vectors: deduplicate, look up, batch, decode ahead, embed, check, keep."""

from __future__ import annotations

import itertools
import os
import time
from collections import deque
from collections.abc import Generator, Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from evalkit.embedders.base import CountsImages
from evalkit.embedders.registry import LoadedEmbedder
from evalkit.encoding.batches import BATCH_PIXELS, BATCH_TOKENS, Entry, estimator, plan
from evalkit.encoding.store import VectorStore
from evalkit.errors import EmbedderError, EvalkitError, ImageError, RegionError
from evalkit.images import Identity, ImageFacts, ImageFile
from evalkit.items import IMAGE_MARK, Item, Mask, Side, region_kind
from evalkit.keys import content_digest, vector_key
from evalkit.progress import Progress
from evalkit.regions import fault

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from PIL.Image import Image

LENGTH_TOLERANCE = 1e-3
_AHEAD = 2  # batches that are decoded while one is embedded


class ImageIndex:
    """Facts of image files, each read once however many tasks and models look at it, or at parts of it."""

    def __init__(self) -> None:
        self._facts: dict[ImageFile, ImageFacts] = {}  # of whole images
        self._threads = ThreadPoolExecutor(min(16, os.cpu_count() or 1), "evalkit-images")

    def gather(self, items: Iterable[Item], *, unread_allowed: bool = False) -> None:
        """Read the facts of all images and masks of the items.

        Args:
            items: any.
            unread_allowed: leave out what cannot be read; :meth:`knows` says which that was.

        Raises:
            ImageError: the first of them that cannot be read, with the item that it belongs to.
        """
        new: dict[ImageFile, tuple[ImageFile, Item]] = {}
        for item in items:
            for image in item.images:
                if image.whole not in self._facts:
                    new.setdefault(image.whole, (image, item))
        for whole, facts in zip(new, self._threads.map(_facts_or_error, new), strict=True):
            if isinstance(facts, ImageError):
                if unread_allowed:
                    continue
                image, item = new[whole]
                raise ImageError(f"{facts} (item {describe(item)})", image) from facts
            self._facts[whole] = facts

    def knows(self, image: ImageFile) -> bool:
        """Whether an image was gathered, itself or another part of it."""
        return image.whole in self._facts

    def facts(self, image: ImageFile) -> ImageFacts:
        """Facts of an image that was gathered, itself or another part of it."""
        return image.cut_facts(self._facts[image.whole])

    def warnings(self, items: Iterable[Item]) -> list[str]:
        """What a reader of a number should know of the images of its items, which were gathered."""
        damaged = {image for image, facts in self._facts.items() if facts.orientation_unread}
        count = len(damaged.intersection(item.image for item in items if item.image is not None)) if damaged else 0
        said = f"{count} images have an orientation (EXIF) that cannot be read: they are taken as they are stored"
        return [said] if count else []

    def known(self, item: Item) -> Item:
        """The item with its images' digests filled in."""
        image = None if item.image is None else replace(item.image, digest=self.facts(item.image).digest)
        region = item.region
        if isinstance(region, Mask):
            region = Mask(replace(region.image, digest=self.facts(region.image).digest))
        return item if image is None and region is item.region else replace(item, image=image, region=region)

    def decode_all(self, entries: Sequence[Entry]) -> dict[Identity, Future[Image]]:
        """Start decoding a batch's images, each once however many items have it."""
        started: dict[Identity, Future[Image]] = {}
        for entry in entries:
            image = entry.item.image
            if image is not None and entry.picture not in started:
                started[entry.picture] = self._threads.submit(_pixels, image, entry.item)
        return started


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
    seconds: float = 0.0
    embedder_seconds: float = 0.0


@dataclass
class Encoder:
    """One embedder with its store; lives for a run.

    Attributes:
        loaded: the embedder.
        store: where vectors are kept.
        images: facts of image files.
        batch_tokens: budget of a batch.
        dtype: what vectors are kept as, ``float32`` or ``float16``.
        progress: who is told.
        stats: what was done since :meth:`take_stats`.
    """

    loaded: LoadedEmbedder
    store: VectorStore
    images: ImageIndex = field(default_factory=ImageIndex)
    batch_tokens: int = BATCH_TOKENS
    dtype: str = "float32"
    progress: Progress = field(default_factory=lambda: Progress(quiet=True))
    stats: EncodingStats = field(default_factory=EncodingStats)

    def __post_init__(self) -> None:
        self._estimate = estimator(self.loaded.embedder)
        self._most: int | None = None  # padded cost that memory is known to hold, once it ran out

    def encode(self, items: Sequence[Item], side: Side) -> NDArray[np.float32]:
        """Vectors of items, from the store or from the embedder.

        Every vector is read back from the store, so a run that was cut off and one that was not go on
        with the same bytes.

        Returns:
            float32, shape (len(items), dimension).

        Raises:
            ImageError: an image that cannot be read or decoded.
            RegionError: a region that the embedder takes as an input and that is not on its image; raised
                before anything is embedded, with the item.
            EmbedderError: the embedder fails or breaks its contract.
            StoreError: the store cannot be read or written.
        """
        began = time.monotonic()
        self.images.gather(items)
        self._check_regions(items)
        known = [self.images.known(item) for item in items]
        keys = [vector_key(self.loaded.fingerprint, self.dtype, side, content_digest(item)) for item in known]
        distinct = dict(zip(keys, known, strict=True))
        here = self.store.existing(list(distinct))
        self.progress.advance(len(items) - len(distinct) + len(here))
        # Batches are kept in the order of the plan, in which an entry's place depends on that entry alone. So
        # what a killed run left over, all from some batch's beginning on, is planned into the batches that it
        # would have come to: a vector's last bits may depend on its batch.
        missing = [self._entry(key, item) for key, item in distinct.items() if key not in here]
        self._run(plan(missing, self.batch_tokens), side)
        vectors = self.store.get(keys, self.loaded.info.dimension, self.dtype)
        self.stats.items += len(items)
        self.stats.distinct += len(distinct)
        self.stats.reused += len(here)
        self.stats.seconds += time.monotonic() - began
        return vectors

    def _check_regions(self, items: Sequence[Item]) -> None:
        for item in items:
            region, image = item.region, item.image
            if region is None or image is None or region_kind(region) not in self.loaded.info.regions:
                continue
            mask = self.images.facts(region.image) if isinstance(region, Mask) else None
            if said := fault(region, self.images.facts(image), mask):
                raise RegionError(f"{said}; mend it or leave its row out (item {describe(item)})", item)

    def _entry(self, key: bytes, item: Item) -> Entry:
        if item.image is None:
            return Entry(key, item, None, self._estimate(item, None))
        facts = self.images.facts(item.image)
        alone = Item(IMAGE_MARK, image=item.image)
        return Entry(key, item, facts, self._estimate(item, facts), self._estimate(alone, facts))

    def take_stats(self) -> EncodingStats:
        """The counts since the last call."""
        taken, self.stats = self.stats, EncodingStats()
        return taken

    def _run(self, batches: Sequence[Sequence[Entry]], side: Side) -> None:
        with closing(self._decoded(batches)) as stream:
            for entries, items in stream:
                self.stats.images += len({entry.picture for entry in entries if entry.image is not None})
                start = 0
                while start < len(entries):
                    start += self._embed(entries[start:], items[start:], side)
                del items  # before the next batch is read ahead

    def _decoded(self, batches: Sequence[Sequence[Entry]]) -> Generator[tuple[Sequence[Entry], list[Item]], None, None]:
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

    def _embed(self, entries: Sequence[Entry], items: Sequence[Item], side: Side) -> int:
        """Embed and keep as many of the items as memory holds; return how many."""
        count = len(items) if self._most is None else _fitting(entries, self._most)
        while True:
            try:
                raw = self._called(items[:count], side)
                break
            except EvalkitError:
                raise
            except (Exception, SystemExit) as error:  # a script that is taken for a module may end itself
                if count == 1 or not _out_of_memory(error):
                    raise EmbedderError(
                        f"{self.loaded.info.name} failed on {count} {side} items, the first {describe(items[0])}: "
                        f"{type(error).__name__}: {error}"
                    ) from error
            # Only here, where the error is gone, and with it the arrays that its traceback held.
            self._most = max(entry.cost for entry in entries[:count]) * count // 2
            count = _fitting(entries, self._most)
            self.stats.halved += 1
            _free_memory()
        vectors = checked(raw, items[:count], side, self.loaded)
        self.store.put([entry.key for entry in entries[:count]], vectors.astype(self.dtype))
        self.stats.embedded += count
        self.progress.advance(count)
        return count

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


def checked(raw: Any, items: Sequence[Item], side: Side, loaded: LoadedEmbedder) -> NDArray[np.float32]:
    """What an embedder returned, as float32, or an error that names the first item it got wrong.

    Args:
        raw: should be a numpy array of shape (len(items), dimension), of float32 (or float16 or float64),
            finite, rows of length 1.
    """
    import numpy as np

    name, dimension = loaded.info.name, loaded.info.dimension
    if not isinstance(raw, np.ndarray) or raw.dtype.kind != "f":
        kind = f"an array of {raw.dtype}" if isinstance(raw, np.ndarray) else f"a {type(raw).__name__}"
        raise EmbedderError(
            f"{name} returned {kind}, not a numpy array of float32 (of a tensor: tensor.float().cpu().numpy()), "
            f"for {len(items)} {side} items, the first {describe(items[0])}"
        )
    with np.errstate(over="ignore"):
        vectors = raw.astype(np.float32, copy=False)
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


def describe(item: Item) -> str:
    """An item in a few words, for an error."""
    prompt = item.prompt if len(item.prompt) <= 80 else item.prompt[:77] + "..."
    image = f" with image {item.image.path}" if item.image is not None else ""
    return f"{prompt!r}{image}"


def _facts_or_error(image: ImageFile) -> ImageFacts | ImageError:
    try:
        return image.facts()
    except ImageError as error:
        return error


def _pixels(image: ImageFile, item: Item) -> Image:
    try:
        return image.rgb()
    except ImageError as error:
        raise ImageError(f"{error} (item {describe(item)})", image) from error


def _pixels_of(entries: Sequence[Entry]) -> int:
    images = {entry.picture: entry.image for entry in entries if entry.image is not None}
    return sum(image.width * image.height for image in images.values())


def _with_pixels(entries: Sequence[Entry], decoded: dict[Identity, Future[Image]]) -> list[Item]:
    """The entries' items with their images' pixels, once these are there."""
    pixels = {picture: future.result() for picture, future in decoded.items()}
    return [
        entry.item
        if entry.item.image is None
        else replace(entry.item, image=replace(entry.item.image, pixels=pixels[entry.picture]))
        for entry in entries
    ]


def _fitting(entries: Sequence[Entry], most: int) -> int:
    """How many of the entries, from the first on, keep to a padded cost; at least 1."""
    dearest = itertools.accumulate((entry.cost for entry in entries), max)
    return max(1, sum(cost * count <= most for count, cost in enumerate(dearest, start=1)))


def _out_of_memory(error: BaseException) -> bool:
    # torch.OutOfMemoryError is a RuntimeError; cuBLAS and torch on the CPU say so in words alone.
    said = str(error).lower()
    return isinstance(error, MemoryError) or (
        isinstance(error, RuntimeError)
        and any(words in said for words in ("out of memory", "can't allocate memory", "cublas_status_alloc_failed"))
    )


def _free_memory() -> None:
    import gc
    import sys

    gc.collect()
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_available():
        torch.cuda.empty_cache()

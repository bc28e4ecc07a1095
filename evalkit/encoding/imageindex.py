"""Image files by what they are: each looked at once, decoded when a batch needs its pixels."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from typing import TYPE_CHECKING

from evalkit.encoding.batches import Pending
from evalkit.encoding.contract import describe
from evalkit.errors import ImageError
from evalkit.items import Item, Mask
from evalkit.items.images import Identity, ImageFacts, ImageFile

if TYPE_CHECKING:
    from PIL.Image import Image


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

    def decode_all(self, entries: Sequence[Pending]) -> dict[Identity, Future[Image]]:
        """Start decoding a batch's images, each once however many items have it."""
        started: dict[Identity, Future[Image]] = {}
        for entry in entries:
            image = entry.item.image
            if image is not None and entry.picture not in started:
                started[entry.picture] = self._threads.submit(_pixels, image, entry.item)
        return started


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

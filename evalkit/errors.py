"""Errors that a user can act on. Each message names the file, the row, the value and the way out."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from evalkit.images import ImageFile
    from evalkit.items import Item


class EvalkitError(Exception):
    """Something went wrong that the user can act on; ``exit_code`` is what a command exits with."""

    exit_code = 4


class UsageError(EvalkitError):
    """Bad usage or bad input on the command line."""

    exit_code = 2


class DataError(EvalkitError):
    """Rows on disk that cannot be read as the task they claim to be."""


class ItemError(DataError):
    """Something is wrong with an item; who knows the items' rows says which row it is."""

    def concerns(self, item: Item) -> bool:
        """Whether it is this item that something is wrong with."""
        return False


class ImageError(ItemError):
    """An image that is missing, broken, too large, or outside the data folder.

    Attributes:
        image: the image, where it is known.
    """

    def __init__(self, message: str, image: ImageFile | None = None) -> None:
        super().__init__(message)
        self.image = image

    def concerns(self, item: Item) -> bool:
        """Whether the item has this image, or has it as its mask."""
        return self.image in item.images


class RegionError(ItemError):
    """A region that is not on its image, or holds nothing of it.

    Attributes:
        item: the item, where it is known.
    """

    def __init__(self, message: str, item: Item | None = None) -> None:
        super().__init__(message)
        self.item = item

    def concerns(self, item: Item) -> bool:
        """Whether it is this item, decoded or not."""
        return self.item == item


class EmbedderError(EvalkitError):
    """An embedder that broke its contract: wrong shape, not finite, not of length 1."""


class StoreError(EvalkitError):
    """The vector store cannot be read or written."""


class ResultsError(EvalkitError):
    """The files of a run cannot be read or written."""

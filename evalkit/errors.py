"""Errors that a user can act on. Each message names the file, the row, the value and the way out."""

from __future__ import annotations


class EvalkitError(Exception):
    """Something went wrong that the user can act on; ``exit_code`` is what a command exits with."""

    exit_code = 4


class UsageError(EvalkitError):
    """Bad usage or bad input on the command line."""

    exit_code = 2


class NotComparableError(EvalkitError):
    """Two runs of which no number can be held against the other."""

    exit_code = 3


class DataError(EvalkitError):
    """Rows on disk that cannot be read as the task they claim to be."""


class ItemError(DataError):
    """Something is wrong with an item; who knows the items' rows says which row it is.

    Attributes:
        about: the item, or the image file of it, where it is known (:func:`evalkit.items.concerns`).
    """

    def __init__(self, message: str, about: object = None) -> None:
        super().__init__(message)
        self.about = about


class ImageError(ItemError):
    """An image that is missing, broken, too large, or outside the data folder."""


class RegionError(ItemError):
    """A region that is not on its image, or holds nothing of it."""


class EmbedderError(EvalkitError):
    """An embedder that broke its contract: wrong shape, not finite, not of length 1."""


class TaskError(EvalkitError):
    """A task that cannot be evaluated for a reason that nobody foresaw: FAISS, a library, a fault of evalkit."""


class StoreError(EvalkitError):
    """The vector store cannot be read or written."""


class StaleVectorsError(StoreError):
    """Vectors in the store that the embedder would not make now; another embedder's may hold."""


class ResultsError(EvalkitError):
    """The files of a run cannot be read or written."""


class WriteError(ResultsError):
    """A file cannot be written: a full disk, a folder that is not the user's, a link where none should be."""

"""The first items of tasks: what a function is tried on before anything is embedded."""

from __future__ import annotations

from collections.abc import Sequence

from evalkit.encoding.contract import describe
from evalkit.encoding.given import rows_named
from evalkit.errors import EvalkitError, ImageError, UsageError
from evalkit.items import Item
from evalkit.suites.card import TaskCard
from evalkit.suites.selecting import load_task
from evalkit.suites.task import DataFolder, LoadOptions, Task


def first_items(tasks: Sequence[TaskCard | Task], folder: DataFolder | None, options: LoadOptions) -> list[Item]:
    """Two of the items that will be embedded, with images that can be.

    Raises:
        EvalkitError: no task can be read; the first error.
    """
    failed: EvalkitError | None = None
    few = LoadOptions(min(options.limit or 2, 2), options.official_dedup, options.upright)
    for task in tasks:
        try:
            read = load_task(task, folder, few)
            with rows_named(read):
                return _decodable(alike(read.queries))
        except EvalkitError as error:
            failed = failed or error
    raise failed or UsageError("no task is named")


def alike(items: Sequence[Item]) -> list[Item]:
    """The first two, or the first where one of them alone has an image: batches have items of one kind."""
    return [item for item in items[:2] if (item.image is None) == (items[0].image is None)]


def _decodable(items: list[Item]) -> list[Item]:
    """The items, once their images were decoded: one that cannot be is its task's failure, and not the function's."""
    for item in items:
        try:
            for image in item.images:
                image.rgb()
        except ImageError as error:
            raise ImageError(f"{error} (item {describe(item)})", error.about or item) from error
    return items

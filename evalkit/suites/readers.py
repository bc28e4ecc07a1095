"""What reads the rows of a task: one reader a family, registered by the family's name.

A further one is a module with a function and a line in :data:`READERS`, or in another package's suite
``READERS["its family"] = "its.module:function"``. It is imported when a task of its family is loaded. Where that module
has a function ``row_files``, from a card and a data folder to the files of its rows, a run says before it begins which
of them are missing.
"""

from __future__ import annotations

import importlib
from typing import Protocol, cast

from evalkit.errors import DataError
from evalkit.suites.card import TaskCard
from evalkit.suites.task import DataFolder, LoadOptions, Task


class Reader(Protocol):
    """From a card and the rows on disk to a task."""

    def __call__(self, card: TaskCard, folder: DataFolder, options: LoadOptions) -> Task:
        """Read a task.

        Raises:
            DataError: a file, column, row or value that cannot be read as this task.
        """
        ...


READERS: dict[str, str] = {
    "image_cls": "evalkit.suites.mmeb:load",
    "image_qa": "evalkit.suites.mmeb:load",
    "image_i2t": "evalkit.suites.mmeb:load",
    "image_t2i": "evalkit.suites.mmeb:load",
    "image_i2i_vg": "evalkit.suites.mmeb:load",
    "scar_i2t": "evalkit.suites.scar:load",
}
"""By a card's family: module and function."""


def reader_of(card: TaskCard) -> Reader:
    """The reader of a card's family.

    Raises:
        DataError: there is none.
    """
    if card.family not in READERS:
        raise DataError(f"task {card.name}: family {card.family!r} is not one of {', '.join(sorted(READERS))}")
    module, _, function = READERS[card.family].partition(":")
    return cast(Reader, getattr(importlib.import_module(module), function))


def require_files(card: TaskCard, folder: DataFolder) -> None:
    """Look for the files of a card's rows, and open none; a reader that does not say which they are is not asked.

    Raises:
        DataError: there are none, or there is no reader.
    """
    reader_of(card)
    find = getattr(importlib.import_module(READERS[card.family].partition(":")[0]), "row_files", None)
    if find is not None:
        find(card, folder)

"""A suite: what turns the rows of its tasks on disk into tasks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

from evalkit.suites.card import TaskCard, read_cards
from evalkit.suites.readers import reader_of, require_files
from evalkit.suites.task import DataFolder, LoadOptions, Task


class Suite(Protocol):
    """What the entry-point group ``evalkit.suites`` holds: an object, not a class."""

    name: str

    def cards(self) -> Sequence[TaskCard]:
        """The cards of the suite, in the order of its paper."""
        ...

    def load(self, card: TaskCard, folder: DataFolder, options: LoadOptions) -> Task:
        """Read a task.

        Raises:
            DataError: rows that cannot be read, with file, row and value.
        """
        ...


@dataclass(frozen=True)
class CardSuite:
    """A suite that is a folder of cards; each card's family says how its rows are read.

    Attributes:
        name: the suite's name, and that of the folder.
        package: importable package that holds the folder.
        reducer: how its number, and those of its groups, are made of its tasks', by name
            (:mod:`evalkit.scoring.reducers`). A suite that is no object of this class and does not say gets the mean.
    """

    name: str
    package: str = "evalkit.tasks"
    reducer: str = "mean_over_tasks"

    @cached_property
    def _cards(self) -> tuple[TaskCard, ...]:
        return read_cards(self.package, self.name)

    def cards(self) -> Sequence[TaskCard]:
        """The cards, by their order."""
        return self._cards

    def load(self, card: TaskCard, folder: DataFolder, options: LoadOptions) -> Task:
        """Read a task's rows by the card's family.

        Raises:
            DataError: an unknown family, or rows that cannot be read.
        """
        return reader_of(card)(card, folder, options)

    def require_files(self, card: TaskCard, folder: DataFolder) -> None:
        """Look for the files of a task's rows, and open none. A suite may have this; it is asked before a run begins.

        Raises:
            DataError: there are none.
        """
        require_files(card, folder)

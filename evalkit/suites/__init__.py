"""Suites turn rows on disk into tasks. A suite is found by its name through entry points."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from evalkit.errors import DataError
from evalkit.task import DataFolder, LoadOptions, Task, TaskCard, read_cards

if TYPE_CHECKING:
    from collections.abc import Sequence


@dataclass(frozen=True)
class CardSuite:
    """A suite that is a folder of cards; each card's family says how its rows are read.

    Attributes:
        name: the suite's name, and that of the folder.
        package: importable package that holds the folder.
    """

    name: str
    package: str = "evalkit.tasks"

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
        from evalkit.suites import mmeb, scar

        if card.family in mmeb.FAMILIES:
            return mmeb.load(card, folder, options)
        if card.family in scar.FAMILIES:
            return scar.load(card, folder, options)
        known = ", ".join(sorted(mmeb.FAMILIES | scar.FAMILIES))
        raise DataError(f"task {card.name}: family {card.family!r} is not one of {known}")

"""The entries of a board in the order of its tables, the addresses of its pages, and a table's columns of entries."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

from markupsafe import Markup

from evalkit.leaderboard.board import Board, Entry, Group, Pairing
from evalkit.leaderboard.pages.columns import plain, words
from evalkit.leaderboard.pages.grid import Cell, Column
from evalkit.leaderboard.wording import breakable, called, file_part, link, path
from evalkit.suites.card import TaskCard


@dataclass(frozen=True)
class Standing:
    """The entries of a board as its tables have them, and the addresses of its pages.

    Attributes:
        board: whose they are.
        home: what leads from the page to the folder of the board's pages, such as ``mmeb-scar/``; empty inside.
    """

    board: Board
    home: str = ""

    @cached_property
    def ranked(self) -> tuple[Entry, ...]:
        """The rows of the body."""
        return tuple(entry for entry in self.board.entries if not entry.knows_nothing)

    @cached_property
    def baselines(self) -> tuple[Entry, ...]:
        """The rows of the foot, above chance."""
        return tuple(entry for entry in self.board.entries if entry.knows_nothing)

    @cached_property
    def entries(self) -> dict[str, Entry]:
        """All of them by their slugs."""
        return {entry.slug: entry for entry in self.board.entries}

    def group(self, group: Group) -> str:
        """The address of a group's page."""
        return f"{self.home}group-{path(group.key)}.html"

    def task(self, card: TaskCard) -> str:
        """The address of a task's page."""
        return f"{self.home}task-{file_part(card)}.html"

    def model(self, entry: Entry) -> str:
        """The address of an entry's page."""
        return f"{self.home}model-{path(entry.slug)}.html"

    def pair(self, pair: Pairing) -> str:
        """The address of a comparison's page."""
        return f"{self.home}compare-{path(pair.base)}-and-{path(pair.new)}.html"

    def link(self, entry: Entry) -> Markup:
        """An entry's name with a link to its page."""
        return link(entry.label, self.model(entry))

    def task_link(self, card: TaskCard) -> Markup:
        """A task's name, which a narrow column may break, with a link to its page."""
        return Markup('<a href="{}">{}</a>').format(self.task(card), breakable(called(card)))

    def cells(self, body: Sequence[Cell], foot: Sequence[str], chance: str, classes: str) -> list[Cell]:
        """A column: of the ranked, of those that know nothing, and of chance where it is known."""
        return [*body, *plain(foot, classes), *(plain([chance], classes) if self.board.chance else [])]

    def column(
        self,
        key: str,
        label: str,
        text: Callable[[Entry], str],
        order: Callable[[Entry], Any] | None = None,
        first: Literal["desc", "asc"] | None = None,
        classes: str = "",
        hint: str = "",
    ) -> Column:
        """A column of words, or of numbers that nothing marks.

        Args:
            key: of the column.
            label: of the column.
            text: of an entry; text or HTML.
            order: what the ranked are ordered by, where it is not the text.
            first: as :class:`Column` has it; ``None``: nothing is sorted by it.
            classes: of the header and all cells.
            hint: of the column.
        """
        body = [text(entry) for entry in self.ranked]
        by = None if order is None else [order(entry) for entry in self.ranked]
        own = plain(body, classes) if first is None else words(body, order=by, classes=classes)
        cells = self.cells(own, [text(entry) for entry in self.baselines], "", classes)
        return Column(key, label, cells, first, hint=hint, classes=classes)

"""What a table of a page is: columns of cells, sections over columns, filters of rows. A template only places them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import groupby
from typing import Literal, NamedTuple

from markupsafe import Markup, escape


class Cell(NamedTuple):
    """A cell: what stands in it (what is not HTML yet is text), and its attributes as HTML."""

    content: str
    attributes: Markup = Markup()
    tag: Literal["td", "th"] = "td"


def _row(cells: Iterable[Cell]) -> Markup:
    """Cells as HTML. Here and not in the template, as there are hundreds of thousands of them."""
    return Markup(
        "".join(
            f"<{tag}{attributes}>{content if isinstance(content, Markup) else escape(content)}</{tag}>"
            for content, attributes, tag in cells
        )
    )


def attributes(pairs: Mapping[str, object]) -> Markup:
    """Attributes as HTML, each after a space; those that are ``None`` or an empty string are left out."""
    return Markup(
        "".join(f' {name}="{escape(value)}"' for name, value in pairs.items() if value is not None and value != "")
    )


@dataclass(frozen=True)
class Column:
    """A column.

    Attributes:
        key: names it in the page's address; letters, digits, hyphens, its own in the table.
        label: its header; text or HTML.
        cells: of all rows, those of the foot last.
        first: what the first press of its header sorts by: the highest first, or the lowest; ``None``: not sorted by.
        link: page of what it is about.
        about: that, for who does not see the header.
        hint: what it is, as a title.
        section: key of the section that it stands in.
        folds: hidden while its section is folded.
        classes: of its header.
        head: drawn below its header: the axis of a chart.
    """

    key: str
    label: str
    cells: Sequence[Cell]
    first: Literal["desc", "asc"] | None = "desc"
    link: str | None = None
    about: str = ""
    hint: str = ""
    section: str = ""
    folds: bool = False
    classes: str = ""
    head: str = ""

    @property
    def attributes(self) -> Markup:
        """Of its header."""
        classes = " ".join(filter(None, [self.classes, fold(self.section) if self.folds else ""]))
        return attributes({"class": classes, "data-column": self.key, "data-first": self.first, "title": self.hint})


@dataclass(frozen=True)
class Section:
    """Columns under one header.

    Attributes:
        key: its own in the table.
        label: of the header; may be empty.
        folds: whether some of its columns can be hidden.
        link: page of what it is about.
    """

    key: str
    label: str
    folds: bool = False
    link: str | None = None


@dataclass(frozen=True)
class Span:
    """A section's header.

    Attributes:
        section: whose.
        columns: how many it stands over.
        folded: over how many of them when it is folded.
        classes: of those columns, for a section without a label: it has a cell over each, which stays where its
            column does while the table is scrolled.
    """

    section: Section
    columns: int
    folded: int
    classes: tuple[str, ...]


@dataclass(frozen=True)
class Choice:
    """A filter: rows whose attribute ``data-<name>`` has the value; ``options`` are values and what they are called."""

    name: str
    label: str
    options: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Grid:
    """A table.

    Attributes:
        id: its own in the page.
        caption: what it shows.
        columns: at least one.
        rows: attributes of the rows of the body; further rows stand at the foot. ``None``: all are of the body.
        sections: headers over columns, by their keys; none, and there is no such line.
        choices: filters.
        noun: what a row is, in the singular and the plural.
        heat: whether it has a heat map.
        search: whether it can be searched.
        note: what the marks in it mean.
        looks: class: ``pinned`` where header and foot stay on a low screen, ``plots`` where a column draws, ``matrix``.
    """

    id: str
    caption: str
    columns: tuple[Column, ...]
    rows: tuple[Markup, ...] | None = None
    sections: tuple[Section, ...] = ()
    choices: tuple[Choice, ...] = ()
    noun: tuple[str, str] = ("entry", "entries")
    heat: bool = False
    search: bool = False
    note: str = ""
    looks: str = ""

    def __post_init__(self) -> None:
        if len({column.key for column in self.columns}) != len(self.columns):
            raise ValueError(f"table {self.id} has two columns of one key")

    @cached_property
    def lines(self) -> tuple[tuple[Cell, ...], ...]:
        """The cells of all rows."""
        return tuple(zip(*(column.cells for column in self.columns), strict=True))

    @property
    def body(self) -> list[Markup]:
        """The rows that are sorted and filtered, as HTML."""
        own = [Markup()] * len(self.lines) if self.rows is None else self.rows
        return [Markup(f"<tr{row}>{_row(line)}</tr>") for row, line in zip(own, self.lines[: self._n], strict=True)]

    @property
    def foot(self) -> list[Markup]:
        """The rows that stay where they are, as HTML."""
        return [Markup(f"<tr>{_row(line)}</tr>") for line in self.lines[self._n :]]

    @property
    def spans(self) -> tuple[Span, ...]:
        """The line of headers over the columns, from left to right."""
        if not self.sections:
            return ()
        known = {section.key: section for section in self.sections}
        found = []
        for name, own in groupby(self.columns, key=lambda column: column.section):
            columns = list(own)
            stay = sum(not column.folds for column in columns)
            classes = tuple(column.classes for column in columns)
            found.append(Span(known.get(name, Section(name, "")), len(columns), stay, classes))
        return tuple(found)

    @property
    def folds(self) -> bool:
        """Whether any section can be folded."""
        return any(section.folds for section in self.sections)

    @property
    def tools(self) -> bool:
        """Whether there is anything to press above it."""
        return self.search or self.heat or self.folds or bool(self.choices)

    @property
    def count(self) -> str:
        """How many rows there are."""
        return f"{self._n:,} {self.noun[self._n != 1]}"

    @property
    def _n(self) -> int:
        return len(self.lines) if self.rows is None else len(self.rows)


def fold(section: str) -> str:
    """Class of the cells that are hidden while a section is folded."""
    return f"in-{section}"

"""Tables as pages show them: every word, mark and order is decided here, so that a template only places them.

A column is made at once for all rows, because what marks a cell (the best, the shade of the heat map, the place in
the order that a browser sorts by) depends on the others of its column.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import groupby
from typing import Any, Literal, NamedTuple

from markupsafe import Markup, escape

from evalkit.leaderboard.pages.charts import Scale, StripDot, axis, strip
from evalkit.leaderboard.wording import MISSING

SHADES = 9
"""Shades of the heat map: 0 at chance or below, 9 at the best of the column."""


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
        rows: attributes of the rows of the body; further rows stand at the foot.
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
    rows: tuple[Markup, ...]
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
        lines = self.lines[: len(self.rows)]
        return [Markup(f"<tr{own}>{_row(line)}</tr>") for own, line in zip(self.rows, lines, strict=True)]

    @property
    def foot(self) -> list[Markup]:
        """The rows that stay where they are, as HTML."""
        return [Markup(f"<tr>{_row(line)}</tr>") for line in self.lines[len(self.rows) :]]

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
        n = len(self.rows)
        return f"{n:,} {self.noun[n != 1]}"


def fold(section: str) -> str:
    """Class of the cells that are hidden while a section is folded."""
    return f"in-{section}"


# --- what cells of a column say of each other ---------------------------------------------------------


def orders(values: Sequence[Any | None], rule: Callable[[Any], Any] = lambda value: value) -> list[int | None]:
    """The place of each value in the order from the lowest, from 0; equal ones share theirs, missing ones have none.

    A browser sorts by these places, so that no number is read or compared there.
    """
    places = {value: place for place, value in enumerate(sorted({rule(v) for v in values if v is not None}))}
    return [None if value is None else places[rule(value)] for value in values]


def best(values: Sequence[float | None]) -> set[int]:
    """Where the highest value is; nowhere where there is no contest."""
    there = [value for value in values if value is not None]
    if len(there) < 2:
        return set()
    top = max(there)
    return {i for i, value in enumerate(values) if value == top}


def shades(values: Sequence[float | None], chance: float | None) -> list[int | None]:
    """Shades of the heat map, from chance (0 where it is not known) to the best of the column."""
    top = max((value for value in values if value is not None), default=0.0)
    floor = min(chance or 0.0, top)
    if top <= floor:
        return [None if value is None else 0 for value in values]
    return [
        None if value is None else max(0, min(SHADES, round(SHADES * (value - floor) / (top - floor))))
        for value in values
    ]


@dataclass(frozen=True)
class NumberCell:
    """A number before its column is known.

    Attributes:
        value: what it is ordered and shaded by; ``None`` where there is none.
        text: or HTML, in its place.
        tied: the best measured one, or not told apart from it.
        title: what stands behind it; may be empty.
    """

    value: float | None
    text: str
    tied: bool = False
    title: str = ""


def numbers(cells: Sequence[NumberCell], chance: float | None = None, *, classes: str = "") -> list[Cell]:
    """A column of numbers: ordered, shaded, the best and those tied with it marked by more than a colour.

    Args:
        cells: of the rows of the body.
        chance: where the shades begin.
        classes: of every cell.
    """
    values = [cell.value for cell in cells]
    top, place, shade = best(values), orders(values), shades(values, chance)
    made = []
    for i, cell in enumerate(cells):
        own = " ".join(filter(None, [classes, "" if shade[i] is None else f"h{shade[i]}"]))
        text = cell.text
        if cell.tied:
            text = Markup("<i>{}</i>").format(text)
        if i in top:
            text = Markup("<b>{}</b>").format(text)
        # By hand: there are tens of thousands of them.
        made.append(
            Cell(
                text,
                Markup(
                    (f' class="{own}"' if own else "")
                    + ("" if place[i] is None else f' data-o="{place[i]}"')
                    + (f' title="{escape(cell.title)}"' if cell.title else "")
                ),
            )
        )
    return made


def words(texts: Sequence[str], *, order: Sequence[Any | None] | None = None, classes: str = "t") -> list[Cell]:
    """A column of words, or of numbers that nothing marks.

    Args:
        texts: text or HTML.
        order: what they are ordered by, ``None`` where there is nothing to order; by themselves (capitals aside)
            where there is no ``order``. A dash, or no text, is nothing to order either.
        classes: of every cell.
    """
    said = [text.casefold() for text in texts] if order is None else order
    places = orders([None if value in ("", MISSING) else value for value in said])
    own = attributes({"class": classes})
    return [
        Cell(text, own if place is None else Markup(f'{own} data-o="{place}"'))
        for text, place in zip(texts, places, strict=True)
    ]


def heads(contents: Sequence[str], order: Sequence[Any | None] | None = None) -> list[Cell]:
    """The headers of rows.

    Args:
        contents: text or HTML.
        order: what they are ordered by; as they stand where there is none.
    """
    places = orders(range(len(contents)) if order is None else order)
    return [
        Cell(content, attributes({"class": "name", "scope": "row", "data-o": place}), "th")
        for content, place in zip(contents, places, strict=True)
    ]


def plain(texts: Sequence[str], classes: str = "") -> list[Cell]:
    """A column that nothing orders or marks."""
    own = attributes({"class": classes})
    return [Cell(text, own) for text in texts]


# --- columns --------------------------------------------------------------------------------------------


def texts(key: str, label: str, contents: Sequence[str], classes: str = "t") -> Column:
    """A column of words that is sorted by them; ``contents`` are text or HTML."""
    return Column(key, label, words(contents, classes=classes), "asc", classes=classes)


def figures(
    key: str,
    label: str,
    values: Sequence[float | None],
    write: Callable[[Any], str],
    *,
    first: Literal["desc", "asc"] = "desc",
    hint: str = "",
) -> Column:
    """A column of numbers that nothing marks, sorted by them; ``write`` says how they are written."""
    return Column(key, label, words([write(v) for v in values], order=values, classes=""), first, hint=hint)


def fixed(key: str, label: str, contents: Sequence[str], *, classes: str = "", hint: str = "") -> Column:
    """A column that nothing is sorted by; ``contents`` are text or HTML."""
    return Column(key, label, plain(contents, classes), None, hint=hint, classes=classes)


def plot(scale: Scale, points: Sequence[StripDot], description: str, *, last: Sequence[StripDot] = ()) -> Column:
    """A column that draws the numbers beside it.

    Args:
        scale: of all of them.
        points: of the rows.
        description: in words, what is drawn how.
        last: of further rows, at the foot.
    """
    strips = plain([strip(scale, point) for point in (*points, *last)], "plot")
    label = Markup('<span class="hidden">Chart</span>')
    return Column("plot", label, strips, None, classes="plot", head=axis(scale, description))

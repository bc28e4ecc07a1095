"""How a column is made: at once for all rows, because what marks a cell depends on the others of its column.

Marks are the best, the shade of the heat map, and the place in the order that a browser sorts by.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from markupsafe import Markup, escape

from evalkit.leaderboard.pages.charts import Scale, StripDot, axis, strip
from evalkit.leaderboard.pages.grid import Cell, Column, attributes
from evalkit.leaderboard.wording import MISSING

SHADES = 9
"""Shades of the heat map: 0 at chance or below, 9 at the best of the column."""


def orders(values: Sequence[Any | None]) -> list[int | None]:
    """The place of each value in the order from the lowest, from 0; equal ones share theirs, missing ones have none.

    A browser sorts by these places, so that no number is read or compared there.
    """
    places = {value: place for place, value in enumerate(sorted({v for v in values if v is not None}))}
    return [places.get(value) for value in values]


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
        beside: what no mark is for, such as an interval and a bar.
    """

    value: float | None
    text: str
    tied: bool = False
    title: str = ""
    beside: Markup | None = None

    def whole(self, text: str) -> str:
        """The text, with its marks, and what is beside it."""
        return text if self.beside is None else Markup('<span class="v">{}</span>{}').format(text, self.beside)


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
                cell.whole(text),
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

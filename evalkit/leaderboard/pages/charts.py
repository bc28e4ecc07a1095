"""Charts as inline SVG, drawn from numbers that were worked out before. No style is written here, only classes.

A strip is the part of a chart that stands in a row of a table, beside the numbers that it draws; its axis stands in
the column's header and has the chart's description. Places across are per cent of the width, so that a strip is as
wide as its column is.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup

from evalkit.leaderboard.wording import percent, signed

_STEPS = (0.01, 0.02, 0.05, 0.1, 0.2, 0.25)  # between the marks of an axis of fractions
_MARKS = 5  # parts of an axis, at most


@dataclass(frozen=True)
class Scale:
    """From fractions to places across a chart.

    Attributes:
        low: at the left edge.
        high: at the right edge.
        parts: equal parts between the marks of the axis.
        differences: whether it is of differences, with 0 in the middle.
    """

    low: float
    high: float
    parts: int
    differences: bool = False

    @property
    def marks(self) -> tuple[float, ...]:
        """Where the axis has its marks."""
        return tuple(self.low + (self.high - self.low) * i / self.parts for i in range(self.parts + 1))

    def at(self, value: float) -> str:
        """A place, as SVG has it; what lies outside is drawn at the edge."""
        share = (value - self.low) / (self.high - self.low)
        return f"{100 * max(0.0, min(1.0, share)):.2f}".rstrip("0").rstrip(".") + "%"


def scale_of_scores(values: Sequence[float | None]) -> Scale:
    """From 0 to a round number that no value exceeds."""
    top = max((value for value in values if value is not None), default=0.0)
    for step in _STEPS:
        if (parts := max(1, math.ceil(top / step - 1e-9))) <= _MARKS:
            return Scale(0.0, step * parts, parts)
    return Scale(0.0, 1.0, _MARKS)


def scale_of_differences(values: Sequence[float | None]) -> Scale:
    """As far to the left of 0 as to the right, to a round number that no value exceeds."""
    top = max((abs(value) for value in values if value is not None), default=0.0)
    for step in (*_STEPS, 0.5):
        if (half := max(1, math.ceil(top / step - 1e-9))) <= 2:
            return Scale(-step * half, step * half, 2 * half, differences=True)
    return Scale(-1.0, 1.0, 4, differences=True)


def axis(scale: Scale, description: str) -> Markup:
    """The axis of a column of strips: its numbers, and in words what the strips draw."""
    marks = []
    for place in scale.marks:
        side = "start" if place == scale.low else "end" if place == scale.high else "middle"
        text = short(place, scale.differences)
        marks.append(f'<text x="{scale.at(place)}" y="11" text-anchor="{side}">{text}</text>')
    return Markup('<svg class="axis" role="img"><title>{}</title>{}</svg>').format(description, Markup("".join(marks)))


@dataclass(frozen=True)
class StripDot:
    """What a strip draws.

    Attributes:
        value: the dot; ``None``: there is none.
        low: left end of the whisker; ``None``: there is none.
        high: right end.
        kind: class of the dot: ``published``, ``knows-nothing``, ``partial``, ``not-told-apart``.
        chance: a dashed line.
        median: a short line.
    """

    value: float | None = None
    low: float | None = None
    high: float | None = None
    kind: str = ""
    chance: float | None = None
    median: float | None = None


def strip(scale: Scale, point: StripDot) -> Markup:
    """A dot with its whisker, and what it is to be compared with. Hidden from who does not see: the numbers are beside.

    Args:
        scale: of all strips of the column.
        point: what is drawn.
    """
    parts = []
    if scale.differences:
        parts.append('<line class="zero" x1="50%" x2="50%" y1="-8" y2="24"/>')
    if point.chance is not None:
        at = scale.at(point.chance)
        parts.append(f'<line class="chance" x1="{at}" x2="{at}" y1="-8" y2="24"/>')
    if point.median is not None:
        at = scale.at(point.median)
        parts.append(f'<line class="median" x1="{at}" x2="{at}" y1="1" y2="15"/>')
    own = f" {point.kind}" if point.kind else ""
    if point.low is not None and point.high is not None:
        ends = f'x1="{scale.at(point.low)}" x2="{scale.at(point.high)}"'
        parts.append(f'<line class="whisker{own}" {ends} y1="8" y2="8"/>')
    if point.value is not None:
        parts.append(f'<circle class="dot{own}" cx="{scale.at(point.value)}" cy="8" r="3.5"/>')
    return Markup(f'<svg class="strip" aria-hidden="true">{"".join(parts)}</svg>')


def bar(value: float, low: float | None, high: float | None) -> Markup:
    """A thin bar from 0 to 100 % with the whisker of the interval, below a number in a cell."""
    whisker = ""
    if low is not None and high is not None:
        left, right = _place(low), _place(high)
        whisker = f'<path d="M{left} 0V6M{left} 3H{right}M{right} 0V6"/>'
    return Markup(
        '<svg class="bar" viewBox="0 0 100 6" preserveAspectRatio="none" aria-hidden="true">'
        f'<rect y="1" width="{_place(value)}" height="4"/>{whisker}</svg>'
    )


def _place(value: float) -> str:
    return f"{100 * value:.1f}"


def short(value: float, differences: bool) -> str:
    """A mark of an axis: in percent, with a sign where it is a difference."""
    text = signed(value) if differences else percent(value)
    return text.removesuffix(".0")

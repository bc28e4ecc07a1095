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

from evalkit.leaderboard.wording import percent, shown, signed

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
        text = _short(place, scale.differences)
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


def _short(value: float, differences: bool) -> str:
    text = signed(value) if differences else percent(value)
    return text.removesuffix(".0")


# --- score against size --------------------------------------------------------------------------------


@dataclass(frozen=True)
class Dot:
    """A model in the chart of score against size.

    Attributes:
        label: its name.
        size: parameters in millions, above 0.
        value: a fraction.
        low: lower end of its interval; ``None`` where it is not known.
        high: upper end.
        kind: class of the dot.
    """

    label: str
    size: float
    value: float
    low: float | None
    high: float | None
    kind: str


_WIDTH, _HEIGHT = 760, 380
_LEFT, _RIGHT, _TOP, _BOTTOM = 44, 16, 16, 44
_TICKS = (1, 2, 5)
_LETTER = 6.4  # pixels of a letter of a label, about


def scatter(dots: Sequence[Dot], title: str, description: str, across: str, up: str) -> Markup:
    """Scores against numbers of parameters, on a logarithmic axis; named are those that no smaller model reaches.

    Args:
        dots: at least one.
        title: of the chart.
        description: in words, for who does not see it.
        across: what the horizontal axis is.
        up: what the vertical axis is.
    """
    scale = scale_of_scores([dot.high if dot.high is not None else dot.value for dot in dots])
    first, last = min(dot.size for dot in dots) / 1.5, max(dot.size for dot in dots) * 1.5
    width, height = _WIDTH - _LEFT - _RIGHT, _HEIGHT - _TOP - _BOTTOM

    def x(size: float) -> float:
        return _LEFT + width * math.log(size / first) / math.log(last / first)

    def y(value: float) -> float:
        return _TOP + height * (1 - (value - scale.low) / (scale.high - scale.low))

    parts = []
    for mark in scale.marks:
        parts.append(f'<line class="grid" x1="{_LEFT}" x2="{_WIDTH - _RIGHT}" y1="{y(mark):.1f}" y2="{y(mark):.1f}"/>')
        parts.append(f'<text x="{_LEFT - 8}" y="{y(mark) + 4:.1f}" text-anchor="end">{_short(mark, False)}</text>')
    for size in _sizes(first, last):
        name = f"{size:g} M" if size < 1000 else f"{size / 1000:g} B"
        parts.append(f'<line class="tick" x1="{x(size):.1f}" x2="{x(size):.1f}" y1="{y(0):.1f}" y2="{y(0) + 4:.1f}"/>')
        parts.append(f'<text x="{x(size):.1f}" y="{y(0) + 18:.1f}" text-anchor="middle">{name}</text>')
    for dot in dots:
        if dot.low is not None and dot.high is not None:
            at = f'x1="{x(dot.size):.1f}" x2="{x(dot.size):.1f}"'
            parts.append(f'<line class="whisker" {at} y1="{y(dot.low):.1f}" y2="{y(dot.high):.1f}"/>')
    labels = _Labels()
    for dot in dots:
        labels.taken.append((x(dot.size) - 4, x(dot.size) + 4, y(dot.value) - 4, y(dot.value) + 4))
        parts.append(
            Markup('<circle class="dot {}" cx="{}" cy="{}" r="4"><title>{}: {}</title></circle>').format(
                dot.kind, f"{x(dot.size):.1f}", f"{y(dot.value):.1f}", shown(dot.label), percent(dot.value)
            )
        )
    for dot in _unbeaten(dots):
        parts.append(labels.label(shown(dot.label), x(dot.size), y(dot.value)))
    parts.append(Markup('<text class="name" x="{}" y="{}">{}</text>').format(_LEFT, _HEIGHT - 6, across))
    head = Markup("<title>{}</title><desc>{}</desc>").format(title, description)
    body = Markup("").join(Markup(part) if isinstance(part, str) else part for part in parts)
    return Markup('<svg class="scatter" role="img" aria-label="{}" viewBox="0 0 {} {}">{}{}</svg>').format(
        f"{title}. {up} against {across}.", _WIDTH, _HEIGHT, head, body
    )


def _sizes(first: float, last: float) -> list[float]:
    powers = range(math.floor(math.log10(first)), math.ceil(math.log10(last)) + 1)
    found = [step * 10.0**power for power in powers for step in _TICKS]
    return [size for size in found if first <= size <= last]


def _unbeaten(dots: Sequence[Dot]) -> list[Dot]:
    """Those that no smaller one and none of the same size reaches, from the smallest."""
    found: list[Dot] = []
    for dot in sorted(dots, key=lambda dot: (dot.size, -dot.value, dot.label)):
        if not found or dot.value > found[-1].value:
            found.append(dot)
    return found


class _Labels:
    """Names beside dots, each where it covers nothing; a name that finds no place is left out."""

    def __init__(self) -> None:
        self.taken: list[tuple[float, float, float, float]] = []

    def label(self, text: str, x: float, y: float) -> Markup:
        text = text if len(text) <= 28 else text[:27] + "…"
        wide = _LETTER * len(text)
        for anchor, at, down in (("end", x - 8, -6), ("start", x + 8, 14), ("start", x + 8, -6), ("end", x - 8, 14)):
            left = at - wide if anchor == "end" else at
            box = (left, left + wide, y + down - 10, y + down + 3)
            inside = box[0] >= _LEFT and box[1] <= _WIDTH and box[2] >= _TOP - 12 and box[3] <= _HEIGHT - _BOTTOM
            if inside and not any(_overlap(box, other) for other in self.taken):
                self.taken.append(box)
                return Markup('<text class="label" x="{}" y="{}" text-anchor="{}">{}</text>').format(
                    f"{at:.1f}", f"{y + down:.1f}", anchor, text
                )
        return Markup("")


def _overlap(one: tuple[float, float, float, float], other: tuple[float, float, float, float]) -> bool:
    return one[0] < other[1] and other[0] < one[1] and one[2] < other[3] and other[2] < one[3]

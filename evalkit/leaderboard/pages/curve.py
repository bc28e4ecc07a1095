"""The curve of a model's scores against the dimension that its vectors were cut to, and the tables beside it."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from markupsafe import Markup

from evalkit.leaderboard.board import HEADLINES, Board, Entry, Mean, Score
from evalkit.leaderboard.pages.charts import Scale, scale_of_scores, short
from evalkit.leaderboard.pages.columns import fixed, heads
from evalkit.leaderboard.pages.grid import Column, Grid
from evalkit.leaderboard.pages.standing import Standing
from evalkit.leaderboard.wording import MISSING, called, interval, mark, percent, shown, whole

_WIDTH, _HEIGHT = 760, 320
_LEFT, _RIGHT, _TOP, _BOTTOM = 44, 168, 16, 44
_LINES = 6  # drawn at most
_LETTERS = 22  # of a line's name


@dataclass(frozen=True)
class CurvePoint:
    """A number at a dimension; fractions, ``None`` where there is none."""

    dimension: int
    value: float | None
    low: float | None
    high: float | None


@dataclass(frozen=True)
class CurveLine:
    """A line of the curve.

    Attributes:
        label: what the numbers are of.
        points: by dimension, from the smallest.
    """

    label: str
    points: Sequence[CurvePoint]

    @property
    def drawn(self) -> list[CurvePoint]:
        """Those that there is a number of."""
        return [point for point in self.points if point.value is not None]


def of_one_model(board: Board, entry: Entry) -> list[Entry]:
    """The entries that are one model at several dimensions, this one among them, from the smallest dimension.

    Its vectors were cut from the same ones: equal are fingerprint, version, how regions reached it, and all that the
    user chose beside the dimension. Empty where there is no second dimension.
    """
    if entry.run is None:
        return []
    found = {_dimension(other): other for other in board.entries if _whose(other) == _whose(entry)}
    found[_dimension(entry)] = entry
    return [found[dimension] for dimension in sorted(found)] if len(found) > 1 else []


def _dimension(entry: Entry) -> int:
    return entry.run[1].model.dimension if entry.run else 0


def _whose(entry: Entry) -> tuple[object, ...] | None:
    if entry.run is None:
        return None
    run = entry.run[1]
    settings = run.settings.model_copy(update={"dimension": None})
    return run.whole_model, run.model.fingerprint, run.evalkit_version, entry.prompting, entry.kind, settings


def curve(standing: Standing, entry: Entry) -> dict[str, Any] | None:
    """What a page has of a model's dimensions: the curve, a table of its numbers, one of all tasks.

    The curve is of the headline means; where they are not known at two dimensions, of tasks.

    Args:
        standing: of the board.
        entry: whose page it is; it is marked in the curve.

    Returns:
        ``drawn`` (SVG; ``None`` where nothing is there at two dimensions), ``means`` and ``tasks`` (tables; ``None``
        where there is nothing to stand in them); ``None`` where there is no second dimension.
    """
    board = standing.board
    entries = of_one_model(board, entry)
    if not entries:
        return None
    groups = [group for group in board.groups if any(_value(one.means.get(group.key)) is not None for one in entries)]
    cards = [card for card in board.cards if any(card.name in one.scores for one in entries)]
    headlines = [
        _line(entries, group.label, lambda one, key=group.key: one.means.get(key))  # type: ignore[misc]
        for group in groups
        if group.key in HEADLINES
    ]
    tasks = [
        _line(entries, called(card), lambda one, name=card.name: one.scores.get(name))  # type: ignore[misc]
        for card in cards
    ]
    lines = [line for line in headlines if len(line.drawn) > 1] or [line for line in tasks if len(line.drawn) > 1]
    own = [Markup("<b>{}</b>").format(whole(_dimension(one))) for one in entries]
    linked = [
        mine if one is entry else Markup('<a href="{}">{}</a>').format(standing.model(one), whole(_dimension(one)))
        for one, mine in zip(entries, own, strict=True)
    ]
    means = [Column("dimension", "Dimension", heads(linked), None, classes="name")]
    for group in groups:
        found = [one.means.get(group.key) for one in entries]
        means.append(fixed(f"mean-{group.key}", group.label, [_number(mean) for mean in found]))
        if group.key in HEADLINES:
            ends = [interval(mean.low, mean.high) if mean else MISSING for mean in found]
            means.append(fixed(f"interval-{group.key}", "95 % interval", ends))
    single = [Column("task", "Task", heads([standing.task_link(card) for card in cards]), None, classes="name")]
    single += [
        fixed(f"at-{_dimension(one)}", whole(_dimension(one)), [_number(one.scores.get(card.name)) for card in cards])
        for one in entries
    ]
    return {
        "drawn": drawn(lines[:_LINES], _dimension(entry)) if lines else None,
        "left": max(0, len(lines) - _LINES),
        "means": Grid("dimensions", "Means at each dimension, in percent", tuple(means)) if groups else None,
        "tasks": Grid("dimension-tasks", "Precision@1 of each task at each dimension, in percent", tuple(single))
        if cards
        else None,
    }


def _line(entries: Sequence[Entry], label: str, number: Callable[[Entry], Mean | Score | None]) -> CurveLine:
    points = []
    for one in entries:
        found = number(one)
        low, high = (None, None) if found is None else (found.low, found.high)
        points.append(CurvePoint(_dimension(one), _value(found), low, high))
    return CurveLine(label, points)


def _value(number: Mean | Score | None) -> float | None:
    return None if number is None else number.value


def _number(number: Mean | Score | None) -> str:
    return MISSING if number is None else percent(number.value) + mark(number)


def drawn(lines: Sequence[CurveLine], own: int) -> Markup:
    """Scores against dimensions on a logarithmic axis; every line is named at its end, and dashed in its own way.

    Args:
        lines: at least one, each with numbers at two dimensions or more.
        own: the dimension that the page is about.
    """
    points = [point for line in lines for point in line.drawn]
    scale = scale_of_scores([point.high if point.high is not None else point.value for point in points])
    dimensions = sorted({point.dimension for point in points})
    first, last = math.log(dimensions[0]), math.log(dimensions[-1])
    wide, high = _WIDTH - _LEFT - _RIGHT, _HEIGHT - _TOP - _BOTTOM

    def x(dimension: int) -> float:
        return _LEFT + wide * (math.log(dimension) - first) / (last - first)

    def y(value: float) -> float:
        return _TOP + high * (1 - (value - scale.low) / (scale.high - scale.low))

    parts = [*_axes(scale, dimensions, x, y)]
    for number, line in enumerate(lines):
        at = [(x(point.dimension), y(point.value), point) for point in line.drawn if point.value is not None]
        path = " ".join(f"{across:.1f},{up:.1f}" for across, up, _ in at)
        parts.append(Markup(f'<polyline class="line l{number}" points="{path}"/>'))
        for across, up, point in at:
            if point.low is not None and point.high is not None:
                ends = f'x1="{across:.1f}" x2="{across:.1f}" y1="{y(point.low):.1f}" y2="{y(point.high):.1f}"'
                parts.append(Markup(f'<line class="whisker l{number}" {ends}/>'))
            kind = "dot own" if point.dimension == own else "dot"
            parts.append(
                Markup('<circle class="{} l{}" cx="{}" cy="{}" r="{}"><title>{} at {}: {}</title></circle>').format(
                    kind,
                    number,
                    f"{across:.1f}",
                    f"{up:.1f}",
                    5 if point.dimension == own else 3.5,
                    shown(line.label),
                    whole(point.dimension),
                    percent(point.value),
                )
            )
    for line, up in zip(lines, _apart([y(line.drawn[-1].value or 0.0) for line in lines]), strict=True):
        label = line.label if len(line.label) <= _LETTERS else f"{line.label[: _LETTERS - 1]}…"
        parts.append(
            Markup('<text class="label" x="{}" y="{}">{}</text>').format(
                f"{x(line.drawn[-1].dimension) + 10:.1f}", f"{up + 4:.1f}", shown(label)
            )
        )
    axis = "dimension, on a logarithmic axis"
    parts.append(Markup('<text class="name" x="{}" y="{}">{}</text>').format(_LEFT, _HEIGHT - 6, axis))
    title = "Score against dimension"
    described = (
        "Dots: Precision@1 in percent. Whiskers: 95 % interval. Large dots: the dimension of this page. The same "
        "numbers stand in the table below."
    )
    return Markup(
        '<svg class="scatter curve" role="img" aria-label="{}" viewBox="0 0 {} {}"><title>{}</title><desc>{}</desc>{}'
        "</svg>"
    ).format(f"{title}. {described}", _WIDTH, _HEIGHT, title, described, Markup("").join(parts))


def _axes(
    scale: Scale, dimensions: Sequence[int], x: Callable[[int], float], y: Callable[[float], float]
) -> list[Markup]:
    parts = []
    for mark_ in scale.marks:
        ends = f'x1="{_LEFT}" x2="{_WIDTH - _RIGHT}" y1="{y(mark_):.1f}" y2="{y(mark_):.1f}"'
        parts.append(Markup(f'<line class="grid" {ends}/>'))
        text = f'<text x="{_LEFT - 8}" y="{y(mark_) + 4:.1f}" text-anchor="end">{short(mark_, False)}</text>'
        parts.append(Markup(text))
    taken = -math.inf
    for dimension in dimensions:
        at, name = x(dimension), whole(dimension)
        ends = f'x1="{at:.1f}" x2="{at:.1f}" y1="{y(scale.low):.1f}" y2="{y(scale.low) + 4:.1f}"'
        parts.append(Markup(f'<line class="tick" {ends}/>'))
        half = 3.5 * len(name)
        if at - half > taken:  # two dimensions that are close have one number
            taken = at + half + 4
            text = f'<text x="{at:.1f}" y="{y(scale.low) + 18:.1f}" text-anchor="middle">{name}</text>'
            parts.append(Markup(text))
    return parts


def _apart(places: Sequence[float], least: float = 14) -> list[float]:
    """Places of labels, moved down, and up again where there is no room, so that none covers another."""
    order = sorted(range(len(places)), key=lambda one: places[one])
    found = list(places)
    for before, one in pairwise(order):
        found[one] = max(found[one], found[before] + least)
    bottom = float(_HEIGHT - _BOTTOM)
    for one in reversed(order):
        found[one] = min(found[one], bottom)
        bottom = found[one] - least
    return found

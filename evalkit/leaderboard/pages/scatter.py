"""The chart of score against size, as inline SVG: what no smaller model reaches is named, where there is room."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup

from evalkit.leaderboard.board import Board
from evalkit.leaderboard.pages.charts import scale_of_scores, short
from evalkit.leaderboard.wording import count, percent, shown, size

_WIDTH, _HEIGHT = 760, 380
_LEFT, _RIGHT, _TOP, _BOTTOM = 44, 16, 16, 44
_TICKS = (1, 2, 5)
_LETTER = 6.4  # pixels of a letter of a label, about


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


def chart(board: Board) -> Markup | None:
    """The headline mean of a board against size, or ``None`` where too few sizes are known for a picture."""
    if not board.groups:
        return None
    group = board.groups[0]
    dots: list[Dot] = []
    for entry in board.entries:
        mean = entry.means.get(group.key)
        millions = size(entry.facts)
        if entry.knows_nothing or mean is None or mean.value is None or mean.apart is not None:
            continue
        if millions is None or millions <= 0:
            continue
        kind = "published" if entry.kind == "published" else ""
        dots.append(Dot(entry.label, millions, mean.value, mean.low, mean.high, kind))
    return scatter(dots, group.label) if len({dot.size for dot in dots}) >= 3 else None


def scatter(dots: Sequence[Dot], what: str) -> Markup:
    """Scores against numbers of parameters, on a logarithmic axis; named are those that no smaller model reaches.

    Args:
        dots: at least one.
        what: the tasks that the scores are means over.
    """
    title = f"{what} against size"
    description = (
        f"{count(len(dots), 'entry', 'entries')} whose size is known: the number of parameters, or else the size that "
        "the model's name says. The same scores stand in the table above."
    )
    across = "parameters, on a logarithmic axis"
    up = f"mean Precision@1 over {what} in percent"
    scale = scale_of_scores([dot.high if dot.high is not None else dot.value for dot in dots])
    first, last = min(dot.size for dot in dots) / 1.5, max(dot.size for dot in dots) * 1.5
    width, height = _WIDTH - _LEFT - _RIGHT, _HEIGHT - _TOP - _BOTTOM

    def x(millions: float) -> float:
        return _LEFT + width * math.log(millions / first) / math.log(last / first)

    def y(value: float) -> float:
        return _TOP + height * (1 - (value - scale.low) / (scale.high - scale.low))

    parts = []
    for mark in scale.marks:
        parts.append(f'<line class="grid" x1="{_LEFT}" x2="{_WIDTH - _RIGHT}" y1="{y(mark):.1f}" y2="{y(mark):.1f}"/>')
        parts.append(f'<text x="{_LEFT - 8}" y="{y(mark) + 4:.1f}" text-anchor="end">{short(mark, False)}</text>')
    for at in _sizes(first, last):
        name = f"{at:g} M" if at < 1000 else f"{at / 1000:g} B"
        parts.append(f'<line class="tick" x1="{x(at):.1f}" x2="{x(at):.1f}" y1="{y(0):.1f}" y2="{y(0) + 4:.1f}"/>')
        parts.append(f'<text x="{x(at):.1f}" y="{y(0) + 18:.1f}" text-anchor="middle">{name}</text>')
    for dot in dots:
        if dot.low is not None and dot.high is not None:
            ends = f'x1="{x(dot.size):.1f}" x2="{x(dot.size):.1f}"'
            parts.append(f'<line class="whisker" {ends} y1="{y(dot.low):.1f}" y2="{y(dot.high):.1f}"/>')
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
    return [at for at in found if first <= at <= last]


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

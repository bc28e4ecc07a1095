"""What the pages of comparisons show: the matrix of all pairs, and a page for each pair with its forest plot."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from markupsafe import Markup

from evalkit.leaderboard.board import Board, Difference, Entry, Pairing
from evalkit.leaderboard.numbers.comparing import ALPHA
from evalkit.leaderboard.numbers.measured import by_reason
from evalkit.leaderboard.pages import charts
from evalkit.leaderboard.pages.columns import figures, fixed, heads, plot, texts
from evalkit.leaderboard.pages.grid import Cell, Column, Grid, attributes
from evalkit.leaderboard.pages.listing import HEADLINE
from evalkit.leaderboard.pages.standing import Standing
from evalkit.leaderboard.wording import MISSING, breakable, link, p_value, shown, signed, signed_interval, whole

_SAID = 5  # own tasks that a sentence each says who is ahead on


def pair_page(board: Board, comparison: Pairing) -> dict[str, Any]:
    """All about a pair, as ``pair.html`` takes it."""
    standing = Standing(board)
    pair = _Sides(standing.entries[comparison.new], standing.entries[comparison.base])
    labels = {group.key: group.label for group in board.groups}
    linked = Markup('<a href="{}">{}</a>')
    groups = {group.key: linked.format(standing.group(group), breakable(group.label)) for group in board.groups}
    tasks = {card.name: standing.task_link(card) for card in board.cards}
    drawn = (*comparison.groups, *comparison.tasks)
    scale = charts.scale_of_differences([end for one in drawn for end in (one.value, one.low, one.high)])
    return {
        "base": pair.base,
        "new": pair.new,
        "groups": _grid("groups", comparison.groups, groups, scale, pair, means=True) if comparison.groups else None,
        "tasks": _grid("tasks", comparison.tasks, tasks, scale, pair, means=not board.own)
        if comparison.tasks
        else None,
        "verdicts": [
            pair.said(one, labels.get(one.where, one.where))
            for one in (comparison.groups[:2] if board.groups else comparison.tasks[:_SAID])
        ],
        "incomparable": comparison.incomparable,
    }


def is_sure(difference: Difference) -> bool:
    """Whether it can be told who is ahead, by the adjusted p-value."""
    return difference.adjusted is not None and difference.adjusted < ALPHA


@dataclass(frozen=True)
class _Sides:
    """The entries of a pair; differences are those of the new one less the base."""

    new: Entry
    base: Entry

    def ahead(self, difference: Difference) -> Markup | None:
        """The name of the one that is ahead, or ``None`` where the two are not told apart."""
        return link((self.new if difference.value > 0 else self.base).label, None) if is_sure(difference) else None

    def said(self, difference: Difference, where: str) -> Markup:
        """What can be said of a mean, in a sentence."""
        if difference.wins == difference.losses == 0:
            return Markup("{}: no query has another score.").format(where)
        span = f"{signed(difference.value)} points, 95 % interval {_interval(difference)}"
        if (ahead := self.ahead(difference)) is None:
            return Markup("{}: not told apart ({}).").format(where, span)
        return Markup("{}: {} is ahead ({}).").format(where, ahead, span)


def _interval(difference: Difference) -> str:
    """Its interval, or that nothing is known of its spread."""
    if difference.low is None or difference.high is None:
        return MISSING
    return signed_interval(difference.low, difference.high)


def _grid(
    kind: str,
    differences: Sequence[Difference],
    names: dict[str, Markup],
    scale: charts.Scale,
    pair: _Sides,
    *,
    means: bool,
) -> Grid:
    drawn = [charts.StripDot(d.value, d.low, d.high, "" if is_sure(d) else "not-told-apart") for d in differences]
    described = (
        "Dots: difference of Precision@1 in percentage points, the first name less the second. "
        "Whiskers: 95 % interval. Right of 0 the first is ahead, left of it the second. Filled: told apart; open: not."
    )
    where = heads([names.get(d.where) or breakable(d.where) for d in differences])
    wins, losses = (f"queries that {shown(side.label)} scores higher on" for side in (pair.new, pair.base))
    columns = (
        Column("where", "Mean over" if kind == "groups" else "Task", where, "asc", classes="name"),
        figures("difference", "Difference", [d.value for d in differences], signed, hint="percentage points"),
        fixed("interval", "95 % interval", [_interval(d) for d in differences]),
        plot(scale, drawn, described),
        texts("ahead", "Ahead", [pair.ahead(d) or "not told apart" for d in differences]),
        figures("wins", "Wins", [d.wins for d in differences], whole, hint=wins),
        figures("losses", "Losses", [d.losses for d in differences], whole, hint=losses),
        figures("p", "p", [d.p_value for d in differences], p_value, first="asc"),
        figures(
            "adjusted",
            "p, adjusted",
            [d.adjusted for d in differences],
            p_value,
            first="asc",
            hint=f"after Holm over the {'means and ' if means else ''}tasks of this page",
        ),
    )
    caption = f"Differences of {'means over tasks' if kind == 'groups' else 'single tasks'}, in percentage points"
    return Grid(kind, caption, columns, noun=("task", "tasks"), looks="plots")


# --- the matrix -----------------------------------------------------------------------------------------


def matrices(board: Board) -> list[tuple[str, Grid]]:
    """Differences of all pairs, for each headline group whose mean any two can be compared on; for each own task.

    A table has a row and a column for each entry; a cell is what the row's entry is ahead of the column's. Before each
    stands what it is of.
    """
    standing = Standing(board)
    found: list[tuple[str, Grid]] = []
    for key, label in _compared_on(board):
        pairs: dict[tuple[str, str], tuple[float, bool, str]] = {}
        for comparison in board.comparisons:
            differences = comparison.tasks if board.own else comparison.groups
            own = next((d for d in differences if d.where == key), None)
            if own is not None:
                href, apart = standing.pair(comparison), is_sure(own)
                pairs[comparison.new, comparison.base] = (own.value, apart, href)
                pairs[comparison.base, comparison.new] = (-own.value, apart, href)
        if pairs:
            found.append(
                (label, _matrix(standing, f"matrix-{len(found)}" if board.own else f"matrix-{key}", label, pairs))
            )
    return found


def _compared_on(board: Board) -> list[tuple[str, str]]:
    """Keys and labels of the headline groups; names of tasks, twice, where there are none."""
    if board.own:
        return [(card.name, card.name) for card in board.cards]
    return [(group.key, group.label) for group in board.groups if group.key in HEADLINE]


def not_compared(board: Board) -> list[tuple[Entry, Entry, str]]:
    """Pairs that have no page as they have no task in common on the same data: the new one, the base, and why."""
    entries = Standing(board).entries
    return [
        (entries[pair.new], entries[pair.base], by_reason(pair.incomparable))
        for pair in board.comparisons
        if not pair.compared
    ]


def _matrix(standing: Standing, name: str, label: str, pairs: dict[tuple[str, str], tuple[float, bool, str]]) -> Grid:
    entries = [entry for entry in standing.board.entries if any(entry.slug in pair for pair in pairs)]
    rows = heads([standing.link(entry) for entry in entries])
    columns = [Column("row", "Ahead of →", rows, None, classes="name")]
    for number, other in enumerate(entries):
        cells = [_cell(pairs.get((entry.slug, other.slug)), entry, other) for entry in entries]
        columns.append(Column(f"c{number}", link(other.label, None), cells, None))
    caption = f"{label}: what the row's entry has more than the column's, in percentage points"
    return Grid(name, caption, tuple(columns), looks="matrix")


def _cell(pair: tuple[float, bool, str] | None, entry: Entry, other: Entry) -> Cell:
    if entry is other:
        return Cell("", attributes({"class": "same"}))
    if pair is None:
        return Cell(MISSING, attributes({"title": "not all tasks in common on the same data"}))
    value, apart, href = pair
    side = ("ahead" if value > 0 else "behind") if apart else "level"
    verdict = "told apart" if apart else "not told apart"
    about = f"{shown(entry.label)} against {shown(other.label)}: {signed(value)}, {verdict}"
    text = Markup('<a href="{}" aria-label="{}">{}</a>').format(href, about, signed(value))
    return Cell(text, attributes({"class": side}))

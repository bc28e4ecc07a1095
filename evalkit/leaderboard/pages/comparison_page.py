"""What the pages of comparisons show: the matrix of all pairs, and a page for each pair with its forest plot."""

from __future__ import annotations

from dataclasses import dataclass

from markupsafe import Markup

from evalkit.leaderboard.board import Board, Difference, Entry, Pairing
from evalkit.leaderboard.numbers.measured import by_reason
from evalkit.leaderboard.pages import charts
from evalkit.leaderboard.pages.grid import Cell, Column, Grid, attributes, heads, plain, plot, words
from evalkit.leaderboard.pages.listing import HEADLINE, Standing
from evalkit.leaderboard.wording import MISSING, breakable, link, p_value, path, shown, signed, signed_interval

_LEVEL = 0.05


def pair_path(comparison: Pairing) -> str:
    """The file of a pair's page, in its board's folder."""
    return path(f"compare-{comparison.base}-and-{comparison.new}.html")


@dataclass(frozen=True)
class PairPage:
    """A page of two entries.

    Attributes:
        base: name with link.
        new: name with link.
        title: of the page, as text.
        groups: differences of means.
        tasks: differences of single tasks; ``None`` where there is none.
        verdicts: what can be said, in sentences.
        incomparable: task and reason.
    """

    base: Markup
    new: Markup
    title: tuple[str, str]
    groups: Grid | None
    tasks: Grid | None
    verdicts: tuple[Markup, ...]
    incomparable: tuple[tuple[str, str], ...]


def pair_page(board: Board, comparison: Pairing) -> PairPage:
    """All about a pair."""
    standing = Standing(board)
    entries = {entry.slug: entry for entry in board.entries}
    base, new = entries[comparison.base], entries[comparison.new]
    labels = {group.key: (group.label, standing.group(group)) for group in board.groups}
    names = {card.name: (card.subset, standing.task(card)) for card in board.cards}
    drawn = (*comparison.groups, *comparison.tasks)
    ends = [end for one in drawn for end in (one.value, one.low, one.high) if end is not None]
    scale = charts.scale_of_differences(ends)
    return PairPage(
        base=link(base.label, standing.model(base)),
        new=link(new.label, standing.model(new)),
        title=(shown(new.label), shown(base.label)),
        groups=_grid(comparison.groups, labels, scale, "groups", new, base) if comparison.groups else None,
        tasks=_grid(comparison.tasks, names, scale, "tasks", new, base) if comparison.tasks else None,
        verdicts=tuple(_said(difference, labels, new, base) for difference in comparison.groups[:2]),
        incomparable=tuple((task, shown(why)) for task, why in comparison.incomparable.items()),
    )


def told_apart(difference: Difference) -> bool:
    """Whether it can be told who is ahead, by the adjusted p-value."""
    return difference.adjusted is not None and difference.adjusted < _LEVEL


def _interval(difference: Difference) -> str:
    """Its interval, or that nothing is known of its spread."""
    if difference.low is None or difference.high is None:
        return MISSING
    return signed_interval(difference.low, difference.high)


def _said(difference: Difference, labels: dict[str, tuple[str, str]], new: Entry, base: Entry) -> Markup:
    where = labels.get(difference.where, (difference.where, ""))[0]
    if difference.wins == difference.losses == 0:
        return Markup("{}: no query has another score.").format(where)
    span = f"{signed(difference.value)} points, 95 % interval {_interval(difference)}"
    if not told_apart(difference):
        return Markup("{}: not told apart ({}).").format(where, span)
    ahead = new if difference.value > 0 else base
    return Markup("{}: <bdi>{}</bdi> is ahead ({}).").format(where, shown(ahead.label), span)


def _grid(
    differences: tuple[Difference, ...],
    names: dict[str, tuple[str, str]],
    scale: charts.Scale,
    kind: str,
    new: Entry,
    base: Entry,
) -> Grid:
    def ahead(difference: Difference) -> str:
        if not told_apart(difference):
            return "not told apart"
        return link((new if difference.value > 0 else base).label, None)

    def numbers(texts: list[str], order: list[float | None]) -> list[Cell]:
        return words(texts, order=order, classes="")

    linked = []
    for difference in differences:
        text, href = names.get(difference.where, (difference.where, ""))
        label = breakable(text)
        linked.append(Markup('<a href="{}">{}</a>').format(href, label) if href else label)
    drawn = [charts.StripDot(d.value, d.low, d.high, "" if told_apart(d) else "not-told-apart") for d in differences]
    described = (
        "Dots: difference of Precision@1 in percentage points, the first name less the second. "
        "Whiskers: 95 % interval. Right of 0 the first is ahead, left of it the second. Filled: told apart; open: not."
    )
    values: list[float | None] = [d.value for d in differences]
    verdicts = [ahead(difference) for difference in differences]
    columns = [
        Column("where", "Mean over" if kind == "groups" else "Task", heads(linked), "asc", classes="name"),
        Column("difference", "Difference", numbers([signed(v) for v in values], values), hint="percentage points"),
        Column("interval", "95 % interval", plain([_interval(d) for d in differences]), None),
        plot(scale, drawn, described),
        Column("ahead", "Ahead", words(verdicts), "asc", classes="t"),
    ]
    adjusted = [d.adjusted for d in differences]
    p_values: list[float | None] = [d.p_value for d in differences]
    columns += [
        _count("wins", "Wins", [d.wins for d in differences], new),
        _count("losses", "Losses", [d.losses for d in differences], base),
        Column("p", "p", numbers([p_value(p) for p in p_values], p_values), "asc"),
        Column(
            "adjusted",
            "p, adjusted",
            numbers([p_value(p) for p in adjusted], adjusted),
            "asc",
            hint="after Holm over the means and tasks of this page",
        ),
    ]
    caption = f"Differences of {'means over tasks' if kind == 'groups' else 'single tasks'}, in percentage points"
    return Grid(
        kind, caption, tuple(columns), tuple(Markup() for _ in differences), noun=("task", "tasks"), looks="plots"
    )


def _count(key: str, label: str, values: list[int], of: Entry) -> Column:
    texts = [f"{value:,}" for value in values]
    hint = f"queries that {shown(of.label)} scores higher on"
    return Column(key, label, words(texts, order=values, classes=""), hint=hint)


# --- the matrix -----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Matrix:
    """All pairs that have a page, by the difference of one group's mean.

    Attributes:
        label: of the group.
        grid: a row and a column for each entry; a cell is what the row's entry is ahead of the column's.
    """

    label: str
    grid: Grid


def matrices(board: Board) -> tuple[Matrix, ...]:
    """One for each headline group that any two entries can be compared on."""
    found = []
    for group in board.groups:
        if group.key not in HEADLINE:
            continue
        pairs: dict[tuple[str, str], tuple[float, bool, str]] = {}
        for comparison in board.comparisons:
            own = next((d for d in comparison.groups if d.where == group.key), None)
            if own is not None:
                href, apart = pair_path(comparison), told_apart(own)
                pairs[comparison.new, comparison.base] = (own.value, apart, href)
                pairs[comparison.base, comparison.new] = (-own.value, apart, href)
        if pairs:
            found.append(Matrix(group.label, _matrix(board, group.key, group.label, pairs)))
    return tuple(found)


def not_compared(board: Board) -> tuple[tuple[Markup, Markup, str], ...]:
    """Pairs that have no page as they have no task in common on the same data: both names, and why on their tasks."""
    standing = Standing(board)
    entries = {entry.slug: entry for entry in board.entries}
    found = []
    for pair in board.comparisons:
        if not pair.compared:
            names = [link(entries[slug].label, standing.model(entries[slug])) for slug in (pair.new, pair.base)]
            found.append((names[0], names[1], shown(by_reason(pair.incomparable))))
    return tuple(found)


def _matrix(board: Board, key: str, label: str, pairs: dict[tuple[str, str], tuple[float, bool, str]]) -> Grid:
    standing = Standing(board)
    entries = [entry for entry in board.entries if any(entry.slug in pair for pair in pairs)]
    rows = heads([link(entry.label, standing.model(entry)) for entry in entries])
    columns = [Column("row", "Ahead of →", rows, None, classes="name")]
    for number, other in enumerate(entries):
        cells = [_cell(pairs.get((entry.slug, other.slug)), entry, other) for entry in entries]
        columns.append(Column(f"c{number}", link(other.label, None), cells, None))
    caption = f"{label}: what the row's entry has more than the column's, in percentage points"
    return Grid(f"matrix-{key}", caption, tuple(columns), tuple(Markup() for _ in entries), looks="matrix")


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

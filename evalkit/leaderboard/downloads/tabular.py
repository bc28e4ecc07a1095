"""The tables of a board as plain cells: what Markdown and LaTeX have, each in its own writing."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from evalkit.leaderboard.board import HEADLINES, Board, Entry, Group, Mean, Score
from evalkit.leaderboard.numbers.drafts import cut
from evalkit.leaderboard.wording import coverage, interval, mark, ordered, origin, outside, parameters, percent

NONE = "–"
_TITLE = 120  # characters of a task's title
WITHOUT_TABLE = ("general", "ind", "ood")
"""Groups of tasks that stand in the tables of others."""


@dataclass(frozen=True)
class TextCell:
    """One entry of a table; its text is not escaped.

    Attributes:
        text: as it is shown.
        strong: the highest of its column.
        slanted: the best measured entry of its column, or not told apart from it.
        notes: numbers of footnotes.
        href: https, where it is a link.
    """

    text: str
    strong: bool = False
    slanted: bool = False
    notes: tuple[int, ...] = ()
    href: str | None = None


@dataclass(frozen=True)
class TextColumn:
    """A column: its header, whether it is aligned to the right, its cells from top to bottom."""

    header: str
    number: bool
    cells: tuple[TextCell, ...]


@dataclass(frozen=True)
class Table:
    """A table.

    Attributes:
        key: of the group; ``headline`` for that of all.
        caption: for people.
        columns: the first has the names of the entries.
        foot: how many rows at the end are baselines and chance.
    """

    key: str
    caption: str
    columns: tuple[TextColumn, ...]
    foot: int

    @property
    def rows(self) -> list[tuple[TextCell, ...]]:
        """The cells row by row, without the header."""
        return list(zip(*(column.cells for column in self.columns), strict=True))


def tables(board: Board) -> tuple[Table, ...]:
    """The headline table with all entries, then one of each meta-task with those that have a score in it."""
    found = [_headline(board)]
    own = [group for group in board.groups if group.key not in WITHOUT_TABLE]
    shown = {task for group in own for task in group.tasks}
    own += [group for group in board.groups if group.key == "general" and not shown.issuperset(group.tasks)]
    for group in own:
        entries = [entry for entry in board.entries if any(task in _there(entry) for task in group.tasks)]
        if entries:
            found.append(_tasks(board, group, entries))
    return tuple(found)


def legend(board: Board) -> tuple[str, ...]:
    """What the marks of the tables mean, as far as there are any."""
    scores = [score for entry in board.entries for score in entry.scores.values()]
    p1 = [score.result.metrics["precision_at_1"] for score in scores if score.result and score.result.metrics]
    ranked = any(rank for entry in board.entries for rank in entry.ranks.values())
    means = "" if board.own else " Means are unweighted over tasks and need all of them."
    lines = [
        "Precision@1 in percent: the chance that the right candidate comes first when equal scores are put in random "
        f"order.{means} Bold: the highest of a column.",
    ]
    if board.own:
        lines += _of_own(board)
    if ranked:
        lines.append(
            "Intervals are 95 %. A rank is a range: best and worst place in 95 % of 2,000 bootstrap resamples of the "
            "queries, the same queries for all measured entries."
        )
    if any(score.tied_with_best for score in scores):
        lines.append(
            "Italic: the best measured entry of a task, and those that a paired test on the same queries does not tell "
            "apart from it (5 %, Holm)."
        )
    if any(percent(value.optimistic) != percent(value.value) for value in p1):
        brackets = "[In square brackets]" if board.own else "(In brackets)"
        lines.append(
            f"{brackets} with the right candidate first among equal scores, the most that ties allow, where that "
            "changes the number."
        )
    if not all(value.above_chance for value in p1):
        lines.append("* not above chance: the 95 % interval reaches down to what knows nothing.")
    if not all(score.complete for score in scores):
        lines.append(f"† not all queries of the task{'' if board.own else ' of today, so no part of any mean'}.")
    apart = {why.kind for entry in board.entries for why in entry.apart.values()}
    if "other data" in apart:
        lines.append(
            "‡ on other data than the ranked entries, or asked otherwise, so neither ranked nor compared with them; "
            "footnotes say what differs."
        )
    if "claimed" in apart:
        lines.append(
            "Claimed: not measured. The run's samples are not there, so the number cannot be checked; it is "
            + ("held against no other." if board.own else "part of no mean, and has no rank.")
        )
    if any(entry.kind == "published" for entry in board.entries):
        lines.append(
            "Published: numbers of a paper or another leaderboard, not measured by evalkit; ° its own mean, whose "
            "tasks it does not give. Their intervals and ranks are worked out as if each query were right or wrong, "
            "and know of no other spread than that of sampling queries."
        )
    if any(entry.knows_nothing for entry in board.entries):
        rank = "" if board.own else " and have no rank"
        lines.append(f"random and constant know nothing; they are there to compare with{rank}.")
    return tuple(lines)


def _of_own(board: Board) -> list[str]:
    """What there is to say of people's own tasks, which nobody else describes."""
    said = [f"In parentheses: 95 % intervals. {ordered(board)}"]
    for card in board.cards:
        title = cut(card.title, _TITLE)
        facts = [f"{card.queries:,} queries", f"version {card.version}"]
        said.append(f"{card.name}: {f'{title} ' if title else ''}({', '.join(facts)})")
    return said


def _headline(board: Board) -> Table:
    entries, groups = board.entries, {group.key: group for group in board.groups}
    columns = [_names(board, entries)]
    for key in HEADLINES:
        if group := groups.get(key):
            columns += [_ranks(board, entries, group), _means(board, entries, group, with_interval=True)]
    columns += [_means(board, entries, group) for group in board.groups if group.key not in HEADLINES]
    if board.own:
        columns += [_of_task(board, entries, card.name, card.name, with_interval=True) for card in board.cards]
    of_entries: dict[str, Callable[[Entry], str]] = {
        "Tasks": lambda entry: coverage(entry, len(board.cards)),
        "Regions by": lambda entry: entry.prompting or NONE,
        "MMEB-train": lambda entry: NONE if board.own else entry.facts.trained_on_mmeb,
        "Parameters": lambda entry: parameters(entry.facts.parameters) if entry.facts.parameters else NONE,
        "Dimension": lambda entry: str(entry.facts.dimension) if entry.facts.dimension else NONE,
        "Licence": lambda entry: entry.facts.licence or NONE,
    }
    for header, text in of_entries.items():
        cells = [TextCell(text(entry)) for entry in entries]
        if board.own and all(cell.text == NONE for cell in cells):
            continue
        columns.append(_column(board, header, cells, number=header in ("Tasks", "Parameters", "Dimension")))
    columns.append(_column(board, "Numbers", [_origin(entry) for entry in entries], number=False))
    return Table("headline", f"{board.title}: all entries", tuple(columns), _foot(board, entries))


def _tasks(board: Board, group: Group, entries: Sequence[Entry]) -> Table:
    by_region = any(entry.prompting for entry in entries) and group.key == "interactive"
    columns = [_names(board, entries), _means(board, entries, group)]
    subsets = {card.name: card.subset for card in board.cards}
    columns += [_of_task(board, entries, task, subsets[task]) for task in group.tasks]
    if by_region:
        cells = [TextCell(entry.prompting or NONE) for entry in entries]
        columns.insert(1, _column(board, "Regions by", cells, number=False))
    return Table(group.key, f"{group.label}: Precision@1 of each task", tuple(columns), _foot(board, entries))


def _of_task(
    board: Board, entries: Sequence[Entry], task: str, header: str, *, with_interval: bool = False
) -> TextColumn:
    best = _best(entries, [_counted(entry, task) for entry in entries])
    cells = [_score(entry, task, i in best, with_interval) for i, entry in enumerate(entries)]
    return _column(board, header, cells, chance=board.chance.get(task))


def _names(board: Board, entries: Sequence[Entry]) -> TextColumn:
    cells = [TextCell(entry.label) for entry in entries]
    return TextColumn("Model", False, (*cells, *([TextCell("Chance")] if board.chance else [])))


def _ranks(board: Board, entries: Sequence[Entry], group: Group) -> TextColumn:
    cells = [TextCell(str(entry.ranks.get(group.key) or NONE)) for entry in entries]
    return _column(board, f"{group.label}: rank", cells)


def _means(board: Board, entries: Sequence[Entry], group: Group, *, with_interval: bool = False) -> TextColumn:
    best = _best(entries, [None if entry.means[group.key].apart else entry.means[group.key].value for entry in entries])
    cells = [_mean(entry.means[group.key], i in best, with_interval) for i, entry in enumerate(entries)]
    return _column(board, group.label, cells, chance=group.chance)


def _mean(mean: Mean, strong: bool, with_interval: bool) -> TextCell:
    if mean.value is None:
        return TextCell(NONE, notes=mean.notes)
    text = percent(mean.value) + ("°" if mean.reported else "") + mark(mean)
    if with_interval and mean.low is not None:
        text += f" ({interval(mean.low, mean.high)})"
    return TextCell(text, strong, notes=mean.notes)


def _score(entry: Entry, task: str, strong: bool, with_interval: bool) -> TextCell:
    """A score with its marks; beside its interval what ties allow stands in square brackets."""
    score = entry.scores.get(task)
    if score is None:
        return TextCell("failed" if task in entry.failures else NONE)
    if score.claimed:
        return TextCell(f"{percent(score.value)} claimed")
    text = percent(score.value) + mark(score)
    if score.result and score.result.metrics:
        p1 = score.result.metrics["precision_at_1"]
        text += "" if p1.above_chance else "*"
        most = "" if percent(p1.optimistic) == percent(p1.value) else percent(p1.optimistic)
        text += f" ({interval(score.low, score.high)})" if with_interval else ""
        text += "" if not most else f" [{most}]" if with_interval else f" ({most})"
    return TextCell(text, strong, score.tied_with_best)


def _origin(entry: Entry) -> TextCell:
    """Measured, claimed or published, with a link to the first source that has an address."""
    return TextCell(origin(entry), href=next((url for source in entry.sources if (url := outside(source.url))), None))


def _column(
    board: Board, header: str, cells: Sequence[TextCell], *, number: bool = True, chance: float | None = None
) -> TextColumn:
    """A column with the row of chance, where the board has one."""
    last = [TextCell(NONE if chance is None else percent(chance))] if board.chance else []
    return TextColumn(header, number, (*cells, *last))


def _there(entry: Entry) -> set[str]:
    return {*entry.scores, *entry.failures}


def _counted(entry: Entry, task: str) -> float | None:
    score: Score | None = entry.scores.get(task)
    return score.value if score and score.counts else None


def _best(entries: Sequence[Entry], values: Sequence[float | None]) -> set[int]:
    """Rows of the highest value, of those that have to know something; none where there is no contest."""
    there = {i: v for i, v in enumerate(values) if v is not None and not entries[i].knows_nothing}
    return {i for i, value in there.items() if value == max(there.values())} if len(there) > 1 else set()


def _foot(board: Board, entries: Sequence[Entry]) -> int:
    return sum(entry.knows_nothing for entry in entries) + bool(board.chance)

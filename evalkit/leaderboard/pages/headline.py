"""The tables of all entries of a board: the headline table, and one of each group of tasks."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from markupsafe import Markup

from evalkit.leaderboard.board import Board, Entry, Group
from evalkit.leaderboard.pages import charts
from evalkit.leaderboard.pages.columns import NumberCell, numbers, words
from evalkit.leaderboard.pages.grid import Cell, Column, Grid, Section, fold
from evalkit.leaderboard.pages.listing import (
    HEADLINE,
    choices,
    names,
    notes,
    row,
    why_apart,
    why_no_mean,
    why_no_score,
)
from evalkit.leaderboard.pages.standing import Standing
from evalkit.leaderboard.wording import (
    APART,
    MISSING,
    PARTIAL,
    breakable,
    called,
    coverage,
    file_part,
    interval,
    key,
    mark,
    ordered,
    parameters,
    percent,
    shown,
    whole,
)
from evalkit.suites.card import TaskCard

_DISTRIBUTION = ("ind", "ood")


def marks(board: Board) -> Markup:
    """What the marks of a board's tables mean, as far as there are any."""
    entries = board.entries
    apart = {why.kind for entry in entries for why in entry.apart.values()}
    found: list[str] = [Markup("<b>Bold</b>: the highest of its column.")]
    if any(score.tied_with_best for entry in entries for score in entry.scores.values()):
        found.append(
            Markup(
                "<i>Slanted and dotted</i>: the best measured entry of a task, and those not told apart from it on the "
                "same queries."
            )
        )
    found.append(Markup("—: no number; its title says why."))
    if any(mean.reported for entry in entries for mean in entry.means.values()):
        found.append("°: a mean as its source reports it, without its tasks.")
    if not all(score.complete for entry in entries for score in entry.scores.values()):
        found.append(f"{PARTIAL}: not all queries of the task{'' if board.own else ', part of no mean'}.")
    if "other data" in apart:
        found.append(
            f"{APART['other data']}: on other data than the ranked entries; neither ranked nor compared with them."
        )
    if "claimed" in apart:
        more = "" if board.own else "; part of no mean"
        found.append(f"{APART['claimed']}: claimed, not measured: its samples are not there{more}.")
    return Markup(" ").join(found)


def headline(board: Board, home: str) -> Grid:
    """The table of the index: all entries, all means, and all tasks in sections that fold.

    Args:
        board: whose.
        home: what leads from the index to the folder of the board's pages.
    """
    standing = Standing(board, home)
    if board.own:
        return _of_own(standing)
    groups = {group.key: group for group in board.groups}
    cards = {card.name: card for card in board.cards}
    general, interactive = groups.get("general"), groups.get("interactive")
    distribution = [groups[name] for name in _DISTRIBUTION if name in groups]
    sections = [
        (Section("head", ""), [*([_ranks(standing, general)] if general else []), names(standing)]),
        (Section("headline", "Mean"), [_linked_mean(standing, g, bar=True) for g in (general, interactive) if g]),
    ]
    for group in board.groups:
        if group.key not in (*HEADLINE, *_DISTRIBUTION):
            tasks = [_task(standing, cards[name], group.key) for name in group.tasks]
            section = Section(group.key, group.label, folds=True, link=standing.group(group))
            sections.append((section, [_mean(standing, group, "Mean"), *tasks]))
    sections.append((Section("distribution", "By distribution"), [_linked_mean(standing, g) for g in distribution]))
    if interactive:
        tasks = [_ranks(standing, interactive), *(_task(standing, cards[name]) for name in interactive.tasks)]
        section = Section("interactive", f"{interactive.label} by task", link=standing.group(interactive))
        sections.append((section, tasks))
    placed = {name for group in board.groups if group.key not in ("general", *_DISTRIBUTION) for name in group.tasks}
    rest = [_task(standing, card) for card in board.cards if card.name not in placed]
    sections += [(Section("tasks", "Tasks"), rest), (Section("about", "About the model"), _about(standing))]
    columns = [replace(column, section=section.key) for section, own in sections for column in own]
    caption = f"{shown(board.title)}: mean Precision@1 in percent"
    return replace(_table(standing, board.key, caption, columns), sections=tuple(section for section, _ in sections))


def _of_own(standing: Standing) -> Grid:
    """The table of people's own tasks: no means and no ranks, and so the interval of every score."""
    board = standing.board
    tasks = [_task(standing, card, wide=True) for card in board.cards]
    parts = [("head", "", [names(standing)]), ("tasks", "Tasks", tasks), ("about", "About the model", _about(standing))]
    columns = [replace(column, section=key) for key, _, own in parts for column in own]
    table = _table(standing, board.key, f"{shown(board.title)}: Precision@1 in percent", columns)
    sections = tuple(Section(key, label) for key, label, _ in parts)
    return replace(table, sections=sections, note=Markup(" ").join([ordered(board), table.note]))


def of_group(board: Board, group: Group) -> Grid:
    """The table of a group's page: all entries on all its tasks."""
    standing = Standing(board)
    cards = {card.name: card for card in board.cards}
    columns = [
        *([_ranks(standing, group)] if group.key in HEADLINE else []),
        names(standing),
        _mean(standing, group, "Mean", bar=True),
        *(_task(standing, cards[name]) for name in group.tasks),
    ]
    return _table(standing, "scores", f"{group.label}: Precision@1 in percent", columns)


def _table(standing: Standing, name: str, caption: str, columns: list[Column]) -> Grid:
    return Grid(
        id=name,
        caption=caption,
        columns=tuple(columns),
        rows=tuple(row(entry) for entry in standing.ranked),
        choices=choices(standing.ranked),
        heat=True,
        search=True,
        note=marks(standing.board),
        looks="pinned",
    )


# --- columns --------------------------------------------------------------------------------------------


def _ranks(standing: Standing, group: Group) -> Column:
    """The ranks as ranges, of a headline group."""
    ranks = [entry.ranks.get(group.key) for entry in standing.ranked]
    # Ranges that begin and end alike are ordered as the board has them.
    order = [(rank.best, rank.worst, place) if rank else None for place, rank in enumerate(ranks)]
    body = words([str(rank) if rank else MISSING for rank in ranks], order=order, classes="rank")
    hint = f"places by the mean of {group.label} in 95 % of the bootstrap's draws; without a mean there is none"
    cells = standing.cells(body, [MISSING] * len(standing.baselines), MISSING, "rank")
    return Column(f"rank-{group.key}", "Rank", cells, "asc", hint=hint, classes="rank")


def _linked_mean(standing: Standing, group: Group, *, bar: bool = False) -> Column:
    return replace(_mean(standing, group, group.label, bar=bar), link=standing.group(group))


def _mean(standing: Standing, group: Group, label: str, *, bar: bool = False) -> Column:
    """Means over a group's tasks, with interval and bar where they are the headline."""
    classes = "mean wide" if bar else "mean"
    body = numbers([_mean_of(e, group, standing.board, bar) for e in standing.ranked], group.chance, classes=classes)
    foot = [_mean_of(entry, group, standing.board, bar).text for entry in standing.baselines]
    chance = _value(group.chance, None, None) if bar else percent(group.chance)
    cells = standing.cells(body, foot, chance, classes)
    hint = f"mean Precision@1 over {len(group.tasks)} tasks, in percent"
    return Column(f"mean-{group.key}", label, cells, hint=hint, about=group.label, classes=classes)


def _mean_of(entry: Entry, group: Group, board: Board, bar: bool) -> NumberCell:
    mean = entry.means.get(group.key)
    if mean is None or mean.value is None:
        beside = notes(mean.notes, board) if mean else Markup()
        return NumberCell(None, Markup(MISSING) + beside, title=why_no_mean(mean, group))
    signs = Markup(("°" if mean.reported else "") + mark(mean)) + notes(mean.notes, board)
    text = _value(mean.value, mean.low, mean.high, signs) if bar else Markup(percent(mean.value)) + signs
    if mean.apart is not None:
        return NumberCell(None, text, title=why_apart(mean))
    return NumberCell(mean.value, text, title="as its source reports it" if mean.reported else "")


def _value(value: float | None, low: float | None, high: float | None, signs: str = "") -> Markup:
    """A mean with its marks and footnotes, its interval, and its bar."""
    if value is None:
        return Markup(percent(value))
    return Markup(f'<span class="v">{percent(value)}</span>{signs}') + _span(value, low, high)


def _span(value: float, low: float | None, high: float | None) -> Markup:
    """The interval and the bar beside a number."""
    span = "" if low is None else f" <small>{interval(low, high)}</small>"
    return Markup(f"{span}{charts.bar(value, low, high)}")


def _task(standing: Standing, card: TaskCard, section: str | None = None, *, wide: bool = False) -> Column:
    """Scores on a task, the numbers alone: there are many of these columns. Those of a section fold with it.

    Args:
        standing: of the board.
        card: of the task.
        section: that it folds with.
        wide: with intervals and bars.
    """
    board = standing.board
    classes = fold(section) if section else "mean wide" if wide else ""
    return Column(
        f"task-{file_part(card) if board.own else key(card.subset)}",
        breakable(called(card)),
        scores(standing, card, classes, wide=wide),
        link=standing.task(card),
        about=called(card),
        folds=section is not None,
        classes="mean wide" if wide else "",
        hint=shown(card.title) if wide else "",
    )


def scores(standing: Standing, card: TaskCard, classes: str, *, wide: bool = False) -> list[Cell]:
    """The cells of all entries' scores on a task; ``wide`` with intervals and bars."""
    chance = standing.board.chance.get(card.name)
    body = numbers([_score(entry, card, wide) for entry in standing.ranked], chance, classes=classes)
    baselines = [_score(entry, card, wide) for entry in standing.baselines]
    foot = [cell.whole(cell.text) for cell in baselines]
    return standing.cells(body, foot, _value(chance, None, None) if wide else percent(chance), classes)


def _score(entry: Entry, card: TaskCard, wide: bool) -> NumberCell:
    """An entry's score on a task, or why it has none."""
    found = entry.scores.get(card.name)
    if found is None:
        return NumberCell(None, MISSING, title=why_no_score(entry, card))
    text, beside = percent(found.value) + mark(found), None
    if wide:
        text, beside = percent(found.value), Markup(mark(found)) + _span(found.value, found.low, found.high)
    if not found.counts:
        why = why_apart(found) or "not all queries of the task"
        return NumberCell(None, text, title=why, beside=beside)
    return NumberCell(found.value, text, tied=found.tied_with_best, beside=beside)


def _about(standing: Standing) -> list[Column]:
    """What is known of the models apart from their scores; beside own tasks, where it is known of any."""
    n = len(standing.board.cards)
    entries = standing.board.entries

    def done(entry: Entry) -> int:
        return sum(own.complete and not own.claimed for own in entry.scores.values())

    def said(name: str, label: str, text: Any, hint: str = "") -> Column:
        return standing.column(name, label, text, first="asc", classes="t", hint=hint)

    def counted(name: str, label: str, text: Any, order: Any, hint: str = "") -> Column:
        return standing.column(name, label, text, order, "desc", hint=hint)

    every = [
        (counted("coverage", "Tasks", lambda e: coverage(e, n), done, "with a number of their own"), n > 1),
        (
            said("prompting", "Regions by", lambda e: shown(e.prompting or MISSING)),
            any(entry.prompting for entry in entries),
        ),
        (
            said("trained", "MMEB-train", lambda e: e.facts.trained_on_mmeb, "whether it was trained on MMEB-train"),
            False,
        ),
        (
            counted("parameters", "Parameters", lambda e: parameters(e.facts.parameters), lambda e: e.facts.parameters),
            any(entry.facts.parameters for entry in entries),
        ),
        (counted("dimension", "Dimension", lambda e: whole(e.facts.dimension), lambda e: e.facts.dimension), True),
        (
            said("licence", "Licence of the weights", lambda e: shown(e.facts.licence or MISSING)),
            any(entry.facts.licence for entry in entries),
        ),
    ]
    return [column for column, says in every if says or not standing.board.own]

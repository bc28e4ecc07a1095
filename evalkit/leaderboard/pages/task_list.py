"""All tasks of a board in one table, with their median and best scores."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence

from markupsafe import Markup

from evalkit.leaderboard.board import Board, Entry
from evalkit.leaderboard.pages.columns import figures, fixed, heads, texts
from evalkit.leaderboard.pages.grid import Choice, Column, Grid, attributes
from evalkit.leaderboard.pages.standing import Standing
from evalkit.leaderboard.wording import DISTRIBUTIONS, META_TASKS, MISSING, MODALITIES, percent, shown, whole
from evalkit.suites.card import OWN, TaskCard


def medians(board: Board) -> dict[str, float]:
    """The median score of each task, over all entries that know something and whose score counts."""
    found: dict[str, list[float]] = {}
    for entry in board.entries:
        if not entry.knows_nothing:
            for task, own in entry.scores.items():
                if own.counts:
                    found.setdefault(task, []).append(own.value)
    return {task: statistics.median(values) for task, values in found.items()}


def task_list(board: Board, median: Mapping[str, float]) -> Grid:
    """All tasks of a board.

    Args:
        board: whose.
        median: score of each task, from :func:`medians`.
    """
    standing = Standing(board)
    cards = board.cards
    best = [_best(standing, card) for card in cards]
    chance, middle = ([of.get(card.name) for card in cards] for of in (board.chance, median))
    names = [_named([entry for _, entry in top], standing) for top in best]
    kinds = texts("kind", "Meta-task", [META_TASKS[card.meta_task] for card in cards])
    distributions = texts("distribution", "Distribution", [DISTRIBUTIONS[card.distribution] for card in cards])
    licences = texts("licence", "Licence", [shown(card.licence) or MISSING for card in cards], "t long")
    titles = texts(
        "title", "Title", [Markup('<bdi class="said">{}</bdi>').format(shown(card.title)) for card in cards], "t long"
    )
    columns = (
        Column("task", "Task", heads([standing.task_link(card) for card in cards]), "asc", classes="name"),
        *([titles] if board.own else []),
        *([] if {card.meta_task for card in cards} == {OWN} else [kinds]),
        *([] if board.own else [distributions]),
        texts("query", "Query", [MODALITIES[card.query_modality] for card in cards]),
        texts("candidate", "Candidates are", [MODALITIES[card.candidate_modality] for card in cards]),
        figures("queries", "Queries", [card.queries for card in cards], whole),
        figures("pool", "Candidates", [card.candidates for card in cards], whole),
        figures("chance", "Chance", chance, percent),
        figures("median", "Median", middle, percent, hint="of all entries with a score"),
        figures("best", "Best", [top[0][0] if top else None for top in best], percent),
        fixed("entry", "Best entry", names, classes="t"),
        *([licences] if not board.own or any(card.licence for card in cards) else []),
    )
    return Grid(
        id="tasks",
        caption=f"{shown(board.title)}: tasks",
        columns=columns,
        rows=tuple(attributes({"data-kind": card.meta_task, "data-distribution": card.distribution}) for card in cards),
        choices=_choices(board),
        noun=("task", "tasks"),
        search=True,
    )


def _choices(board: Board) -> tuple[Choice, ...]:
    kinds = dict.fromkeys(card.meta_task for card in board.cards)
    sides = {card.distribution for card in board.cards}
    options = tuple((side, DISTRIBUTIONS[side]) for side in ("ind", "ood") if side in sides)
    every = (
        Choice("kind", "Meta-task", tuple((kind, META_TASKS[kind]) for kind in kinds)),
        Choice("distribution", "Distribution", options),
    )
    return tuple(choice for choice in every if len(choice.options) > 1)


def _best(standing: Standing, card: TaskCard) -> list[tuple[float, Entry]]:
    """The highest score, with each entry that has it."""
    found = [
        (own.value, entry)
        for entry in standing.ranked
        if (own := entry.scores.get(card.name)) is not None and own.counts
    ]
    top = max((value for value, _ in found), default=None)
    return [pair for pair in found if pair[0] == top]


def _named(entries: Sequence[Entry], standing: Standing) -> Markup:
    """The first of them, and how many more there are: the task's page has them all."""
    if not entries:
        return Markup(MISSING)
    first, *others = entries
    return standing.link(first) + (f" and {len(others):,} more" if others else "")

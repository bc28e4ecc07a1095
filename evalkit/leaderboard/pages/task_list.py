"""All tasks of a board in one table, with their median and best scores."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence

from markupsafe import Markup

from evalkit.leaderboard.board import Board, Entry
from evalkit.leaderboard.pages.grid import Choice, Column, Grid, attributes, heads, plain, words
from evalkit.leaderboard.pages.listing import Standing
from evalkit.leaderboard.pages.task_page import DISTRIBUTIONS, META_TASKS, MODALITIES
from evalkit.leaderboard.wording import MISSING, breakable, link, percent, shown
from evalkit.suites.card import TaskCard


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
    best = [_best(board, card) for card in cards]

    def text(key: str, label: str, texts: list[str], classes: str = "t") -> Column:
        return Column(key, label, words(texts, classes=classes), "asc", classes=classes)

    def whole(key: str, label: str, values: list[int]) -> Column:
        return Column(key, label, words([f"{value:,}" for value in values], order=values, classes=""))

    def fraction(key: str, label: str, values: list[float | None], hint: str = "") -> Column:
        return Column(key, label, words([percent(v) for v in values], order=values, classes=""), hint=hint)

    def linked(card: TaskCard) -> Markup:
        return Markup('<a href="{}">{}</a>').format(standing.task(card), breakable(card.subset))

    names = [MISSING if top is None else _named(top[1], standing) for top in best]
    columns = (
        Column("task", "Task", heads([linked(card) for card in cards]), "asc", classes="name"),
        text("kind", "Meta-task", [META_TASKS[card.meta_task] for card in cards]),
        text("distribution", "Distribution", [DISTRIBUTIONS[card.distribution] for card in cards]),
        text("query", "Query", [MODALITIES[card.query_modality] for card in cards]),
        text("candidate", "Candidates are", [MODALITIES[card.candidate_modality] for card in cards]),
        whole("queries", "Queries", [card.queries for card in cards]),
        whole("pool", "Candidates", [card.candidates for card in cards]),
        fraction("chance", "Chance", [board.chance.get(card.name) for card in cards]),
        fraction("median", "Median", [median.get(card.name) for card in cards], "of all entries with a score"),
        fraction("best", "Best", [None if top is None else top[0] for top in best]),
        Column("entry", "Best entry", plain(names, "t"), None, classes="t"),
        text("licence", "Licence", [card.licence for card in cards], "t long"),
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


def _best(board: Board, card: TaskCard) -> tuple[float, list[Entry]] | None:
    """The highest score, and all entries that have it."""
    found = [
        (own.value, entry)
        for entry in board.entries
        if not entry.knows_nothing and (own := entry.scores.get(card.name)) is not None and own.counts
    ]
    if not found:
        return None
    top = max(value for value, _ in found)
    return top, [entry for value, entry in found if value == top]


def _named(entries: Sequence[Entry], standing: Standing) -> Markup:
    """The first of them, and how many more there are: the task's page has them all."""
    first, *others = entries
    name = link(first.label, standing.model(first))
    return name + f" and {len(others):,} more" if others else name

"""What a model's page shows: its facts, its scores beside chance and the median, and where they come from."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from markupsafe import Markup

from evalkit.leaderboard.board import Board, Entry, Group, Mean, Score
from evalkit.leaderboard.pages import charts
from evalkit.leaderboard.pages.columns import figures, fixed, heads, plot, texts, words
from evalkit.leaderboard.pages.curve import curve
from evalkit.leaderboard.pages.grid import Cell, Column, Grid, attributes
from evalkit.leaderboard.pages.listing import (
    HEADLINE,
    footnotes,
    metric,
    notes,
    point,
    samples,
    top_of,
    why_apart,
    why_no_mean,
    why_no_score,
)
from evalkit.leaderboard.pages.provenance import NEAREST, command, command_of_name, provenance
from evalkit.leaderboard.pages.standing import Standing
from evalkit.leaderboard.wording import (
    META_TASKS,
    MISSING,
    called,
    interval,
    link,
    mark,
    origin,
    outside,
    parameters,
    percent,
    shown,
    signed,
    whole,
)
from evalkit.suites.card import OWN, TaskCard

_MOST = 5  # strengths, and weaknesses


def model_page(board: Board, entry: Entry, median: Mapping[str, float], pages: Collection[str]) -> dict[str, Any]:
    """All about an entry, as ``model.html`` takes it.

    Args:
        board: that it is a row of.
        entry: the row.
        median: score of each task, over the board's entries.
        pages: paths of all pages of samples.
    """
    standing = Standing(board)
    far = sorted(_against(standing, entry, median), key=lambda one: one["above"])
    run = entry.run[1] if entry.run else None
    results = [(card, own.result) for card in board.cards if (own := entry.scores.get(card.name)) is not None]
    pairs = [pair for pair in board.comparisons if pair.compared and entry.slug in (pair.base, pair.new)]
    return {
        "entry": entry,
        "facts": _facts(entry, board),
        "means": _means(standing, entry) if board.groups else None,
        "notes": footnotes(board, entry.means.values()),
        "curve": curve(standing, entry),
        "tasks": _tasks(standing, entry, median, pages) if entry.scores or entry.failures else None,
        "strengths": [one for one in reversed(far[-_MOST:]) if one["above"] > 0],
        "weaknesses": [one for one in far[:_MOST] if one["above"] < 0],
        "headlines": [group for group in board.groups if group.key in HEADLINE],
        "pairs": [(pair, standing.entries[pair.new if pair.base == entry.slug else pair.base]) for pair in pairs],
        "named": command_of_name(entry) if entry.kind == "published" else None,
        "nearest": entry.prompting in NEAREST,
        "same": _same(standing, entry),
        "command": command(run, board.cards) if run else None,
        "provenance": provenance(run) if run else (),
        "signatures": [(called(card), own.signature) for card, own in results if own and own.signature],
    }


def _facts(entry: Entry, board: Board) -> list[tuple[str, str]]:
    facts = entry.facts
    address = outside(facts.url)
    found: list[tuple[str, str]] = [
        ("Model", link(entry.model, None)),
        ("Numbers", origin(entry)),
        ("Regions by", shown(entry.prompting or MISSING)),
        *([] if board.own else [("Trained on MMEB-train", facts.trained_on_mmeb)]),
        ("Parameters", parameters(facts.parameters)),
        ("Dimension", whole(facts.dimension)),
        ("Licence of the weights", shown(facts.licence or MISSING)),
        *([("Name for --model", Markup("<code>{}</code>").format(entry.named))] if entry.named else []),
    ]
    found = [(name, value) for name, value in found if not board.own or value != MISSING]
    if address:
        found.append(("Page", Markup('<a href="{0}">{0}</a>').format(address)))
    if entry.seen:
        found.append(("Date", shown(entry.seen.partition("T")[0])))
    return found


def _same(standing: Standing, entry: Entry) -> list[dict[str, Any]]:
    """This entry and the others of the same weights, with their headline means; empty where there is no other."""
    others = [standing.entries[slug] for slug in entry.same_weights]
    keys = [group.key for group in standing.board.groups if group.key in HEADLINE]
    found = [(entry, None), *((one, standing.link(one)) for one in others)] if others else []
    return [{"entry": one, "link": at, "means": [_value(one, key) for key in keys]} for one, at in found]


def _value(entry: Entry, key: str) -> str:
    mean = entry.means.get(key)
    return MISSING if mean is None else percent(mean.value) + mark(mean)


# --- its numbers ----------------------------------------------------------------------------------------


def _means(standing: Standing, entry: Entry) -> Grid:
    groups = standing.board.groups
    means = [entry.means.get(group.key) for group in groups]
    scale = charts.scale_of_scores([*(top_of(mean) for mean in means), *(group.chance for group in groups)])
    linked = [Markup('<a href="{}">{}</a>').format(standing.group(group), group.label) for group in groups]
    drawn = [point(entry, mean, group.chance) for mean, group in zip(means, groups, strict=True)]
    described = "Dots: mean Precision@1 in percent. Whiskers: 95 % interval. Dashed line: mean chance."
    ranks = [entry.ranks.get(group.key) for group in groups]
    done = [f"{mean.n_done}/{mean.n_tasks}" if mean else MISSING for mean in means]
    columns = (
        Column("group", "Mean over", heads(linked), None, classes="name"),
        Column("mean", "Mean", [_mean(mean, g, standing.board) for mean, g in zip(means, groups, strict=True)], None),
        fixed("interval", "95 % interval", _intervals(means)),
        plot(scale, drawn, described),
        fixed("chance", "Chance", [percent(group.chance) for group in groups]),
        fixed(
            "rank",
            "Rank",
            [str(rank) if rank else MISSING for rank in ranks],
            hint="range in 95 % of the bootstrap's draws",
        ),
        fixed("tasks", "Tasks", done, hint="with a number of their own"),
    )
    return Grid("means", "Means over tasks, in percent", columns, looks="plots")


def _mean(mean: Mean | None, group: Group, board: Board) -> Cell:
    """A mean with its marks and footnotes; a title says why it is not there, or not ranked."""
    if mean is None or mean.value is None:
        title, signs = why_no_mean(mean, group), ""
    else:
        title, signs = why_apart(mean), ("°" if mean.reported else "") + mark(mean)
    text = Markup(percent(mean.value if mean else None) + signs) + notes(mean.notes if mean else (), board)
    return Cell(text, attributes({"class": "main", "title": title}))


def _intervals(numbers: Sequence[Score | Mean | None]) -> list[str]:
    return [interval(own.low, own.high) if own else MISSING for own in numbers]


def _tasks(standing: Standing, entry: Entry, median: Mapping[str, float], pages: Collection[str]) -> Grid:
    cards = standing.board.cards
    scores = [entry.scores.get(card.name) for card in cards]
    chance = [standing.board.chance.get(card.name) for card in cards]
    middle = [median.get(card.name) for card in cards]
    scale = charts.scale_of_scores([*(top_of(own) for own in scores), *chance, *middle])
    kinds = META_TASKS | {"vqa": "VQA"}
    metas = [kinds[card.meta_task] for card in cards]
    drawn = [point(entry, own, c, m) for own, c, m in zip(scores, chance, middle, strict=True)]
    described = (
        "Dots: Precision@1 in percent. Whiskers: 95 % interval. Dashed line: chance. Short line: median of the board."
    )
    above = [_above(own, m) for own, m in zip(scores, middle, strict=True)]
    kind = Column("kind", "Meta-task", words(metas, order=[metas.index(meta) for meta in metas]), "asc", classes="t")
    columns = [
        Column("task", "Task", heads([standing.task_link(card) for card in cards]), "asc", classes="name"),
        *([] if {card.meta_task for card in cards} == {OWN} else [kind]),
        Column("score", "P@1", _scores(entry, cards, scores), hint="Precision@1, in percent"),
        fixed("interval", "95 % interval", _intervals(scores)),
        plot(scale, drawn, described),
        figures("chance", "Chance", chance, percent),
        figures("median", "Median", middle, percent, hint="of the board"),
        figures("above", "Above it", above, signed, hint="percentage points above the median"),
    ]
    if entry.run is not None:
        columns += _of_results(scores)
    seen = [samples(standing, card, entry, pages, called(card)) for card in cards]
    if any(seen):
        columns.append(fixed("samples", "Samples", seen, classes="t"))
    caption = "All tasks: Precision@1 in percent, against chance and the median of the board"
    return Grid("tasks", caption, tuple(columns), noun=("task", "tasks"), looks="plots")


def _scores(entry: Entry, cards: Collection[TaskCard], scores: list[Score | None]) -> list[Cell]:
    texts = [MISSING if own is None else percent(own.value) + mark(own) for own in scores]
    cells = words(texts, order=[own.value if own and own.counts else None for own in scores], classes="main")
    titles = [_title(entry, own, card) for own, card in zip(scores, cards, strict=True)]
    return [
        cell._replace(attributes=cell.attributes + attributes({"title": title}))
        for cell, title in zip(cells, titles, strict=True)
    ]


def _title(entry: Entry, own: Score | None, card: TaskCard) -> str:
    """What stands behind a score, or why there is none."""
    if own is None:
        return why_no_score(entry, card)
    return why_apart(own) or ("" if own.complete else "not all queries")


def _of_results(scores: list[Score | None]) -> list[Column]:
    """What only a run says."""
    ties = [own.n_ties if own else None for own in map(metric, scores)]
    hint = "queries whose right candidate shares its score with another"
    columns = [
        figures("ties", "Ties", ties, whole, hint=hint),
        fixed("n", "Queries", [whole(own.n if own else None) for own in scores]),
    ]
    regions = [own.result.prompting if own and own.result else None for own in scores]
    if any(regions):
        columns.append(texts("prompting", "Regions by", [region or MISSING for region in regions]))
    return columns


def _above(own: Score | None, median: float | None) -> float | None:
    return own.value - median if own is not None and own.counts and median is not None else None


def _against(standing: Standing, entry: Entry, median: Mapping[str, float]) -> list[dict[str, Any]]:
    """How far each score is from the median, where it is not the only one."""
    if entry.knows_nothing:
        return []
    others = [other for other in standing.ranked if other is not entry]
    found = []
    for card in standing.board.cards:
        own = entry.scores.get(card.name)
        above = _above(own, median.get(card.name))
        if own is not None and above is not None and any(card.name in other.scores for other in others):
            found.append({"card": card, "above": above, "value": own.value, "median": median[card.name]})
    return found

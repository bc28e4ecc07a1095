"""What the page of a task shows: its card, and all entries that have a score on it."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import replace
from typing import Any

from markupsafe import Markup

from evalkit.leaderboard.board import Board, Entry, Score
from evalkit.leaderboard.pages import charts
from evalkit.leaderboard.pages.columns import plot
from evalkit.leaderboard.pages.grid import Column, Grid
from evalkit.leaderboard.pages.headline import scores
from evalkit.leaderboard.pages.listing import choices, metric, names, point, row, samples, top_of
from evalkit.leaderboard.pages.standing import Standing
from evalkit.leaderboard.wording import (
    DISTRIBUTIONS,
    META_TASKS,
    MISSING,
    MODALITIES,
    called,
    count,
    interval,
    outside,
    percent,
    shown,
    whole,
)
from evalkit.runs.manifest import MetricResult
from evalkit.suites.card import OWN, TaskCard

_POOLS = {"shared": "one for all queries", "own": "its own for each query"}
_PUBLISHED_ALONE = (
    "Intervals of published entries are as if no two queries shared an image, as what is published does not say which "
    "do: they are too narrow as far as answers about one image are alike. Those of measured entries allow for it."
)
_MOST = 12  # names in a sentence
_SEARCHED = 10  # rows from which on there is something to search


def task_page(board: Board, card: TaskCard, pages: Collection[str]) -> dict[str, Any]:
    """All about a task, as ``task.html`` takes it.

    Args:
        board: that it is part of.
        card: of the task.
        pages: paths of all pages of samples.
    """
    known = [entry for entry in board.entries if card.name in entry.scores or card.name in entry.failures]
    standing = Standing(replace(board, entries=tuple(sorted(known, key=lambda entry: _place(entry, card)))))
    counted = [(e, own) for e in standing.ranked if (own := e.scores.get(card.name)) is not None and own.counts]
    top = max((own.value for _, own in counted), default=None)
    shares_images = card.meta_task == "visual-interactive"
    return {
        "card": card,
        "kind": _kind(card),
        "facts": _facts(card),
        "sources": [_source(source.hub, source.revision) for source in card.sources],
        "best": _names([e for e, own in counted if own.value == top], standing),
        "tied": _names([e for e, own in counted if own.value != top and own.tied_with_best], standing),
        "without": _without(len(Standing(board).ranked) - len(standing.ranked)),
        "note": _PUBLISHED_ALONE if shares_images and any(e.kind == "published" for e in known) else "",
        "table": _table(standing, card, top, pages),
        "apart": [entry for entry in known if card.name in entry.apart],
        "failures": [entry for entry in standing.board.entries if card.name in entry.failures],
    }


def _place(entry: Entry, card: TaskCard) -> tuple[bool, bool, float]:
    """The best first, then what stands outside the ranking or has not all queries, then what failed."""
    own = entry.scores.get(card.name)
    return (own is None, own is not None and not own.counts, -own.value if own else 0.0)


def _names(entries: Sequence[Entry], standing: Standing) -> Markup:
    found = [standing.link(entry) for entry in entries[:_MOST]]
    more = [f"{len(entries) - _MOST:,} more"] if len(entries) > _MOST else []
    return Markup(", ").join([*found, *more])


def _without(n: int) -> str:
    if not n:
        return ""
    return f"{count(n, 'entry has', 'entries have')} no score of {'its' if n == 1 else 'their'} own on this task."


def _kind(card: TaskCard) -> str:
    said = META_TASKS[card.meta_task]
    if card.suite != OWN:
        return said
    return "Own task" if card.meta_task == OWN else f"Own task: {said.lower()}"


def _facts(card: TaskCard) -> list[tuple[str, str]]:
    """What its card says; of people's own, which may say little, what it says."""
    own = card.suite == OWN
    found = [
        *([] if own else [("Family", card.family), ("Distribution", DISTRIBUTIONS[card.distribution])]),
        ("Queries", f"{card.queries:,}, {MODALITIES[card.query_modality]}"),
        ("Candidates", f"{card.candidates:,} a query, {MODALITIES[card.candidate_modality]}"),
        ("Pool", _POOLS[card.pool]),
        ("Instruction", shown(card.query_instruction) or MISSING),
        ("Licence", shown(card.licence) or MISSING),
        ("Version", str(card.version)),
    ]
    return [(name, value) for name, value in found if not own or value != MISSING]


def _source(hub: str, revision: str | None) -> tuple[str, str, str | None]:
    """A data set on the hub, its revision and its address; what is generated has neither."""
    if revision is None:
        return hub, "", None
    return hub, revision[:12], outside(f"https://huggingface.co/datasets/{hub}/tree/{revision}")


# --- the table ------------------------------------------------------------------------------------------


def _table(standing: Standing, card: TaskCard, top: float | None, pages: Collection[str]) -> Grid:
    entries = (*standing.ranked, *standing.baselines)
    found = {entry.slug: entry.scores.get(card.name) for entry in entries}
    metrics = {slug: metric(own) for slug, own in found.items()}
    chance = standing.board.chance.get(card.name)

    def said(write: Callable[[Score], str]) -> Callable[[Entry], str]:
        return lambda e: MISSING if (own := found[e.slug]) is None else write(own)

    def column(
        key: str, label: str, of: Callable[[MetricResult], float], write: Callable[[Any], str], hint: str
    ) -> Column:
        """A column of what the samples say of ties."""

        def value(entry: Entry) -> float | None:
            return None if (own := metrics[entry.slug]) is None else of(own)

        return standing.column(key, label, lambda e: write(value(e)), value, "desc", hint=hint)

    columns = [
        names(standing),
        Column("score", "P@1", scores(standing, card, "main"), hint="Precision@1, in percent"),
        standing.column("interval", "95 % interval", said(lambda own: interval(own.low, own.high))),
        _plot(standing, card, chance),
        standing.column("best", "Best", lambda e: _verdict(e, found[e.slug], top), first="asc", classes="t"),
    ]
    if any(metrics.values()):
        hint = "the right candidate first among equals"
        columns.append(column("optimistic", "Optimistic", lambda m: m.optimistic, percent, hint))
        hint = "queries whose right candidate shares its score with another"
        columns.append(column("ties", "Ties", lambda m: m.n_ties, whole, hint))
        columns.append(standing.column("n", "Queries", said(lambda own: whole(own.n))))
    regions = standing.column(
        "prompting", "Regions by", lambda e: _regions(e, found[e.slug], card), first="asc", classes="t"
    )
    if not standing.board.own or any(own and own.result and own.result.prompting for own in found.values()):
        columns.append(regions)
    seen = {entry.slug: samples(standing, card, entry, pages, entry.label) for entry in entries}
    if any(seen.values()):
        columns.append(standing.column("samples", "Samples", lambda e: seen[e.slug], classes="t"))
    return Grid(
        id="scores",
        caption=f"{called(card)}: Precision@1 of all entries, in percent",
        columns=tuple(columns),
        rows=tuple(row(entry) for entry in standing.ranked),
        choices=choices(standing.ranked),
        search=len(standing.ranked) > _SEARCHED,
        looks="plots",
    )


def _plot(standing: Standing, card: TaskCard, chance: float | None) -> Column:
    entries = (*standing.ranked, *standing.baselines)
    drawn = [entry.scores.get(card.name) for entry in entries]
    described = [
        "Dots: Precision@1 in percent. Whiskers: 95 % interval.",
        *(["Dashed line: chance."] if chance is not None else []),
        *(["Open dots: published."] if any(entry.kind == "published" for entry in standing.ranked) else []),
        *(["Grey open dots: outside the ranking."] if any(card.name in entry.apart for entry in entries) else []),
    ]
    return plot(
        charts.scale_of_scores([*(top_of(own) for own in drawn), chance]),
        [point(entry, own, chance) for entry, own in zip(entries, drawn, strict=True)],
        " ".join(described),
        last=[charts.StripDot(chance=chance)] if standing.board.chance else [],
    )


def _verdict(entry: Entry, own: Score | None, top: float | None) -> str:
    if entry.knows_nothing or own is None:
        return ""
    if own.apart is not None:
        return own.apart.kind
    return "" if not own.complete else "best" if own.value == top else "not told apart" if own.tied_with_best else ""


def _regions(entry: Entry, own: Score | None, card: TaskCard) -> str:
    """How regions reached the model in this task, which may have none."""
    if own is not None and own.result is not None:
        return own.result.prompting or MISSING
    return shown(entry.prompting or MISSING) if card.query_modality == "image+region" else MISSING
